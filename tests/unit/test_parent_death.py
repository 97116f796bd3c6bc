"""What a killed process has started ends with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]

RUN = (
    "def run():\n"
    "    try: commands.run(['sh', '-c', script], log='x', failure='-')\n"
    "    except commands.Cancelled: pass\n"
    "thread = threading.Thread(target=run)\n"
    "thread.start()\n"
    "try:\n"
    "    with commands.ended_by_signals(): thread.join()\n"
    "except KeyboardInterrupt:\n"
    "    commands.cancel()\n"
    "    sys.exit(130)\n"
)
"""As `toolchain.plan` runs its steps."""

PYTHON = (
    "from toolchain import python_environment\n"
    "try:\n"
    "    with commands.ended_by_signals(): python_environment._run(['sh', '-c', script], '-')\n"
    "except KeyboardInterrupt: sys.exit(130)\n"
)
"""As `toolchain.python_environment` runs pip."""


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def start(tmp_path: Path, how: str) -> tuple[subprocess.Popen[bytes], int, int]:
    """A process, the program that it runs, and what that program has started."""
    script = f"echo $$ >'{tmp_path}/program'; sleep 100 & echo $! >'{tmp_path}/compiler'; wait"
    code = (
        f"import sys, threading; sys.path.insert(0, {str(ROOT)!r})\n"
        f"from toolchain import commands\nscript = {script!r}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code + how],
        env={**os.environ, "SLIPWAY_CACHE": str(tmp_path / "cache")},
    )

    def found(name: str) -> int:
        path = tmp_path / name
        eventually(f"the {name} runs", lambda: path.exists() and path.read_text().endswith("\n"))
        return int(path.read_text())

    return process, found("program"), found("compiler")


@pytest.mark.parametrize("how", [RUN, PYTHON], ids=["a build", "pip"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_all_that_was_started(tmp_path: Path, how: str, number: signal.Signals) -> None:
    process, program, compiler = start(tmp_path, how)
    process.send_signal(number)
    assert process.wait(10) == 130
    eventually("all has ended", lambda: not is_there(program) and not is_there(compiler), 30)


def test_a_signal_amid_the_start_ends_what_starts(tmp_path: Path) -> None:
    slow = (
        "import subprocess, time\n"
        "start = subprocess.Popen\n"
        "def popen(*arguments, **options):\n"
        "    process = start(*arguments, **options)\n"
        "    time.sleep(2)\n"
        "    return process\n"
        "subprocess.Popen = popen\n"
    )
    process, program, compiler = start(tmp_path, slow + PYTHON)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 130
    eventually("all has ended", lambda: not is_there(program) and not is_there(compiler), 30)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
@pytest.mark.parametrize("how", [RUN, PYTHON], ids=["a build", "pip"])
def test_a_kill_ends_the_program(tmp_path: Path, how: str) -> None:
    process, program, compiler = start(tmp_path, how)
    process.kill()
    process.wait()
    eventually("the program has ended", lambda: not is_there(program), 30)
    os.kill(compiler, signal.SIGKILL)
