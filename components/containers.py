"""A service's container in the words of the Docker provider, as far as the settings say it. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_docker as docker

from components.engine import LOG_DRIVER, LOG_OPTIONS
from configuration.containers import ContainerSettings, HealthCheck
from configuration.ports import LOOPBACK, PublishedPort

HOST_GATEWAY = "host-gateway"
"""The engine's word for its own host, as its containers reach it."""
PLENTY_OF_PROCESSES = 4096
"""The limit that a switch sets unless it is told another one."""


def options(
    settings: ContainerSettings,
    check: HealthCheck | None,
    names: Mapping[str, str],
    volumes: Mapping[str, Any],
    secrets: pulumi.Input[str] | None = None,
    files: Sequence[docker.ContainerVolumeArgs] = (),
) -> dict[str, Any]:
    """Arguments of `docker.Container`. What is not set is left out: a stack that has it not keeps its containers.

    Args:
        settings: the service's.
        check: how it is known to be healthy, if no proxy asks it.
        names: names of other services, each with its address.
        volumes: the names of its volumes on the engine, by the names in the settings.
        secrets: the folder of its secrets on the host; None without any.
        files: the mounts of its files.
    """
    tests = list(check.command) if check and check.command else ["NONE"] if check and not check.image else []
    found: dict[str, Any] = {
        "command": settings.command and list(settings.command),
        "entrypoints": settings.entrypoint and list(settings.entrypoint),
        "user": settings.user,
        "working_dir": settings.workdir,
        "memory_reservation": settings.memory_reservation,
        "cpus": settings.cpus,
        "shm_size": settings.shm,
        "init": settings.init,
        "ulimits": [
            docker.ContainerUlimitArgs(name=name, soft=limit, hard=limit)
            for name, limit in sorted(settings.ulimits.items())
        ],
        "sysctls": dict(settings.sysctls),
        "devices": [
            docker.ContainerDeviceArgs(host_path=device, container_path=device, permissions="rwm")
            for device in settings.devices
        ],
        "stop_signal": settings.stop_signal,
        "dns": list(settings.dns),
        "hosts": [
            docker.ContainerHostArgs(host=name, ip=address)
            for name, address in sorted({**names, **settings.extra_hosts}.items())
        ],
        "volumes": [
            *(
                docker.ContainerVolumeArgs(volume_name=volumes[name], container_path=path)
                for name, path in sorted(settings.volumes.items())
            ),
            *(
                docker.ContainerVolumeArgs(
                    host_path=path,
                    container_path=target.removesuffix(":ro"),
                    read_only=target.endswith(":ro"),
                )
                for path, target in sorted(settings.bind.items())
            ),
            *(
                [docker.ContainerVolumeArgs(host_path=secrets, container_path="/run/secrets", read_only=True)]
                if secrets is not None
                else []
            ),
            *files,
        ],
        "ports": [
            *(docker.ContainerPortArgs(internal=port, external=port) for port in settings.ports.private),
            *map(_port, settings.ports.published),
        ],
        "healthcheck": docker.ContainerHealthcheckArgs(tests=tests, interval="30s", timeout="30s", retries=3)
        if tests and tests != ["NONE"]
        else docker.ContainerHealthcheckArgs(tests=tests)
        if tests
        else None,
    }
    return {key: value for key, value in found.items() if value}


def _port(port: PublishedPort) -> docker.ContainerPortArgs:
    everywhere = {} if port.is_public else {"ip": LOOPBACK}
    return docker.ContainerPortArgs(
        internal=port.container, external=port.host, protocol=port.protocol, **everywhere
    )


def fixed(settings: ContainerSettings, check: HealthCheck | None) -> dict[str, str]:
    """Labels with what the provider does not compare, so that another value makes a new container.

    It compares no ports, which the engine shows of a container that runs only; and it keeps the old health check.
    """
    found = {
        "slipway.ports": " ".join([*map(str, settings.ports.private), *map(str, settings.ports.published)]),
        "slipway.health": " ".join(check.command) if check else "",
    }
    return {label: value for label, value in found.items() if value}


def tmpfs(settings: ContainerSettings, *, read_only: bool) -> dict[str, str] | None:
    """The directories in memory; a container whose files cannot be changed has a /tmp."""
    found = {"/tmp": ""} if read_only else {}  # noqa: S108
    return found | {path: f"size={size}m" for path, size in settings.tmpfs.items()} or None


def log_options(settings: ContainerSettings) -> dict[str, str]:
    """The options of the log driver."""
    own = LOG_OPTIONS if settings.log_driver in {LOG_DRIVER, "json-file"} else {}
    return {**own, **settings.log_options}


def switch_options(settings: ContainerSettings) -> list[str]:
    """What a switch is told of the containers. A default is left out."""
    return [
        *(["order=stop-first"] if settings.is_stopped_first else []),
        *([f"pids={settings.pids}"] if settings.pids != PLENTY_OF_PROCESSES else []),
    ]


def checked_by(check: HealthCheck) -> str:
    """How a switch is to check a service that no proxy asks, in the words of scripts/services.sh."""
    if check.tcp:
        return f"check=tcp:{check.tcp}"
    return "check=none" if check.none else "check=command"


def environment(plain: Mapping[str, str], secret: Mapping[str, str]) -> list[pulumi.Input[str]]:
    """The variables, sorted; those of secrets are secret."""
    texts: dict[str, pulumi.Input[str]] = {key: f"{key}={value}" for key, value in plain.items()}
    texts |= {key: pulumi.Output.secret(f"{key}={value}") for key, value in secret.items()}
    return [texts[key] for key in sorted(texts)]
