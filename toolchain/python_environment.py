"""Makes the Python environment. `slip` runs it with the system's Python, so it uses the standard library only.

Usage: python -m toolchain.python_environment ENVIRONMENT REQUIREMENTS
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import child_environment
import parent_death
from toolchain import cache, locks
from toolchain.commands import ended_by_signals
from toolchain.errors import ToolError

STAMP = "complete"
"""The file that marks a complete environment. `slip` looks for it."""
PIP_LIST = Path(__file__).with_name("pip_list.py")
"""What an environment's pip does first. `slip` has its checksum in the environment's name."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that end a run."""
MAKES_LOCKS = "requirements-supply.txt"
"""The requirements of `make lock`, which has to work while the locks are stale."""


def make(environment: Path, requirements: Path) -> None:
    """Make `environment` with the packages of `requirements`, each file of them with a hash of the lock.

    An environment contains its own path, so it is made in place. One without the stamp was interrupted and is made
    again; pip has a cache of its downloads.

    Raises:
        ToolError: Python's `venv` is incomplete, the lock is not of these requirements, or a package cannot be
            installed.
    """
    with cache.lock(f"environments/{environment.name}", _say_waiting):
        if (environment / STAMP).exists() and (environment / "bin" / "python").exists():
            return  # another run has made it meanwhile
        with _progress(
            f"Python {sys.version_info[0]}.{sys.version_info[1]}",
            f"installing the packages of {requirements.name}",
        ):
            _require_lock(requirements)
            _require_venv()
            shutil.rmtree(environment, ignore_errors=True)
            _run([sys.executable, "-m", "venv", environment], "the Python environment cannot be made")
            # Python compiles a module at its first import. Compiling the AWS SDK now would take longer than the rest.
            pip: list[str | Path] = [
                *(environment / "bin" / "python", "-m", "pip", "install"),
                *("--disable-pip-version-check", "--no-input", "--quiet", "--no-compile"),
                *("--require-hashes", "--requirement", locks.path(requirements)),
            ]
            _run(pip, "the Python packages cannot be installed")
            (main,) = environment.glob("lib/*/site-packages/pip/__main__.py")
            main.write_text(PIP_LIST.read_text() + main.read_text())
            (environment / STAMP).touch()


def _require_lock(requirements: Path) -> None:
    if requirements.name != MAKES_LOCKS and not locks.is_current(requirements):
        lock = locks.path(requirements)
        raise ToolError(
            f"{requirements.name} was changed, and {lock.parent.name}/{lock.name} has the packages of before; "
            "run `make lock`, which writes it again"
        )


def _require_venv() -> None:
    if importlib.util.find_spec("ensurepip") is not None:
        return
    # Debian and Ubuntu have it in another package.
    remedy = "apt-get install python3-venv"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ToolError(f"{sys.executable} has no `ensurepip`; install it (Debian, Ubuntu: {remedy})")
    environment = {**child_environment.of("apt-get"), "DEBIAN_FRONTEND": "noninteractive"}
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    failure = f"{sys.executable} has no `ensurepip`, and `{remedy}` failed"
    apt: list[str | Path] = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
    try:
        _run([*apt, "install", "-qq", version], failure, environment)
    except ToolError:
        _run([*apt, "update", "-qq"], failure, environment)
        _run([*apt, "install", "-qq", version], failure, environment)


def _run(arguments: list[str | Path], failure: str, apt: dict[str, str] | None = None) -> None:
    """Run a program to its end. With the environment of `apt`, which must not be interrupted, in any case."""
    end = parent_death.ends_with_parent() if apt is None else None

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        if end:
            end()

    process = None
    # A signal that came amid the start would leave the program to itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            # Without PYTHONPATH and PYTHONHOME: the caller's own packages must not look installed here.
            env=child_environment.of("pip") if apt is None else apt,
            # Its own process group: Ctrl-C ends it below, with what it has started.
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - system calls only
        )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        output, _ = process.communicate()
    except KeyboardInterrupt:
        if process:
            if apt is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.communicate()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    if process.returncode != 0:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")] or lines[-3:]
        raise ToolError(f"{failure}: {' / '.join(errors[:3])}")


def _say_waiting(holder: str) -> None:
    print(
        f"… waiting for another run (process {holder}), which makes the Python environment", file=sys.stderr
    )


@contextmanager
def _progress(title: str, detail: str) -> Iterator[None]:
    """Show one line with a running clock on a terminal, else one line at the end."""
    started = time.monotonic()
    over = threading.Event()

    def tick() -> None:
        while not over.wait(0.2):
            print(
                f"\r· {title:<18} {detail}  {time.monotonic() - started:.0f} s",
                end="",
                file=sys.stderr,
                flush=True,
            )

    ticker = threading.Thread(target=tick, daemon=True)
    if sys.stderr.isatty():
        ticker.start()
    try:
        yield
    finally:
        over.set()
        if ticker.is_alive():
            ticker.join()
            print("\r\033[K", end="", file=sys.stderr)
    print(f"✓ {title:<18} {detail}  {time.monotonic() - started:.0f} s", file=sys.stderr)


def main() -> int:
    """Make the environment that the command line names. Returns the exit status: `slip`'s for "could not start"."""
    environment, requirements = map(Path, sys.argv[1:])
    # A signal ends the shell script that runs this, which passes nothing on.
    parent_death.end_with_parent()
    try:
        with ended_by_signals():
            make(environment, requirements)
    except ToolError as error:
        print(f"slip: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\nslip: interrupted; run the command again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
