"""Images of staged contexts on a real engine: two clones make one image."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import staged_context
from components.staged_context import stage
from plugins.docker.plugin import IMAGE, Docker
from plugins.protocol.messages import CheckRequest, CreateRequest
from tests.plugins.docker_engine import Listener, configured, docker


@pytest.fixture
def plugin() -> Docker:
    plugin = configured()
    plugin.engine = Listener()
    return plugin


@pytest.fixture
def name() -> Iterator[str]:
    name = f"slipway-test-{uuid.uuid4().hex[:8]}:1"
    yield name
    docker("image", "rm", "--force", name)
    while staged_context._IN_USE:
        os.close(staged_context._IN_USE.pop())


def clone(folder: Path, umask: int, time: int) -> Path:
    before = os.umask(umask)
    try:
        app = folder / "app"
        (app / "sub").mkdir(parents=True)
        (app / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        (app / "sub/code.py").write_text("print()\n")
        (app / os.fsdecode(b"\xff\n")).write_text("x")
        (app / "nowhere").symlink_to("/nowhere")
        (app / "circle").symlink_to("circle")
        os.mkfifo(app / "fifo")
        (app / ".git").mkdir()
        (app / ".git/config").write_text(str(time))
        os.utime(app / "sub/code.py", (time, time))
    finally:
        os.umask(before)
    return folder


def image_of(folder: Path, name: str, plugin: Docker, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    staged = stage("local", "web", Path("app"), Path("app/Dockerfile"), {})
    build = {"context": str(staged.context), "dockerfile": str(staged.dockerfile), "platform": "linux/amd64"}
    news = {"imageName": name, "skipPush": True, "build": build}
    checked = plugin.check(CheckRequest("urn", "web", IMAGE, {}, news))
    assert not checked.failures
    created = plugin.create(CreateRequest("urn", "web", IMAGE, checked.inputs, preview=False, timeout=0))
    return str(created.properties["repoDigest"])


def test_two_clones_make_one_image(
    tmp_path: Path, name: str, plugin: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulumi.log.warn", lambda _: None)
    one = image_of(clone(tmp_path / "one", 0o022, 1), name, plugin, monkeypatch)
    other = image_of(clone(tmp_path / "other", 0o077, 10**9), name, plugin, monkeypatch)
    assert one == other
    assert one.startswith("sha256:")
