"""What a service's containers get of their host, and how they are known to be healthy."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, StrictBool, WithJsonSchema

from configuration.base import Settings
from configuration.constraints import Matching, Within, distinct, mistake
from configuration.ports import PortSettings
from configuration.types import LABEL_PATTERN, VARIABLE_PATTERN, Label, UrlPath, Value, Variable

PATH_PATTERN = r"(?!.*/\.\.?(?:/|:|$))(?:/[A-Za-z0-9._@+-]+)+"
"""An absolute path without `.` and `..`."""
URL_PATH = next(part for part in get_args(UrlPath) if isinstance(part, Matching))
ADDRESS_PATTERN = r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?!$)|$)){4}"
MIB = 1_048_576

Mebibytes = Annotated[int, Within(1, MIB, "a size in MiB", "MiB")]
Words = Annotated[tuple[Annotated[str, Field(strict=True)], ...], Field(min_length=1)]
Address = Annotated[str, Matching(ADDRESS_PATTERN, "not an IPv4 address", "Write one such as 10.0.0.53.")]
HostPath = Annotated[
    str,
    Matching(
        PATH_PATTERN, "not an absolute path", "Write one such as /srv/content, without . and ..", length=255
    ),
]
ContainerPath = Annotated[
    str,
    Matching(
        PATH_PATTERN, "not an absolute path", "Write one such as /var/lib/data, without . and ..", length=255
    ),
]
MountPoint = Annotated[
    str,
    Matching(
        rf"{PATH_PATTERN}(?::ro)?",
        "not an absolute path",
        "Write one such as /content, without . and ..; or /content:ro to forbid the container to write there.",
        length=255,
    ),
]
LIMITS = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "stack",
]
_DELIVERY = ("mode", "max-buffer-size")
_FILES = ("max-size", "max-file", "compress")
_MARKS = ("labels", "labels-regex", "env", "env-regex", "tag")
LOG_OPTIONS = {
    "local": (*_FILES, *_DELIVERY),
    "json-file": (*_FILES, *_MARKS, *_DELIVERY),
    "journald": (*_MARKS, *_DELIVERY),
    "syslog": ("syslog-address", "syslog-facility", "syslog-format", *_MARKS, *_DELIVERY),
}
"""The options of each log driver of Docker that services can have."""
_EVERY_LOG_OPTION = tuple(dict.fromkeys(option for options in LOG_OPTIONS.values() for option in options))
LimitName = Annotated[
    str, Matching("|".join(LIMITS), "not a limit of setrlimit(2)", f"Write one of {', '.join(LIMITS)}.")
]
LogOption = Annotated[
    str,
    Matching(
        "|".join(_EVERY_LOG_OPTION),
        "not an option of the log driver",
        f"Write one of {', '.join(_EVERY_LOG_OPTION)}.",
    ),
]


@dataclass(frozen=True)
class FromSecret:
    """The value of a variable that is one of `slipway:secrets`."""

    secret: str
    """The secret's name."""


FROM_SECRET_SCHEMA = {
    "type": "object",
    "properties": {"secret": {"type": "string", "pattern": f"^(?:{VARIABLE_PATTERN})$"}},
    "required": ["secret"],
    "additionalProperties": False,
}


def _from_secret(value: object) -> FromSecret:
    name = value["secret"] if isinstance(value, dict) and value.keys() == {"secret"} else None
    if not isinstance(name, str) or not re.fullmatch(VARIABLE_PATTERN, name):
        # Some users write the password itself here.
        raise mistake(
            "not a secret's name", "Write { secret: SECRET }, with a name from slipway:secrets.", value="…"
        )
    return FromSecret(name)


SecretName = Annotated[
    Any,
    PlainValidator(_from_secret),
    PlainSerializer(lambda value: {"secret": value.secret}),
    WithJsonSchema(FROM_SECRET_SCHEMA),
]
"""The name of a secret whose value is asked for."""


def _environment_value(value: object) -> str | FromSecret:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"secret"} and isinstance(value["secret"], str):
        if not re.fullmatch(VARIABLE_PATTERN, value["secret"]):
            raise mistake(
                "not a secret's name",
                "Write { secret: SECRET }, with a name from slipway:secrets.",
                value="…",
            )
        return FromSecret(value["secret"])
    if value is None:
        raise mistake("not a text", 'Write "" for an empty text, or a word of YAML such as "null" in quotes.')
    remedy = "Write a text, or { secret: SECRET } with a name from slipway:secrets."
    raise mistake("not a text", f"Put it in quotes. {remedy}" if isinstance(value, (bool, float)) else remedy)


EnvironmentValue = Annotated[
    Any,
    PlainValidator(_environment_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "integer"]},
                FROM_SECRET_SCHEMA,
            ]
        }
    ),
]


