"""Records of versions in a registry: an OCI artifact each, which refers to the version's image.

The stack's outputs have the same records (components/version_log.py); those here outlive the state. Image retention
keeps and removes them with their images. A record names secrets and has keyed hashes of them, and never a value.

Whoever may push to the registry may write a record as well. So each has a seal by a key that only the state has.
"""

import hmac
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cli.errors import CommandError
from cli.running import manifest
from cli.running.manifest import DIGEST, OCI_INDEX, REFERRERS_TAG
from cli.running.registry_api import RegistryApi
from cli.running.stored_image import is_index
from cli.running.version_document import ARTIFACT_TYPE, DEPLOYED, content, is_version, result_of, text_of
from well_known import SERVICE_LABEL, STACK_LABEL

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_NOTHING = "application/vnd.oci.empty.v1+json"
_VERSION, _RESULT, _CONTENT, _KEY, _SEAL = (
    f"slipway.{name}" for name in ("version", "result", "content", "key", "seal")
)
"""Annotations, besides the stack and the service."""
_CREATED, _REVISION = "org.opencontainers.image.created", "org.opencontainers.image.revision"
_TRIES = 3
"""How often a list of referrers is written: another operator's update may have written it meanwhile."""
_AT_ONCE = 8
"""How many lists are read at the same time."""


@dataclass(frozen=True)
class Entry:
    """What a registry's lists say of a record, before it is read."""

    digest: str
    """Of the artifact."""
    stack: str
    """The short name of the stack that deployed the version."""
    service: str
    number: int
    result: str
    """`deployed` or `failed`."""
    content: str
    """What `content` says of the version."""
    key: str
    """What `key_id` says of the key of its seal."""


@dataclass(frozen=True)
class Record:
    """A version as a registry has it."""

    version: Mapping[str, Any]
    is_sealed: bool
    """Whether the state whose key was given has written it."""


