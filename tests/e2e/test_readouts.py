"""What the commands say about a running stack comes from its hosts, not from what was asked for."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.command import Result
from tests.support.docker_command import docker, paused
from tests.support.http_load import greeting
from tests.support.stack import Stack
from tests.support.waiting import eventually

BLOBS = "/var/lib/slipway/registry/docker/registry/v2/blobs"
HEALTHY = 'status, body = "200 OK", "ok\\n"'
SICK = 'status, body = "500 Internal Server Error", "no\\n"'
HANG = 120.0
"""Seconds after which `verify` counts as one that hangs. `bench/` measures how long it takes."""


def _verify(stack: Stack, status: int = 1) -> dict[tuple[str, str], dict[str, Any]]:
    result = stack.slip("verify", "--json")
    assert result.status == status, str(result)
    return {(check["check"], check["subject"]): check for check in _json(result)["checks"]}


def _json(result: Result) -> dict[str, Any]:
    """The JSON on standard output. Messages on standard error are in the same place, before and after it."""
    found: dict[str, Any] = json.JSONDecoder().raw_decode(result.output, result.output.index("{"))[0]
    return found


def _failed(checks: dict[tuple[str, str], dict[str, Any]]) -> set[tuple[str, str]]:
    return {key for key, check in checks.items() if not check["passed"] and not check["skipped"]}


def _images(stack: Stack, status: int) -> list[dict[str, Any]]:
    result = stack.slip("images", "--json")
    assert result.status == status, str(result)
    listed: list[dict[str, Any]] = _json(result)["images"]
    return listed


def _serving(images: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {image["digest"]: image["runs"] for image in images if image["runs"]}


def _digest(stack: Stack, output: str) -> str:
    found: str = stack.outputs()[output]["web"].partition("@")[2]
    return found


@contextmanager
def _sick(stack: Stack) -> Iterator[None]:
    def patience(settings: dict[str, Any]) -> None:
        settings["services"]["web"]["healthTimeout"] = 8

    with stack.clone.edited("app/server.py", HEALTHY, SICK), stack.configured(patience):
        yield


BOTH = ["web on web-1", "web on web-2"]


def test_after_a_failed_deploy_everything_tells_what_serves(stack: Stack) -> None:
    good = _digest(stack, "images")
    with _sick(stack):
        assert stack.slip("up").status == 1
        bad = _digest(stack, "wantedImages")
        # Other projects still get the image that runs.
        assert _digest(stack, "images") == good != bad
        checks, images = _verify(stack), _images(stack, 0)
    assert _failed(checks) == {("serves what is wanted", place) for place in BOTH}
    told = checks["serves what is wanted", "web on web-1"]
    assert good[:19] in told["detail"]
    assert bad[:19] in told["detail"]
    assert told["remedy"] == f"./slip up -s {stack.name}"
    assert _serving(images) == {good: BOTH}
    assert [image["wanted"] for image in images if image["digest"] == bad] == [["web"]]
    stack.up()
    assert _digest(stack, "images") == _digest(stack, "wantedImages")
    _verify(stack, 0)


def test_an_image_that_was_only_built_does_not_run(stack: Stack) -> None:
    good = _digest(stack, "images")
    stack.clone.greet("Hello from an image that was only built")
    stack.up("--target", "**::web-image")
    assert _digest(stack, "images") == good != _digest(stack, "wantedImages")
    assert _serving(_images(stack, 0)) == {good: BOTH}
    assert _failed(_verify(stack)) == {("serves what is wanted", place) for place in BOTH}
    stack.up()
    assert _digest(stack, "images") == _digest(stack, "wantedImages") != good


def test_a_split_fleet_is_told_host_by_host(stack: Stack) -> None:
    old = _digest(stack, "images")
    stack.clone.greet("Hello from a half of the fleet")
    stack.up("--target", "**::web-image", "--target", "**::web-web-1*")
    new = _digest(stack, "wantedImages")
    urls = stack.urls()
    assert greeting(urls[0]) == "Hello from a half of the fleet" != greeting(urls[1])
    checks = _verify(stack)
    assert _failed(checks) == {("all hosts serve one version", "web"), ("serves what is wanted", BOTH[1])}
    told = checks["all hosts serve one version", "web"]["detail"]
    assert f"{old[:19]} on web-2" in told
    assert f"{new[:19]} on web-1" in told
    assert _serving(_images(stack, 0)) == {old: [BOTH[1]], new: [BOTH[0]]}
    # It runs on all hosts only after the next update.
    assert _digest(stack, "images") == old
    stack.up()
    assert _digest(stack, "images") == new
    _verify(stack, 0)


def test_a_deleted_layer_is_missed(stack: Stack) -> None:
    digest = _digest(stack, "images")
    layer = stack.registry().layers("web", digest)[-1].removeprefix("sha256:")
    folder = f"{BLOBS}/sha256/{layer[:2]}/{layer}"
    stack.on_host("yard", "mv", folder, "/var/lib/slipway/layer")
    try:
        checks = _verify(stack)
        assert ("the registry has all of the image", f"web@{digest[:19]}") in _failed(checks)
        missing = {image["digest"]: image["missing"] for image in _images(stack, 1)}
        assert missing[digest] == [f"sha256:{layer}"]
        told = stack.slip("images")
        assert f"./slip repair -s {stack.name}" in told.output
        assert "serves as web on web-1, web on web-2" in told.output
    finally:
        stack.on_host("yard", "mv", "/var/lib/slipway/layer", folder)
    _verify(stack, 0)


def _is_one_line(result: Result, host: str, command: str) -> None:
    assert result.status == 1, str(result)
    assert "Traceback" not in result.output
    assert "Error" not in result.output, str(result)
    about = [line for line in result.output.splitlines() if host in line and "answer" in line]
    assert about, str(result)
    assert all(len(line) < 160 for line in about), str(result)
    assert f"→ {command}" in result.output, str(result)


def test_a_paused_host_is_named_soon(stack: Stack) -> None:
    container = stack.container("web-1")
    with paused(container):
        started = time.monotonic()
        result = stack.slip("verify")
        seconds = time.monotonic() - started
        logs, images = stack.slip("logs", "web"), stack.slip("images")
    assert seconds < HANG
    for told in (result, logs, images):
        _is_one_line(told, "web-1", f"docker unpause {container}")
    # The first failure of the table; what needs the host does not run.
    table = [line for line in result.output.splitlines() if line.startswith("FAILED")]
    assert table == ["FAILED  the host answers: web-1"], str(result)
    # The other hosts are read all the same.
    assert "web-2 | " in logs.output or "no log lines" in logs.output
    _verify(stack, 0)


def test_the_picture_shows_what_serves_and_which_host_is_silent(stack: Stack) -> None:
    digest, *_ = _serving(_images(stack, 0))
    drawn = stack.slip("diagram", "--output", "-")
    assert drawn.status == 0, str(drawn)
    assert digest[:19] in drawn.output
    page = stack.clone.root / "picture.html"
    with paused(stack.container("web-1")):
        drawn = stack.slip("diagram", "--output", str(page))
    assert drawn.status == 1, str(drawn)
    assert "unknown: its host does not answer" in page.read_text()
    page.unlink()


def test_a_stopped_host_is_told_how_to_start(stack: Stack) -> None:
    container = stack.container("web-2")
    docker("stop", container)
    try:
        result = stack.slip("verify")
    finally:
        docker("start", container)
    _is_one_line(result, "web-2", f"docker start {container}")
    # It boots: the next test would find its engine stopped.
    eventually("all checks pass", lambda: stack.slip("verify").status == 0)


def test_a_stopped_engine_is_told_from_a_stopped_host(stack: Stack) -> None:
    stack.on_host("web-1", "systemctl", "stop", "docker.service")
    try:
        checks = _verify(stack)
        logs = stack.slip("logs", "web")
        is_active = stack.on_host("web-1", "sh", "-c", "systemctl is-active docker.service || true")
    finally:
        stack.on_host("web-1", "systemctl", "start", "docker.service")
    assert _failed(checks) == {("the engine runs", "web-1")}
    told = checks["the engine runs", "web-1"]
    assert told["detail"] == "Docker Engine is inactive; the machine runs"
    assert told["remedy"] == f"./slip repair web-1 -s {stack.name}"
    # Containers outlive their engine, and that is said as well.
    assert checks["answers its health path", "web on web-1"]["passed"]
    # Looking has not started it through its socket.
    assert is_active == "inactive"
    _is_one_line(logs, "web-1", f"./slip repair web-1 -s {stack.name}")
    _verify(stack, 0)


def test_a_stopped_proxy_fails(stack: Stack) -> None:
    # That service would start it again.
    stack.on_host("web-2", "systemctl", "stop", "slipway-keep")
    stack.on_host("web-2", "docker", "stop", "slipway-proxy")
    try:
        checks, images = _verify(stack), stack.slip("images")
    finally:
        stack.on_host("web-2", "docker", "start", "slipway-proxy")
        stack.on_host("web-2", "systemctl", "start", "slipway-keep")
    assert _failed(checks) == {
        ("the container runs", "proxy on web-2"),
        ("answers its health path", BOTH[1]),
        ("the host is as it was set up", "web-2"),
    }
    assert "its last exit code is" in checks["the container runs", "proxy on web-2"]["detail"]
    assert images.status == 1
    assert "web-2: its proxy does not answer. What it serves is unknown." in images.output
    _verify(stack, 0)


def test_a_host_that_does_not_run_a_service_has_no_log_of_it(stack: Stack) -> None:
    result = stack.slip("logs", "web", "--host", "yard")
    assert result.status == 2, str(result)
    assert "yard runs no web" in result.output
    assert "web runs on web-1, web-2" in result.output
