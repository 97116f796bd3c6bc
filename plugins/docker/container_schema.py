"""The properties of a docker.Container: `resource_docker_container.go` of Terraform's docker provider, as a table."""

import re
from functools import partial
from typing import Any

from plugins.bridge.schema import Attribute, Schema
from plugins.bridge.state import SDK_TIMEOUTS
from plugins.protocol.properties import Properties

_new = partial(Attribute, force_new=True)
_text = partial(_new)
_texts = partial(_new, "set")
_refused = partial(Attribute, supported=False)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def nanoseconds(duration: str) -> int:
    """Return a Go duration such as `1m30s` in nanoseconds; ValueError for other text."""
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is not a duration such as 500ms, 10s or 1m30s")
    return round(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


def _same_duration(old: Any, new: Any) -> bool:
    return nanoseconds(old or "0s") == nanoseconds(new or "0s")


def _same_unless_empty(old: Any, new: Any) -> bool:
    """Say whether two values are the same; an empty new value stands for the image's own."""
    return not new or old == new


def _same_ports(old: Any, new: Any) -> bool:
    """Compare published ports in any order. A port without an external port matches any external port."""
    remaining = list(old or [])
    for port in new or []:
        match = next((one for one in remaining if _fits(one, port)), None)
        if match is None:
            return False
        remaining.remove(match)
    return not remaining


def _fits(published: Properties, wanted: Properties) -> bool:
    fields = {"ip": "0.0.0.0", "protocol": "tcp", **wanted}  # noqa: S104  # Docker's default
    return all(published.get(name) == value for name, value in fields.items() if value is not None)


LABELS = {
    "label": Attribute(required=True, force_new=True),
    "value": Attribute(required=True, force_new=True),
}

_LIMITED = {"path": Attribute(), "rate": Attribute("integer")}

_DURATION_FIELD = Attribute(default="0s", same=_same_duration)

CONTAINER = Schema(
    version="2",
    timeouts=SDK_TIMEOUTS,
    autonamed="name",
    delete_before_replace=True,
    attributes={
        "attach": _refused("boolean", default=False),
        "bridge": Attribute(computed=True, output=True),
        "capabilities": _new(
            "set",
            {
                "adds": _texts(terraform_name="add"),
                "drops": _texts(terraform_name="drop"),
            },
            single=True,
        ),
        "cgroupParent": _text(),
        "cgroupnsMode": _text(choices=("host", "private")),
        "command": _new("list", computed=True),
        "containerLogs": Attribute(computed=True, output=True),
        "containerReadRefreshTimeoutMilliseconds": Attribute("integer", default=15000, minimum=1),
        "cpuPeriod": Attribute("integer", minimum=0),
        "cpuQuota": Attribute("integer", minimum=0),
        "cpuSet": Attribute(),
        "cpuShares": Attribute("integer", minimum=0),
        "cpus": _text(),
        "destroyGraceSeconds": Attribute("integer", minimum=0),
        "deviceReadBps": _refused("set", _LIMITED),
        "deviceReadIops": _refused("set", _LIMITED),
        "deviceRequests": _refused("list", {}, force_new=True),
        "deviceWriteBps": _refused("set", _LIMITED),
        "deviceWriteIops": _refused("set", _LIMITED),
        "devices": _new(
            "set",
            {"containerPath": _text(), "hostPath": _text(required=True), "permissions": _text()},
        ),
        "dns": _texts(),
        "dnsOpts": _texts(),
        "dnsSearches": _texts(terraform_name="dns_search"),
        "domainname": _text(),
        "entrypoints": _new("list", computed=True, terraform_name="entrypoint"),
        "envs": _texts(computed=True, terraform_name="env"),
        "exitCode": Attribute("integer", computed=True, output=True),
        "gpus": _refused(force_new=True),
        "groupAdds": _texts(terraform_name="group_add"),
        "healthcheck": Attribute(
            "list",
            {
                "interval": _DURATION_FIELD,
                "retries": Attribute("integer", default=0, minimum=0),
                "startInterval": _DURATION_FIELD,
                "startPeriod": _DURATION_FIELD,
                "tests": Attribute("list", required=True, terraform_name="test"),
                "timeout": _DURATION_FIELD,
            },
            single=True,
            computed=True,
        ),
        "hostname": _text(computed=True),
        "hosts": _new(
            "set", {"host": _text(required=True), "ip": _text(required=True)}, terraform_name="host"
        ),
        "image": _text(required=True),
        "init": Attribute("boolean", computed=True),
        "ipcMode": _text(computed=True),
        "labels": _new("set", LABELS, computed=True),
        "logDriver": _text(computed=True),
        "logOpts": _new("map"),
        "logs": _refused("boolean", default=False),
        "maxRetryCount": Attribute("integer", minimum=0),
        "memory": Attribute("integer", minimum=0),
        "memoryReservation": Attribute("integer", default=0, minimum=0),
        "memorySwap": Attribute("integer", minimum=-1),
        "mounts": _refused("set", {}, force_new=True),
        "mustRun": Attribute("boolean", default=True),
        "name": _text(required=True),
        "networkDatas": Attribute(
            "list",
            {
                "gateway": Attribute(),
                "globalIpv6Address": Attribute(),
                "globalIpv6PrefixLength": Attribute("integer"),
                "ipAddress": Attribute(),
                "ipPrefixLength": Attribute("integer"),
                "ipv6Gateway": Attribute(),
                "macAddress": Attribute(),
                "networkName": Attribute(),
            },
            computed=True,
            output=True,
            terraform_name="network_data",
        ),
        "networkMode": _text(default="bridge"),
        "networksAdvanced": _new(
            "set",
            {
                "aliases": _texts(),
                "driverOpts": _texts(),
                "gwPriority": _refused("integer", force_new=True),
                "ipv4Address": _text(),
                "ipv6Address": _text(),
                "linkLocalIps": _texts(),
                "macAddress": _text(),
                "name": _text(required=True),
            },
        ),
        "pidMode": _text(),
        "platform": _refused(computed=True, force_new=True),
        "ports": _new(
            "list",
            {
                "external": _new("integer", computed=True, minimum=0),
                "internal": _new("integer", required=True, minimum=1),
                "ip": _text(default="0.0.0.0"),  # noqa: S104  # Docker's default
                "protocol": _text(default="tcp", choices=("tcp", "udp", "sctp")),
            },
            same=_same_ports,
        ),
        "privileged": _new("boolean"),
        "publishAllPorts": _new("boolean"),
        "readOnly": _new("boolean", default=False),
        "removeVolumes": Attribute("boolean", default=True),
        "restart": Attribute(default="no", choices=("no", "on-failure", "always", "unless-stopped")),
        "rm": _refused("boolean", default=False),
        "runtime": _text(computed=True),
        "securityOpts": _texts(computed=True),
        "shmSize": _new("integer", computed=True, minimum=0),
        "start": Attribute("boolean", default=True),
        "stdinOpen": _new("boolean", default=False),
        "stopSignal": _text(computed=True),
        "stopTimeout": _new("integer", computed=True, minimum=0),
        "storageOpts": _new("map"),
        "sysctls": _new("map"),
        "tmpfs": Attribute("map"),
        "tty": _new("boolean", default=False),
        "ulimits": _new(
            "set",
            {
                "hard": _new("integer", required=True),
                "name": _text(required=True),
                "soft": _new("integer", required=True),
            },
            terraform_name="ulimit",
        ),
        "uploads": _new(
            "set",
            {
                "content": _text(),
                "contentBase64": _text(),
                "executable": _new("boolean", default=False),
                "file": _text(required=True),
                "permissions": _text(),
                "source": _text(),
                "sourceHash": _text(),
            },
            terraform_name="upload",
        ),
        "user": _text(same=_same_unless_empty),
        "usernsMode": _text(),
        "volumes": _new(
            "set",
            {
                "containerPath": _text(),
                "fromContainer": _text(),
                "hostPath": _text(),
                "readOnly": _new("boolean"),
                "selinuxRelabel": _text(choices=("z", "Z")),
                "volumeName": _text(),
            },
        ),
        "wait": Attribute("boolean", default=False),
        "waitTimeout": Attribute("integer", default=60, minimum=1),
        "workingDir": _text(same=_same_unless_empty),
    },
)
