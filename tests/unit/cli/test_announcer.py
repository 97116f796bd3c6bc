"""Hooks and webhooks of an update, with real commands and a real server."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cli.errors import CommandError
from cli.stack.config import StackConfig
from cli.update import hooks, notices
from cli.update.announcer import Announcer, sentence
from cli.update.notices import Notice

DEPLOYMENT = {
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": 35.0,
    "result": "deployed",
    "author": "alice@laptop",
    "hosts": ["web-1", "web-2"],
    "cause": "",
}
VERSION = {
    "number": 43.0,
    "images": {"web": "sha256:1"},
    "source": "",
    "settings": {},
    "secrets": {},
    "revision": "0123456789abcdef",
    "message": "Greet\n\nmore",
    "deployments": [DEPLOYMENT],
}


def outputs(*versions: dict[str, Any]) -> dict[str, Any]:
    return {"versions": {"web": {"current": versions[0]["number"], "left": [], "versions": list(versions)}}}


class Posted(ThreadingHTTPServer):
    """What was posted, by path. A path that is a number is the status; `/slow` answers too late."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: dict[str, Any] = {}
        self.slow = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Posted

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies[self.path] = json.loads(text)
        if self.path == "/slow":
            self.server.slow.wait(60)
        number = self.path.strip("/")
        self.send_response(int(number) if number.isdigit() else 200)
        self.send_header("Location", self.server.url("/elsewhere"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posted]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Posted() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.slow.set()
        found.shutdown()
        thread.join()


def stack(tmp_path: Path, **settings: Any) -> Any:
    found = mock.Mock(**{"pulumi.read.return_value": "http://127.0.0.1:1/a-secret-path\n"})
    found.config = StackConfig(
        {"config": {f"slipway:{key}": value for key, value in settings.items()}}, "slipway"
    )
    found.short_name = found.name = "prod"
    found.option = " -s prod"
    found.project.name, found.project.root = "shop", tmp_path
    return found


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The stack's outputs."""
    found: dict[str, Any] = {}
    monkeypatch.setattr("cli.update.announcer.deployment.stack_outputs", lambda _: found)
    return found


class TestHooks:
    def test_it_gets_the_record_and_shows_what_it_says(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        line = "cat >record.json; echo said; echo warned >&2"
        assert hooks.run(["/bin/sh", "-c", line], {"stack": "prod"}, 30, tmp_path) == ""
        assert json.loads((tmp_path / "record.json").read_text()) == {"stack": "prod"}
        found = capfd.readouterr()
        assert found.out == ""
        assert {"said", "warned"} <= set(found.err.splitlines())

    def test_it_gets_none_of_the_operators_secrets(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("PULUMI_CONFIG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"):
            monkeypatch.setenv(name, "a-secret")
        assert hooks.run(["/bin/sh", "-c", "env >all"], {}, 30, tmp_path) == ""
        text = (tmp_path / "all").read_text()
        assert "a-secret" not in text
        assert "PATH=" in text

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["/bin/sh", "-c", "exit 7"], "it ended with status 7"),
            (["/bin/sh", "-c", "kill -9 $$"], "signal 9 ended it"),
            (["bin/missing"], "it cannot be started: No such file or directory"),
        ],
    )
    def test_why_it_failed(self, tmp_path: Path, words: list[str], why: str) -> None:
        assert hooks.run(words, {}, 30, tmp_path) == why

    def test_one_that_hangs_ends_with_all_that_it_started(self, tmp_path: Path) -> None:
        line = "trap '' TERM; sleep 600 & echo $! >child; wait; sleep 600"
        began = time.monotonic()
        with mock.patch.object(hooks, "GRACE", 0.2):
            why = hooks.run(["/bin/sh", "-c", line], {}, 1, tmp_path)
        assert "it took longer than 1 s (slipway:hooks.timeLimit)" in why
        assert time.monotonic() - began < 60
        child = int((tmp_path / "child").read_text())
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(child)], capture_output=True, text=True, check=False
        )
        assert state.stdout.strip() in {"", "Z", "Zs"}


class TestNotices:
    def test_each_shape(self, server: Posted) -> None:
        record = {"stack": "prod"}
        found = [
            Notice(server.url(f"/{form}"), notices.body(form, "a text", record))
            for form in ("text", "teams", "json")
        ]
        assert notices.post(found) == []
        assert server.bodies["/text"] == {"text": "a text"}
        assert server.bodies["/json"] == {"text": "a text", "stack": "prod"}
        (attachment,) = server.bodies["/teams"]["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        assert attachment["content"]["body"] == [{"type": "TextBlock", "text": "a text", "wrap": True}]

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("/404", "it answered HTTP 404"),
            ("/302", "it answered HTTP 302"),
            ("/slow", "did not answer in time"),
        ],
    )
    def test_why_it_was_not_told(self, server: Posted, path: str, why: str) -> None:
        good = Notice(server.url("/good"), {})
        (told,) = notices.post([Notice(server.url(path), {}), good], patience=2)
        assert why in told
        assert "/good" in server.bodies
        assert "/elsewhere" not in server.bodies

    def test_the_address_is_in_no_reason(self) -> None:
        for url in ("http://127.0.0.1:1/hidden", "http://nowhere.invalid/hidden", "http://[hidden"):
            (why,) = notices.post([Notice(url, {})], patience=5)
            assert "hidden" not in why
            assert "nowhere" not in why


