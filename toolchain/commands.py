"""Runs other programs. Their output goes to a log in the cache, and an error has its last lines."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import child_environment
import parent_death
from toolchain import cache
from toolchain.errors import ToolError

_running: set["subprocess.Popen[bytes]"] = set()
_guard = threading.Lock()
_cancelled = threading.Event()


class Cancelled(Exception):
    """The program was stopped because another step failed or the user pressed Ctrl-C."""


def run(
    arguments: Sequence[str | Path],
    *,
    log: str,
    failure: str,
    directory: Path | None = None,
    variables: Mapping[str, str] | None = None,
    keep_open: Iterable[int] = (),
    timeout: float | None = None,
    patience: float | None = None,
    interruptible: bool = True,
    child: str | None = None,
) -> str:
    """Run a program to its end and return its standard output, which also goes to `logs/<log>.log` in the cache.

    Args:
        arguments: the program and its arguments.
        log: name of the log file, without its suffix.
        failure: the beginning of the error's sentence, which says what was not done.
        directory: the program's working directory.
        variables: added to what `child_environment` gives this program.
        keep_open: file descriptors that the program inherits, such as the cache's lock.
        timeout: seconds after which the program is stopped.
        patience: seconds after which the program is stopped if it has printed nothing. Its output goes only to the log.
        interruptible: whether the program is stopped by `cancel` and ends with this process, or may finish.
        child: its name in `child_environment`; by default the program's.

    Raises:
        ToolError: the program could not be started, failed, or took too long.
        Cancelled: `cancel` was called.
    """
    path = cache.root() / "logs" / f"{log}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        stdout = subprocess.PIPE if patience is None else file
        environment = {**child_environment.of(child or Path(arguments[0]).name), **(variables or {})}
        prepare = parent_death.ends_with_parent() if interruptible else None
        process = _start(arguments, failure, directory, environment, stdout, file, keep_open, prepare)
        if not interruptible:
            with _guard:
                _running.discard(process)
        try:
            if patience is not None:
                _await_first_word(process, path, patience)
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            _stop(process)
            late = f"did not finish within {expired.timeout:.0f} s"
            raise ToolError(f"{failure}: {_name(arguments)} {late}") from None
        finally:
            with _guard:
                _running.discard(process)
        file.write(output or b"")
    if _cancelled.is_set():
        raise Cancelled
    if process.returncode != 0:
        raise ToolError(f"{failure}: {_name(arguments)} said: {_last_lines(path)} (full log: {path})")
    return (output or b"").decode(errors="replace")


def begin() -> None:
    """Allow programs to start again after `cancel`."""
    _cancelled.clear()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that what it has started ends, too."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a handler
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def cancel() -> None:
    """Stop every program that `run` started, and start no other until `begin`."""
    _cancelled.set()
    with _guard:
        processes = list(_running)
    for process in processes:
        _stop(process)


def _start(
    arguments: Sequence[str | Path],
    failure: str,
    directory: Path | None,
    environment: Mapping[str, str],
    stdout: IO[bytes] | int,
    log: IO[bytes],
    keep_open: Iterable[int],
    prepare: Callable[[], None] | None,
) -> "subprocess.Popen[bytes]":
    with _guard:
        if _cancelled.is_set():
            raise Cancelled
        try:
            process = subprocess.Popen(
                [str(argument) for argument in arguments],
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
                pass_fds=tuple(keep_open),
                # Its own process group: a signal to it stops its compilers, too, and Ctrl-C stops it by `cancel` only.
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 - it makes two system calls
            )
        except OSError as error:
            raise ToolError(f"{failure}: {_name(arguments)} cannot be started: {error.strerror}") from None
        _running.add(process)
        return process


def _await_first_word(process: "subprocess.Popen[bytes]", log: Path, patience: float) -> None:
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        if log.stat().st_size == 0:
            raise


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(timeout=5)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _name(arguments: Sequence[str | Path]) -> str:
    return " ".join([Path(arguments[0]).name, *map(str, arguments[1:2])])


def _last_lines(path: Path, count: int = 3) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-count:]) or "nothing"
