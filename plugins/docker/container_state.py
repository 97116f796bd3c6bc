"""The engine's description of a container (`GET /containers/ID/json`) in the form of a resource's state."""

from collections.abc import Mapping
from typing import Any

from plugins.bridge.schema import State
from plugins.bridge.state import ordered
from plugins.docker.container_config import MIB
from plugins.docker.container_schema import CONTAINER, nanoseconds
from plugins.protocol.properties import Properties, Unknown

_UNITS = (("h", 3600 * 10**9), ("m", 60 * 10**9))


def observe(container: Mapping[str, Any], before: State) -> State:
    """Return the properties that the engine shows. `before` is the last state: it shows how the program writes them.

    Environment, labels, networks and volumes are not among the properties: the engine adds the image's own to them.
    """
    config, host, settings = container["Config"], container["HostConfig"], container["NetworkSettings"]
    running = container["State"]["Running"]
    swap = host["MemorySwap"]
    observed: State = {
        "bridge": settings.get("Bridge", ""),
        "capabilities": _capabilities(host),
        "command": config["Cmd"] or [],
        "cpuSet": host["CpusetCpus"],
        "cpuShares": host["CpuShares"],
        "devices": [
            {
                "containerPath": device["PathInContainer"],
                "hostPath": device["PathOnHost"],
                "permissions": device["CgroupPermissions"],
            }
            for device in host["Devices"] or []
        ],
        "dns": host["Dns"] or [],
        "dnsOpts": host["DnsOptions"] or [],
        "dnsSearches": host["DnsSearch"] or [],
        "domainname": config["Domainname"],
        "entrypoints": config["Entrypoint"] or [],
        "groupAdds": host["GroupAdd"] or [],
        "hostname": config["Hostname"],
        "hosts": [_extra_host(entry) for entry in host["ExtraHosts"] or []],
        "image": config["Image"],
        "init": bool(host.get("Init")),
        "ipcMode": host["IpcMode"],
        "logDriver": host["LogConfig"]["Type"],
        "logOpts": host["LogConfig"]["Config"] or {},
        "maxRetryCount": host["RestartPolicy"]["MaximumRetryCount"],
        "memory": host["Memory"] // MIB,
        "memoryReservation": host["MemoryReservation"] // MIB,
        "memorySwap": swap // MIB if swap > 0 else swap,
        "name": container["Name"].lstrip("/"),
        "networkDatas": [_network(name, data) for name, data in sorted((settings["Networks"] or {}).items())],
        "networkMode": "bridge" if host["NetworkMode"] == "default" else host["NetworkMode"],
        "platform": container["Platform"],
        "ports": _ports(settings["Ports"] or {}),
        "privileged": host["Privileged"],
        "publishAllPorts": host["PublishAllPorts"],
        "readOnly": host["ReadonlyRootfs"],
        "restart": host["RestartPolicy"]["Name"] or "no",
        "rm": host["AutoRemove"],
        "runtime": host["Runtime"],
        "securityOpts": host["SecurityOpt"] or [],
        "shmSize": host["ShmSize"] // MIB,
        "stdinOpen": config["OpenStdin"],
        "stopSignal": config.get("StopSignal", ""),
        "stopTimeout": config.get("StopTimeout") or 0,
        "storageOpts": host.get("StorageOpt") or {},
        "sysctls": host.get("Sysctls") or {},
        "tmpfs": host.get("Tmpfs") or {},
        "tty": config["Tty"],
        "ulimits": [
            {"hard": limit["Hard"], "name": limit["Name"], "soft": limit["Soft"]}
            for limit in host["Ulimits"] or []
        ],
        "user": config["User"],
        "usernsMode": host["UsernsMode"],
        "workingDir": config["WorkingDir"],
        "exitCode": None if running else container["State"]["ExitCode"],
    }
    healthcheck = _healthcheck(config.get("Healthcheck"), before.get("healthcheck"))
    if healthcheck or not isinstance(before.get("healthcheck"), Unknown):
        # Without a health check the value is null after the creation, and empty after the first refresh.
        observed["healthcheck"] = healthcheck
    return {name: ordered(value, CONTAINER.attributes[name]) for name, value in observed.items()}


def _capabilities(host: Mapping[str, Any]) -> list[Properties]:
    added, dropped = host["CapAdd"] or [], host["CapDrop"] or []
    return [{"adds": sorted(added), "drops": sorted(dropped)}] if added or dropped else []


def _extra_host(entry: str) -> Properties:
    host, _, address = entry.partition(":")
    return {"host": host, "ip": address}


def _ports(ports: Mapping[str, Any]) -> list[Properties]:
    """Return the published ports, ordered by internal port."""
    keys = sorted(ports, key=lambda key: (int(key.partition("/")[0]), key))
    return [
        {
            "external": int(binding["HostPort"]),
            "internal": int(key.partition("/")[0]),
            "ip": binding["HostIp"],
            "protocol": key.partition("/")[2],
        }
        for key in keys
        for binding in ports[key] or []
    ]


def _network(name: str, data: Mapping[str, Any]) -> Properties:
    return {
        "gateway": data["Gateway"],
        "globalIpv6Address": data["GlobalIPv6Address"],
        "globalIpv6PrefixLength": data["GlobalIPv6PrefixLen"],
        "ipAddress": data["IPAddress"],
        "ipPrefixLength": data["IPPrefixLen"],
        "ipv6Gateway": data["IPv6Gateway"],
        "macAddress": data["MacAddress"],
        "networkName": name,
    }


def _healthcheck(check: Mapping[str, Any] | None, before: Any) -> list[Properties]:
    if not check or not check.get("Test"):
        return []
    given = before[0] if isinstance(before, list) and before else {}
    return [
        {
            "interval": _duration(check.get("Interval", 0), given.get("interval")),
            "retries": check.get("Retries", 0),
            "startInterval": _duration(check.get("StartInterval", 0), given.get("startInterval")),
            "startPeriod": _duration(check.get("StartPeriod", 0), given.get("startPeriod")),
            "tests": check["Test"],
            "timeout": _duration(check.get("Timeout", 0), given.get("timeout")),
        }
    ]


def _duration(value: int, given: str | None) -> str:
    """Return nanoseconds as Go writes them, or as the program wrote the same."""
    if given and nanoseconds(given) == value:
        return given
    text = ""
    for unit, length in _UNITS:
        count, value = divmod(value, length)
        text += f"{count}{unit}" if count or text else ""
    if 0 < value < 10**9 and not text:
        return f"{value / 10**6:g}ms"
    return f"{text}{value / 10**9:g}s"