@dataclass(frozen=True)
class HealthCheck:
    """How a service that no proxy asks is known to be healthy: by one of these."""

    command: tuple[str, ...] = ()
    """Runs in the container; the exit status 0 is healthy."""
    tcp: int = 0
    """A port that accepts connections."""
    image: bool = False
    """By the image's own HEALTHCHECK."""
    none: bool = False
    """Not at all: it has only to run."""


HEALTH_REMEDY = (
    "Write a path such as /up; or, for a service that no proxy asks, one of { command: test -f /run/alive }, "
    "{ tcp: 5432 }, { image: true } for the image's own HEALTHCHECK, and { none: true }."
)


def _health(value: object) -> str | HealthCheck:
    if isinstance(value, str):
        return URL_PATH._check(value)
    if not isinstance(value, dict):
        raise mistake("not a text", HEALTH_REMEDY)
    if len(value) != 1 or not value.keys() <= {"command", "tcp", "image", "none"}:
        raise mistake("not one way to be healthy", HEALTH_REMEDY)
    ((kind, how),) = value.items()
    if kind == "tcp" and isinstance(how, int) and not isinstance(how, bool) and 1 <= how <= 65535:
        return HealthCheck(tcp=how)
    if kind == "command" and isinstance(how, str) and how.strip():
        return HealthCheck(command=("CMD-SHELL", how))
    if kind == "command" and isinstance(how, list) and how and all(isinstance(word, str) for word in how):
        return HealthCheck(command=("CMD", *how))
    if kind in {"image", "none"} and how is True:
        return HealthCheck(image=kind == "image", none=kind == "none")
    wrong = {"tcp": "not a TCP port", "command": "not a command"}.get(kind, "not true")
    raise mistake(wrong, HEALTH_REMEDY)


def _as_written(health: object) -> object:
    """As the settings have it."""
    if not isinstance(health, HealthCheck):
        return health
    command = health.command[1] if health.command[:1] == ("CMD-SHELL",) else list(health.command[1:])
    written = {"command": command, "tcp": health.tcp, "image": health.image, "none": health.none}
    return {key: value for key, value in written.items() if value}


