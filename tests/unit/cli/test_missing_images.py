"""Images that the registry should have: which they are, and what it lacks of them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from cli.running.drift import Job, Login
from cli.running.registry_api import RegistryApi, RegistryEndpoint
from cli.running.stored_image import look
from cli.update.missing_images import Wanted, _gap, wanted
from tests.unit.cli.servers import serving

CONTAINER, IMAGE = "docker:index/container:Container", "docker:index/image:Image"
DIGEST, CONFIG, LAYER, INDEX = (f"sha256:{letter * 64}" for letter in "abcd")
MANIFEST = {
    "config": {"digest": CONFIG, "size": 10},
    "layers": [{"digest": LAYER, "size": 200}],
}
WEB = Wanted("urn::web-image", "yard", "yard:5000/web", "tag", DIGEST)


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:local::slipway::{kind}::{name}"
    return {"urn": urn, "type": kind, "custom": True, "id": "1", **more}


def test_the_wanted_images_are_those_that_were_pushed() -> None:
    yard = resource(CONTAINER, "yard", provider="urn::operator-engine::1")
    pushed = {"imageName": "yard:5000/web:tag", "repoDigest": f"yard:5000/web@{DIGEST}"}
    image = resource(IMAGE, "web-image", deletedWith=yard["urn"], outputs=pushed)
    replaced = resource(IMAGE, "web-image", deletedWith=yard["urn"], outputs=pushed, delete=True)
    hosts_own = resource(IMAGE, "host-image", outputs={"imageName": "slipway/host:1", "repoDigest": DIGEST})
    (found,) = wanted({"resources": [hosts_own, yard, image, replaced]})
    assert found == Wanted(image["urn"], "yard", "yard:5000/web", "tag", DIGEST)
    assert found.repository == "web"


def test_copies_of_base_images_are_wanted_by_the_digest_in_the_outputs() -> None:
    yard = resource(CONTAINER, "yard")
    connection = {"host": "127.0.0.1", "port": 2200, "user": "admin", "privateKey": "key", "hostKey": "line"}
    copies = f"COPIES='yard:5000/mirror/debian 12 docker.io/library/debian debian:12 {DIGEST}'\nscript"
    commands = [
        resource(
            "command:remote:Command",
            name,
            deletedWith=yard["urn"],
            inputs={"connection": connection, "create": "sudo -n bash -s", "stdin": stdin},
            outputs={"stdout": ""},
        )
        for name, stdin in (("mirror-debian-12", "COPY=…"), ("yard-mirror", copies), ("yard-setup", "…"))
    ]
    stack = {
        "urn": "urn:pulumi:local::slipway::pulumi:pulumi:Stack::slipway-local",
        "type": "pulumi:pulumi:Stack",
        "outputs": {"mirror": {"debian:12": f"yard:5000/mirror/debian@{DIGEST}"}},
    }
    (found,) = wanted({"resources": [stack, yard, *commands]})
    assert (found.urn, found.repository, found.tag, found.digest) == (
        commands[1]["urn"],
        "mirror/debian",
        "12",
        DIGEST,
    )
    assert found.copy
    assert (found.copy.command, found.copy.stdin, found.copy.login.user) == ("bash -s again", copies, "admin")
    assert "script" not in repr(found)


@contextmanager
def registry(
    blobs: dict[str, int], *, manifest: bool = True, platforms: Sequence[str] = (DIGEST,)
) -> Iterator[RegistryApi]:
    """A registry with these blobs and sizes, and an index of these platforms."""

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        _, _, digest = request.path.rpartition("/")
        if request.path == f"/v2/web/manifests/{INDEX}":
            children = [{"digest": platform} for platform in platforms]
            return 200, json.dumps({"manifests": children}), {"Docker-Content-Digest": INDEX}
        if request.path == "/v2/web/manifests/moved":
            return 200, json.dumps(MANIFEST), {"Docker-Content-Digest": INDEX}
        if request.path in {f"/v2/web/manifests/{DIGEST}", "/v2/web/manifests/right"} and manifest:
            return 200, json.dumps(MANIFEST), {"Docker-Content-Digest": DIGEST}
        if request.command == "HEAD" and request.path.startswith("/v2/web/blobs/") and digest in blobs:
            return 200, "", {"Content-Length": str(blobs[digest])}
        return 404, "", {}

    with (
        serving(answer) as port,
        RegistryApi(RegistryEndpoint(f"127.0.0.1:{port}", "", mode="insecure")) as api,
    ):
        yield api


@pytest.mark.parametrize(
    ("blobs", "manifest", "text", "damaged"),
    [
        ({CONFIG: 10, LAYER: 200}, False, "its manifest is missing", ()),
        ({CONFIG: 10}, True, "1 blob is missing", ()),
        ({}, True, "2 blobs are missing", ()),
        ({CONFIG: 10, LAYER: 100}, True, "1 blob is damaged", (LAYER,)),
        ({LAYER: 0}, True, "1 blob is missing and 1 blob is damaged", (LAYER,)),
    ],
)
def test_what_is_lacking_is_told(
    blobs: dict[str, int], manifest: bool, text: str, damaged: tuple[str, ...]
) -> None:
    with registry(blobs, manifest=manifest) as api:
        gap = _gap(api, WEB)
    assert gap
    assert (gap.text, gap.damaged) == (text, damaged)
    assert str(gap) == f"the registry: web@sha256:{'a' * 12}: {text}"


def test_an_index_has_the_images_of_its_platforms() -> None:
    index = replace(WEB, digest=INDEX)
    with registry({CONFIG: 10, LAYER: 200}) as api:
        assert _gap(api, index) is None
    with registry({CONFIG: 10}) as api:
        gap = _gap(api, index)
    assert gap
    assert (gap.image, gap.text) == (index, "1 blob is missing")


def test_a_platform_that_an_index_names_is_a_part_of_it() -> None:
    index = replace(WEB, digest=INDEX)
    with registry({CONFIG: 10, LAYER: 200}, platforms=(DIGEST, f"sha256:{'e' * 64}")) as api:
        gap = _gap(api, index)
        image = look(api, "web", INDEX)
    assert gap
    assert (gap.image, gap.text, gap.damaged) == (index, "1 blob is missing", ())
    assert (image.blobs, image.missing, image.damaged) == (3, (f"sha256:{'e' * 64}",), ())


def test_damaged_and_missing_blobs_are_told_apart() -> None:
    with registry({LAYER: 100}) as api:
        image = look(api, "web", DIGEST)
    assert (image.missing, image.damaged) == ((CONFIG,), (LAYER,))
    assert image.lacking == (CONFIG, LAYER)


def test_a_whole_image_lacks_nothing() -> None:
    with registry({CONFIG: 10, LAYER: 200}) as api:
        assert _gap(api, WEB) is None


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("right", None),
        ("moved", f"its tag moved names sha256:{'d' * 12}"),
        ("gone", "its tag gone names nothing"),
    ],
)
def test_the_tag_of_a_copy_names_what_was_copied(tag: str, text: str | None) -> None:
    login = Login("yard", "127.0.0.1", 22, "root", "key", "line")
    copy = replace(WEB, tag=tag, copy=Job(login, "bash -s again"))
    with registry({CONFIG: 10, LAYER: 200}) as api:
        gap = _gap(api, copy)
        assert _gap(api, replace(copy, copy=None)) is None
    assert (gap and gap.text) == text
