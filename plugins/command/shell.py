"""Commands on this machine."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from plugins.command.output import Stream, Transcript, quote
from plugins.protocol.messages import Failure
from plugins.protocol.properties import Asset

KILL_AFTER = 5.0
"""Seconds between asking a command to end and killing it."""


class Job(NamedTuple):
    """A command to run on this machine."""

    command: str
    interpreter: Sequence[str]
    directory: str | None
    environment: Mapping[str, str]
    """Added to the plugin's own environment."""
    stdin: str | None
    timeout: float
    """Seconds, 0 for no limit."""


class Shell:
    """Runs commands, and ends them on request."""

    def __init__(self) -> None:
        self._running: dict[subprocess.Popen[bytes], str] = {}
        """Every running process, and the reason why it was ended (empty if it was not)."""
        self._lock = threading.Lock()

    def run(self, job: Job, transcript: Transcript) -> None:
        """Run `job` and wait for its end; Failure, with its output, if the command fails."""
        try:
            process = subprocess.Popen(
                [*job.interpreter, job.command],
                cwd=job.directory,
                env={**os.environ, **job.environment},
                stdin=subprocess.PIPE if job.stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A process group of its own, so that a signal reaches the command's children, too.
                start_new_session=True,
            )
        except OSError as error:
            raise transcript.failure(_reason(job, error), job.command) from None
        with self._lock:
            self._running[process] = ""
        seconds = f"{job.timeout:g}"
        timer = threading.Timer(
            job.timeout, self._end, [process, f"not done after {seconds} s, the limit of the resource"]
        )
        timer.daemon = True
        if job.timeout:
            timer.start()
        try:
            status = _follow(process, job.stdin, transcript)
        finally:
            timer.cancel()
            with self._lock:
                ended = self._running.pop(process)
        if ended:
            raise transcript.failure(ended, job.command)
        if status < 0:
            name = signal.strsignal(-status) or str(-status)
            raise transcript.failure(f"signal: {name.lower()}", job.command)
        if status:
            raise transcript.failure(f"exit status {status}", job.command)

    def stop(self) -> None:
        """End all running commands."""
        with self._lock:
            running = list(self._running)
        for process in running:
            self._end(process, "cancelled")

    def _end(self, process: subprocess.Popen[bytes], why: str) -> None:
        with self._lock:
            if process not in self._running:
                return
            self._running[process] = why
        _signal(process, signal.SIGTERM)
        killer = threading.Timer(KILL_AFTER, _signal, [process, signal.SIGKILL])
        killer.daemon = True
        killer.start()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # After the wait, another process may have the same id.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _follow(process: subprocess.Popen[bytes], stdin: str | None, transcript: Transcript) -> int:
    """Feed and read `process` until it ends, and return its exit status."""
    feeder = threading.Thread(target=_feed, args=(process.stdin, stdin or ""), daemon=True)
    if process.stdin:
        feeder.start()
    # One thread reads both pipes, stdout first, to keep the order of the output as far as two pipes show it.
    streams: dict[Stream, IO[bytes] | None] = {"stdout": process.stdout, "stderr": process.stderr}
    with selectors.DefaultSelector() as selector:
        for stream, pipe in streams.items():
            if pipe:
                selector.register(pipe, selectors.EVENT_READ, stream)
        while selector.get_map():
            for key, _ in sorted(selector.select(), key=lambda event: event[0].data, reverse=True):
                data = os.read(key.fd, 65536)
                if data:
                    transcript.write(key.data, data)
                else:
                    selector.unregister(key.fileobj)
    for pipe in filter(None, streams.values()):
        pipe.close()
    transcript.close()
    return process.wait()


def _feed(pipe: IO[bytes], text: str) -> None:
    # The command may end without reading its input.
    with contextlib.suppress(BrokenPipeError), pipe:
        pipe.write(text.encode())


def _reason(job: Job, error: OSError) -> str:
    """Return, in Go's words, why a command did not start."""
    if job.directory is not None and not Path(job.directory).is_dir():
        return f"chdir {job.directory}: {(error.strerror or 'not a directory').lower()}"
    program = job.interpreter[0]
    if isinstance(error, FileNotFoundError) and "/" not in program:
        return f"exec: {quote(program)}: executable file not found in $PATH"
    return f"fork/exec {program}: {(error.strerror or str(error)).lower()}"


def find_assets(directory: str | None, patterns: Sequence[str]) -> dict[str, Asset]:
    """Return the files under `directory` that match `patterns`, by their path relative to it.

    In a pattern, `*` matches anything but `/`, `**` anything, `?` one character. A pattern that begins with `!`
    excludes files. Failure for a pattern with other wildcards.
    """
    import hashlib  # loads OpenSSL, which is not small

    root = Path(directory or ".")
    rules = [(pattern.startswith("!"), _regular(pattern.removeprefix("!"))) for pattern in patterns]
    found: dict[str, Asset] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            continue
        for excludes, rule in rules:
            if not rule.fullmatch(name):
                continue
            found.pop(name, None)
            if not excludes:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found[name] = Asset(text="", path=path.as_posix(), uri="", hash=digest)
    return found


def _regular(pattern: str) -> re.Pattern[str]:
    if set(pattern) & set("[]{}\\"):
        raise Failure(
            f"assetPaths: {pattern!r} has a wildcard other than *, ** and ?, which is not supported"
        )
    wildcards = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    return re.compile("".join(wildcards.get(part) or re.escape(part) for part in parts), re.DOTALL)
