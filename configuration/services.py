"""`slipway:services`: the services, and where their images come from."""

import re
import zoneinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool

from configuration.backup import BackupSettings
from configuration.base import OnAws, Settings
from configuration.commands import Command
from configuration.constraints import Within, distinct, mistake, not_empty, reserved
from configuration.containers import (
    ContainerPath,
    ContainerSettings,
    EnvironmentSettings,
    FromSecret,
    Health,
    HealthCheck,
)
from configuration.cron import InvalidSchedule, calendars
from configuration.networks import Network
from configuration.rollout import BatchSettings
from configuration.service_files import FileSettings
from configuration.tls import Hsts, TlsSetting
from configuration.types import (
    DomainName,
    FilePath,
    Label,
    NameOfSecret,
    PathPrefix,
    Port,
    Seconds,
    TaggedImage,
    Value,
    Variable,
    WildcardName,
)
from configuration.visitors import RateLimit, Visitor

TITLE_ARGUMENT = "TITLE"
"""Build argument that every Dockerfile gets, for the image's OCI label: the service's name."""

BASE_IMAGE_ARGUMENT = "BASE_IMAGE"
"""Build argument with the base image's reference, for the Dockerfile of the service's own image."""

DEFAULT_HEALTH_PATH = "/up"
"""As in Rails and Kamal."""

DEFAULT_TIMEOUT_SECONDS = 60
"""Limit for the first byte of an answer, as in nginx (`proxy_read_timeout`)."""

ServiceName = Annotated[
    Label,
    AfterValidator(
        reserved(
            {
                **dict.fromkeys(("registry", "proxy"), "a container of Slipway's own has it"),
                "mirror": "the registry's copies of third-party images have it",
            }
        )
    ),
]


def _schedule(text: str | None) -> str | None:
    if text is not None:
        try:
            calendars(text)
        except InvalidSchedule as error:
            raise mistake(
                f"not a schedule: {error}",
                "Write five fields as in cron, such as 17 3 * * * for 3:17 each day.",
            ) from None
    return text


def _time_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        if zoneinfo.available_timezones() or not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name):
            raise mistake(
                "not a time zone", "Write a name of the tz database, such as Europe/Berlin."
            ) from None
    return name


class BaseImageSettings(Settings):
    """Base image of a service's own image; it changes less often."""

    context: Annotated[FilePath, Field(examples=["app/base"])]
    """Directory that is sent to the build, relative to the project. Required."""

    dockerfile: FilePath = "Dockerfile"
    """Dockerfile, relative to `context`: text in UTF-8 of 1 MiB at most. A link has to stay inside the
    context. Default: `Dockerfile`."""

    args: dict[
        Annotated[Variable, AfterValidator(reserved({TITLE_ARGUMENT: "the build sets it itself"}))],
        Value,
    ] = Field(default_factory=dict, examples=[{"BASE": "debian:12"}])
    """Build arguments. Do not put secrets here: the image's history shows them. Default: none."""

    @property
    def dockerfile_path(self) -> str:
        """The Dockerfile, relative to the project."""
        return f"{self.context}/{self.dockerfile}"


class BuildSettings(BaseImageSettings):
    """How a service's image is built."""

    context: Annotated[FilePath, Field(examples=["app"])]
    """Directory that is sent to the build, relative to the project. Its `.dockerignore` is honoured.
    Required."""

    base: BaseImageSettings | None = None
    """Base image that is built first. The service's Dockerfile gets its reference as the build argument
    `BASE_IMAGE`. Default: none."""

    platform: Literal["linux/amd64", "linux/arm64"] | None = None
    """Platform that the image is built for. Default: the hosts' platform."""

    source: Literal["tree", "commit"] = "tree"
    """What is built: `tree`, the files as they are, or `commit`, a clean checkout of the last commit, with submodules.
    An `up` refuses changed files of the contexts then. Default: `tree`."""

    @property
    def from_commit(self) -> bool:
        """Whether a clean checkout is built."""
        return self.source == "commit"


