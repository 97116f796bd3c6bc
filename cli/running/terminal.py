"""A command on a host with this process's own input and output: with a terminal where there is one."""

import asyncio
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from cli.running import ssh

CHUNK = 65536
"""Bytes that are passed on at a time."""


def run(outputs: Mapping[str, Any], host: str, command: str, *, is_terminal: bool) -> int:
    """Run a command as root on a host. Returns its exit status; 255 if it has none, since the connection was lost.

    Args:
        outputs: the stack's, with their secrets.
        host: the host's name.
        command: for the host's shell; no secrets, as the host's process list shows it.
        is_terminal: whether it gets a terminal, which this process then has, too.

    Raises:
        Unreachable: the host does not answer, or presents an unknown host key.

    """
    return asyncio.run(_run(outputs, host, command, is_terminal=is_terminal))


async def _run(outputs: Mapping[str, Any], host: str, command: str, *, is_terminal: bool) -> int:
    if outputs["hosts"][host]["sshUser"] != "root":
        command = f"sudo -n {command}"
    terminal = {"term_type": os.environ.get("TERM") or "xterm", "term_size": _size()} if is_terminal else {}
    async with ssh.connected(outputs, host) as connection:
        process = await connection.create_process(command, encoding=None, **terminal)
        with _raw(process) if is_terminal else nullcontext():
            sending = asyncio.create_task(_send(process))
            try:
                await asyncio.gather(
                    _receive(process.stdout, sys.stdout.fileno()),
                    _receive(process.stderr, sys.stderr.fileno()),
                )
                await process.wait_closed()
            finally:
                sending.cancel()
        # 128 and the number of a signal, as shells say it.
        if process.exit_status is not None:
            return int(process.exit_status)
        name = process.exit_signal[0] if process.exit_signal else ""
        return 128 + getattr(signal, f"SIG{name}", 127)


async def _send(process: Any) -> None:
    """Pass this process's input on, to its end."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
        is_watched = True
    except PermissionError:
        # A regular file is always ready, and the kernel watches none.
        is_watched = False
    try:
        while True:
            if is_watched:
                await ready.wait()
                ready.clear()
                # It may have been told twice of the same input, and a read without any would hold everything up.
                if not select.select([descriptor], [], [], 0)[0]:
                    continue
            chunk = os.read(descriptor, CHUNK)
            if not chunk:
                break
            process.stdin.write(chunk)
            await process.stdin.drain()
    except OSError:
        pass  # the terminal is gone, or the command takes no more
    finally:
        if is_watched:
            loop.remove_reader(descriptor)
    with suppress(OSError):
        process.stdin.write_eof()


async def _receive(stream: Any, descriptor: int) -> None:
    while chunk := await stream.read(CHUNK):
        while chunk:
            chunk = chunk[os.write(descriptor, chunk) :]


def _size() -> tuple[int, int]:
    try:
        columns, lines = os.get_terminal_size(sys.stdin.fileno())
    except OSError:
        return 80, 24
    return columns, lines


@contextmanager
def _raw(process: Any) -> Iterator[None]:
    """Let every key reach the command, and tell it the terminal's size when that changes."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, lambda: process.change_terminal_size(*_size()))
    # What was typed until now is kept.
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        loop.remove_signal_handler(signal.SIGWINCH)
