"""docker.Image: contexts, digests, Dockerfiles and progress."""

import io
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.docker.builder import Builder
from plugins.docker.context import archive, digest, go_mode, special_files
from plugins.docker.engine import Account
from plugins.docker.plugin import IMAGE, Docker
from plugins.docker.progress import Progress, StreamError
from plugins.protocol.messages import CheckRequest, Failure
from tests.plugins.docker_engine import Listener
from tests.plugins.replay import answer, differences, recorded


def check(kind: str, news: dict[str, Any], **more: Any) -> Any:
    plugin = Docker()
    plugin.engine = Listener()
    return plugin.check(CheckRequest("urn", "name", kind, {}, news, **more))


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    directory = Path("app")
    (tmp_path / directory / "sub").mkdir(parents=True)
    (directory / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (directory / "sub" / "code.py").write_text("print()\n")
    (directory / "notes.md").write_text("mine\n")
    return directory


def test_the_digest_is_the_official_plugins(tmp_path: Path) -> None:
    """The context of 08-fail-build is known, and so is its recorded digest."""
    (call,) = recorded("docker", file="08-fail-build", method="Create")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY absent /x\n")
    dockerfile.chmod(0o644)
    assert digest(tmp_path, dockerfile) == call.request["properties"]["build"]["contextDigest"]


def test_the_digest_follows_content_names_and_modes_but_not_what_is_ignored(context: Path) -> None:
    dockerfile = context / "Dockerfile"
    (context / ".dockerignore").write_text("# a comment\n\n*.md\n.dockerignore\n")
    digests = [digest(context, dockerfile)]

    def changed() -> bool:
        digests.append(digest(context, dockerfile))
        return digests[-1] != digests[-2]

    (context / "notes.md").write_text("other\n")
    assert not changed()
    (context / "sub" / "code.py").write_text("print(1)\n")
    assert changed()
    (context / "sub" / "code.py").chmod(0o755)
    assert changed()
    (context / "sub" / "code.py").rename(context / "sub" / "core.py")
    assert changed()
    (context / "link").symlink_to("sub")
    assert changed()
    dockerfile.write_text("FROM scratch\n")
    assert changed()
    (context / "Dockerfile.dockerignore").write_text("sub\n")
    assert changed()
    assert len(set(digests)) == len(digests) - 1


def test_the_digest_does_not_depend_on_where_the_context_is(context: Path) -> None:
    here = digest(context, context / "Dockerfile")
    elsewhere = context.rename(context.with_name("elsewhere"))
    assert digest(elsewhere, elsewhere / "Dockerfile") == here


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0, "----------"),
        (0o100644, "-rw-r--r--"),
        (0o120777, "Lrwxrwxrwx"),
        (0o104755, "urwxr-xr-x"),
        (0o102755, "grwxr-xr-x"),
        (0o010600, "prw-------"),
        (0o020666, "Dcrw-rw-rw-"),
    ],
)
def test_modes_are_written_as_go_does(mode: int, text: str) -> None:
    assert go_mode(mode) == text


def names_in(body: io.BytesIO) -> list[str]:
    body.seek(0)
    with tarfile.open(fileobj=body) as tar:
        assert {(entry.uid, entry.gid, entry.uname) for entry in tar} == {(0, 0, "")}
        return tar.getnames()


def test_the_archive_has_the_dockerfile_first_and_nothing_ignored(context: Path) -> None:
    (context / ".dockerignore").write_text("*\n!sub\n")
    body = io.BytesIO()
    assert archive(context, context / "Dockerfile", body) == "Dockerfile"
    assert names_in(body) == ["Dockerfile", ".dockerignore", "sub", "sub/code.py"]


