"""What a host says about itself: the lines of scripts/report.sh as data. Pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cli.running.backup import Backup, backup
from cli.running.disk import Disk
from cli.running.drift import Difference
from cli.running.hang import Hang, hang
from cli.running.job import Job, job
from well_known import PROXY_CONTAINER

UP = "up"
"""The report's word for a host that an edge finds well."""
ACTIVE = "active"
"""systemd's word for a unit that runs."""


@dataclass(frozen=True)
class Container:
    """One of the stack's containers on a host, running or not."""

    name: str
    role: str
    """`proxy` or `registry`; empty for an app's container."""
    service: str
    """The service's name; empty for Slipway's own containers."""
    status: str
    """In Docker's words: `running`, `exited`, `restarting`, `paused`, …"""
    exit_code: int
    """Of its last run."""
    out_of_memory: bool
    """Whether the kernel ended it, because it reached its memory limit."""
    restarts: int
    """How often the engine has restarted it by itself."""
    created: datetime | None
    started: datetime | None
    """None for a container that never started."""
    images: tuple[str, ...]
    """Its image by digest, `host:port/repository@sha256:…`. Several names where several repositories have it; none if
    the image came from no registry."""
    image_made: datetime | None = None
    """When the image was built, as the image says; None if it does not."""


@dataclass(frozen=True)
class Serving:
    """What the proxy of a host serves for one service."""

    service: str
    container: str
    images: tuple[str, ...]
    """As in `Container`; none if the container is gone."""
    since: datetime | None
    """When its container was made, in a roll-out."""
    health: str
    """What its health path answered just now, such as `HTTP 200 on /up`; empty if no health path is known."""
    healthy: bool | None
    """Whether that is a status of 2xx; None if no health path is known."""

    @property
    def digest(self) -> str:
        """The image's digest; empty if it has none. The one from the service's own repository, where there are more."""
        own = [name for name in self.images if name.partition("@")[0].rpartition("/")[2] == self.service]
        return (own or [*self.images, ""])[0].partition("@")[2]

    @property
    def digests(self) -> frozenset[str]:
        """Every digest of the image."""
        return frozenset(name.partition("@")[2] for name in self.images)


@dataclass(frozen=True)
class Retention:
    """The timer on the registry's host that removes images, and its last run since the host started."""

    is_scheduled: bool
    result: str
    """In systemd's words: `success`, `exit-code`, `timeout`, …"""
    ended: str
    """When the last run ended, as the host says it; empty if there was none."""
    said: str = ""
    """What it said last: what it removed, or why it failed; empty if the host does not know it any more."""


