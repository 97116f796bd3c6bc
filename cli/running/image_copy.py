"""Copies an image from one registry to another: blobs, manifests, and what refers to it, all by digest."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import new
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running import manifest
from cli.running.manifest import DIGEST, OCI_INDEX, Descriptor
from cli.running.registry_api import RegistryApi, json_object
from cli.running.stored_image import is_index
from cli.running.version_document import ARTIFACT_TYPE, text_of
from cli.text import short_digest

AT_ONCE = 4
"""How many blobs are copied at the same time."""
SIGNATURES = (".sig", ".att", ".sbom")
"""Ends of the tags, sha256-DIGEST, that cosign gives an image's signatures, attestations and bills of materials."""
DEEPEST = 4
"""How far an index may have indexes in it, and a signature signatures. Whoever may push may have pushed anything."""


@dataclass(frozen=True)
class Copied:
    """What was copied."""

    blobs: int = 0
    """How many blobs the other registry did not have."""
    size: int = 0
    """Their bytes."""
    signatures: int = 0
    """How many manifests that refer to the image, such as signatures, came along."""
    records: int = 0
    """How many records of versions with this image came along."""

    def __add__(self, other: "Copied") -> "Copied":
        """Both."""
        return Copied(
            self.blobs + other.blobs,
            self.size + other.size,
            self.signatures + other.signatures,
            self.records + other.records,
        )


@dataclass(frozen=True)
class ImageCopy:
    """A way from a repository to another one."""

    source: RegistryApi
    target: RegistryApi
    source_repository: str
    target_repository: str

    def copy(self, digest: str, tag: str = "") -> Copied:
        """Copy an image and what refers to it. What the target has already is not sent again.

        Args:
            digest: the digest of its manifest or index.
            tag: the tag that it gets in the target; empty for none.

        Raises:
            CommandError: the source does not have all of it, or gives another content; a registry does not answer or
                refuses.

        """
        return self._with_signatures(digest, tag, 0)

    def _with_signatures(self, digest: str, tag: str, depth: int) -> Copied:
        done = self._manifest(digest, tag, depth)
        if depth < DEEPEST:
            listed = self._listed(digest)
            for descriptor in listed:
                is_record = descriptor.get("artifactType") == ARTIFACT_TYPE
                count = Copied(records=1) if is_record else Copied(signatures=1)
                done += self._with_signatures(str(descriptor["digest"]), "", depth + 1) + count
            self._list(digest, listed)
            for other, name in self._signatures(digest, {str(one["digest"]) for one in listed}):
                done += self._with_signatures(other, name, depth + 1) + Copied(signatures=1)
        return done

    def _manifest(self, reference: str, tag: str, depth: int) -> Copied:
        found = self.source.manifest_text(self.source_repository, reference)
        if found is None:
            raise CommandError(
                f"the registry at {self.source.address} does not have "
                f"{self.source_repository}@{short_digest(reference)} any more",
                "`./slip repair` pushes what a host still has.",
                status=1,
            )
        media_type, text = found
        kind, _, value = reference.partition(":")
        if new(kind, text.encode()).hexdigest() != value:
            raise CommandError(
                f"the registry at {self.source.address} gives another content for the manifest "
                f"{short_digest(reference)}",
                status=1,
            )
        document = json_object(text)
        if document is None or depth > DEEPEST:
            raise CommandError(f"{short_digest(reference)} is not the manifest of an image", status=1)
        done = Copied()
        if is_index(document):
            for child in dict.fromkeys(one.digest for one in manifest.children(document)):
                done += self._manifest(child, "", depth + 1)
        else:
            done = self._blobs(document)
        self.target.push_manifest(self.target_repository, tag or reference, media_type, text)
        return done

    def _blobs(self, document: Mapping[str, Any]) -> Copied:
        blobs = {blob.digest: blob for blob in manifest.blobs(document)}
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            sizes = list(pool.map(self._blob, blobs.values()))
        sent = [size for size in sizes if size is not None]
        return Copied(len(sent), sum(sent))

    def _blob(self, blob: Descriptor) -> int | None:
        """Copy a blob. Returns its size, or None if the target has it."""
        there = self.target.blob_size(self.target_repository, blob.digest)
        if there == blob.size:
            return None
        if there is not None:
            raise CommandError(
                f"the registry at {self.target.address} has the blob {short_digest(blob.digest)} damaged: "
                f"{there} bytes in place of {blob.size}",
                "`./slip repair` mends the registry's images.",
                status=1,
            )
        with self.source.pieces(self.source_repository, blob.digest) as content:
            self.target.push_blob(self.target_repository, blob.digest, blob.size, content)
        return blob.size

    def _listed(self, digest: str) -> list[Mapping[str, Any]]:
        """What the source lists as referring to an image: by its own list, or by the tag that stands for one."""
        found = self.source.manifest(self.source_repository, digest.replace(":", "-"))
        tagged = found[1].get("manifests") if found and is_index(found[1]) else []
        listed = [*self.source.referrers(self.source_repository, digest), *_mappings(tagged)]
        return list(
            {str(one["digest"]): one for one in listed if DIGEST.fullmatch(str(one.get("digest")))}.values()
        )

    def _list(self, digest: str, listed: Sequence[Mapping[str, Any]]) -> None:
        """Let the target list them, too, beside what it lists already. Some registries do that themselves."""
        if not listed or self.target.lists_referrers(self.target_repository):
            return
        tag = digest.replace(":", "-")
        found = self.target.manifest(self.target_repository, tag)
        known = {str(one.get("digest")): one for one in _mappings(found[1].get("manifests") if found else [])}
        merged = known | {str(one["digest"]): one for one in listed}
        if found is None or merged.keys() != known.keys():
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*merged.values()]}
            self.target.push_manifest(self.target_repository, tag, OCI_INDEX, text_of(index))

    def _signatures(self, digest: str, listed: Collection[str]) -> Iterator[tuple[str, str]]:
        """What else refers to an image: its digest, and the tag by which it is found."""
        for end in SIGNATURES:
            tag = f"{digest.replace(':', '-')}{end}"
            found = self.source.manifest(self.source_repository, tag)
            if found is None or not DIGEST.fullmatch(found[0]) or found[0] in listed:
                continue
            there = self.target.manifest(self.target_repository, tag)
            if there is not None and there[0] != found[0]:
                console.warn(
                    f"The registry at {self.target.address} has other signatures of {short_digest(digest)} already, "
                    f"so the ones at {tag[:19]}…{end} were not copied."
                )
                continue
            yield found[0], tag


def _mappings(values: object) -> list[Mapping[str, Any]]:
    """The JSON objects of a list, as many as one looks at."""
    found = values[: manifest.MOST] if isinstance(values, list) else []
    return [one for one in found if isinstance(one, Mapping)]