class TestUpdate:
    def test_a_good_update(self, tmp_path: Path, server: Posted, state: dict[str, Any]) -> None:
        there = stack(
            tmp_path,
            hooks={
                "before": "cat >before",
                "after": ["/bin/sh", "-c", "cat >after"],
                "failed": "touch failed",
            },
            notify=[{"url": server.url("/done")}, {"url": server.url("/failed"), "on": ["failed"]}],
        )
        announcer = Announcer(there, "rollback", {"web": 43})
        announcer.begin()
        announcer.begin()
        state.update(outputs(VERSION))
        assert announcer.end(0) == 0
        before, after = (json.loads((tmp_path / name).read_text()) for name in ("before", "after"))
        assert (before["event"], before["command"], before["stack"]) == ("before", "rollback", "prod")
        assert before["back"] == {"web": 43}
        assert before["versions"] == {}
        assert (after["event"], after["status"], after["deployed"]) == ("after", 0, ["web"])
        assert after["versions"]["web"]["number"] == 43
        assert not (tmp_path / "failed").exists()
        text = server.bodies["/done"]["text"]
        assert "shop, stack prod: `slip rollback` is done after" in text
        assert "web: version 43, deployed, on web-1, web-2, by alice@laptop (0123456789ab Greet)" in text
        assert "/failed" not in server.bodies

    def test_a_failed_one(self, tmp_path: Path, server: Posted, state: dict[str, Any]) -> None:
        state.update(outputs(VERSION))
        there = stack(
            tmp_path,
            hooks={"failed": "cat >failed; exit 3", "after": "touch after"},
            notify=[
                {"url": server.url("/failed"), "on": ["failed"]},
                {"url": server.url("/done"), "on": ["done"]},
            ],
        )
        announcer = Announcer(there, "up")
        announcer.begin()
        assert announcer.end(1, reasons=["web on web-2: it crashed"]) == 1
        assert json.loads((tmp_path / "failed").read_text())["reasons"] == ["web on web-2: it crashed"]
        text = server.bodies["/failed"]["text"]
        assert text.startswith("shop, stack prod: `slip up` failed after")
        assert text.endswith("\nweb on web-2: it crashed")
        assert "version" not in text
        assert not (tmp_path / "after").exists()
        assert "/done" not in server.bodies

    def test_one_that_changes_nothing_is_no_news(
        self, tmp_path: Path, server: Posted, state: dict[str, Any]
    ) -> None:
        state.update(outputs(VERSION))
        there = stack(tmp_path, hooks={"after": "cat >after"}, notify=[{"url": server.url("/done")}])
        announcer = Announcer(there, "renew")
        announcer.begin()
        assert announcer.end(0, changed=False) == 0
        assert json.loads((tmp_path / "after").read_text())["changed"] is False
        assert not server.bodies

    def test_a_hook_before_stops_it(self, tmp_path: Path, server: Posted, state: dict[str, Any]) -> None:
        there = stack(tmp_path, hooks={"before": "exit 9"}, notify=[{"url": server.url("/any")}])
        announcer = Announcer(there, "up")
        with pytest.raises(CommandError) as error:
            announcer.begin()
        assert error.value.status == 1
        assert "nothing was touched" in error.value.message
        assert "it ended with status 9" in error.value.message
        assert announcer.end(1) == 1
        assert not server.bodies

    def test_a_hook_after_that_fails_is_told(
        self, tmp_path: Path, state: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        announcer = Announcer(stack(tmp_path, hooks={"after": "exit 4"}), "up")
        announcer.begin()
        assert announcer.end(0) == 1
        assert "the update is done, and the hook `after`" in capsys.readouterr().err

    def test_a_secret_address_is_not_shown(
        self, tmp_path: Path, state: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        there = stack(tmp_path, notify=[{"url": {"secret": "CHAT"}}])
        announcer = Announcer(there, "up")
        announcer.begin()
        assert announcer.end(1) == 1
        assert there.pulumi.read.call_args.args[-1] == "slipway:secrets.CHAT"
        said = capsys.readouterr().err
        assert "was not told: it cannot be reached" in said
        assert "a-secret-path" not in said

    @pytest.mark.parametrize(("command", "settings"), [("up", {}), ("", {"hooks": {"before": "exit 1"}})])
    def test_nothing_happens_without_any(
        self, tmp_path: Path, command: str, settings: dict[str, Any]
    ) -> None:
        there = stack(tmp_path, **settings)
        announcer = Announcer(there, command)
        announcer.begin()
        assert announcer.end(0) == 0
        there.deployment.assert_not_called()


def test_a_sentence_without_a_commit() -> None:
    version = {**VERSION, "number": 1, "revision": "", "message": "", "result": "deployed"}
    record = {
        "project": "shop",
        "stack": "dev",
        "command": "up",
        "status": 0,
        "seconds": 3,
        "reasons": [],
        "deployed": ["web"],
        "versions": {"web": version},
    }
    assert sentence(record).splitlines()[1] == "web: version 1, deployed, on web-1, web-2, by alice@laptop"


def test_a_broken_configuration_has_no_hooks() -> None:
    config = StackConfig.read_text("config: {'slipway:hooks': 3, 'slipway:notify': x}", "slipway")
    assert (config.hook("before"), config.notices, config.hook_limit) == ([], (), 300)


def test_the_command_that_is_interrupted_takes_the_hook_along(tmp_path: Path) -> None:
    """Ctrl-C reaches `slip` only: the hook has a group of its own."""
    code = (
        "import sys; from pathlib import Path; from cli.update import hooks\n"
        "hooks.run(['/bin/sh', '-c', 'echo $$ >pid; sleep 600'], {}, 600, Path(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(2)
    assert process.wait(60) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