@dataclass(frozen=True)
class HostReport:
    """What a host runs and serves."""

    host: str
    silence: str = ""
    """Why the host gave no answer, such as `SSH at 127.0.0.1:2201 refuses connections`; empty if it answered. Of a host
    that gave no answer nothing else is known."""
    has_foreign_key: bool = False
    """Whether something with another host key answered in its place."""
    clock_difference: float = 0.0
    """Seconds by which its clock is ahead of the operator's; negative if it is behind. 0 within the answer's time."""
    disks: tuple[Disk, ...] = ()
    engine_unit: str = ""
    """The engine's state in systemd's words; `ACTIVE` if it runs."""
    engine_version: str = ""
    """Empty if the engine is stopped, or gives no answer."""
    open_engine: tuple[str, ...] = ()
    """The engine's own warnings about an API without mutual TLS."""
    containers: tuple[Container, ...] = ()
    written: Mapping[str, int] = field(default_factory=dict)
    """Bytes that containers have written into their own files, by the container's name; empty if that was not asked."""
    memory: Mapping[str, int] = field(default_factory=dict)
    """Bytes of memory that running containers use, by the container's name; empty if that was not asked."""
    cpu: Mapping[str, float] = field(default_factory=dict)
    """How much of one CPU they use, 1.0 for all of it, while the host answers; empty if that was not asked."""
    proxy_answers: bool = False
    services: dict[str, Serving] = field(default_factory=dict)
    """What its proxy serves, by service. Empty as well if engine or proxy do not answer: `knows_services` says it."""
    behind: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """On an edge, the services, each with its hosts, and whether the edge finds it well there."""
    maintained: frozenset[str] = frozenset()
    """The services under maintenance there."""
    jobs: Mapping[str, Job] = field(default_factory=dict)
    """The jobs there, by service."""
    backups: Mapping[str, Backup] = field(default_factory=dict)
    """The backups of services there, by service."""
    hangs: Mapping[str, Hang] = field(default_factory=dict)
    """The services there that give no answer, or were restarted since they gave none, by service."""
    interrupted: frozenset[str] = frozenset()
    """The services whose release command was interrupted there, so that nobody knows how far it came."""
    stopped: Mapping[str, datetime] = field(default_factory=dict)
    """The services that an operator has stopped there, and when."""
    retention: Retention | None = None
    """None without a retention rule, and on hosts without the registry."""
    differences: tuple[Difference, ...] = ()
    """What differs from what was made there, as far as it was asked for."""
    not_compared: str = ""
    """Why that could not be found out; empty if it was."""

    @property
    def answers(self) -> bool:
        """Whether the host answered at all."""
        return not self.silence

    @property
    def engine_answers(self) -> bool:
        """Whether its engine answered."""
        return bool(self.engine_version)

    @property
    def knows_services(self) -> bool:
        """Whether `services` is what the host serves. Otherwise its engine or its proxy gave no answer."""
        return self.engine_answers and self.proxy_answers

    @property
    def serves_unknown(self) -> str:
        """Why it is unknown what the host serves, as a clause; empty if it is known."""
        if not self.answers:
            return f"it does not answer: {self.silence}"
        if not self.engine_answers:
            return f"its engine does not answer (docker.service is {self.engine_unit or 'missing'})"
        return "" if self.proxy_answers else "its proxy does not answer"

    def container(self, name: str) -> Container | None:
        """One of the stack's containers by name."""
        return next((container for container in self.containers if container.name == name), None)

    @property
    def proxy(self) -> Container | None:
        """The proxy's container; None if there is none, or if the engine gave no answer."""
        return self.container(PROXY_CONTAINER)


def parse(host: str, text: str, *, asked: float, answered: float) -> HostReport:
    """The report in the lines of scripts/report.sh.

    Args:
        host: the host's name.
        text: the script's output.
        asked: the operator's clock before the script began, in seconds since 1970.
        answered: the operator's clock after it ended. Without a difference the host's clock is between the two.

    Raises:
        ValueError: the text is not whole.

    """
    rows = [line.split("\t") for line in text.splitlines()]
    if ["end"] not in rows:
        raise ValueError("the answer is not whole")

    def of(kind: str) -> list[list[str]]:
        return [row[1:] for row in rows if row[0] == kind]

    images = {row[0]: tuple(row[1:]) for row in of("image")}
    made = {row[0]: moment(row[1]) for row in of("made")}
    containers = tuple(_container(row, images, made) for row in of("container"))
    health = {row[0]: row[1:] for row in of("health")}
    versions = [row[0] for row in of("engine")]
    return HostReport(
        host=host,
        clock_difference=_difference(float(of("clock")[0][0]), asked, answered),
        disks=tuple(sorted((_disk(*row) for row in of("disk")), key=lambda disk: disk.path)),
        engine_unit=_first(of("unit")),
        # The engine answers if it also lists its containers.
        engine_version=versions[0] if versions and of("listed") else "",
        open_engine=tuple(row[0] for row in of("open")),
        containers=containers,
        written={row[0].removeprefix("/"): int(row[1]) for row in of("written")},
        cpu=_cpu(of("cpu")),
        memory={row[0].removeprefix("/"): int(row[1]) for row in of("memory")},
        proxy_answers=bool(of("proxy")),
        services=_services([_serving(row, containers, health) for row in of("route")]),
        behind=_behind(of("behind")),
        maintained=frozenset(row[0] for row in of("maintenance")),
        jobs={row[0]: job(row[1:]) for row in of("job")},
        backups={row[0]: backup(row[1:]) for row in of("backup")},
        hangs={row[0]: hang(row[1:]) for row in of("hung")},
        interrupted=frozenset(row[0] for row in of("interrupted")),
        stopped={row[0]: datetime.fromtimestamp(int(row[1]), UTC) for row in of("stopped")},
        retention=next(
            (
                Retention(
                    row[0] == ACTIVE, row[1], row[2], "".join(row[3:]).strip().removeprefix("slipway: ")
                )
                for row in of("retention")
            ),
            None,
        ),
    )


