"""The operator's own Docker Engine: used where it answers, installed and started where that is allowed."""

import shutil
import subprocess
import time
from pathlib import Path

import child_environment
from toolchain import apt, cache, docker_socket
from toolchain.docker_socket import EngineUnreachable
from toolchain.errors import ToolError
from toolchain.report import Report

START_TIMEOUT = 60.0
"""Seconds that the engine gets from its start to its first answer."""


def answers() -> bool:
    """Whether the engine can be used as it is."""
    try:
        docker_socket.ping()
    except EngineUnreachable:
        return False
    return shutil.which("docker") is not None


def prepare(report: Report) -> None:
    """See to it that a Docker Engine answers, and that its command `docker` is there.

    It is installed and started only by root on Debian or Ubuntu, and only where nobody chose another engine.

    Raises:
        ToolError: it does not answer, and may not be, or cannot be, installed or started here.
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
        return f"{start}: start it, or unset DOCKER_HOST or choose another `docker context`."
    return (
        f"{start}, and it can be installed from here only by root on Debian or Ubuntu: "
        f"install and start Docker (Debian, Ubuntu: `sudo apt-get install docker.io`) and retry."
    )


def _start() -> str:
    """Start the engine, wait for its first answer, and say how it was started."""
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
            f"Docker Engine gives no answer {START_TIMEOUT:.0f} s after its start (see `journalctl -u docker`)"
        )
    _mount_control_groups()
    log = cache.root() / "logs" / "dockerd.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        # It lives on after this process, in a session of its own; /var/run/docker.pid names it.
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
        raise ToolError(f"Docker Engine does not start; it said: {last[0]} (all of it: {log})")
    return f"started (process {engine.pid}; there is no systemd), logs to {log}"


def _wait(seconds: float, engine: "subprocess.Popen[bytes] | None" = None) -> bool:
    """Whether the engine answers within that time; a process that has ended will not."""
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
    """The engine needs control groups; where no init system mounted them, nobody has."""
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
