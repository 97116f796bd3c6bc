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
    """How many blobs its manifest names: its configuration and its layers."""
    size: int = 0
    """Bytes of these blobs."""
    missing: tuple[str, ...] = ()
    """The digests of those that the registry does not have, or that it has with another size."""


def look(api: RegistryApi, repository: str, digest: str) -> StoredImage:
    """Ask a registry for an image's manifest, and for the size of each of its blobs.

    For an index, of each of its platforms that the registry has: it may have only some of them.

    Raises:
        CommandError: the registry does not answer, or answers with an error.

    """
    answer = api.manifest(repository, digest)
    if answer is None:
        return StoredImage(has_manifest=False)
    manifests = [answer[1]]
    if is_index(answer[1]):
        children = [child.digest for child in manifest.children(answer[1])]
        found = [api.manifest(repository, child) for child in children]
        manifests = [child[1] for child in found if child]
        if not manifests:
            return StoredImage(has_manifest=True, blobs=len(children), missing=tuple(children) or (digest,))
    blobs = {blob.digest: blob.size for one in manifests for blob in manifest.blobs(one)}
    if not blobs:
        # It is no manifest: nothing of an image is there.
        return StoredImage(has_manifest=True, blobs=1, missing=(digest,))
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        sizes = list(pool.map(lambda blob: api.blob_size(repository, blob), blobs))
    missing = [name for (name, wanted), seen in zip(blobs.items(), sizes, strict=True) if seen != wanted]
    return StoredImage(True, len(blobs), sum(blobs.values()), tuple(missing))


def is_index(document: Mapping[str, Any]) -> bool:
    """Whether a manifest lists others."""
    kind = document.get("mediaType")
    return (isinstance(kind, str) and kind in INDEX_TYPES) or "manifests" in document
