"""The operator's Docker Engine: used if it answers, else installed and started if that is allowed."""

import shutil
import subprocess
import time
from pathlib import Path

import child_environment
from engine_socket import EngineUnreachable
from toolchain import apt, cache, docker_socket
from toolchain.errors import ToolError
from toolchain.report import Report

START_TIMEOUT = 60.0
"""Longest time in seconds from the engine's start to its first answer."""


def answers() -> bool:
    """Whether the engine answers and its command `docker` is installed."""
    try:
        docker_socket.ping()
    except EngineUnreachable:
        return False
    return shutil.which("docker") is not None


def prepare(report: Report) -> None:
    """Install and start Docker Engine and its command `docker`, as far as they are missing.

    This needs root on Debian or Ubuntu, and no other engine chosen by DOCKER_HOST or a docker context.

    Raises:
        ToolError: the engine does not answer, and cannot be installed or started.
    """
    try:
        docker_socket.ping()
        if shutil.which("docker"):
            return
        reason = "the command `docker` is missing"
    except EngineUnreachable as error:
        reason = str(error)
    where = docker_socket.endpoint()
    may = apt.allowed() and where == docker_socket.DEFAULT
    if not may:
        raise ToolError(_remedy(where, reason))
    if not shutil.which("dockerd") or not shutil.which("docker"):
        with report.step("Docker Engine", "installing docker.io and iptables") as step:
            apt.install("docker.io", "iptables", failure="Docker Engine cannot be installed")
            step.done("installed docker.io and iptables")
    if not _wait(0.5):
        with report.step("Docker Engine", "starting it") as step:
            step.done(_start())


def _remedy(where: str, reason: str) -> str:
    start = f"Docker Engine does not answer at {where} ({reason})"
    if "Permission denied" in reason:
        return f"{start}: your account may not use it; run `sudo usermod -aG docker $USER`, log in again and retry."
    if where != docker_socket.DEFAULT:
        return f"{start}: start it, unset DOCKER_HOST, or choose another `docker context`."
    return (
        f"{start}, and slip installs it only as root on Debian or Ubuntu: "
        f"install and start Docker (Debian, Ubuntu: `sudo apt-get install docker.io`) and retry."
    )


def _start() -> str:
    """Start the engine and wait for its first answer. Returns how it was started."""
    if Path("/run/systemd/system").is_dir():
        result = subprocess.run(
            ["systemctl", "start", "docker"],
            env=child_environment.of("systemctl"),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise ToolError(
                f"Docker Engine does not start: {result.stderr.strip()} (see `journalctl -u docker`)"
            )
        if _wait(START_TIMEOUT):
            return "started by systemd"
        raise ToolError(
            f"Docker Engine does not answer {START_TIMEOUT:.0f} s after its start (see `journalctl -u docker`)"
        )
    _mount_control_groups()
    log = cache.root() / "logs" / "dockerd.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        # In its own session, so that it outlives this process. /var/run/docker.pid has its process id.
        engine = subprocess.Popen(
            ["dockerd"],
            env=child_environment.of("dockerd"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    if not _wait(START_TIMEOUT, engine):
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise ToolError(f"Docker Engine does not start; it said: {last[0]} (full log: {log})")
    return f"started without systemd (process {engine.pid}), logs to {log}"


def _wait(seconds: float, engine: "subprocess.Popen[bytes] | None" = None) -> bool:
    """Whether the engine answers within `seconds`. False at once if its process has ended."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            docker_socket.ping(1.0)
            return True
        except EngineUnreachable:
            if time.monotonic() > deadline or (engine is not None and engine.poll() is not None):
                return False
            time.sleep(0.1)


def _mount_control_groups() -> None:
    """Mount the control groups, which the engine needs, if no init system has mounted them."""
    mounts = Path("/proc/mounts").read_text().splitlines()
    if any(line.split()[2] in {"cgroup", "cgroup2"} for line in mounts):
        return
    if Path("/sys/fs/cgroup").is_dir():
        subprocess.run(
            ["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"],
            env=child_environment.of("mount"),
            check=False,
            capture_output=True,
        )