def test_a_folder_that_cannot_be_read_fails_with_its_name(
    context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refused(path: str) -> object:
        if path.endswith("/sub"):  # the tests may run as root, who reads every folder
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    dockerfile = context / "Dockerfile"
    calls: list[Callable[[], object]] = [
        lambda: digest(context, dockerfile),
        lambda: archive(context, dockerfile, io.BytesIO()),
        lambda: special_files(context, dockerfile),
    ]
    for call in calls:
        with pytest.raises(Failure, match="the folder 'sub' cannot be read: Permission denied; make it"):
            call()
    (context / ".dockerignore").write_text("sub\n!**/*.md\n")
    for call in calls:
        call()


def test_names_and_targets_of_links_need_not_be_utf_8(context: Path) -> None:
    before = digest(context, context / "Dockerfile")
    Path(os.fsdecode(os.fsencode(context) + b"/\xff")).write_text("a")
    os.symlink(b"\xff", os.fsencode(context) + b"/link")  # noqa: PTH211  # bytes
    assert digest(context, context / "Dockerfile") != before
    body = io.BytesIO()
    archive(context, context / "Dockerfile", body)
    assert b"\xff" in body.getvalue()


@pytest.mark.parametrize("target", ["nowhere", "/nowhere/at/all", "link", "sub/../nowhere"])
def test_a_link_that_leads_nowhere_is_sent_as_it_is(target: str, context: Path) -> None:
    before = digest(context, context / "Dockerfile")
    (context / "link").symlink_to(target)
    assert digest(context, context / "Dockerfile") != before
    body = io.BytesIO()
    archive(context, context / "Dockerfile", body)
    body.seek(0)
    with tarfile.open(fileobj=body) as tar:
        assert tar.getmember("link").linkname == target


def test_a_dockerfiles_name_is_no_pattern(context: Path) -> None:
    (context / "Docker[file").write_text("FROM scratch\n")
    (context / ".dockerignore").write_text("*\n")
    body = io.BytesIO()
    archive(context, context / "Docker[file", body)
    assert names_in(body) == ["Docker[file", ".dockerignore"]


def test_a_dockerfile_outside_of_its_context_comes_along(context: Path) -> None:
    outside = Path("other.Dockerfile")
    outside.write_text("FROM scratch\n")
    body = io.BytesIO()
    name = archive(context, outside, body)
    assert name.startswith(".dockerfile.")
    assert names_in(body)[0] == name


def test_check_completes_an_image(context: Path) -> None:
    checked = check(IMAGE, {"imageName": "r:5000/a:1", "build": {"context": "./app"}})
    build = checked.inputs["build"]
    assert not checked.failures
    assert checked.inputs["buildOnPreview"] is False
    assert (build["context"], build["dockerfile"]) == ("./app", "app/Dockerfile")
    assert build["platform"].startswith("linux/")
    assert build["contextDigest"] == digest(context, context / "Dockerfile")


@pytest.mark.parametrize("call", recorded("docker", method="Check", kind=IMAGE), ids=str)
def test_check_completes_an_image_as_recorded(call: Any, context: Path) -> None:
    shapes = {"inputs.build.contextDigest": "[0-9a-f]{64}"}
    assert differences(call, answer(Docker(), call), shapes) == []


@pytest.mark.parametrize(
    ("build", "text"),
    [
        ({"context": "absent"}, "could not open dockerfile at relative path 'absent/Dockerfile'$"),
        ({"context": "app", "dockerfile": "sub/code.py"}, r"Try setting `dockerfile` to 'app/sub/code\.py'"),
    ],
)
def test_a_dockerfile_that_is_not_there_is_named(context: Path, build: dict[str, str], text: str) -> None:
    with pytest.raises(Failure, match=text):
        check(IMAGE, {"imageName": "r:5000/a:1", "build": build})


def test_a_registry_has_to_be_named_to_push(context: Path) -> None:
    news = {"imageName": "a:1", "build": {"context": "app"}}
    assert [failure.property for failure in check(IMAGE, news).failures] == ["imageName"]
    assert not check(IMAGE, {**news, "skipPush": True}).failures
    assert not check(IMAGE, {**news, "registry": {"server": "r:5000"}}).failures


class Registry:
    """The part of an engine from which a build pulls; it has one image already."""

    def __init__(self) -> None:
        self.pulled: list[tuple[str, Account | None]] = []

    def account_for(self, image: str) -> Account | None:
        return None

    def local_image(self, name: str) -> dict[str, Any] | None:
        return {} if name == "r:5000/present" else None

    def pull(
        self, name: str, account: Account | None, *, platform: str | None = None, watch: object = None
    ) -> None:
        self.pulled.append((name, account))


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM debian:12\n", []),
        (
            "FROM r:5000/a AS one\nFROM r:5000/present\nCOPY --from=one /x /\nCOPY --from=r:5000/b /x /\n",
            ["a", "b"],
        ),
        ("ARG BASE=debian\nFROM ${BASE}\n", ["c@sha256:1"]),
        ("FROM r:5000/a\nCOPY --from=$NOWHERE\nFROM\n", []),
    ],
)
def test_a_build_pulls_the_images_that_need_its_account(text: str, images: list[str], context: Path) -> None:
    (context / "Dockerfile").write_text(text)
    registry: Any = Registry()
    account = Account("web", "secret")
    builder = Builder(registry, Progress(Listener(), "urn", threading.Event()), account)
    settings = {"platform": "linux/amd64", "args": {"BASE": "r:5000/c@sha256:1"}}
    builder._pull_first("r:5000/new", context / "Dockerfile", settings)
    assert registry.pulled == [(f"r:5000/{image}", account) for image in images]


