"""What the picture shows: hosts, what runs on them, and who talks to whom. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from cli.running.host_report import Container, HostReport
from cli.running.stack import RunningStack
from cli.text import age, clean_cell, short_digest, size


class State(Enum):
    """How a part of the picture is. The value is its sign, so that the picture does not depend on colours."""

    WELL = "✓"
    ILL = "✗"
    UNKNOWN = "?"
    PLAIN = ""
    """It has no state of its own, such as a visitor."""


@dataclass(frozen=True)
class Node:
    """A box of the picture."""

    key: str
    """Unlike every other's of the picture."""
    title: str
    lines: tuple[str, ...] = ()
    """What was found, a fact each."""
    state: State = State.PLAIN
    command: str = ""
    """What shows more of it, or works with it."""
    host: str = ""
    """The host that it runs on."""

    @property
    def name(self) -> str:
        """The title, with the host: a service has a box on each of its hosts."""
        return f"{self.title} on {self.host}" if self.host else self.title


@dataclass(frozen=True)
class Host:
    """A host, with what runs there."""

    node: Node
    proxy: Node | None = None
    services: tuple[Node, ...] = ()
    """Those that its proxy serves."""
    registry: Node | None = None
    is_edge: bool = False
    """Whether it stands before all app hosts."""


@dataclass(frozen=True)
class Picture:
    """A stack at one moment."""

    stack: str
    taken: datetime
    visitors: Node
    operator: Node
    hosts: tuple[Host, ...]
    """Edges in the order of their names, then app hosts, then the others."""
    certificates: tuple[Node, ...] = ()
    external_registry: Node | None = None

    @property
    def nodes(self) -> list[Node]:
        """Every box: from visitors to the operator, then the certificates."""
        parts: list[Node | None] = [self.visitors]
        for host in self.hosts:
            parts += [host.node, host.proxy, *host.services, host.registry]
        return [part for part in [*parts, self.external_registry, self.operator, *self.certificates] if part]

    @property
    def is_well(self) -> bool:
        """Whether no box is ill or unknown."""
        return all(node.state in {State.WELL, State.PLAIN} for node in self.nodes)

    @property
    def registry_host(self) -> Host | None:
        """The host with the registry; None for an external one."""
        return next((host for host in self.hosts if host.registry), None)


def picture(running: RunningStack, certificates: Sequence[tuple[str, str, bool]], taken: datetime) -> Picture:
    """The picture of a stack.

    Args:
        running: the stack, with the reports of its hosts.
        certificates: for each certificate its name, how long it is valid, and whether it is.
        taken: when the hosts said so.

    """
    with_apps = {host for _, host in running.places}
    edges = running.edges
    names = sorted(running.hosts, key=lambda name: (name not in edges, name not in with_apps, name))
    is_external = running.registry_mode == "external"
    external = Node(
        "registry",
        "external registry",
        (clean_cell(running.outputs["registryAddress"]),),
        State.PLAIN,
        f"./slip images{running.option}",
    )
    return Picture(
        stack=running.name,
        taken=taken,
        visitors=Node("visitors", "visitors", (), State.PLAIN, _open(running)),
        operator=Node(
            "operator",
            "operator",
            ("by SSH, and by the engines' API with mutual TLS",),
            State.PLAIN,
            f"./slip up{running.option}",
        ),
        hosts=tuple(_host(running, name, taken) for name in names),
        certificates=tuple(
            Node(
                f"certificate-{number}",
                name,
                (clean_cell(found),),
                State.WELL if is_valid else State.ILL,
                f"./slip verify{running.option}",
            )
            for number, (name, found, is_valid) in enumerate(certificates)
        ),
        external_registry=external if is_external else None,
    )


def _open(running: RunningStack) -> str:
    urls = [url for service in running.services for url in running.outputs["serviceUrls"][service]]
    return f"curl {urls[0]}" if urls else ""


