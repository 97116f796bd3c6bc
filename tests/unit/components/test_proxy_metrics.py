"""The metrics of a host's proxy: on the host's loopback, if a port is set."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from components.script import SCRIPTS
from tests.unit.components.machine import Machine
from tests.unit.program import Secret, run


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    found.command("systemctl")
    (tmp_path / "called").touch()
    return found


def show(machine: Machine, port: str) -> dict[str, str]:
    """The files of the host afterwards."""
    text = "".join((SCRIPTS / part).read_text() for part in ("lib.sh", "proxy-metrics.sh"))
    # Hosts get it without comments, and without lines that look like comments.
    text = re.sub(r"^[ \t]*#.*\n", "", text, flags=re.MULTILINE)
    for folder in ("/etc/systemd/system", "/usr/local/lib/slipway"):
        text = text.replace(folder, f"{machine.root}/host")
    text += '\nenabled() { systemctl enable "$@"; }\nshow_metrics\n'
    subprocess.run(
        ["/bin/bash"],
        input=text,
        env={"PATH": f"{machine.root}/bin:/usr/bin:/bin", "PROXY_METRICS_PORT": port},
        text=True,
        check=True,
        timeout=30,
    )
    return {file.name: file.read_text() for file in (machine.root / "host").glob("*")}


def test_nothing_listens_without_a_port(machine: Machine) -> None:
    assert show(machine, "") == {}
    assert machine.calls("systemctl") == []


def test_only_the_hosts_own_programs_reach_them(machine: Machine) -> None:
    files = show(machine, "9101")
    assert sorted(files) == ["proxy-metrics", "slipway-metrics.socket", "slipway-metrics@.service"]
    listens = [
        line for line in files["slipway-metrics.socket"].splitlines() if line.startswith("ListenStream")
    ]
    assert listens == ["ListenStream=127.0.0.1:9101"]
    assert machine.calls("systemctl")[-1] == "systemctl start slipway-metrics.socket"
    (machine.root / "called").write_text("")
    show(machine, "9101")
    assert "systemctl daemon-reload" not in machine.called
    assert show(machine, "") == {}
    assert "systemctl -q disable --now slipway-metrics.socket" in machine.called


@pytest.mark.parametrize("process", ["0", ""])
def test_a_proxy_that_does_not_run_is_told_by_the_status(machine: Machine, process: str) -> None:
    show(machine, "9101")
    machine.command("docker", f"echo {process}; exit {int(not process)}")
    result = subprocess.run(
        ["/bin/bash", machine.root / "host/proxy-metrics"],
        input="GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        env=os.environ | {"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert result.stdout.startswith("HTTP/1.1 503 ")


def test_app_hosts_are_told_the_port_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])
    program = run(json.dumps({"proxy": {"metricsPort": 9101}}))
    for host, told in (("web-1", True), ("yard", False)):
        values = program.named(f"{host}-setup", "Command").inputs["stdin"]
        assert isinstance(values, Secret)
        assert ("PROXY_METRICS_PORT=9101\n" in values.value) == told