REPORT = (
    "Cm8KR3NoYTI1NjoyZjJmZDMzZjMyZGMwYWM3NDJmZjEzZDdiNWYyZDI4NzUyNmYyNGQxZGM5M2Y1OTYzYjgyZGVmYTM0M2UzMGNjGiRb"
    "aW50ZXJuYWxdIGxvYWQgcmVtb3RlIGJ1aWxkIGNvbnRleHQqCwjMz4XYBhCjx6Ez"
)
"""An engine's message at the start of loading a build's context (shortened)."""


def follow(*messages: dict[str, Any]) -> tuple[list[Any], Listener, Progress]:
    listener = Listener()
    progress = Progress(listener, "urn", threading.Event())
    return progress.follow(messages), listener, progress


def test_buildkits_steps_are_shown() -> None:
    # The length of the message is its second byte: 0x6f without a start, 13 more with one.
    report = "CnwK" + REPORT[4:]
    _, listener, _ = follow({"id": "moby.buildkit.trace", "aux": report})
    assert listener.messages == [("info", "[internal] load remote build context", True)]


def test_data_is_handed_on_and_repeated_progress_is_not_shown() -> None:
    layers = [
        {"id": "l", "status": "Pushing", "progress": str(n), "progressDetail": {"n": n}} for n in range(9)
    ]
    data, listener, _ = follow(*layers, {"aux": {"Digest": "sha256:1"}})
    assert data == [{"Digest": "sha256:1"}]
    assert listener.messages == [("info", "l Pushing 0", True)]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"error": "short", "errorDetail": {"message": "long"}}, "long"),
        ({"error": "x", "errorDetail": {"code": 401, "message": "x"}}, "authentication is required"),
        ({"error": "EOF"}, "EOF: the registry's name or credentials are probably wrong"),
    ],
)
def test_an_error_in_the_stream_ends_it(message: dict[str, Any], text: str) -> None:
    with pytest.raises(StreamError) as failed:
        follow({"stream": "RUN false\n"}, message)
    assert str(failed.value) == text


def test_a_cancelled_update_stops_following() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Failure, match="cancelled"):
        Progress(Listener(), "urn", cancelled).follow([{"stream": "x"}])


def test_the_end_of_a_failed_builds_output_is_shown_whole() -> None:
    _, listener, progress = follow({"stream": "cannot acc"}, {"stream": "ess\nit\n"})
    progress.show_output()
    assert listener.messages[-1] == ("info", "cannot access\nit", False)
