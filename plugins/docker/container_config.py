"""A container's inputs in the Engine API's form: the body of `POST /containers/create` and of the calls after it."""

import base64
import io
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugins.bridge.schema import State
from plugins.docker.container_schema import nanoseconds
from plugins.docker.engine import labels_of
from plugins.protocol.properties import Properties, Unknown

MIB = 1024 * 1024
_DEFAULT_NETWORK = "bridge"
_OPEN_SYSTEM_PATHS = "systempaths=unconfined"
"""A client-side option, which the engine does not know: the client sends empty MaskedPaths and ReadonlyPaths."""


def creation(planned: State) -> Properties:
    """Return the body that creates the container `planned`, without its networks and uploads."""
    # The engine or the image decides the unknown values.
    given = {name: None if isinstance(value, Unknown) else value for name, value in planned.items()}
    ports = given["ports"] or []
    volumes, binds, volumes_from = _volumes(given["volumes"] or [])
    body: Properties = {
        "Image": given["image"],
        "Hostname": given["hostname"],
        "Domainname": given["domainname"],
        "Tty": given["tty"],
        "OpenStdin": given["stdinOpen"],
        "Env": given["envs"],
        "Cmd": given["command"],
        "Entrypoint": given["entrypoints"],
        "User": given["user"],
        "WorkingDir": given["workingDir"],
        "Labels": labels_of(given["labels"]),
        "ExposedPorts": {_port_key(port): {} for port in ports},
        "Volumes": volumes,
        "StopSignal": given["stopSignal"],
        "StopTimeout": given["stopTimeout"],
        "Healthcheck": _healthcheck(given["healthcheck"]),
        "HostConfig": _host_config(given, ports, binds, volumes_from),
    }
    return {name: value for name, value in body.items() if value not in (None, [], {})}


def _host_config(
    given: State, ports: list[Properties], binds: list[str], volumes_from: list[str]
) -> Properties:
    capabilities = (given["capabilities"] or [{}])[0]
    config = {
        "Binds": binds,
        "VolumesFrom": volumes_from,
        "PortBindings": _port_bindings(ports),
        "RestartPolicy": _restart_policy(given),
        "NetworkMode": given["networkMode"],
        "CapAdd": capabilities.get("adds"),
        "CapDrop": capabilities.get("drops"),
        "CgroupnsMode": given["cgroupnsMode"],
        "CgroupParent": given["cgroupParent"],
        "Dns": given["dns"],
        "DnsOptions": given["dnsOpts"],
        "DnsSearch": given["dnsSearches"],
        "ExtraHosts": [f"{host['host']}:{host['ip']}" for host in given["hosts"] or []],
        "GroupAdd": given["groupAdds"],
        "IpcMode": given["ipcMode"],
        "PidMode": given["pidMode"],
        "UsernsMode": given["usernsMode"],
        "Privileged": given["privileged"],
        "PublishAllPorts": given["publishAllPorts"],
        "ReadonlyRootfs": given["readOnly"],
        "SecurityOpt": [option for option in given["securityOpts"] or [] if option != _OPEN_SYSTEM_PATHS],
        "StorageOpt": given["storageOpts"],
        "Sysctls": given["sysctls"],
        "Tmpfs": given["tmpfs"],
        "ShmSize": (given["shmSize"] or 0) * MIB,
        "Runtime": given["runtime"],
        "LogConfig": {"Type": given["logDriver"] or "", "Config": given["logOpts"] or {}},
        "Ulimits": [
            {"Name": limit["name"], "Soft": limit["soft"], "Hard": limit["hard"]}
            for limit in given["ulimits"] or []
        ],
        "Devices": [_device(device) for device in given["devices"] or []],
        "Init": bool(given["init"]),
        "NanoCpus": round(float(given["cpus"] or 0) * 1e9),
        **resources(given),
    }
    said = {
        name: value for name, value in config.items() if value not in (None, "", [], {}, 0) or value is False
    }
    if _OPEN_SYSTEM_PATHS in (given["securityOpts"] or []):
        said |= {"MaskedPaths": [], "ReadonlyPaths": []}
    return said


def resources(given: State) -> Properties:
    """Return the limits that can be changed while the container runs."""
    swap = given["memorySwap"] or 0
    return {
        "CpuShares": given["cpuShares"] or 0,
        "CpuPeriod": given["cpuPeriod"] or 0,
        "CpuQuota": given["cpuQuota"] or 0,
        "CpusetCpus": given["cpuSet"] or "",
        "Memory": (given["memory"] or 0) * MIB,
        "MemoryReservation": (given["memoryReservation"] or 0) * MIB,
        "MemorySwap": swap * MIB if swap > 0 else swap,
    }


