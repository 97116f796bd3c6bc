"""`slip images`, against a registry on this machine that gives one name a page."""

import http.server
import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.errors import CommandError
from cli.registry import images
from cli.registry.images import Image
from cli.running.registry_api import RegistryApi
from cli.running.stack import RunningStack
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.stack import Stack
from tests.support.authority import Authority
from tests.unit.cli.servers import PASSWORD, api_of, outputs, server_context, serving

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
Answer = tuple[int, str, dict[str, str]]


class FakeRegistry:
    """A registry in memory. Whatever it is asked, it wants the account; its lists have one name a page."""

    def __init__(self) -> None:
        self.blobs: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.absolute_links = False
        self.status = 200
        self.asked: list[str] = []

    def put(self, content: dict[str, Any]) -> dict[str, Any]:
        """Keep a blob or manifest; returns its descriptor."""
        text = json.dumps(content)
        digest = f"sha256:{sha256(text.encode()).hexdigest()}"
        self.blobs[digest] = text
        return {"digest": digest, "size": len(text), "mediaType": content.get("mediaType", "")}

    def image(self, *, layers: tuple[int, ...] = (1000,), **configuration: Any) -> dict[str, Any]:
        """Keep an image with layers of these sizes; returns its descriptor."""
        return self.put(
            {
                "mediaType": OCI_MANIFEST,
                "config": {**self.put(configuration), "size": 100},
                "layers": [{"digest": f"sha256:layer-{size}", "size": size} for size in layers],
            }
        )

    def __call__(self, request: http.server.BaseHTTPRequestHandler) -> Answer:
        self.asked.append(request.path)
        given = b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if given != f"alice:{PASSWORD}":
            return 401, "", {}
        if self.status != 200:
            return self.status, "", {}
        parts = urlsplit(request.path)
        if parts.path == "/v2/_catalog":
            return self._page(request, "repositories", sorted(self.tags))
        if found := re.fullmatch(r"/v2/(.+)/tags/list", parts.path):
            if found[1] not in self.tags:
                return 404, "{}", {}
            return self._page(request, "tags", sorted(self.tags[found[1]]))
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(.+)", parts.path)
        assert found
        digest = self.tags.get(found[1], {}).get(found[3], found[3])
        if digest not in self.blobs:
            return 404, "{}", {}
        accepted = request.headers["Accept"]
        assert found[2] == "blobs" or (OCI_INDEX in accepted and OCI_MANIFEST in accepted)
        return 200, self.blobs[digest], {"Docker-Content-Digest": digest}

    def _page(self, request: http.server.BaseHTTPRequestHandler, key: str, names: list[str]) -> Answer:
        parts = urlsplit(request.path)
        last = parse_qs(parts.query).get("last", [""])[0]
        following = [name for name in names if name > last]
        # As distribution does: a repository whose tags are all gone has null.
        page = following[:1] or None
        start = f"https://{request.headers['Host']}" if self.absolute_links else ""
        link = f'<{start}{parts.path}?last={following[0]}&n=1>; rel="next"' if len(following) > 1 else ""
        return 200, json.dumps({key: page}), {"Link": link} if link else {}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the stack's")


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def api(registry: FakeRegistry, authority: Authority, tmp_path: Path) -> Iterator[RegistryApi]:
    with serving(registry, server_context(authority, tmp_path)) as port:
        yield api_of(port, authority)


@pytest.mark.parametrize("absolute", [False, True])
def test_every_page_is_read(registry: FakeRegistry, api: RegistryApi, absolute: bool) -> None:
    registry.absolute_links = absolute
    one = registry.image()["digest"]
    registry.tags = {f"team/app-{index}": dict.fromkeys(("a", "b", "c"), one) for index in range(5)}
    found = images.images(api, {})
    assert [(image.repository, image.tags) for image in found] == [
        (name, ("a", "b", "c")) for name in sorted(registry.tags)
    ]


def test_a_page_that_leads_back_to_itself_ends(authority: Authority, tmp_path: Path) -> None:
    def circle(request: http.server.BaseHTTPRequestHandler) -> Answer:
        return 200, '{"repositories": ["web"]}', {"Link": '</v2/_catalog?last=web>; rel="next"'}

    with serving(circle, server_context(authority, tmp_path)) as port:
        api = api_of(port, authority)
        assert list(api.repositories()) == ["web", "web"]


