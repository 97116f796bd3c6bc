"""Commands and copies on remote hosts, over SSH.

This module imports `asyncssh`, which takes longer than a whole update without a change, so `plugins.command.plugin`
imports it only to connect to a host.
"""

import asyncio
import contextlib
import os
import posixpath
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fast_start import import_asyncssh
from plugins.command.output import Stream, Transcript
from plugins.protocol.messages import Failure

import_asyncssh()
import asyncssh  # noqa: E402  # isort: skip  # by now it is imported, without its search for C libraries
from asyncssh import public_key  # noqa: E402  # isort: skip

# Seconds between two dials, as in the official plugin. Only the longest wait is shorter if the number of dials is not
# limited: then the user waits for a new machine.
FIRST_WAIT = 0.1
WAIT_FACTOR = 1.5
LONGEST_WAIT = 5.0
LONGEST_WAIT_WITHOUT_LIMIT = 1.0

KEEPALIVE = 15
"""Seconds of silence before the client sends a keep-alive. After three without an answer the connection is lost."""


class Connection(NamedTuple):
    """How to reach a host."""

    host: str
    port: int
    user: str
    private_key: str | None = None
    private_key_password: str | None = None
    password: str | None = None
    host_key: str | None = None
    """The only host key to accept, as a line of `ssh-keygen -y`; None accepts any."""
    dial_error_limit: int = 10
    """How many failed dials are repeated; -1 for any number."""
    per_dial_timeout: int = 15
    """Seconds for one dial, 0 for no limit."""

    @property
    def endpoint(self) -> str:
        """Host and port, as in Go's messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Job(NamedTuple):
    """A command to run on a host."""

    command: str
    environment: Mapping[str, str]
    """Sent to the host, which may ignore it (`AcceptEnv`)."""
    stdin: str | None


class Operation:
    """One operation on a host, in its own event loop."""

    def __init__(self, connection: Connection, timeout: float, status: Callable[[str], None]) -> None:
        """Limit the whole operation to `timeout` seconds (0: no limit), and report failed dials to `status`."""
        self._connection = connection
        self._timeout = timeout
        self._status = status
        self._ended = f"not done after {timeout:g} s, the limit of the resource"
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def run(self, job: Job, transcript: Transcript) -> None:
        """Run `job`; Failure, with its output, if the connection or the command fails."""
        self._drive(lambda: self._run(job, transcript))

    def copy(self, source: Path, target: str, *, contents: bool = False) -> None:
        """Copy the file or directory `source` to the path `target`; Failure if that fails.

        A file is copied *into* a `target` that is a directory. A directory is copied into `target`; with `contents`,
        only its contents are.
        """
        self._drive(lambda: self._copy(source, target, contents))

    def stop(self) -> None:
        """Stop the operation, from any thread."""
        with self._lock:
            self._ended = "cancelled"
            if self._loop and self._task:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _drive(self, work: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            with self._lock:
                self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            try:
                async with asyncio.timeout(self._timeout or None):
                    await work()
            except (TimeoutError, asyncio.CancelledError):
                raise Failure(self._ended) from None
            finally:
                with self._lock:
                    self._loop = self._task = None

        asyncio.run(main())

    async def _run(self, job: Job, transcript: Transcript) -> None:
        process: asyncssh.SSHClientProcess[bytes] | None = None
        async with self._client() as client:
            try:
                process = await client.create_process(
                    job.command,
                    env=job.environment,
                    stdin=asyncssh.PIPE if job.stdin else asyncssh.DEVNULL,
                    encoding=None,
                )
                await asyncio.gather(
                    _read(process.stdout, "stdout", transcript),
                    _read(process.stderr, "stderr", transcript),
                    _write(process.stdin, job.stdin or ""),
                )
                await process.wait_closed()
                reason = _reason(process)
            except asyncio.CancelledError:
                reason = self._ended
                if process:
                    # Without a terminal, a command goes on after its connection has ended.
                    with contextlib.suppress(OSError):
                        process.terminate()
            except (OSError, asyncssh.Error) as error:
                lost = getattr(error, "reason", "") or error
                reason = f"lost the connection to {self._connection.endpoint} ({lost})"
            transcript.close()
        if reason:
            raise transcript.failure(reason, job.command)

    async def _copy(self, source: Path, target: str, contents: bool) -> None:
        async with self._client() as client:
            try:
                async with client.start_sftp_client() as sftp:
                    await _put(sftp, source, target, contents)
            except (OSError, asyncssh.Error) as error:
                reason = getattr(error, "reason", "") or error
                raise Failure(f"failed to copy {source} to remote path {target}: {reason}") from None

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[asyncssh.SSHClientConnection]:
        client = await self._dial()
        try:
            yield client
        finally:
            # Do not wait for the close: a host that is gone does not answer.
            client.close()

    async def _dial(self) -> asyncssh.SSHClientConnection:
        options = _options(self._connection)
        limit = self._connection.dial_error_limit
        longest = LONGEST_WAIT_WITHOUT_LIMIT if limit < 0 else LONGEST_WAIT
        wait, failed, reason = FIRST_WAIT, 0, "no answer"
        try:
            while True:
                try:
                    async with asyncio.timeout(self._connection.per_dial_timeout or None):
                        return await asyncssh.connect(**options)
                except (OSError, asyncssh.Error) as error:
                    reason = _explain(self._connection, error)
                failed += 1
                if 0 <= limit < failed:
                    raise Failure(f"after {failed - 1} failed attempts: {reason}")
                self._status(f"Dial {failed}/{limit if limit >= 0 else 'inf'} failed: {reason}: retrying")
                await asyncio.sleep(wait)
                wait = min(wait * WAIT_FACTOR, longest)
        except asyncio.CancelledError:
            raise Failure(f"after {failed} failed attempts: {reason} ({self._ended})") from None


def _options(connection: Connection) -> dict[str, Any]:
    """Return the arguments of `asyncssh.connect`. The user's own SSH configuration is not used."""
    keys = None
    if connection.private_key:
        try:
            keys = [asyncssh.import_private_key(connection.private_key, connection.private_key_password)]
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise Failure(f"connection.privateKey cannot be read: {error}") from None
    trusted: Any = None
    algorithms: Any = ()
    if connection.host_key:
        try:
            pinned = asyncssh.import_public_key(connection.host_key)
        except asyncssh.KeyImportError as error:
            raise Failure(f"connection.hostKey is no SSH public key: {error}") from None
        trusted = ([pinned], [], [])
        # The pinned key's algorithm comes first, but not alone: a host that has only other keys then shows one of them,
        # and the error is a host key mismatch.
        others = public_key.get_default_public_key_algs()
        algorithms = [algorithm.decode() for algorithm in dict.fromkeys([*pinned.sig_algorithms, *others])]
    return {
        "host": connection.host,
        "port": connection.port,
        "username": connection.user,
        "client_keys": keys,
        "password": connection.password,
        "known_hosts": trusted,
        "server_host_key_algs": algorithms,
        "agent_path": None,
        "config": None,
        "gss_kex": False,
        "gss_auth": False,
        "keepalive_interval": KEEPALIVE,
    }


