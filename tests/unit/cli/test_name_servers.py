"""Hosts on this machine hear of another network once."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.running import ssh
from cli.running.ssh import CommandResult
from cli.stack.deployment import CONTAINER_TYPE
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.update import name_servers
from tests.unit.cli.stacks import make_stack

HOME, OFFICE = ["192.168.1.1"], ["10.0.0.2", "10.0.0.3"]


class Network:
    """This machine's name servers, and what was said to hosts."""

    def __init__(self) -> None:
        self.servers = HOME
        self.told: list[tuple[str, str]] = []
        self.silent: set[str] = set()

    def run(self, outputs: Any, host: str, command: str, patience: float, stdin: str) -> CommandResult:
        assert (outputs["key"], command, patience > 0) == ("x", name_servers.COMMAND, True)
        if host in self.silent:
            raise CommandError(f"{host} does not answer")
        self.told.append((host, stdin))
        return CommandResult(0, "", "")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(name_servers, "resolvers", lambda: network.servers)
    monkeypatch.setattr(ssh, "run", network.run)
    monkeypatch.setattr(Stack, "outputs", lambda _: {"key": "x"})
    return network


def up(project: Project, folder: Path, made_with: list[str] | None, **hosts: str) -> Stack:
    """The stack after an update by which these hosts are these machines."""
    stack = make_stack(project, "config: {}\n", url=f"file://{folder}")
    resources: list[dict[str, Any]] = [
        {"urn": f"urn::{name}", "type": CONTAINER_TYPE, "custom": True, "id": machine}
        for name, machine in hosts.items()
    ]
    # What is on a host ends with it.
    resources += [
        {"urn": f"urn::{name}-x", "type": "x", "custom": True, "id": "x", "deletedWith": f"urn::{name}"}
        for name in hosts
    ]
    outputs = {} if made_with is None else {"resolvers": made_with}
    resources.append({"urn": "urn::stack", "type": "pulumi:pulumi:Stack", "outputs": outputs})
    path = folder / ".pulumi/stacks" / project.name / "local.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"checkpoint": {"latest": {"resources": resources}}}))
    return stack


def test_only_another_network_is_told_and_once(project: Project, tmp_path: Path, network: Network) -> None:
    stack = up(project, tmp_path, HOME, yard="1", web="2")
    name_servers.follow(stack)
    assert network.told == []
    assert not (project.private / "resolvers").exists()
    network.servers = OFFICE
    network.silent = {"web"}
    name_servers.follow(stack)
    name_servers.follow(stack)
    assert network.told == [("yard", "10.0.0.2\n10.0.0.3\n")]
    network.silent = set()
    name_servers.follow(stack)
    name_servers.follow(stack)
    assert network.told[1:] == [("web", "10.0.0.2\n10.0.0.3\n")]
    # Back at home both have to hear of it, though that is what they were made with.
    network.servers = HOME
    name_servers.follow(stack)
    assert sorted(network.told[2:]) == [("web", "192.168.1.1\n"), ("yard", "192.168.1.1\n")]


def test_a_host_that_was_made_anew_is_told_again(project: Project, tmp_path: Path, network: Network) -> None:
    network.servers = OFFICE
    name_servers.follow(up(project, tmp_path, HOME, yard="1", web="2"))
    network.told.clear()
    stack = up(project, tmp_path, HOME, yard="1", web="3")
    name_servers.follow(stack)
    assert network.told == [("web", "10.0.0.2\n10.0.0.3\n")]
    record = json.loads((project.private / "resolvers" / stack.key).read_text())
    assert record == {"1": OFFICE, "3": OFFICE}


@pytest.mark.parametrize(("made_with", "servers"), [(None, OFFICE), ([], OFFICE), (HOME, [])])
def test_without_servers_nothing_is_told(
    project: Project, tmp_path: Path, network: Network, made_with: list[str] | None, servers: list[str]
) -> None:
    network.servers = servers
    name_servers.follow(up(project, tmp_path, made_with, yard="1"))
    assert network.told == []