def _behind(rows: list[list[str]]) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = {}
    for service, host, state in rows:
        found.setdefault(service, {})[host] = state == UP
    return found


def _first(rows: list[list[str]]) -> str:
    return next((field for row in rows for field in row), "")


def _difference(clock: float, asked: float, answered: float) -> float:
    if clock < asked:
        return clock - asked
    return max(0.0, clock - answered)


def _disk(path: str, used: str, free: str, inodes: str, free_inodes: str) -> Disk:
    numbers = [0 if word == "-" else int(word) for word in (used, free, inodes, free_inodes)]
    share = numbers[3] / numbers[2] if numbers[2] else 1.0
    return Disk(path, numbers[0], numbers[1], share)


def _cpu(rows: list[list[str]]) -> dict[str, float]:
    """The CPU of each container, by its first and its last sample."""
    first: dict[str, tuple[float, int]] = {}
    found = {}
    for name, when, time in rows:
        if not time.isdecimal():
            continue
        now = float(when), int(time)
        before = first.setdefault(name.removeprefix("/"), now)
        if now[0] > before[0]:
            found[name.removeprefix("/")] = max(0, now[1] - before[1]) / 1_000_000 / (now[0] - before[0])
    return found


def _container(
    row: list[str], images: dict[str, tuple[str, ...]], made: Mapping[str, datetime | None]
) -> Container:
    name, _, image, role, service, status, code, killed, restarts, created, started, *_ = row
    return Container(
        name=name.removeprefix("/"),
        role=role,
        service=service,
        status=status,
        exit_code=int(code),
        out_of_memory=killed == "true",
        restarts=int(restarts),
        created=moment(created),
        started=moment(started),
        images=images.get(image, ()),
        image_made=made.get(image),
    )


def moment(text: str) -> datetime | None:
    """A time as Docker writes it: RFC 3339 with nanoseconds; the year 1 for "never"."""
    try:
        found = datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00" if "." in text else text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.year > 1 else None


def _services(routes: Iterable[Serving]) -> dict[str, Serving]:
    """By service. Where a service has several routes, such as one of a former domain, the newest container counts."""
    oldest_first = sorted(routes, key=lambda one: one.since.timestamp() if one.since else 0.0)
    return {serving.service: serving for serving in oldest_first}


def _serving(row: list[str], containers: Iterable[Container], health: dict[str, list[str]]) -> Serving:
    service, name = row[:2]
    container = next((one for one in containers if one.name == name), None)
    answer = health.get(service)
    return Serving(
        service=service,
        container=name,
        images=container.images if container else (),
        since=container.created if container else None,
        health=_health(*answer) if answer else "",
        healthy=answer[0].startswith("2") if answer else None,
    )


def _health(answer: str, curl_status: str, path: str) -> str:
    """The answer of a health path, from curl's `http_code` and exit status."""
    if curl_status == "0":
        return f"HTTP {answer} on {path}"
    problem = {"7": "refuses the connection", "28": "times out"}.get(curl_status, "gives no HTTP answer")
    return f"{path} {problem}"