def _explain(connection: Connection, error: Exception) -> str:
    """Return the message of Go's ssh package, and so of the official plugin, for `error`."""
    where = f"dial tcp {connection.endpoint}"
    if isinstance(error, TimeoutError):
        return f"{where}: i/o timeout"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {connection.host}: no such host"
    if isinstance(error, asyncssh.PermissionDenied):
        methods = ["none"]
        if connection.private_key:
            methods.append("publickey")
        if connection.password:
            methods += ["password", "keyboard-interactive"]
        return (
            "ssh: handshake failed: ssh: unable to authenticate, attempted methods "
            f"[{' '.join(methods)}], no supported methods remain"
        )
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return "ssh: handshake failed: ssh: host key mismatch"
    if isinstance(error, asyncssh.ConnectionLost):
        return "ssh: handshake failed: EOF"
    if isinstance(error, asyncssh.Error):
        return f"ssh: handshake failed: {error.reason}"
    number = getattr(error, "errno", None)
    return f"{where}: connect: {os.strerror(number).lower() if number else error}"


def _reason(process: asyncssh.SSHClientProcess[bytes]) -> str:
    """Return, in Go's words, why the command of `process` failed; empty if it did not fail."""
    if process.exit_signal:
        name, _, message, _ = process.exit_signal
        more = f". Reason was: {message}" if message else ""
        return f"Process exited with status {process.exit_status} from signal {name}{more}"
    if process.exit_status is None:
        return "wait: remote command exited without exit status or exit signal"
    return f"Process exited with status {process.exit_status}" if process.exit_status else ""


async def _read(reader: asyncssh.SSHReader[bytes], stream: Stream, transcript: Transcript) -> None:
    while data := await reader.read(65536):
        transcript.write(stream, data)


async def _write(writer: asyncssh.SSHWriter[bytes], text: str) -> None:
    if not text:
        return
    # The command may end without reading its input.
    with contextlib.suppress(BrokenPipeError):
        writer.write(text.encode())
        await writer.drain()
        writer.write_eof()


async def _put(sftp: asyncssh.SFTPClient, source: Path, target: str, contents: bool) -> None:
    if not source.is_dir():
        if await sftp.isdir(target):
            target = posixpath.join(target, source.name)
        await sftp.put(str(source), target, follow_symlinks=True)
        return
    await _make_directory(sftp, target)
    if not contents:
        target = posixpath.join(target, source.name)
        await _make_directory(sftp, target)
    for path in sorted(source.rglob("*")):
        remote = posixpath.join(target, path.relative_to(source).as_posix())
        if path.is_dir():
            await _make_directory(sftp, remote)
        else:
            await sftp.put(str(path), remote, follow_symlinks=True)


async def _make_directory(sftp: asyncssh.SFTPClient, path: str) -> None:
    if await sftp.isdir(path):
        return
    if await sftp.exists(path):
        raise Failure(f"remote path {path} exists but is not a directory")
    await sftp.mkdir(path)
