"""Commands on a stack's hosts, over SSH with the stack's key and each host's known key."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.errors import CommandError
from fast_start import import_asyncssh

CONNECT_PATIENCE = 15.0
"""Seconds until a host must have answered."""


class Unreachable(Exception):
    """A host does not answer SSH. The text says how, without the host's name."""


@dataclass(frozen=True)
class CommandResult:
    """The result of a command on a host."""

    status: int
    """The exit status; -1 for a command that a signal ended."""
    stdout: str
    stderr: str


def run(
    outputs: Mapping[str, Any], host: str, command: str, patience: float = 60, stdin: str = ""
) -> CommandResult:
    """Run a command as root on a host of the stack with these outputs.

    Args:
        outputs: the stack's, with their secrets.
        host: the host's name.
        command: for the host's shell; no secrets, as the host's process list shows it.
        patience: seconds that it may take.
        stdin: its standard input.

    Raises:
        CommandError: the host does not answer, presents an unknown host key, or the command takes too long.

    """
    try:
        return asyncio.run(execute(outputs, host, command, patience, CONNECT_PATIENCE, stdin))
    except Unreachable as error:
        raise CommandError(
            f"{host} does not answer: {error}",
            "`./slip verify` shows what is wrong.",
            status=1,
        ) from error


async def execute(
    outputs: Mapping[str, Any],
    host: str,
    command: str,
    patience: float,
    connect_patience: float,
    stdin: str = "",
) -> CommandResult:
    """As `run`, as a coroutine, so that several hosts can be asked at once.

    Raises:
        Unreachable: the host does not answer, presents an unknown host key, or the command takes too long.

    """
    asyncssh = import_asyncssh()
    facts = outputs["hosts"][host]
    user, where = facts["sshUser"], f"SSH at {facts['address']}:{int(facts['sshPort'])}"
    connected = False
    try:
        async with (
            asyncio.timeout(patience),
            asyncssh.connect(
                facts["address"],
                port=int(facts["sshPort"]),
                username=user,
                client_keys=[asyncssh.import_private_key(outputs["sshPrivateKey"])],
                # Only this host key is accepted: nothing is trusted on first use.
                known_hosts=([asyncssh.import_public_key(facts["sshHostKey"])], [], []),
                config=None,
                agent_path=None,
                connect_timeout=connect_patience,
            ) as connection,
        ):
            connected = True
            done = await connection.run(command if user == "root" else f"sudo -n {command}", input=stdin)
    except TimeoutError as error:
        limit = patience if connected else min(patience, connect_patience)
        problem = f"gives no answer within {limit:g} s"
        raise Unreachable(
            f"the command takes longer than {limit:g} s" if connected else f"{where} {problem}"
        ) from error
    except ConnectionRefusedError as error:
        raise Unreachable(f"{where} refuses connections") from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise Unreachable(f"{where} presents another host key than the stack's") from error
    except asyncssh.PermissionDenied as error:
        raise Unreachable(f"{where} refuses the stack's key for {user}") from error
    except (asyncssh.ConnectionLost, ConnectionResetError, BrokenPipeError) as error:
        raise Unreachable(f"{where} closes the connection") from error
    except asyncssh.Error as error:
        raise Unreachable(f"{where}: {error.reason}") from error
    except OSError as error:
        raise Unreachable(f"{where}: {str(error.strerror or error).lower()}") from error
    status = done.exit_status if done.exit_status is not None else -1
    return CommandResult(status, str(done.stdout or ""), str(done.stderr or ""))
