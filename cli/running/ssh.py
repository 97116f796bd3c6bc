"""Commands on a stack's hosts, over SSH with the stack's key and each host's known key."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.errors import CommandError
from fast_start import import_asyncssh

CONNECT_PATIENCE = 15
"""Seconds until a host must have answered."""


@dataclass(frozen=True)
class CommandResult:
    """The result of a command on a host."""

    status: int
    """The exit status; -1 for a command that a signal ended."""
    stdout: str
    stderr: str


def run(outputs: Mapping[str, Any], host: str, command: str, patience: float = 60) -> CommandResult:
    """Run a command as root on a host of the stack with these outputs.

    Args:
        outputs: the stack's, with their secrets.
        host: the host's name.
        command: for the host's shell; no secrets, as the host's process list shows it.
        patience: seconds that it may take.

    Raises:
        CommandError: the host does not answer, presents an unknown host key, or the command takes too long.

    """
    facts = outputs["hosts"][host]
    try:
        return asyncio.run(_run(facts, outputs["sshPrivateKey"], command, patience))
    except TimeoutError as error:
        raise CommandError(f"{host} took longer than {patience:.0f} s to answer", status=1) from error
    except OSError as error:
        raise CommandError(
            f"{host} does not answer SSH at {facts['address']}:{facts['sshPort']}: {error}",
            "`./slip verify` shows what is wrong.",
            status=1,
        ) from error


async def _run(facts: Mapping[str, Any], key: str, command: str, patience: float) -> CommandResult:
    asyncssh = import_asyncssh()
    user = facts["sshUser"]
    try:
        async with (
            asyncio.timeout(patience),
            asyncssh.connect(
                facts["address"],
                port=int(facts["sshPort"]),
                username=user,
                client_keys=[asyncssh.import_private_key(key)],
                # Only this host key is accepted: nothing is trusted on first use.
                known_hosts=([asyncssh.import_public_key(facts["sshHostKey"])], [], []),
                config=None,
                agent_path=None,
                connect_timeout=CONNECT_PATIENCE,
            ) as connection,
        ):
            done = await connection.run(command if user == "root" else f"sudo -n {command}")
    except asyncssh.Error as error:
        raise OSError(error.reason) from error
    status = done.exit_status if done.exit_status is not None else -1
    return CommandResult(status, str(done.stdout or ""), str(done.stderr or ""))
