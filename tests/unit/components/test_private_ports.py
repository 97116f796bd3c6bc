"""A host listens on the private ports of services on other hosts, and on no others."""

import subprocess
from pathlib import Path

import pytest

from components.script import SCRIPTS
from tests.unit.components.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    found.command("systemctl")
    found.command("ip", "echo '3: docker0    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0'")
    (tmp_path / "called").touch()
    return found


def run(machine: Machine, ports: str) -> list[str]:
    """What the host then listens on, and where it leads to."""
    units = machine.root / "units"
    units.mkdir(exist_ok=True)
    text = "".join((SCRIPTS / part).read_text() for part in ("lib.sh", "private-ports.sh"))
    text = text.replace("/etc/systemd/system", str(units))
    text = text.replace("/usr/lib/systemd/systemd-socket-proxyd", "/bin/true")
    text += '\nenabled() { systemctl enable "$@"; }\nchanged=false\nforward_ports\n'
    subprocess.run(
        ["/bin/bash"],
        input=text,
        env={"PATH": f"{machine.root}/bin:/usr/bin:/bin", "PRIVATE_PORTS": ports},
        text=True,
        check=True,
        timeout=30,
    )
    lines = [line for unit in sorted(units.iterdir()) for line in unit.read_text().splitlines()]
    return [line for line in lines if line.startswith(("ListenStream", "ExecStart"))]


def test_it_listens_for_containers_only_and_passes_on(machine: Machine) -> None:
    assert run(machine, "5432 data-1\n6379 10.83.0.7") == [
        "ExecStart=/bin/true --connections-max=4096 data-1:5432",
        "ListenStream=172.17.0.1:5432",
        "ExecStart=/bin/true --connections-max=4096 10.83.0.7:6379",
        "ListenStream=172.17.0.1:6379",
    ]
    assert "systemctl start slipway-port-5432.socket" in machine.called


def test_nothing_is_interrupted_without_a_change(machine: Machine) -> None:
    run(machine, "5432 data-1")
    (machine.root / "called").write_text("")
    run(machine, "5432 data-1")
    assert machine.calls("systemctl") == [
        "systemctl enable slipway-port-5432.socket",
        "systemctl start slipway-port-5432.socket",
    ]


def test_a_service_that_goes_or_comes_here_frees_the_port(machine: Machine) -> None:
    run(machine, "5432 data-1")
    assert run(machine, "") == []
    assert "systemctl -q disable --now slipway-port-5432.socket" in machine.called
