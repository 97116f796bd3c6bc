"""What a manifest and an image's configuration say. Whoever may push chose every value in them, so each is checked.

What has not the type that the OCI image specification gives it counts as not there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.text import LINE_LENGTH

DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
REFERRERS_TAG = re.compile(r"sha256-[0-9a-f]{64}")
"""The tag of the list of what refers to an image, where the registry keeps no such list itself (OCI distribution
specification, referrers tag schema)."""
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
"""The media type of an index."""
LARGEST = 1 << 50
"""The size in bytes up to which a blob's size is believed: a pebibyte."""
MOST = 1000
"""How many descriptors of one list are looked at. Images have up to 127 layers."""


@dataclass(frozen=True)
class Descriptor:
    """How a manifest refers to a blob or to another manifest."""

    digest: str
    size: int
    is_attestation: bool = False
    """Whether a builder added it: it is no image."""


def children(manifest: Mapping[str, Any]) -> list[Descriptor]:
    """The manifests of an index: its platforms."""
    return list(_descriptors(manifest.get("manifests")))


def config(manifest: Mapping[str, Any]) -> Descriptor | None:
    """The image's configuration."""
    return next(_descriptors([manifest.get("config")]), None)


def blobs(manifest: Mapping[str, Any]) -> list[Descriptor]:
    """The configuration and the layers of an image, without layers that are elsewhere by their own URLs."""
    layers = manifest.get("layers")
    return list(_descriptors([manifest.get("config"), *(layers if isinstance(layers, list) else ())]))


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object; empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def words(value: object) -> str:
    """A short text; empty for anything else."""
    return value[:LINE_LENGTH] if isinstance(value, str) else ""


def _descriptors(values: object) -> Iterator[Descriptor]:
    for value in values[:MOST] if isinstance(values, list) else ():
        one = mapping(value)
        digest, size = one.get("digest"), one.get("size", 0)
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest) or one.get("urls"):
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST:
            continue
        kind = mapping(one.get("annotations")).get("vnd.docker.reference.type")
        yield Descriptor(digest, size, kind == "attestation-manifest")
