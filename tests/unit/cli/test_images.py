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
from cli.registry.images import Image, Need
from cli.running import fleet, stored_image
from cli.running.host_report import HostReport, Serving
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


def layer(size: int) -> str:
    """The digest of a layer of this size."""
    return f"sha256:{size:064x}"


class FakeRegistry:
    """A registry in memory. Whatever it is asked, it wants the account; its lists have one name a page."""

    def __init__(self) -> None:
        self.blobs: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
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
        config = {**self.put(configuration), "size": 100}
        self.sizes |= {config["digest"]: 100, **{layer(size): size for size in layers}}
        return self.put(
            {
                "mediaType": OCI_MANIFEST,
                "config": config,
                "layers": [{"digest": layer(size), "size": size} for size in layers],
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
        if request.command == "HEAD":
            known = digest in self.sizes
            return (200, "", {"Content-Length": str(self.sizes[digest])}) if known else (404, "", {})
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
    assert images.images(api, {("web", descriptor["digest"]): Need(("web on web-1",), ("web",))}) == [
        Image(
            repository="web",
            digest=descriptor["digest"],
            tags=("v1",),
            platforms=("linux/arm/v7",),
            size=3100,  # a layer that occurs twice is stored once
            created="2026-01-02T03:04:05.123456789Z",
            revision="abc",
            runs=("web on web-1",),
            wanted=("web",),
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


def test_an_image_that_serves_without_a_tag_is_there(registry: FakeRegistry, api: RegistryApi) -> None:
    old, new = registry.image(created="2026-01-01T00:00:00Z"), registry.image(created="2026-01-02T00:00:00Z")
    registry.tags = {"web": {"latest": new["digest"]}}
    found = images.images(api, {("web", old["digest"]): Need(("web on web-1",))})
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


ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "123")


def _report(host: str, **services: str) -> HostReport:
    """A host that serves these digests."""
    return HostReport(
        host,
        engine_unit="active",
        engine_version="28.5.2",
        proxy_answers=True,
        services={
            name: Serving(name, f"{name}-1", (f"yard:5000/{name}@{digest}",), None, "HTTP 200 on /up", True)
            for name, digest in services.items()
        },
    )


def test_what_is_needed_comes_from_the_hosts_and_from_the_last_update(authority: Authority) -> None:
    told = outputs(
        authority,
        images={"web": f"yard:5000/web@{ONE}", "api": f"yard:5000/api@{TWO}"},
        wantedImages={"web": f"yard:5000/web@{THREE}", "api": f"yard:5000/api@{TWO}"},
        serviceUrls={"web": [], "api": []},
        serviceHosts={"web": ["web-1", "web-2"], "api": ["web-2", "web-3"]},
    )
    reports = {"web-1": _report("web-1", web=ONE), "web-2": _report("web-2", web=THREE, api=TWO)}
    reports["web-3"] = HostReport("web-3", silence="SSH at 127.0.0.1:1 refuses connections")
    assert images.needed_images(RunningStack(told, reports=reports)) == {
        ("web", ONE): Need(("web on web-1",)),
        ("web", THREE): Need(("web on web-2",), ("web",)),
        ("api", TWO): Need(("api on web-2",), ("api",)),
    }


class FakePulumi:
    """Answers with the outputs of a stack."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs

    def read(self, *_: str, stdin: str | None = None) -> str:
        stack = {"type": "pulumi:pulumi:Stack", "outputs": self.outputs}
        return json.dumps({"deployment": {"resources": [stack]}})


@pytest.fixture
def run(
    api: RegistryApi, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Runs the command on a stack with this registry, and with hosts that report this."""

    def command(*reports: HostReport, as_json: bool = False, **more: Any) -> int:
        hosts = {report.host: {"roles": ["app"]} for report in reports}
        told = outputs(authority, registryPublicAddress=api.address, platform="aws", **more) | {
            "hosts": hosts
        }
        monkeypatch.setattr(fleet, "ask", lambda _, hosts: {one.host: one for one in reports})
        pulumi: Any = FakePulumi(told)
        return images.run(Stack(Project(tmp_path), "local", Backend("s3://state"), pulumi), as_json=as_json)

    return command


SERVICE_HOSTS = {"web": ["web-1", "web-2"]}


def test_the_table_has_what_the_hosts_serve(
    registry: FakeRegistry, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = (
        registry.image(layers=(size,), os="linux", created="2020-01-01T00:00:00Z")["digest"]
        for size in (1, 2)
    )
    registry.tags = {"web": {"v1": old, "latest": old, "v2": new}}
    reports = [_report(host, web=old) for host in SERVICE_HOSTS["web"]]
    # The last roll-out failed: what it was to run is another image.
    status = run(*reports, wantedImages={"web": f"yard:5000/web@{new}"}, serviceHosts=SERVICE_HOSTS)
    shown = capsys.readouterr()
    header, *rows = shown.out.splitlines()
    assert header.split()[-1] == "runs"
    by_digest = {f"{row.split()[0]}{row[row.index('sha256:') :][:19]}": row for row in rows}
    assert by_digest[f"web{old[:19]}"].endswith("web on web-1, web on web-2")
    assert by_digest[f"web{new[:19]}"].endswith("web is to run it")
    assert (status, shown.err) == (0, "")


def test_the_table_is_there_for_scripts(
    registry: FakeRegistry, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    digest = registry.image()["digest"]
    registry.tags = {"web": {"v1": digest}}
    assert run(as_json=True, images={}) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["repository"], image["tags"], image["digest"], image["size"], image["runs"]) == (
        "web",
        ["v1"],
        digest,
        1100,
        [],
    )


def test_what_serves_and_is_gone_fails(
    registry: FakeRegistry, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    registry.tags = {"web": {}}
    assert (
        run(
            _report("web-1", web=ONE),
            serviceHosts=SERVICE_HOSTS,
            wantedImages={"web": f"yard:5000/web@{ONE}"},
        )
        == 1
    )
    said = capsys.readouterr().err
    assert f"The registry does not have web@{ONE[:19]}, which serves as web on web-1." in said
    assert said.endswith("→ ./slip repair\n")


@pytest.mark.parametrize(("sizes", "missing"), [({}, [layer(1000)]), ({layer(1000): 999}, [layer(1000)])])
def test_a_blob_that_is_gone_or_cut_off_fails(
    registry: FakeRegistry,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    sizes: dict[str, int],
    missing: list[str],
) -> None:
    digest = registry.image()["digest"]
    registry.tags = {"web": {"v1": digest}}
    del registry.sizes[layer(1000)]
    registry.sizes |= sizes
    report = _report("web-1", web=digest)
    assert run(report, serviceHosts=SERVICE_HOSTS, as_json=True, wantedImages={}, images={}) == 1
    shown = capsys.readouterr()
    assert [image["missing"] for image in json.loads(shown.out)["images"]] == [missing]
    assert "does not have a blob of" in shown.err
    assert run(report, serviceHosts={"web": ["other"]}, wantedImages={}, images={}) == 0  # nothing needs it


@pytest.mark.parametrize(
    ("report", "said", "remedy"),
    [
        (
            HostReport("web-1", silence="SSH at 192.0.2.1:22 gives no answer within 8 s"),
            "web-1: it does not answer: SSH at 192.0.2.1:22 gives no answer within 8 s.",
            "→ ./slip forget web-1 && ./slip up",
        ),
        (
            HostReport("web-1", engine_unit="inactive"),
            "web-1: its engine does not answer (docker.service is inactive).",
            "→ ./slip repair web-1",
        ),
        (
            HostReport("web-1", engine_unit="active", engine_version="28"),
            "web-1: its proxy does not answer.",
            "→ ./slip repair web-1",
        ),
    ],
)
def test_a_host_that_does_not_say_what_it_serves_is_named(
    report: HostReport,
    said: str,
    remedy: str,
    registry: FakeRegistry,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.tags = {"web": {"v1": registry.image()["digest"]}}
    assert run(report, serviceHosts=SERVICE_HOSTS, wantedImages={}, images={}) == 1
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == f"{said} What it serves is unknown."
    assert shown[-1] == remedy


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


def test_an_empty_registry_is_a_sentence(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(images={}) == 0
    assert capsys.readouterr().out.endswith("has no images yet.\n")


ESCAPE = "\x1b]0;owned\x07\x1b[2J\r\u202eevil\n./slip forget web-1\ud800"
DEEP: Any = []
for _ in range(500):
    DEEP = [DEEP]
HOSTILE_CONFIGURATIONS: dict[str, Any] = {
    "escapes": {
        "os": ESCAPE,
        "architecture": ESCAPE,
        "created": ESCAPE,
        "config": {"Labels": {images.REVISION: ESCAPE}},
    },
    "other types": {"os": ["linux"], "architecture": 7, "created": {}, "config": {"Labels": ["a"]}},
    "a label that is a list": {"config": {"Labels": {images.REVISION: ["abc"]}}},
    "a config that is a list": {"config": [1]},
    "before all times": {"created": "0001-01-01T00:00:00+23:59"},
    "a long text": {"os": "x" * 1_000_000},
    "deep": {"config": DEEP},
}


@pytest.mark.parametrize("configuration", HOSTILE_CONFIGURATIONS.values(), ids=HOSTILE_CONFIGURATIONS)
@pytest.mark.parametrize("as_json", [False, True])
def test_words_of_an_image_reach_the_terminal_cleaned(
    configuration: dict[str, Any],
    as_json: bool,
    registry: FakeRegistry,
    api: RegistryApi,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.tags = {
        "hostile": {"v1": registry.image(**configuration)["digest"]},
        "web": {"v1": registry.image(os="linux", architecture="amd64")["digest"]},
    }
    images.show("local", "yard:5000", images.images(api, {}), as_json=as_json)
    printed = capsys.readouterr().out
    printed.encode()
    assert not set(printed) & set("\x1b\x07\r\u202e")
    assert max(map(len, printed.splitlines())) < 1000
    # The command goes on, for everybody else's images.
    assert "linux/amd64" in printed
    assert not [line for line in printed.splitlines() if line.startswith("./slip forget")]


HOSTILE_DOCUMENTS: dict[str, str] = {
    "no JSON": "<html>",
    "a list": "[]",
    "too deep": "[" * 100_000,
    "not a number": f'{{"config": {{"digest": "{layer(1)}", "size": 1e999}}, "layers": 5}}',
    "digests that lead elsewhere": json.dumps(
        {
            "config": {"digest": "sha256:../../x", "size": 1},
            "layers": [{"digest": "../../../etc", "size": -1}, 5],
        }
    ),
    "an index of nonsense": json.dumps(
        {"manifests": [5, {}, {"digest": 7}, {"digest": "x", "annotations": 3}]}
    ),
    "too much": json.dumps({"config": {"x": "y" * (9 << 20)}}),
}


@pytest.mark.parametrize("text", HOSTILE_DOCUMENTS.values(), ids=HOSTILE_DOCUMENTS)
def test_a_configuration_that_is_none_breaks_no_command(
    text: str, registry: FakeRegistry, api: RegistryApi
) -> None:
    """Whoever may push may push any blob as an image's configuration."""
    good, bad = registry.image(os="linux", architecture="amd64"), registry.image(os="linux")
    config = json.loads(registry.blobs[bad["digest"]])["config"]["digest"]
    registry.blobs[config] = text
    registry.tags = {"hostile": {"v1": bad["digest"]}, "web": {"v1": good["digest"]}}
    hostile, web = images.images(api, {})
    assert (hostile.platforms, hostile.revision) == ((), "")
    assert web.platforms == ("linux/amd64",)


@pytest.mark.parametrize("name", [name for name, text in HOSTILE_DOCUMENTS.items() if text.startswith("{")])
def test_a_manifest_of_nonsense_is_an_image_of_nothing(
    name: str, registry: FakeRegistry, api: RegistryApi
) -> None:
    digest = f"sha256:{'a' * 64}"
    registry.blobs[digest] = HOSTILE_DOCUMENTS[name]
    registry.tags = {"hostile": {"v1": digest}, "web": {"v1": registry.image(os="linux")["digest"]}}
    if name == "too much":
        with pytest.raises(CommandError, match="its response is not a JSON object"):
            images.images(api, {})
        return
    hostile, _ = images.images(api, {})
    assert hostile.size <= 1
    looked = stored_image.look(api, "hostile", digest)
    assert looked.has_manifest
    assert looked.missing, "nothing of an image is there"
    assert not [path for path in registry.asked if ".." in path]
