"""The receiver of a forge's webhook: what it takes, what it refuses, and what it deploys."""

import hmac
import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.push import webhook
from cli.push.remote import Remote
from cli.stack.project import Project
from tests.support.waiting import ANSWER, eventually
from tests.unit.cli.push.machine import Machine

SIGNATURE = f"sha256={'ab' * 32}"
AFTER = "c" * 40
PUSH = {
    "SLIPWAY_HOOK_EVENT": "push",
    "SLIPWAY_HOOK_REF": "refs/heads/main",
    "SLIPWAY_HOOK_AFTER": AFTER,
    "SLIPWAY_HOOK_SIGNATURE": SIGNATURE,
}


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The deployments that were begun."""
    found: list[tuple[str, ...]] = []
    monkeypatch.setattr(webhook, "_begin", lambda _, *what: found.append(what))
    return found


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\n")
    made = Remote(Project(tmp_path))
    made.folder.mkdir()
    with made.changed() as settings:
        settings.branches["main"] = "dev"
    return made


def test_a_push_begins_a_deployment_once(
    remote: Remote, begun: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert webhook.receive(remote, PUSH) == 0
    assert begun == [("main", AFTER, "dev")]
    capsys.readouterr()
    assert webhook.receive(remote, PUSH) == 1
    assert "a replay deploys nothing" in capsys.readouterr().out
    assert webhook.receive(remote, {**PUSH, "SLIPWAY_HOOK_SIGNATURE": f"sha256={'cd' * 32}"}) == 0
    assert len(begun) == 2


@pytest.mark.parametrize(
    ("variables", "status", "words"),
    [
        ({"SLIPWAY_HOOK_EVENT": "ping"}, 0, "ready"),
        ({"SLIPWAY_HOOK_EVENT": "issues"}, 1, "not about a push"),
        ({"SLIPWAY_HOOK_REF": "refs/heads/feature"}, 0, "refused: refs/heads/feature is not deployed"),
        ({"SLIPWAY_HOOK_REF": "refs/tags/main"}, 0, "refused: refs/tags/main is not deployed"),
        ({"SLIPWAY_HOOK_REF": "main"}, 0, "refused: main is not deployed"),
        ({"SLIPWAY_HOOK_REF": ""}, 1, "not about a push"),
        ({"SLIPWAY_HOOK_AFTER": "0" * 40}, 1, "main was deleted"),
        ({"SLIPWAY_HOOK_AFTER": "--upload-pack=id"}, 1, "not about a push"),
        # `webhook` takes any of several signatures, so that the same delivery could be told in many ways.
        ({"SLIPWAY_HOOK_SIGNATURE": f"{SIGNATURE},{SIGNATURE}"}, 1, "one signature"),
        ({"SLIPWAY_HOOK_SIGNATURE": SIGNATURE.upper()}, 1, "one signature"),
        ({"SLIPWAY_HOOK_SIGNATURE": ""}, 1, "one signature"),
    ],
)
def test_what_else_comes_begins_nothing(
    remote: Remote,
    begun: list[tuple[str, ...]],
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    status: int,
    words: str,
) -> None:
    assert webhook.receive(remote, {**PUSH, **variables}) == status
    assert words in capsys.readouterr().out
    assert begun == []


def test_the_newest_signatures_are_remembered(
    remote: Remote, begun: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "KEPT", 3)
    signatures = [f"sha256={number:064x}" for number in range(5)]
    for signature in signatures:
        assert webhook.receive(remote, {**PUSH, "SLIPWAY_HOOK_SIGNATURE": signature}) == 0
    assert (remote.folder / "deliveries").read_text().split() == signatures[2:]


def test_the_program_compares_the_signature_and_tells_nothing_else() -> None:
    (hook,) = webhook.hooks(Path("/launcher"), "key")
    (rule,) = hook["trigger-rule"]["or"]
    assert rule["match"] == {
        "type": "payload-hmac-sha256",
        "secret": "key",
        "parameter": {"source": "header", "name": "X-Hub-Signature-256"},
    }
    assert hook["trigger-rule-mismatch-http-response-code"] == 403
    assert hook["http-methods"] == ["POST"]
    assert "key" not in json.dumps({name: value for name, value in hook.items() if name != "trigger-rule"})


@pytest.mark.parametrize(
    ("listen", "certificate", "expected"),
    [
        ("127.0.0.1:9000", False, ("127.0.0.1", "9000")),
        ("[::1]:9000", False, ("::1", "9000")),
        ("0.0.0.0:443", True, ("0.0.0.0", "443")),
        ("0.0.0.0:9000", False, "everybody on the way"),
        ("9000", False, "not ADDRESS:PORT"),
        ("localhost:9000", False, "not ADDRESS:PORT"),
        ("127.0.0.1:0", False, "not ADDRESS:PORT"),
        ("127.0.0.1:70000", False, "not ADDRESS:PORT"),
    ],
)
def test_it_listens_on_this_machine_or_by_https(
    listen: str, certificate: bool, expected: str | tuple[str, str]
) -> None:
    if isinstance(expected, tuple):
        assert webhook.endpoint(listen, has_certificate=certificate) == expected
        return
    with pytest.raises(CommandError, match=expected) as refused:
        webhook.endpoint(listen, has_certificate=certificate)
    assert refused.value.status == 2


def serve(machine: Machine, *words: str, path: str = "") -> "subprocess.CompletedProcess[str]":
    """`./slip webhook serve`, with a program in place of Debian's that shows its arguments."""
    source = ["--from", str(machine.work)]
    folder = machine.folder / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "webhook").write_text('#!/bin/sh\necho "$@"\n')
    (folder / "webhook").chmod(0o755)
    return machine.slip(
        "webhook", "serve", *source, *words, PATH=path or f"{folder}:{machine.environment['PATH']}"
    )


