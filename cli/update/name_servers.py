"""Tells hosts on this machine its name servers, once it is in another network than the one they were made in.

Builds on these hosts ask the servers. They are no input of the hosts' set-up, which a change would run again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.project import write_private
from cli.stack.stack import Stack
from resolvers import resolvers

COMMAND = """\
mkdir -p /var/lib/slipway && cat >/var/lib/slipway/resolvers.new &&
mv -f /var/lib/slipway/resolvers.new /var/lib/slipway/resolvers &&
systemctl restart slipway-resolvers.service
"""
"""Standard input has an address a line. `components/scripts/resolvers.sh` reads the file, which no set-up writes."""
PATIENCE = 20
"""Seconds that a host has for it."""


def follow(stack: Stack) -> None:
    """Tell each host this machine's name servers, unless it knows them; an everyday update reads two files for it.

    A host that does not answer is told by the next update. Its builds may fail until then.
    """
    state = stack.deployment()
    made_with = deployment.stack_outputs(state).get("resolvers")
    servers = resolvers()
    # An update by an older Slipway has no such output; where no server was known, there is nothing to change.
    if not made_with or not servers:
        return
    path = stack.project.private / "resolvers" / stack.key
    hosts = {name: str(resource["id"]) for name, resource in deployment.hosts(state).items()}
    record = _read(path)
    known = {machine: record.get(machine, made_with) for machine in hosts.values()}
    if late := [name for name, machine in hosts.items() if known[machine] != servers]:
        told = _tell(stack, late, servers)
        known |= {hosts[name]: servers for name in told}
    if late or known.keys() < record.keys():
        write_private(path, json.dumps(known) + "\n")


def _read(path: Path) -> Mapping[str, Sequence[str]]:
    """The servers that each machine was told last; empty without a record."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _tell(stack: Stack, hosts: Sequence[str], servers: Sequence[str]) -> list[str]:
    """Write the servers to hosts. Returns the hosts that have them."""
    from cli.running import ssh  # slow to import

    console.say(
        f"The name servers of this machine are {' and '.join(servers)} now: telling {', '.join(hosts)}."
    )
    outputs, told = stack.outputs(), []
    for host in hosts:
        try:
            result = ssh.run(outputs, host, COMMAND, PATIENCE, "\n".join(servers) + "\n")
        except CommandError as error:
            console.warn(
                f"{host} does not know this machine's name servers yet, so builds may fail there: {error}"
            )
            continue
        if result.status:
            console.warn(f"{host} does not know this machine's name servers yet: {result.stderr.strip()}")
        else:
            told.append(host)
    return told