def change(given: State) -> Properties:
    """Return the body of `POST /containers/ID/update`."""
    limits = resources(given)
    # Twice the memory is the engine's default for a new container. Without a value the old limit would stay.
    swap = limits["MemorySwap"] or 2 * limits["Memory"]
    return {**limits, "MemorySwap": swap, "RestartPolicy": _restart_policy(given)}


def _restart_policy(given: State) -> Properties:
    return {"Name": given["restart"], "MaximumRetryCount": given["maxRetryCount"] or 0}


def _port_key(port: Properties) -> str:
    return f"{port['internal']}/{port['protocol']}"


def _port_bindings(ports: list[Properties]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        external = port["external"]
        outside = "" if external is None or isinstance(external, Unknown) else str(external)
        bindings.setdefault(_port_key(port), []).append({"HostIp": port["ip"] or "", "HostPort": outside})
    return bindings


def _volumes(volumes: list[Properties]) -> tuple[dict[str, Properties], list[str], list[str]]:
    """Return mount points, binds and containers to take volumes from; ValueError for an entry of another form."""
    points: dict[str, Properties] = {}
    binds = []
    sources = []
    for volume in volumes:
        path, source = volume["containerPath"], volume["volumeName"] or volume["hostPath"]
        if bool(path) == bool(volume["fromContainer"]):
            raise ValueError("a volume has either a containerPath or a fromContainer")
        if not path:
            sources.append(volume["fromContainer"])
            continue
        points[path] = {}
        if source:
            options = ["ro" if volume["readOnly"] else "rw"]
            options += [volume["selinuxRelabel"]] if volume["selinuxRelabel"] else []
            binds.append(f"{source}:{path}:{','.join(options)}")
    return points, binds, sources


def _device(device: Properties) -> Properties:
    return {
        "PathOnHost": device["hostPath"],
        "PathInContainer": device["containerPath"] or device["hostPath"],
        "CgroupPermissions": device["permissions"] or "rwm",
    }


def _healthcheck(healthcheck: list[Properties] | None) -> Properties | None:
    if not healthcheck:
        return None
    check = healthcheck[0]
    body = {
        "Test": check["tests"],
        "Interval": nanoseconds(check["interval"]),
        "Timeout": nanoseconds(check["timeout"]),
        "StartPeriod": nanoseconds(check["startPeriod"]),
        "Retries": check["retries"] or 0,
    }
    start_interval = nanoseconds(check["startInterval"])
    return {**body, "StartInterval": start_interval} if start_interval else body


def endpoint(network: Properties) -> Properties:
    """Return the body that connects the container to `network`, one of its `networksAdvanced`."""
    addresses = {
        "IPv4Address": network["ipv4Address"],
        "IPv6Address": network["ipv6Address"],
        "LinkLocalIPs": network["linkLocalIps"],
    }
    body = {
        "Aliases": network["aliases"],
        "MacAddress": network["macAddress"],
        "DriverOpts": dict(option.partition("=")[::2] for option in network["driverOpts"]),
        "IPAMConfig": {name: value for name, value in addresses.items() if value},
    }
    return {name: value for name, value in body.items() if value}


def leaves_default_network(given: State) -> bool:
    """Say whether the container has its own networks instead of the engine's default network."""
    return bool(given["networksAdvanced"]) and given["networkMode"] == _DEFAULT_NETWORK


def upload_archive(uploads: list[Properties]) -> bytes:
    """Return a tar archive of `uploads` for the container's root directory; ValueError for an invalid upload."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for upload in uploads:
            content = _content(upload)
            entry = tarfile.TarInfo(upload["file"].lstrip("/"))
            entry.size = len(content)
            entry.mode = _mode(upload)
            entry.mtime = int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def _content(upload: Mapping[str, Any]) -> bytes:
    given = [name for name in ("content", "contentBase64", "source") if upload[name]]
    if len(given) > 1:
        raise ValueError(
            "error with upload content: only one of 'content', 'content_base64', or 'source' can be set"
        )
    if upload["contentBase64"]:
        return base64.b64decode(upload["contentBase64"], validate=True)
    if upload["source"]:
        return Path(upload["source"]).read_bytes()
    if not given:
        raise ValueError(
            "error with upload content: one of 'content', 'content_base64', or 'source' must be set"
        )
    return str(upload["content"]).encode()


def _mode(upload: Mapping[str, Any]) -> int:
    if upload["permissions"]:
        return int(upload["permissions"], 8)
    return 0o744 if upload["executable"] else 0o644