@dataclass(frozen=True)
class VersionRecords:
    """The records of versions in one repository.

    Every method raises CommandError where the registry does not answer, or answers with an error.
    """

    api: RegistryApi
    repository: str
    key: str
    """A secret of the stack's state."""

    def entries(self) -> list[Entry]:
        """What the lists of all images say."""
        tags = self.api.tags(self.repository)
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            lists = pool.map(self._listed_by_tag, filter(REFERRERS_TAG.fullmatch, tags))
            found = [entry for one in lists for entry in one]
            if self.api.lists_referrers(self.repository):
                images = filter(None, pool.map(self._digest, tags))
                answers = pool.map(
                    lambda one: self.api.referrers(self.repository, one), dict.fromkeys(images)
                )
                found += [entry for one in answers for entry in _entries(one)]
        return list(dict.fromkeys(found))

    def read(self, entry: Entry) -> Record | None:
        """A record; None if it is not there any more, or is none: whoever may push may have pushed anything."""
        answer = self.api.manifest(self.repository, entry.digest)
        if answer is None:
            return None
        layers = [one for one in manifest.blobs(answer[1]) if one != manifest.config(answer[1])]
        if len(layers) != 1:
            return None
        document = self.api.blob(self.repository, layers[0].digest)
        version = document.get("version")
        if not is_version(version) or not isinstance(version, dict):
            return None
        subject = manifest.mapping(answer[1].get("subject")).get("digest")
        if (
            (document.get("stack"), document.get("service")) != (entry.stack, entry.service)
            or version["number"] != entry.number
            or version["images"].get(entry.service) != subject
        ):
            return None
        seal = manifest.words(manifest.mapping(answer[1].get("annotations")).get(_SEAL))
        return Record(
            version, hmac.compare_digest(seal.encode(), _seal(self.key, text_of(document)).encode())
        )

    def write(self, stack: str, service: str, version: Mapping[str, Any]) -> bool:
        """Write the record of a version, unless it is there.

        Returns False if the registry does not have the version's image any more.

        Args:
            stack: the stack's short name.
            service: the service's name.
            version: the version, with whole numbers.

        """
        image = str(version["images"].get(service, ""))
        wanted = (stack, service, content(version), result_of(version), key_id(self.key))
        if any(wanted == (e.stack, e.service, e.content, e.result, e.key) for e in self._of_image(image)):
            return True
        found = self.api.manifest_text(self.repository, image) if DIGEST.fullmatch(image) else None
        if found is None:
            return False
        media_type, image_text = found
        if result_of(version) == DEPLOYED:
            # Retention counts from the last push, and is to keep what the last good versions name.
            self.api.push_manifest(self.repository, image, media_type, image_text)
        document = text_of({"stack": stack, "service": service, "version": version})
        annotations = {
            _CREATED: str(version["deployments"][0]["started"]),
            STACK_LABEL: stack,
            SERVICE_LABEL: service,
            _VERSION: str(version["number"]),
            _RESULT: result_of(version),
            _CONTENT: content(version),
            _KEY: key_id(self.key),
            _SEAL: _seal(self.key, document),
            **({_REVISION: str(version["revision"])} if version["revision"] else {}),
        }
        text = text_of(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "artifactType": ARTIFACT_TYPE,
                "config": self._blob(_NOTHING, "{}"),
                "layers": [self._blob(ARTIFACT_TYPE, document)],
                "subject": _descriptor(media_type, image_text, image),
                "annotations": annotations,
            }
        )
        descriptor = _descriptor(_MANIFEST, text) | {
            "artifactType": ARTIFACT_TYPE,
            "annotations": annotations,
        }
        if not self.api.push_manifest(self.repository, descriptor["digest"], _MANIFEST, text):
            self._list(image, descriptor)
        return True

    def _of_image(self, image: str) -> list[Entry]:
        by_tag = self._listed_by_tag(image.replace(":", "-"))
        return by_tag or list(_entries(self.api.referrers(self.repository, image)))

    def _digest(self, tag: str) -> str:
        found = None if REFERRERS_TAG.fullmatch(tag) else self.api.manifest(self.repository, tag)
        return found[0] if found else ""

    def _listed_by_tag(self, tag: str) -> list[Entry]:
        found = self.api.manifest(self.repository, tag)
        return list(_entries(found[1].get("manifests"))) if found else []

    def _blob(self, media_type: str, text: str) -> dict[str, Any]:
        described = _descriptor(media_type, text)
        if self.api.blob_size(self.repository, described["digest"]) != described["size"]:
            content_ = iter([text.encode()])
            self.api.push_blob(self.repository, described["digest"], described["size"], content_)
        return described

    def _list(self, image: str, descriptor: Mapping[str, Any]) -> None:
        """Add a record to the list of what refers to an image, in place of what it said of this version before."""
        tag = image.replace(":", "-")
        (new,) = _entries([descriptor])
        for _ in range(_TRIES):
            found = self.api.manifest(self.repository, tag)
            if found and not is_index(found[1]):
                raise CommandError(
                    f"the tag {tag[:19]}… of {self.repository} is no list of what refers to an image",
                    status=1,
                )
            listed = found[1].get("manifests") if found else []
            others = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            if any(one.get("digest") == new.digest for one in others):
                return
            kept = [one for one in others if not any(_is_earlier(old, new) for old in _entries([one]))]
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*kept, dict(descriptor)]}
            self.api.push_manifest(self.repository, tag, OCI_INDEX, text_of(index))
        raise CommandError(f"others write {tag[:19]}… of {self.repository} all the time", status=1)


def key_id(key: str) -> str:
    """A word that is another one with another key, and says nothing about it."""
    return hmac.new(key.encode(), b"key of slipway's version records", sha256).hexdigest()[:12]


def _is_earlier(old: Entry, new: Entry) -> bool:
    """Whether an entry is what the same state said of the same version before."""
    return (old.stack, old.service, old.number, old.key) == (new.stack, new.service, new.number, new.key)


def _entries(descriptors: object) -> Iterator[Entry]:
    for one in descriptors[: manifest.MOST] if isinstance(descriptors, list) else ():
        if manifest.mapping(one).get("artifactType") != ARTIFACT_TYPE:
            continue
        digest, said = manifest.words(one.get("digest")), manifest.mapping(one.get("annotations"))
        number, result = manifest.words(said.get(_VERSION)), manifest.words(said.get(_RESULT))
        if DIGEST.fullmatch(digest) and number.isascii() and number.isdecimal() and len(number) < 10:
            stack, service, content_, key = (
                manifest.words(said.get(name)) for name in (STACK_LABEL, SERVICE_LABEL, _CONTENT, _KEY)
            )
            yield Entry(digest, stack, service, int(number), result, content_, key)


def _descriptor(media_type: str, text: str, digest: str = "") -> dict[str, Any]:
    body = text.encode()
    return {
        "mediaType": media_type,
        "digest": digest or f"sha256:{sha256(body).hexdigest()}",
        "size": len(body),
    }


def _seal(key: str, text: str) -> str:
    return hmac.new(key.encode(), b"slipway's version record\0" + text.encode(), sha256).hexdigest()
