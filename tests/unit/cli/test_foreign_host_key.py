"""An update that meets another SSH host key than the stack's ends at once, and says which key it was."""

import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest

from cli.screen.events import Began, Log, Message, Step
from cli.screen.progress import Progress
from cli.screen.record import Record
from cli.update import closing
from cli.update.run import _follow
from tests.plugins.ssh_server import SSHServer

URN = "urn:pulumi:local::slipway::slipway:index:Service$command:remote:Command::web-web-1-switch"
# As the official plugin says it: tests/plugins/recordings/08-fail-hostkey.jsonl
MISMATCH = "ssh: handshake failed: ssh: host key mismatch"


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        (f"Dial 1/inf failed: {MISMATCH}: retrying\n", 1),
        ("Dial 1/inf failed: ssh: handshake failed: EOF: retrying\n", 0),
    ],
)
def test_a_foreign_key_stops_the_update_once(text: str, stops: int) -> None:
    calls: list[str] = []
    event = {"urn": URN, "message": text, "severity": "info", "ephemeral": True}
    ended = threading.Event()
    ended.set()
    with tempfile.TemporaryFile() as file:
        for _ in range(3):
            file.write(json.dumps({"diagnosticEvent": event}).encode() + b"\n")
        file.flush()
        _follow(
            Log(file.fileno()),
            Record(),
            Progress(lambda *_: None),
            None,
            ended,
            lambda: calls.append("stop"),
            lambda _: None,
        )
    assert len(calls) == stops


def test_the_reason_names_both_keys_and_the_way_on(tmp_path: Path) -> None:
    server = SSHServer()
    other = asyncssh.generate_private_key("ssh-ed25519")
    facts = {
        "address": "127.0.0.1",
        "sshPort": server.port,
        "sshUser": "root",
        "sshHostKey": other.export_public_key().decode(),
    }
    outputs = {"hosts": {"web-1": facts}}
    state = {"resources": [{"urn": "urn::stack", "type": "pulumi:pulumi:Stack", "outputs": outputs}]}
    stack: Any = SimpleNamespace(deployment=lambda: state, option=" -s dev")
    step = Step("update", URN, "urn:pulumi:local::slipway::slipway:index:Service::web")
    record = Record.of(
        [
            Began(step),
            Message(URN, "info", f"Dial 1/20 failed: {MISMATCH}: retrying", is_status=True),
            Message(URN, "error", f"after 20 failed attempts: {MISMATCH}"),
        ]
    )
    try:
        with ThreadPoolExecutor() as pool:
            (reason,) = pool.submit(closing.foreign_keys, stack, record).result()
    finally:
        server.close()
    came = asyncssh.import_public_key(server.host_key).get_fingerprint()
    assert f"{other.get_fingerprint()} was expected, {came} came" in reason.text
    assert reason.text.startswith("web-1: ")
    assert "./slip forget web-1 -s dev && ./slip up -s dev" in reason.remedy
    assert not server.running