Capability = Literal[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "KILL",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_NICE",
    "SYS_PTRACE",
    "SYS_RESOURCE",
]
"""A part of root's rights in Linux (capabilities(7)). The others would give the host away."""

CAPABILITIES: tuple[Capability, ...] = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"),
)
"""What images that start as root commonly need: to give files to another user, and to become that user."""


class ServiceSettings(ContainerSettings):
    """One service: its image, and how containers of it run on the app hosts."""

    build: Annotated[BuildSettings, Field(examples=[{"context": "app"}])] | None = None
    """How the image is built. Required, unless `image` or `from` is set."""

    image: Annotated[TaggedImage, Field(examples=["postgres:16"])] | None = None
    """Image that others made, as `name:tag`, from any registry; `registry.sources` has accounts. Its first deployment
    copies it into the stack's registry, by the digest that the tag has then, and keeps to that; `./slip update SERVICE`
    takes what the tag has by now. `name:tag@sha256:…` is one digest for good. Default: none."""

    from_: Annotated[ServiceName, Field(examples=["web"])] | None = Field(default=None, alias="from")
    """Service whose image this one runs, too. Default: none."""

    port: Port = 8080
    """TCP port that the service listens on inside its container, 1 to 65535; for a service that the proxy asks.
    Default: 8080."""

    health: Health = None
    """Path that answers with a 2xx status once the service can take requests. Of a service that speaks no HTTP, and
    that no proxy asks, one of: `{ command: … }`, which ends with status 0 in a healthy container; `{ tcp: PORT }`, a
    port that accepts connections; `{ image: true }`, the image's own HEALTHCHECK; `{ none: true }`, for a container
    that has only to run. Default: `/up`, or with `ports` and without `port` the first TCP port of
    those; with UDP ports alone the container has only to run."""

    health_timeout: Seconds = 30
    """Seconds in which a new container has to become healthy, 1 to 3600; after that the roll-out fails.
    Default: 30, as in Kamal."""

    drain_timeout: Seconds = 30
    """Seconds in which the old container has to finish its requests, 1 to 3600. Default: 30, as in
    Kamal."""

    stop_grace: Seconds = 10
    """Seconds that a container has to end after SIGTERM, 1 to 3600; then it is killed. Default: 10, as in
    Docker."""

    hosts: (
        Annotated[
            tuple[str, ...],
            AfterValidator(distinct),
            AfterValidator(not_empty("one app host or more, or leave out `hosts` to use them all")),
            Field(examples=[["web-1"]]),
        ]
        | None
    ) = None
    """Hosts that run the service, in the order of the roll-out. Default: all hosts with the role `app`, by
    name."""

    rollout: Annotated[BatchSettings, Field(examples=[{"parallel": 2, "pause": 10, "canary": 1}])] | None = (
        None
    )
    """In which batches the hosts get a version. Default: one host after another, without pauses."""

    release: Annotated[Command, Field(examples=["bin/migrate", ["bin/migrate", "--all"]])] = None
    """Command that runs once for each version, before anything of it serves: a migration, for example. A line runs by
    /bin/sh, a list of words without a shell; the image's entrypoint has no part in it. It runs on the first host, in a
    container of its own with the new image, the service's environment, secrets and limits. It can only read the
    service's volumes, since the old version may write there. If it fails, the update ends, and the old version serves
    everywhere. Default: none."""

    release_timeout: Seconds = 600
    """Seconds that `release` may take, 1 to 3600; after that it is ended, and the update fails. Default: 600."""

    release_again: StrictBool = False
    """Whether `release` may run again if it was killed, with its host for example, and nobody knows how far it came.
    Otherwise the next `./slip up` says so and asks. Default: false."""

    schedule: Annotated[str | None, AfterValidator(_schedule), Field(examples=["17 3 * * *"])] = None
    """When the service runs, in cron's syntax: minute, hour, day of the month, month, day of the week; or `@hourly`,
    `@daily`, `@weekly`, `@monthly`, `@yearly`. It is a job then: its command runs on its one host at these times, and
    ends. A run that was missed, since the host was down, is made up for once. There are never two runs at once.
    Default: none, for a service that runs all the time."""

    time_zone: Annotated[str, AfterValidator(_time_zone), Field(examples=["Europe/Berlin"])] = "UTC"
    """Time zone of `schedule` and of `backup.hour`, by its name in the tz database. Default: UTC."""

    time_limit: Annotated[int, Within(1, 604_800, "a time in seconds", "seconds")] = 3600
    """Seconds that one run of a job may take, 1 to 604800, which is a week; then it is ended, and has failed. Default:
    3600."""

    backup: (
        Annotated[
            BackupSettings,
            Field(
                examples=[
                    {
                        "command": "pg_dumpall -U postgres",
                        "restoreCommand": "psql -U postgres",
                        "to": {"host": "yard"},
                    }
                ]
            ),
        ]
        | None
    ) = None
    """How the service's data is backed up each day, encrypted. The service has one host and at least one volume.
    Default: none."""

    domain: DomainName | None = None
    """The one name of `domains`, for a service that has no more. Default: none."""

    domains: Annotated[
        tuple[WildcardName, ...],
        AfterValidator(distinct),
        Field(examples=[["shop.example.com", "*.shop.example.com"]]),
    ] = ()
    """Names of the requests that the proxy sends to this service. `*.` at the beginning stands for one label; a
    whole name goes before it. A service without a name gets all requests that no other service on its host gets.
    Default: none."""

    canonical: DomainName | None = None
    """One of `domains`: requests by the others are redirected to it, with status 308. Default: none."""

    path: PathPrefix | None = None
    """Beginning of the paths that the proxy sends to this service, such as `/api`, by whole segments. The longest one
    that fits goes first. Default: all paths that no other service has."""

    strip_path: bool = False
    """Whether the service gets its requests without `path`, which is then in `X-Forwarded-Prefix`. Default:
    false."""

    timeout: Seconds = DEFAULT_TIMEOUT_SECONDS
    """Seconds in which the first byte of an answer has to come, 1 to 3600; after that the proxy answers with
    504. Streams and WebSockets live as long as they live. Default: 60."""

    max_body: Annotated[int, Within(1, 102_400, "a size in MiB", "MiB")] | None = None
    """MiB that the body of a request may have, 1 to 102400; the proxy answers a longer one with 413, and one of unknown
    length with 411. Default: no limit."""

    tls: Annotated[
        TlsSetting | None,
        Field(examples=["own", "auto", {"certificate": "certificates/shop.pem", "key": "SHOP_KEY"}]),
    ] = None
    """Who vouches for the service's names on HTTPS: `own` for an authority of the stack, `auto` for that of
    `slipway:acme`, which browsers trust (`{ auto: staging }` for Let's Encrypt's staging), or a certificate that you
    have; `off` for plain HTTP. With HTTPS, requests by plain HTTP are redirected. Default: `own` on `local` for a
    service with a name, else `off`."""

    hsts: Hsts = None
    """Seconds, 0 to 63072000 (two years), for which browsers that came by HTTPS use nothing else for the service's
    names (RFC 6797); 0 ends that. Default: `off`."""

    allowed_cidrs: OnAws[
        Annotated[
            tuple[Network, ...],
            AfterValidator(distinct),
            AfterValidator(not_empty("one network or more, or leave out `allowedCidrs` to allow everybody")),
            Field(examples=[["198.51.100.0/24"]]),
        ]
    ] = ("0.0.0.0/0",)
    """Networks that may reach the service. Default: every IPv4 address."""

    env: EnvironmentSettings = Field(default_factory=dict, examples=[{"LOG_LEVEL": "info"}])
    """Environment variables of the containers. The stack's state shows their values, but for those of the form
    `{ secret: NAME }`, which are secrets of `slipway:secrets`. Default: none."""

    secrets: Annotated[
        tuple[NameOfSecret, ...], AfterValidator(distinct), Field(examples=[["DATABASE_URL"]])
    ] = ()
    """Names from `slipway:secrets`. In the containers each is a file of that name in /run/secrets. Default:
    none."""

    files: dict[ContainerPath, FileSettings] = Field(
        default_factory=dict, examples=[{"/etc/app/app.ini": {"template": "config/app.ini.j2"}}]
    )
    """Files that the containers get besides their image, by their path there: a local file, or a template rendered from
    settings and secrets. A changed file makes new containers of this service, as a new image does. Their contents are
    secrets. Default: none."""

    memory: Annotated[int, Within(6, 1_048_576, "an amount of memory in MiB", "MiB")] = 512
    """MiB of memory that a container may use, from 6, which Docker requires, to 1048576. Default: 512."""

    capabilities: Annotated[
        tuple[Capability, ...], AfterValidator(distinct), Field(examples=[["NET_BIND_SERVICE"]])
    ] = CAPABILITIES
    """Linux capabilities that root has in the containers: parts of root's rights, named as in capabilities(7)
    without `CAP_`. Docker's own list has NET_RAW, MKNOD, SYS_CHROOT, SETFCAP, SETPCAP, FSETID and AUDIT_WRITE,
    too; an image that needs one of them gets it here. `[]` for none, which is enough for an image with a `USER`.
    Default: CHOWN, DAC_OVERRIDE, FOWNER, KILL, NET_BIND_SERVICE, SETGID and SETUID."""

    read_only: bool = False
    """Whether the containers' own files cannot be changed, but for a /tmp in memory. Default: false."""

    max_connections: Annotated[int, Within(1, 4096, "a number of requests", "requests")] | None = None
    """Requests that a container of the service gets at the same time, 1 to 4096; the others wait in the proxy for as
    long as `timeout`, then it answers with 503. Default: no limit."""

    allow: Annotated[
        tuple[Network, ...], AfterValidator(distinct), Field(examples=[["198.51.100.0/24"]])
    ] = ()
    """Addresses and networks of the clients that the service is for; the proxy answers others with 403. Of clients
    behind one of `proxy.trustedProxies`, their own address counts. Default: all."""

    auth: dict[Visitor, NameOfSecret] = Field(default_factory=dict, examples=[{"alice": "ALICE_PASSWORD"}])
    """People who may use the service, each with the name of the secret in `slipway:secrets` that is their password, 8
    to 72 printable ASCII characters. The proxy asks for it (HTTP Basic authentication), and tells the service who it is
    in `X-Forwarded-User`. Default: everybody."""

    rate_limit: Annotated[RateLimit | None, Field(examples=[{"requests": 100, "seconds": 10}])] = None
    """How many requests a client may send to the service, on each host; the proxy answers others with 429. A client is
    an IPv4 address or an IPv6 network of 64 bits. Default: no limit."""

    error_page: Annotated[FilePath | None, Field(examples=["pages/down.html"])] = None
    """File with the page that visitors get when no container answers (502, 503 and 504), relative to the project: HTML
    in UTF-8, 12 KiB at most. Errors that the service itself answers with stay. Default: a plain sentence."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which the proxy knows the service, the main one first; none for all names that nobody has."""
        every = (self.domain, *self.domains) if self.domain else self.domains
        main = [self.canonical] if self.canonical else []
        return tuple(dict.fromkeys([*main, *every]))

    @property
    def own_check(self) -> HealthCheck | None:
        """How it is known to be healthy if no proxy asks it; None for a service behind the proxy."""
        if self.schedule is not None:
            return HealthCheck(none=True)
        if isinstance(self.health, HealthCheck):
            return self.health
        if self.health is None and self.ports and "port" not in self.model_fields_set:
            tcp = self.ports.first_tcp
            return HealthCheck(tcp=tcp) if tcp else HealthCheck(none=True)
        return None

    @property
    def health_path(self) -> str:
        """The path of its health check, for a service behind the proxy."""
        return self.health if isinstance(self.health, str) else DEFAULT_HEALTH_PATH

    @property
    def plain_env(self) -> dict[str, str]:
        """The environment variables that are no secrets."""
        return {name: value for name, value in self.env.items() if isinstance(value, str)}

    @property
    def secret_env(self) -> dict[str, str]:
        """The names of the secrets that are environment variables, by variable."""
        return {name: value.secret for name, value in self.env.items() if isinstance(value, FromSecret)}
