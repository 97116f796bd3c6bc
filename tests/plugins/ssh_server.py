"""An SSH server on 127.0.0.1, in this process: it runs commands with /bin/sh and serves files over SFTP."""

import asyncio
import contextlib
import threading
from typing import Any

import asyncssh


class SSHServer:
    """Accepts `client_key` for any user; with `accept_key = False` it refuses the key."""

    def __init__(self) -> None:
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = self._host_key.export_public_key().decode()
        self.client_key = self._client_key.export_private_key().decode()
        self.environments: list[dict[str, str]] = []
        """The environment variables that the client sent with each command."""
        self.running: list[Any] = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port: int = self._server.get_port()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def connection(self, **more: Any) -> dict[str, Any]:
        """The plugin's `connection` input for this server."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "somebody",
            "privateKey": self.client_key,
            "hostKey": self.host_key,
            **more,
        }

    def drop_connections(self) -> None:
        """Break every connection, like a host that is switched off."""
        for process in self.running:
            self._loop.call_soon_threadsafe(process.channel.get_connection().abort)

    async def _listen(self) -> Any:
        keys = asyncssh.import_authorized_keys(self._client_key.export_public_key().decode())
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[self._host_key],
            authorized_client_keys=keys,
            process_factory=self._run,
            sftp_factory=True,
            encoding=None,
            server_factory=self._count,
        )

    def _count(self) -> asyncssh.SSHServer:
        self.connections += 1
        return asyncssh.SSHServer()

    async def _run(self, process: Any) -> None:
        environment = {key: value for key, value in process.env.items() if isinstance(key, str)}
        self.environments.append(environment)
        self.running.append(process)
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            process.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", **environment},
        )
        feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
        await asyncio.gather(
            _pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr), child.wait()
        )
        feeding.cancel()
        if child.returncode and child.returncode < 0:
            process.exit_with_signal("TERM")
        else:
            process.exit(child.returncode)

    async def _close(self) -> None:
        self._server.close()
        await self._server.wait_closed()


async def _pump(source: Any, target: Any) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()


async def _feed(source: Any, target: Any) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await _pump(source, target)
    target.close()
