"""Whether a registry has an image with all that it is made of."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cli.running import manifest
from cli.running.registry_api import INDEX_TYPES, RegistryApi

AT_ONCE = 4
"""How many blobs of an image are asked for at the same time."""


@dataclass(frozen=True)
class StoredImage:
    """What a registry has of an image."""

    has_manifest: bool
    blobs: int = 0
    """How many blobs its manifest names: its configuration and its layers; for an index, also absent platforms."""
    size: int = 0
    """Bytes of its blobs."""
    missing: tuple[str, ...] = ()
    """The digests of the blobs, and of an index's platforms, that the registry does not have."""
    damaged: tuple[str, ...] = ()
    """The digests of the blobs that the registry has with another size. It would not take them again."""

    @property
    def lacking(self) -> tuple[str, ...]:
        """The digests of all that cannot be pulled."""
        return (*self.missing, *self.damaged)


def look(api: RegistryApi, repository: str, digest: str) -> StoredImage:
    """Ask a registry for an image's manifest, and for the size of each of its blobs.

    For an index, of each of its platforms. A registry takes an index only if it has all of them (distribution's
    default), so a platform that is absent has been lost.

    Raises:
        CommandError: the registry does not answer, or answers with an error.

    """
    answer = api.manifest(repository, digest)
    if answer is None:
        return StoredImage(has_manifest=False)
    manifests, absent = [answer[1]], []
    if is_index(answer[1]):
        children = dict.fromkeys(child.digest for child in manifest.children(answer[1]))
        found = {child: api.manifest(repository, child) for child in children}
        manifests = [one[1] for one in found.values() if one]
        absent = [child for child, one in found.items() if one is None]
    blobs = {blob.digest: blob.size for one in manifests for blob in manifest.blobs(one)}
    if not blobs and not absent:
        # It is no manifest: nothing of an image is there.
        return StoredImage(has_manifest=True, blobs=1, missing=(digest,))
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        sizes = dict(zip(blobs, pool.map(lambda blob: api.blob_size(repository, blob), blobs), strict=True))
    missing = [name for name in blobs if sizes[name] is None]
    damaged = [name for name, wanted in blobs.items() if sizes[name] not in {None, wanted}]
    return StoredImage(
        has_manifest=True,
        blobs=len(blobs) + len(absent),
        size=sum(blobs.values()),
        missing=(*absent, *missing),
        damaged=tuple(damaged),
    )


def is_index(document: Mapping[str, Any]) -> bool:
    """Whether a manifest lists others."""
    kind = document.get("mediaType")
    return (isinstance(kind, str) and kind in INDEX_TYPES) or "manifests" in document