def _host(running: RunningStack, name: str, taken: datetime) -> Host:
    report = running.reports.get(name) or HostReport(name, silence="it was not asked")
    roles = running.outputs["hosts"][name].get("roles", ())
    expected = [service for service, host in running.places if host == name]
    if not report.answers:
        node = Node(
            f"host-{name}",
            name,
            (clean_cell(report.silence),),
            State.ILL,
            f"./slip verify{running.option}",
        )
        unknown = tuple(_unknown(running, service, name) for service in expected)
        return Host(node, None, unknown, is_edge="edge" in roles)
    lines = [
        f"Docker Engine {report.engine_version}"
        if report.engine_answers
        else f"engine does not answer: docker.service is {report.engine_unit or 'missing'}",
        *(_disk(disk.path, disk.free_share, disk.free) for disk in report.disks),
    ]
    ill = not report.engine_answers or any(disk.is_full for disk in report.disks)
    command = f"./slip verify{running.option}" if ill else f"./slip repair {name}{running.option}"
    node = Node(f"host-{name}", name, tuple(lines), State.ILL if ill else State.WELL, command)
    names = [*expected, *sorted(set(report.services) - set(expected))]
    services = tuple(_service(running, report, service, taken) for service in names)
    return Host(
        node,
        _proxy(running, report) if names or "edge" in roles else None,
        services,
        _registry(running, report, taken) if "registry" in roles else None,
        is_edge="edge" in roles,
    )


def _disk(path: str, share: float, free: int) -> str:
    return f"disk {path}: {round((1 - share) * 100)} % used, {size(free)} free"


def _proxy(running: RunningStack, report: HostReport) -> Node:
    proxy = report.proxy
    lines = [_restarts(proxy)] if proxy and proxy.restarts else []
    if not report.proxy_answers:
        lines.insert(0, "does not answer" if proxy else "is missing")
    for service, hosts in sorted(report.behind.items()):
        lines.append(", ".join(f"{service} {'on' if hosts[host] else 'not on'} {host}" for host in hosts))
    is_reached = all(all(hosts.values()) for hosts in report.behind.values())
    return Node(
        f"proxy-{report.host}",
        "proxy",
        tuple(lines),
        State.WELL if report.proxy_answers and is_reached else State.ILL,
        f"./slip logs proxy --host {report.host}{running.option}",
        report.host,
    )


def _restarts(container: Container | None) -> str:
    count = container.restarts if container else 0
    return f"restarted {count} time{'' if count == 1 else 's'} by itself"


def _unknown(running: RunningStack, service: str, host: str) -> Node:
    return Node(
        f"service-{service}-{host}",
        service,
        ("unknown: its host does not answer",),
        State.UNKNOWN,
        f"./slip verify{running.option}",
        host,
    )


def _service(running: RunningStack, report: HostReport, service: str, taken: datetime) -> Node:
    key, host = f"service-{service}-{report.host}", report.host
    serving = report.services.get(service)
    if service in report.stopped:
        return Node(
            key, service, ("stopped",), State.UNKNOWN, f"./slip start {service}{running.option}", host
        )
    if serving is None:
        why = report.serves_unknown
        found = clean_cell(f"unknown: {why}") if why else "does not run here"
        state = State.UNKNOWN if why else State.ILL
        return Node(key, service, (found,), state, f"./slip up{running.option}", host)
    wanted = running.wanted(service).partition("@")[2]
    container = report.container(serving.container)
    is_wanted = not wanted or wanted in serving.digests
    lines = [
        clean_cell(short_digest(serving.digest) or "its image has no digest"),
        "" if is_wanted else f"not the wanted {short_digest(wanted)}",
        f"since {age(serving.since.isoformat(), taken)}" if serving.since else "",
        clean_cell(serving.health),
        _restarts(container) if container and container.restarts else "",
    ]
    state = State.WELL if serving.healthy is not False and is_wanted else State.ILL
    command = f"./slip logs {service} --host {host}{running.option}"
    return Node(key, service, tuple(line for line in lines if line), state, command, host)


def _registry(running: RunningStack, report: HostReport, taken: datetime) -> Node:
    container = next((one for one in report.containers if one.role == "registry"), None)
    runs = bool(container and container.status == "running")
    started = container.started if container else None
    lines = [
        running.outputs["registryAddress"],
        (container.status if container else "is missing") if not runs else "",
        f"since {age(started.isoformat(), taken)}" if started and runs else "",
        f"retention: {report.retention.result}" if report.retention and report.retention.ended else "",
    ]
    return Node(
        f"registry-{report.host}",
        "registry",
        tuple(clean_cell(line) for line in lines if line),
        State.WELL if runs else State.ILL,
        f"./slip images{running.option}",
        report.host,
    )