def test_an_image_tells_what_it_is(registry: FakeRegistry, api: RegistryApi) -> None:
    descriptor = registry.image(
        layers=(1000, 2000, 1000),
        os="linux",
        architecture="arm",
        variant="v7",
        created="2026-01-02T03:04:05.123456789Z",
        config={"Labels": {images.REVISION: "abc"}},
    )
    registry.tags = {"web": {"v1": descriptor["digest"]}}
    assert images.images(api, {("web", descriptor["digest"]): ("web on web-1",)}) == [
        Image(
            repository="web",
            digest=descriptor["digest"],
            tags=("v1",),
            platforms=("linux/arm/v7",),
            size=3100,  # a layer that occurs twice is stored once
            created="2026-01-02T03:04:05.123456789Z",
            revision="abc",
            runs=("web on web-1",),
        )
    ]


def test_an_index_is_all_of_its_platforms(registry: FakeRegistry, api: RegistryApi) -> None:
    amd, arm, attestation = (
        registry.image(layers=(1000, 10), os="linux", architecture="amd64", created="2026-01-01T00:00:00Z"),
        registry.image(layers=(1000, 20), os="linux", architecture="arm64", created="2026-01-02T00:00:00Z"),
        registry.image(layers=(7,), os="unknown", architecture="unknown"),
    )
    mark = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    gone = {"digest": "sha256:never-pushed", "mediaType": OCI_MANIFEST, "size": 1}
    index = registry.put(
        {
            "mediaType": OCI_INDEX,
            "annotations": {images.REVISION: "of-the-index"},
            "manifests": [amd, arm, {**attestation, **mark}, gone],
        }
    )
    registry.tags = {"web": {"latest": index["digest"]}}
    (image,) = images.images(api, {})
    assert image.platforms == ("linux/amd64", "linux/arm64")
    assert image.size == 1000 + 10 + 20 + 2 * 100
    assert image.created == "2026-01-02T00:00:00Z"
    assert image.revision == "of-the-index"


def test_an_image_that_runs_without_a_tag_is_there(registry: FakeRegistry, api: RegistryApi) -> None:
    old, new = registry.image(created="2026-01-01T00:00:00Z"), registry.image(created="2026-01-02T00:00:00Z")
    registry.tags = {"web": {"latest": new["digest"]}}
    found = images.images(api, {("web", old["digest"]): ("web on web-1",)})
    assert [(image.digest, image.tags, image.runs) for image in found] == [
        (new["digest"], ("latest",), ()),
        (old["digest"], (), ("web on web-1",)),
    ]


def test_an_image_that_was_deleted_after_the_listing_is_left_out(
    registry: FakeRegistry, api: RegistryApi
) -> None:
    registry.tags = {"empty": {}, "web": {"gone": "sha256:gone", "here": registry.image()["digest"]}}
    assert [image.tags for image in images.images(api, {})] == [("here",)]


def test_a_connection_that_the_registry_has_closed_is_opened_again(
    registry: FakeRegistry, api: RegistryApi
) -> None:
    registry.tags = {"web": {"v1": registry.image()["digest"]}}
    for _ in range(3):  # the server of these tests closes each after its answer
        assert api.tags("web") == ["v1"]


@pytest.mark.parametrize(
    ("status", "message", "remedy"), [(401, "HTTP 401", "./slip up"), (503, "HTTP 503 to /v2/_catalog", "")]
)
def test_a_registry_that_refuses_says_so(
    registry: FakeRegistry, api: RegistryApi, status: int, message: str, remedy: str
) -> None:
    registry.status = status
    with pytest.raises(CommandError, match=message) as raised:
        images.images(api, {})
    assert remedy in raised.value.remedy
    assert PASSWORD not in raised.value.message


def test_another_registry_gets_no_password(
    registry: FakeRegistry, authority: Authority, tmp_path: Path
) -> None:
    with serving(registry, server_context(Authority("another's"), tmp_path)) as port:
        api = api_of(port, authority)
        with pytest.raises(CommandError, match="is not trusted"):
            list(api.repositories())
    assert registry.asked == []


def test_a_registry_that_is_not_there(authority: Authority) -> None:
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:1 does not answer"):
        list(api_of(1, authority).repositories())