def test_the_receiver_deploys_what_the_forge_has(machine: Machine) -> None:
    assert "pushes deploy nothing yet" in serve(machine).stderr
    machine.add()
    done = serve(machine)
    hooks = machine.private / "hooks.json"
    assert done.stdout.splitlines()[-1] == f"-hooks {hooks} -ip 127.0.0.1 -port 9000 -urlprefix hooks"
    assert stat.S_IMODE(hooks.stat().st_mode) == 0o600
    secret = machine.slip("webhook", "secret").stdout.strip()
    assert len(secret) > 40
    assert secret in hooks.read_text()
    assert secret not in done.stdout + done.stderr

    first = machine.git("rev-parse", "HEAD")
    done = machine.slip("webhook", "deploy", "main", first)
    assert done.returncode == 0, done.stderr
    assert "for the webhook." in done.stdout
    assert (machine.said("serves"), machine.tip) == ("hello\n", first)

    # A request for an older push comes late: the branch is where it is.
    second = machine.commit("two")
    machine.slip("webhook", "deploy", "main", second)
    done = machine.slip("webhook", "deploy", "main", first)
    assert f"{second[:12]} is deployed to the stack dev already" in done.stdout
    assert (machine.said("serves"), machine.tip) == ("two\n", second)
    assert machine.said("calls").count("\n") == 2

    bad = machine.commit("bad greeting")
    done = machine.slip("webhook", "deploy", "main", bad)
    assert done.returncode == 1
    assert "it crashed" in done.stdout
    assert (machine.said("serves"), machine.tip) == ("two\n", second)

    done = machine.slip("webhook", "deploy", "main", "d" * 40)
    assert (done.returncode, "does not have dddddddddddd" in done.stderr) == (1, True)
    assert machine.said("calls").count("\n") == 3


def post(port: int, key: str, reference: str, after: str) -> tuple[int, str]:
    """What a forge's delivery gets, signed by a key; unsigned without one."""
    body = json.dumps({"ref": reference, "after": after}).encode()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push"}
    if key:
        headers["X-Hub-Signature-256"] = f"sha256={hmac.new(key.encode(), body, 'sha256').hexdigest()}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER)
    try:
        connection.request("POST", f"/hooks/{webhook.HOOK}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_debians_program_lets_signed_pushes_deploy_once(machine: Machine) -> None:
    if not shutil.which("webhook"):
        message = "this machine has no `webhook`: `apt-get install webhook`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    machine.add()
    key, first = machine.slip("webhook", "secret").stdout.strip(), machine.git("rev-parse", "HEAD")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["webhook", "serve", "--from", str(machine.work), "--listen", f"127.0.0.1:{port}"]
    receiver = subprocess.Popen(
        [str(machine.clone / "slip"), *words], env=machine.environment, stdout=subprocess.DEVNULL
    )
    try:
        eventually("it refuses the unsigned", lambda: post(port, "", "refs/heads/main", first)[0] == 403)
        assert post(port, f"{key}x", "refs/heads/main", first)[0] == 403
        status, text = post(port, key, "refs/heads/other", first)
        assert (status, "refs/heads/other is not deployed to any stack" in text) == (200, True)
        assert not (machine.home / "calls").exists()

        status, text = post(port, key, "refs/heads/main", first)
        assert (status, f"{first[:12]} is to be deployed to the stack dev" in text) == (200, True)
        log = machine.private / "stacks/dev/webhook-log"
        eventually("it is deployed", lambda: log.exists() and "is deployed to" in log.read_text())
        assert (machine.said("serves"), machine.tip) == ("hello\n", first)

        status, text = post(port, key, "refs/heads/main", first)
        assert (status, "a replay deploys nothing" in text) == (500, True)
        assert machine.said("calls").count("\n") == 1
    finally:
        receiver.terminate()
        receiver.wait()