Health = Annotated[
    Any,
    PlainValidator(_health),
    PlainSerializer(_as_written),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^(?:{URL_PATH.pattern})$", "maxLength": URL_PATH.length},
                {
                    "type": "object",
                    "properties": {
                        "command": {
                            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
                        },
                        "tcp": {"type": "integer", "minimum": 1, "maximum": 65535},
                        "image": {"const": True},
                        "none": {"const": True},
                    },
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class ContainerSettings(Settings):
    """What a service's containers get of their host."""

    command: Annotated[Words | None, Field(examples=[["bin/jobs"]])] = None
    """Arguments of the entrypoint, or the whole command of an image without one. Default: the image's own."""

    entrypoint: Annotated[Words | None, Field(examples=[["/bin/sh", "-c"]])] = None
    """Program that runs in the container, with its first arguments. Default: the image's own."""

    user: (
        Annotated[
            str,
            Matching(
                r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?",
                "not a user",
                "Write a name or a number, or both user and group, such as 1000:1000.",
            ),
        ]
        | None
    ) = None
    """User of the containers' processes, by name or number, with a group or without. Default: the image's own."""

    workdir: ContainerPath | None = None
    """Directory in which the containers' command starts. Default: the image's own."""

    memory_reservation: Annotated[int, Within(6, MIB, "an amount of memory in MiB", "MiB")] | None = None
    """MiB of memory that a container keeps when the host is short of it, 6 to 1048576; less than `memory`.
    Default: none."""

    cpus: (
        Annotated[
            str, Matching(r"[0-9]{1,3}(\.[0-9]{1,2})?", "not a number of CPUs", 'Write one such as "1.5".')
        ]
        | None
    ) = None
    """CPUs that a container may use, such as `"0.5"` for the half of one. Default: all."""

    pids: Annotated[int, Within(16, 4_194_304, "a number of processes")] = 4096
    """Processes and threads that a container may have, 16 to 4194304. Default: 4096."""

    shm: Mebibytes | None = None
    """MiB of shared memory in /dev/shm, 1 to 1048576. Default: 64, as in Docker."""

    tmpfs: dict[ContainerPath, Mebibytes] = Field(default_factory=dict, examples=[{"/scratch": 64}])
    """Directories in memory, each with its size in MiB, 1 to 1048576. They are empty at each start. Default: none."""

    init: StrictBool = False
    """Whether Docker's own first process passes signals on and buries processes that have ended. Default: false."""

    ulimits: dict[LimitName, Annotated[int, Within(0, 1_073_741_824, "a limit")]] = Field(
        default_factory=dict, examples=[{"nofile": 65536}]
    )
    """Limits of each process, as in setrlimit(2), 0 to 1073741824. Default: the engine's own."""

    sysctls: dict[
        Annotated[
            str,
            Matching(
                r"(net\.[a-z0-9_.]+|kernel\.(shm|msg|sem)[a-z_]*|fs\.mqueue\.[a-z_]+)",
                "not a setting of a container",
                "Write one of net.*, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.*; the kernel has all others "
                "for the whole host.",
            ),
        ],
        Value,
    ] = Field(default_factory=dict, examples=[{"net.core.somaxconn": "1024"}])
    """Settings of the kernel for a container alone. Default: none."""

    devices: Annotated[
        tuple[
            Annotated[
                str,
                Matching(
                    r"/dev/[A-Za-z0-9._/-]+", "not a device", "Write one of the host, such as /dev/fuse."
                ),
            ],
            ...,
        ],
        AfterValidator(distinct),
        Field(examples=[["/dev/fuse"]]),
    ] = ()
    """Devices of the host that the containers may use. Default: none."""

    labels: dict[
        Annotated[
            str,
            Matching(
                r"(?!slipway\.)[a-z0-9]([a-z0-9._-]*[a-z0-9])?",
                "not a label's name, or one of Slipway's own",
                "Use lower-case letters, digits, dots and hyphens, and begin with another word than slipway.",
            ),
        ],
        Value,
    ] = Field(default_factory=dict, examples=[{"com.example.team": "shop"}])
    """Labels of the containers. Default: none but Slipway's own."""

    stop_signal: (
        Annotated[
            str,
            Matching(
                r"SIG[A-Z]{2,6}[0-9]{0,2}([+-][0-9]{1,2})?", "not a signal", "Write one such as SIGINT."
            ),
        ]
        | None
    ) = None
    """Signal that asks a container to end. Default: the image's own, or else SIGTERM."""

    restart: Literal["unless-stopped", "always", "on-failure", "no"] = "unless-stopped"
    """When the engine starts a container again that has ended: `no` for never, `on-failure` for an exit status other
    than 0. Default: `unless-stopped`."""

    dns: Annotated[tuple[Address, ...], AfterValidator(distinct), Field(examples=[["10.0.0.53"]])] = ()
    """Name servers that Docker's own asks for the containers. Default: the host's."""

    extra_hosts: dict[Label, Address] = Field(default_factory=dict, examples=[{"legacy": "10.0.0.9"}])
    """Names in the containers' /etc/hosts, each with its IPv4 address. Default: none."""

    log_driver: Literal["local", "json-file", "journald", "syslog"] = "local"
    """Where the containers' output goes: `local`, files of the engine's own; `json-file`, files with a JSON object a
    line; `journald`, the host's journal; or `syslog`, a server at `syslog-address`. `./slip logs` shows it in any case.
    Default: `local`."""

    log_options: dict[LogOption, Value] = Field(default_factory=dict, examples=[{"max-size": "50m"}])
    """Options of the log driver, by Docker's names. The stack's state shows them. Default: five files of 10 MB for
    `local` and `json-file`, else none."""

    volumes: dict[Label, ContainerPath] = Field(default_factory=dict, examples=[{"data": "/var/lib/data"}])
    """Volumes by name, each with its path in the container. A volume belongs to the service, and each host of it has
    its own. It outlives containers, images and the service itself; only with its host it goes. Default: none."""

    bind: dict[HostPath, MountPoint] = Field(default_factory=dict, examples=[{"/srv/content": "/content:ro"}])
    """Directories of the host, each with its path in the container; `:ro` behind it forbids to write. Default:
    none."""

    networks: Annotated[tuple[Label, ...], AfterValidator(distinct), Field(examples=[["backend"]])] = ()
    """Networks that the service shares with others, by names of your choice, two on a host at most. Its containers and
    those of a service with the same network on the same host reach each other by the services' names, on every port.
    Default: none, so that services of one host do not reach each other."""

    ports: PortSettings = Field(default_factory=PortSettings, examples=[{"private": [5432]}])
    """Ports besides the one behind the proxy. Default: none."""

    needs: Annotated[
        tuple[
            Annotated[
                str, Matching(LABEL_PATTERN, "not a service's name", "Write a name from slipway:services.")
            ],
            ...,
        ],
        AfterValidator(distinct),
        Field(examples=[["db"]]),
    ] = ()
    """Services that have to be healthy before an update starts this one. Default: none."""

    @property
    def writing_binds(self) -> tuple[str, ...]:
        """The directories of the host in which it may write."""
        return tuple(path for path, target in self.bind.items() if not target.endswith(":ro"))

    @property
    def is_stopped_first(self) -> bool:
        """Whether an old container ends before the new one starts: two must not write at once, nor have one port."""
        return bool(self.volumes or self.writing_binds or self.ports)


EnvironmentSettings = dict[Variable, EnvironmentValue]