@pytest.mark.parametrize("body", ["<html>", "[]"])
def test_what_is_no_registry_is_told_so(authority: Authority, tmp_path: Path, body: str) -> None:
    with serving(lambda _: (200, body, {}), server_context(authority, tmp_path)) as port:
        api = api_of(port, authority)
        with pytest.raises(CommandError, match="is not a registry"):
            list(api.repositories())


def test_what_runs_where_comes_from_the_outputs(authority: Authority) -> None:
    one, two = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    told = outputs(
        authority,
        images={
            "web": f"yard:5000/web@{one}",
            "shop": f"yard:5000/web@{one}",
            "api": f"yard:5000/api:v1@{two}",
        },
        serviceHosts={"web": ["web-1", "web-2"], "shop": ["web-2"]},
    )
    assert images.deployed_images(RunningStack(told)) == {
        ("web", one): ("shop on web-2", "web on web-1", "web on web-2"),
        ("api", two): ("api",),
    }


class FakePulumi:
    """Answers with the outputs of a stack."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs

    def read(self, *_: str, stdin: str | None = None) -> str:
        return json.dumps(self.outputs)


@pytest.fixture
def run(api: RegistryApi, authority: Authority, tmp_path: Path) -> Callable[..., None]:
    """Runs the command on a stack with this registry."""

    def command(*, as_json: bool = False, **more: Any) -> None:
        told = outputs(authority, registryPublicAddress=api.address, **more)
        pulumi: Any = FakePulumi(told)
        images.run(Stack(Project(tmp_path), "local", Backend("file:///state"), pulumi), as_json=as_json)

    return command


def test_the_table_has_what_runs(
    registry: FakeRegistry, run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    digest = registry.image(os="linux", architecture="amd64", created="2020-01-01T00:00:00Z")["digest"]
    registry.tags = {"web": {"v1": digest, "latest": digest}}
    run(images={"web": f"yard:5000/web@{digest}"}, serviceHosts={"web": ["web-1", "web-2"]})
    shown = capsys.readouterr()
    header, row = shown.out.splitlines()
    assert header.split() == ["repository", "tags", "digest", "platforms", "size", "age", "revision", "runs"]
    assert row.startswith(f"web         latest, v1  {digest[:19]}  linux/amd64  1.1 kB  ")
    assert row.endswith("web on web-1, web on web-2")
    assert shown.err == ""


def test_the_table_is_there_for_scripts(
    registry: FakeRegistry, run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    digest = registry.image()["digest"]
    registry.tags = {"web": {"v1": digest}}
    run(as_json=True, images={})
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["repository"], image["tags"], image["digest"], image["size"], image["runs"]) == (
        "web",
        ["v1"],
        digest,
        1100,
        [],
    )


def test_an_empty_registry_is_a_sentence(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run(images={})
    assert capsys.readouterr().out.endswith("has no images yet.\n")


def test_an_image_that_runs_but_is_gone_is_a_warning(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run(images={"web": "yard:5000/web@sha256:gone"}, serviceHosts={"web": ["web-1"]})
    assert "does not have web@sha256:gone, which runs as web on web-1" in capsys.readouterr().err


def test_commits_come_from_the_image_or_from_the_outputs() -> None:
    def image(repository: str, *tags: str, revision: str = "") -> Image:
        return Image(repository, f"sha256:{tags}", tags, (), 1, "", revision)

    outputs = {
        "images": {"web": "yard:5000/web@sha256:1"},
        "registryAddress": "yard:5000",
        "revisions": {
            "web": [{"tag": "b", "revision": "2"}, {"tag": "a", "revision": "1"}],
            "web-base": [{"tag": "a", "revision": "3"}],
        },
        "serviceUrls": {"web": []},
    }
    listed = [
        image("web", "a"),
        image("web", "x", "b"),
        image("web", "c"),
        image("web", "a", revision="own"),
        image("web-base", "a"),
        image("other", "a"),
    ]
    found = images.with_revisions(listed, RunningStack(outputs))
    assert [one.revision for one in found] == ["1", "2", "", "own", "3", ""]
    # A stack that an older version updated last has no such output.
    del outputs["revisions"]
    assert images.with_revisions(listed[:1], RunningStack(outputs)) == listed[:1]
