"""What an emulated stack needs in addition: the emulation's Python environment and the image of its instances."""

import importlib.util
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from toolchain import cache, commands, docker_socket, locks, python_environment
from toolchain.errors import ToolError
from toolchain.report import Report
from toolchain.versions import REPOSITORY

REQUIREMENTS = REPOSITORY / "requirements-emulation.txt"
HOST_CONTEXT = REPOSITORY / "components/hosts/local_image"
INSTANCE_CONTEXT = REPOSITORY / "emulation/machine_image"


@dataclass(frozen=True)
class Emulator:
    """How to run the emulation."""

    python: Path
    """The interpreter with the emulation's packages."""
    image: str
    """The image that its instances boot."""


def check() -> None:
    """Check whether this machine can run the emulation.

    Raises:
        ToolError: it cannot; the text has the reason and the remedy.
    """
    if not sys.platform.startswith("linux"):
        raise ToolError(
            f"--emulate needs Linux, because of loop devices and containers' addresses; this is {sys.platform}"
        )
    if os.geteuid() != 0:
        raise ToolError(
            "--emulate needs root, because of loop devices and ports below 1024: run it with sudo"
        )
    if not docker_socket.endpoint().startswith("unix://"):
        raise ToolError(
            f"--emulate needs a Docker Engine on this machine, and the one in use is {docker_socket.endpoint()}: "
            "unset DOCKER_HOST or choose another `docker context`"
        )


def prepare(report: Report) -> Emulator:
    """Make what is missing. Needs the Docker Engine and the Debian image.

    Raises:
        ToolError: something cannot be installed or built.
    """
    return Emulator(_python(), _image(report))


def _python() -> Path:
    if importlib.util.find_spec("moto"):
        return Path(sys.executable)  # the development environment
    content = REQUIREMENTS.read_bytes() + locks.path(REQUIREMENTS).read_bytes()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    environment = cache.root() / "environments" / f"emulation-{zlib.crc32(content)}-{version}"
    if not (environment / python_environment.STAMP).exists():
        python_environment.make(environment, REQUIREMENTS)
    return environment / "bin" / "python"


def _image(report: Report) -> str:
    from components.build_context import content_tag

    # The platform `local` uses the same name for the first image, so it may exist.
    host = f"slipway/host:{content_tag(HOST_CONTEXT)}"
    instance = f"slipway/instance:{content_tag(INSTANCE_CONTEXT, arguments={'BASE': host})}"
    found = docker_socket.tags([host, instance])
    if instance in found:
        return instance
    with report.step("Instance image", "building what emulated instances boot, about a minute") as step:
        if host not in found:
            _build(host, HOST_CONTEXT)
        _build(instance, INSTANCE_CONTEXT, "--build-arg", f"BASE={host}")
        step.done("built what emulated instances boot")
    return instance


def _build(name: str, context: Path, *options: str) -> None:
    commands.run(
        ["docker", "build", "--tag", name, *options, context],
        log=f"build-{name.partition(':')[0].replace('/', '-')}",
        failure=f"the image {name} cannot be built",
        environment=docker_socket.command_environment(),
        variables={"DOCKER_BUILDKIT": "0"},
    )
