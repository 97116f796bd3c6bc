"""Commands on a stack's hosts, over SSH with the stack's key and each host's known key."""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from cli.errors import CommandError
from fast_start import import_asyncssh

HANDED_OVER = 1 << 18
"""Bytes that are passed on at a time from host to host."""
CONNECT_PATIENCE = 15.0
"""Seconds until a host must have answered."""


class Unreachable(Exception):
    """A host does not answer SSH. The text says how, without the host's name."""


class ForeignKey(Unreachable):
    """A machine with another host key than the stack's answers at a host's address. It got nothing from us."""


def remedy_of_foreign_key(host: str, option: str) -> str:
    """What to do about a host key that is not the stack's.

    Args:
        host: the host's name.
        option: the option that names the stack on the command line, such as ` -s dev`.

    """
    return (
        f"find out which machine answers there: nobody but {host} has the stack's key. "
        f"If {host} was made anew by hand, or is lost:\n./slip forget {host}{option} && ./slip up{option}"
    )


@dataclass(frozen=True)
class CommandResult:
    """The result of a command on a host."""

    status: int
    """The exit status; -1 for a command that a signal ended."""
    stdout: str
    stderr: str
    ended: float = 0.0
    """When it ended by the operator's clock, in seconds since 1970."""


@dataclass(frozen=True)
class Command:
    """A command that runs as root on a host."""

    text: str
    """For the host's shell; no secrets, as the host's process list shows it."""
    stdin: str = field(default="", repr=False)
    patience: float = 60.0
    """Seconds that it may take."""


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
    except ForeignKey as error:
        raise CommandError(f"{host}: {error}", remedy_of_foreign_key(host, ""), status=1) from error
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
        ForeignKey: the host presents another host key than the stack's.
        Unreachable: the host does not answer, or the command takes too long.

    """
    asked = Command(command, stdin, patience)
    (result,) = await execute_all(outputs, host, [asked], min(patience, connect_patience))
    if isinstance(result, Unreachable):
        raise result
    return result


async def execute_all(
    outputs: Mapping[str, Any],
    host: str,
    commands: Sequence[Command],
    connect_patience: float,
) -> list[CommandResult | Unreachable]:
    """Run commands at the same time over one connection. Returns the result of each, or why it has none.

    Raises:
        Unreachable: the host does not answer, or presents an unknown host key.

    """
    user = outputs["hosts"][host]["sshUser"]

    async def attempt(connection: Any, command: Command) -> CommandResult | Unreachable:
        text = command.text if user == "root" else f"sudo -n {command.text}"
        try:
            async with asyncio.timeout(command.patience):
                done = await connection.run(text, input=command.stdin)
        except TimeoutError:
            return Unreachable(f"the command takes longer than {command.patience:g} s")
        status = done.exit_status if done.exit_status is not None else -1
        return CommandResult(status, str(done.stdout or ""), str(done.stderr or ""), time.time())

    async with connected(outputs, host, connect_patience) as connection:
        return [*await asyncio.gather(*(attempt(connection, command) for command in commands))]


async def lines(
    outputs: Mapping[str, Any], host: str, command: Command, connect_patience: float = CONNECT_PATIENCE
) -> AsyncIterator[str]:
    """The lines that a command prints, as they come, until it ends; its own patience does not count.

    Raises:
        Unreachable: the host does not answer, or presents an unknown host key.

    """
    user = outputs["hosts"][host]["sshUser"]
    text = command.text if user == "root" else f"sudo -n {command.text}"
    async with (
        connected(outputs, host, connect_patience) as connection,
        connection.create_process(text) as process,
    ):
        process.stdin.write(command.stdin)
        process.stdin.write_eof()
        async for line in process.stdout:
            yield str(line).rstrip("\n")


async def hand_over(
    giver: tuple[Mapping[str, Any], str, str],
    taker: tuple[Mapping[str, Any], str, str],
    line: Callable[[str], None],
) -> CommandResult:
    """Let a command on one host read what a command on another host prints, packed by gzip. Returns the giver's result.

    The end of the packed data comes only after the giver has succeeded, so the taker notices when something is missing.
    If the taker ends early, the giver is ended, and its status is -1.

    Args:
        giver: the outputs of the stack, the host's name, and the command; its output is not in the result.
        taker: the same; it may end early.
        line: gets each line that the taker prints.

    Raises:
        Unreachable: a host does not answer, presents an unknown host key, or closes the connection.

    """
    async with (
        connected(*giver[:2]) as giving,
        connected(*taker[:2]) as taking,
        giving.create_process(_as_root(giver), encoding=None) as gives,
        taking.create_process(_as_root(taker), encoding=None) as takes,
    ):
        passing = asyncio.create_task(_pass_on(gives, takes))
        while text := await takes.stdout.readline():
            line(text.decode(errors="replace").rstrip("\n"))
        if passing.done():
            return await passing
        passing.cancel()
        giving.abort()
        return CommandResult(-1, "", "")


async def _pass_on(gives: Any, takes: Any) -> CommandResult:
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    # The taker may have ended, and says why.
    with suppress(BrokenPipeError, ConnectionResetError):
        while piece := await gives.stdout.read(HANDED_OVER):
            takes.stdin.write(packer.compress(piece))
            await takes.stdin.drain()
    said = (await gives.stderr.read()).decode(errors="replace")
    await gives.wait_closed()
    status = gives.exit_status if gives.exit_status is not None else -1
    with suppress(BrokenPipeError, ConnectionResetError):
        if status == 0:
            takes.stdin.write(packer.flush())
        takes.stdin.write_eof()
    return CommandResult(status, "", said, time.time())


def _as_root(end: tuple[Mapping[str, Any], str, str]) -> str:
    outputs, host, command = end
    return command if outputs["hosts"][host]["sshUser"] == "root" else f"sudo -n {command}"


@asynccontextmanager
async def connected(
    outputs: Mapping[str, Any], host: str, connect_patience: float = CONNECT_PATIENCE
) -> AsyncIterator[Any]:
    """A connection to a host, of asyncssh, for one block.

    Raises:
        Unreachable: the host does not answer, presents an unknown host key, or closes the connection.

    """
    asyncssh = import_asyncssh()
    facts = outputs["hosts"][host]
    user, where = facts["sshUser"], f"SSH at {facts['address']}:{int(facts['sshPort'])}"
    pinned = asyncssh.import_public_key(facts["sshHostKey"])
    try:
        async with asyncio.timeout(connect_patience):
            connecting = await asyncssh.connect(
                facts["address"],
                port=int(facts["sshPort"]),
                username=user,
                client_keys=[asyncssh.import_private_key(outputs["sshPrivateKey"])],
                # Only this host key is accepted: nothing is trusted on first use.
                known_hosts=([pinned], [], []),
                # Not its algorithms alone: a host that has only keys of other kinds then shows one of them.
                server_host_key_algs=_algorithms(pinned),
                config=None,
                agent_path=None,
                connect_timeout=connect_patience,
            )
        async with connecting as connection:
            yield connection
    except TimeoutError as error:
        raise Unreachable(f"{where} gives no answer within {connect_patience:g} s") from error
    except ConnectionRefusedError as error:
        raise Unreachable(f"{where} refuses connections") from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise ForeignKey(
            f"{where} presents another host key than the stack's: {pinned.get_fingerprint()} was expected, "
            f"{await _presented(facts, connect_patience)} came"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise Unreachable(f"{where} refuses the stack's key for {user}") from error
    except (asyncssh.ConnectionLost, ConnectionResetError, BrokenPipeError) as error:
        raise Unreachable(f"{where} closes the connection") from error
    except asyncssh.Error as error:
        raise Unreachable(f"{where}: {error.reason}") from error
    except OSError as error:
        raise Unreachable(f"{where}: {str(error.strerror or error).lower()}") from error


async def fingerprints(facts: Mapping[str, Any], patience: float) -> tuple[str, str]:
    """The fingerprints of a host's key: that of the stack, and that of what answers at its address.

    Nobody is logged in for it.

    Args:
        facts: the host's, as the stack's outputs have them.
        patience: seconds that the machine has to answer.

    """
    pinned = import_asyncssh().import_public_key(facts["sshHostKey"])
    return pinned.get_fingerprint(), await _presented(facts, patience)


async def _presented(facts: Mapping[str, Any], patience: float) -> str:
    """The fingerprint of the host key that answers at a host's address; `another key` if it answers no more."""
    asyncssh = import_asyncssh()
    pinned = asyncssh.import_public_key(facts["sshHostKey"])
    with suppress(OSError, TimeoutError, asyncssh.Error):
        async with asyncio.timeout(patience):
            key = await asyncssh.get_server_host_key(
                facts["address"],
                port=int(facts["sshPort"]),
                server_host_key_algs=_algorithms(pinned),
                config=None,
            )
            if key is not None:
                return str(key.get_fingerprint())
    return "another key"


def _algorithms(pinned: Any) -> list[str]:
    """The algorithms of host keys that are asked for: the pinned key's first, so that a host with it shows it."""
    from asyncssh import public_key

    others = public_key.get_default_public_key_algs()
    return [algorithm.decode() for algorithm in dict.fromkeys([*pinned.sig_algorithms, *others])]
