"""The processes of this machine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.stack import processes


def test_a_process_is_known_by_its_command(sleeper: subprocess.Popen[bytes], dead_pid: int) -> None:
    assert processes.is_running(sleeper.pid, "pulumi")
    assert not processes.is_running(sleeper.pid, "something else")
    assert not processes.is_running(dead_pid, "")
    assert not processes.is_running(0, "")
    assert not processes.is_running(os.getpid(), "")


def test_a_process_that_was_not_collected_yet_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "", "pulumi"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.is_running(process.pid, "pulumi")
    process.wait()


def test_processes_are_found_without_proc_too(
    sleeper: subprocess.Popen[bytes], dead_pid: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert processes.is_running(sleeper.pid, "pulumi")
    assert not processes.is_running(sleeper.pid, "something else")
    assert not processes.is_running(dead_pid, "")
    sleeper.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("by_ps", [False, True])
def test_every_process_is_listed_with_its_parent(
    by_ps: bool, started: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if by_ps:
        monkeypatch.setattr(processes, "_PROC", tmp_path)
    process = started("some words")
    while not processes.is_running(process.pid, "some words"):
        time.sleep(0.01)
    found = processes.everything()[process.pid]
    assert found.parent == os.getpid()
    assert found.command.strip().endswith("some words")
