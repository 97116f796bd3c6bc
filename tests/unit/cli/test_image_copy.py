"""Copies of images between two registries on this machine."""

import http.server
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.errors import CommandError
from cli.running.http import tls_context
from cli.running.image_copy import Copied, ImageCopy
from cli.running.registry_api import RegistryApi, RegistryEndpoint
from cli.running.version_document import ARTIFACT_TYPE
from tests.support.authority import Authority
from tests.unit.cli.servers import PASSWORD, api_of, server_context, serving

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content: str) -> str:
    return f"sha256:{sha256(content.encode()).hexdigest()}"


@dataclass
class Store:
    """A registry in memory, with the parts of OCI's distribution specification that a copy needs."""

    blobs: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Media type and text, by digest and by tag."""
    referrers: dict[str, list[str]] = field(default_factory=dict)
    pushes: list[str] = field(default_factory=list)
    refuses: bool = False
    takes_artifacts: bool = True
    lists: bool = False
    """Whether it lists by itself what refers to an image."""

    def blob(self, content: str) -> dict[str, object]:
        self.blobs[digest_of(content)] = content
        return {"digest": digest_of(content), "size": len(content)}

    def keep(self, document: dict[str, object], media_type: str, tag: str = "") -> str:
        text = json.dumps(document, indent=3)
        digest = digest_of(text)
        self.manifests[digest] = media_type, text
        if tag:
            self.manifests[tag] = media_type, text
        return digest

    def image(self, *layers: str, tag: str = "") -> str:
        document: dict[str, object] = {
            "config": self.blob('{"architecture": "amd64"}'),
            "layers": [self.blob(one) for one in layers],
        }
        return self.keep(document, OCI_MANIFEST, tag)

    def described(self, digest: str) -> dict[str, object]:
        """As a list of referrers has it."""
        document = json.loads(self.manifests[digest][1])
        kept = {key: document[key] for key in ("artifactType", "annotations") if key in document}
        return {"digest": digest, "size": len(self.manifests[digest][1]), **kept}

    def __call__(self, request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0)).decode()
        parts = urlsplit(request.path)
        if parts.path == "/v2/web/tags/list":
            names = [name for name in self.manifests if not name.startswith("sha256:")]
            return 200, json.dumps({"tags": names}), {}
        match = re.fullmatch(r"/v2/([^/]+)/(blobs|manifests|referrers)/(.+)", parts.path)
        assert match, request.path
        _, kind, name = match.groups()
        if self.refuses and request.command in {"POST", "PUT"}:
            return 403, "{}", {}
        if request.command == "POST":
            return 202, "", {"Location": f"http://elsewhere:1{parts.path}some?state=x"}
        if request.command == "PUT" and kind == "blobs":
            assert parse_qs(parts.query)["state"] == ["x"]
            (digest,) = parse_qs(parts.query)["digest"]
            if digest_of(body) != digest:
                return 400, "{}", {}
            self.pushes.append(digest)
            self.blobs[digest] = body
            return 201, "", {}
        if request.command == "PUT":
            document = json.loads(body)
            if "artifactType" in document and not self.takes_artifacts:
                return 400, "{}", {}
            needed = [document[key] for key in ("config",) if key in document]
            needed += document.get("layers", [])
            if not {one["digest"] for one in needed} <= {*self.blobs}:
                return 400, "{}", {}
            if not {one["digest"] for one in document.get("manifests", [])} <= {*self.manifests}:
                return 400, "{}", {}
            media_type = str(request.headers["Content-Type"])
            self.manifests[name] = self.manifests[digest_of(body)] = media_type, body
            self.pushes.append(name)
            if self.lists and "subject" in document:
                self.referrers.setdefault(document["subject"]["digest"], []).append(digest_of(body))
                return 201, "", {"OCI-Subject": document["subject"]["digest"]}
            return 201, "", {}
        if kind == "referrers":
            listed = [self.described(one) for one in self.referrers.get(name, [])]
            answer = json.dumps({"manifests": listed})
            return (200, answer, {}) if self.referrers or self.lists else (404, "{}", {})
        if kind == "blobs":
            return (200, self.blobs[name], {}) if name in self.blobs else (404, "", {})
        if name not in self.manifests:
            return 404, "{}", {}
        media_type, text = self.manifests[name]
        return 200, text, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(text)}


@dataclass
class Pair:
    source: Store
    target: Store
    way: ImageCopy


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    authorities = [Authority("the first's"), Authority("the second's")]
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    source, target = Store(), Store()
    contexts = [server_context(one, folder) for one, folder in zip(authorities, folders, strict=True)]
    with (
        serving(source, contexts[0]) as first,
        serving(target, contexts[1]) as second,
        api_of(first, authorities[0]) as one,
        api_of(second, authorities[1]) as other,
    ):
        yield Pair(source, target, ImageCopy(one, other, "web", "web"))


def test_an_image_is_copied_to_the_letter_and_tagged(pair: Pair) -> None:
    digest = pair.source.image("a layer" * 100_000, "another")
    copied = pair.way.copy(digest, "staging-41")
    assert copied == Copied(3, 700_000 + 7 + 25)
    assert (
        pair.target.manifests[digest] == pair.source.manifests[digest] == pair.target.manifests["staging-41"]
    )
    assert pair.target.blobs == pair.source.blobs


def test_blobs_that_are_there_are_not_sent(pair: Pair) -> None:
    digest = pair.source.image("a layer", "another")
    pair.target.blob("a layer")
    assert pair.way.copy(digest).blobs == 2
    assert digest_of("a layer") not in pair.target.pushes
    assert pair.way.copy(digest) == Copied()


def test_an_index_comes_with_its_platforms(pair: Pair) -> None:
    platforms = [pair.source.image("for amd64"), pair.source.image("for arm64")]
    index = pair.source.keep({"manifests": [{"digest": one, "size": 1} for one in platforms]}, OCI_INDEX)
    assert pair.way.copy(index).blobs == 3
    assert pair.target.manifests[index][0] == OCI_INDEX
    assert {index, *platforms} <= {*pair.target.manifests}


def test_signatures_come_along(pair: Pair) -> None:
    digest = pair.source.image("a layer")
    signed = pair.source.image("a signature", tag=f"{digest.replace(':', '-')}.sig")
    listed = pair.source.image("an attestation")
    pair.source.referrers[digest] = [listed]
    assert pair.way.copy(digest).signatures == 2
    assert {signed, listed, f"{digest.replace(':', '-')}.sig"} <= {*pair.target.manifests}


def test_the_list_of_what_refers_to_an_image_is_merged(pair: Pair) -> None:
    digest = pair.source.image("a layer")
    tag = digest.replace(":", "-")
    theirs, own = pair.source.image("theirs"), pair.target.image("own")
    record: dict[str, object] = {
        "artifactType": ARTIFACT_TYPE,
        "config": pair.source.blob("{}"),
        "layers": [],
    }
    recorded = pair.source.keep(record, OCI_MANIFEST)
    listed = [pair.source.described(one) for one in (theirs, recorded)]
    pair.source.keep({"manifests": listed}, OCI_INDEX, tag)
    pair.target.keep({"manifests": [pair.target.described(own)]}, OCI_INDEX, tag)
    copied = pair.way.copy(digest)
    assert (copied.signatures, copied.records) == (1, 1)
    document = json.loads(pair.target.manifests[tag][1])
    assert [one["digest"] for one in document["manifests"]] == [own, theirs, recorded]
    assert document["manifests"][2]["artifactType"] == ARTIFACT_TYPE
    before = [*pair.target.pushes]
    assert pair.way.copy(digest).records == 1
    assert tag not in pair.target.pushes[len(before) :], "the list was written again without a change"


def test_a_registry_that_lists_referrers_itself_gets_no_tag_for_them(pair: Pair) -> None:
    pair.target.lists = True
    digest = pair.source.image("a layer")
    pair.source.referrers[digest] = [pair.source.image("an attestation")]
    assert pair.way.copy(digest).signatures == 1
    assert digest.replace(":", "-") not in pair.target.manifests


def test_signatures_that_the_target_has_made_itself_stay(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = pair.source.image("a layer")
    tag = f"{digest.replace(':', '-')}.sig"
    pair.source.image("theirs", tag=tag)
    own = pair.target.image("own", tag=tag)
    assert pair.way.copy(digest).signatures == 0
    assert digest_of(pair.target.manifests[tag][1]) == own
    assert "has other signatures" in "".join(capsys.readouterr())


def test_another_content_than_the_digest_names_is_refused(pair: Pair) -> None:
    digest = pair.source.image("a layer")
    pair.source.blobs[digest_of("a layer")] = "a liar!"
    with pytest.raises(CommandError, match="another content for the blob"):
        pair.way.copy(digest)
    assert digest not in pair.target.manifests

    other = pair.source.image("other")
    pair.source.manifests[other] = OCI_MANIFEST, pair.source.manifests[other][1] + " "
    with pytest.raises(CommandError, match="another content for the manifest"):
        pair.way.copy(other)


def test_what_cannot_be_copied_is_said(pair: Pair) -> None:
    with pytest.raises(CommandError, match=r"does not have web@sha256:0123.* any more"):
        pair.way.copy(f"sha256:0123{'4' * 60}")
    digest = pair.source.image("a layer")
    damaged = digest_of("a layer")
    pair.target.blobs[damaged] = "a"
    with pytest.raises(CommandError, match="damaged: 1 bytes in place of 7"):
        pair.way.copy(digest)
    del pair.target.blobs[damaged]
    pair.target.refuses = True
    with pytest.raises(CommandError, match="answers HTTP 403 to a push to web"):
        pair.way.copy(digest)


def test_an_index_in_itself_ends(pair: Pair) -> None:
    """No digest can name itself, but indexes can be nested as deep as anybody likes."""
    inner = pair.source.image("a layer")
    for _ in range(10):
        inner = pair.source.keep({"manifests": [{"digest": inner, "size": 1}]}, OCI_INDEX)
    with pytest.raises(CommandError, match="not the manifest of an image"):
        pair.way.copy(inner)


def test_blobs_of_an_external_registry_may_be_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The account stays with the registry."""
    authority = Authority("of both")
    seen = []

    def elsewhere(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        seen.append(request.headers.get("Authorization"))
        return 200, "a layer", {}

    monkeypatch.setattr("cli.running.registry_api.system_tls_context", lambda *_: tls_context(authority.pem))
    with serving(elsewhere, server_context(authority, tmp_path)) as port:

        def registry(_: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
            return 307, "", {"Location": f"https://127.0.0.1:{port}/a/blob?signed"}

        with serving(registry, server_context(authority, tmp_path)) as first:
            endpoint = RegistryEndpoint(
                f"127.0.0.1:{first}", authority.pem, ("alice", PASSWORD), mode="external"
            )
            with RegistryApi(endpoint) as api, api.pieces("web", digest_of("a layer")) as content:
                assert b"".join(content) == b"a layer"
    assert seen == [None]
