"""The kinds of values that settings hold, each with its own words for what is wrong and what to write."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    StrictStr,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from configuration.aws import INSTANCE_TYPE_PATTERN, REGIONS, architecture_of
from configuration.files import LIMIT, PATH_LENGTH
from configuration.problems import suggestion

WORDED = "slipway"
"""Type of the errors that bring their own words, in their context: `wrong`, `remedy` and perhaps `value`."""


def mistake(wrong: str, remedy: str, value: str | None = None) -> PydanticCustomError:
    """The error to raise in a validator. `value` stands for the input where the input may not be shown
    whole.
    """
    context = {"wrong": wrong, "remedy": remedy}
    return PydanticCustomError(WORDED, "{wrong}", context if value is None else context | {"value": value})


@dataclass(frozen=True)
class Within:
    """A whole number between two bounds, both allowed."""

    low: int
    high: int
    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, core_schema.int_schema(strict=True))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {"minimum": self.low, "maximum": self.high}

    def _check(self, value: int) -> int:
        if not self.low <= value <= self.high:
            raise mistake(f"not {self.what}", f"Set a whole number from {self.low} to {self.high}.")
        return value


@dataclass(frozen=True)
class Matching:
    """A text of a certain form."""

    pattern: str
    wrong: str
    remedy: str
    length: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        limit = {} if self.length is None else {"maxLength": self.length}
        return handler(schema) | {"pattern": f"^(?:{self.pattern})$"} | limit

    def _check(self, value: str) -> str:
        if self.length is not None and len(value) > self.length:
            raise mistake(f"{len(value)} characters long", f"Use {self.length} characters at most.")
        if not re.fullmatch(self.pattern, value):
            raise mistake(self.wrong, self.remedy)
        return value


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """No entry twice."""
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise mistake(f'lists "{twice[0]}" twice', "List each once.")
    return values


def not_empty(what: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """At least one entry."""

    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            raise mistake("empty", f"List {what}.")
        return values

    return check


def reserved(names: dict[str, str]) -> Callable[[str], str]:
    """None of the names that mean something already; each comes with what it means."""

    def check(value: str) -> str:
        if value in names:
            raise mistake(f"reserved: {names[value]}", "Use another name.")
        return value

    return check


def _account(name: str) -> str:
    if not name:
        raise mistake("an empty account name", "Write a name such as alice.")
    if ":" in name:
        # People write `alice:password` as in an htpasswd file: what follows the colon is never shown.
        before = name.partition(":")[0][:20]
        raise mistake(
            "an account name with a colon, where htpasswd ends the name",
            "Write the name alone; its password belongs into slipway:passwords.",
            value=f"{before}:…",
        )
    if len(name) > ACCOUNT_LENGTH:
        raise mistake(
            f"an account name of {len(name)} characters",
            f"Use {ACCOUNT_LENGTH} characters at most.",
            value=f"{name[:20]}…",
        )
    if not re.fullmatch(ACCOUNT_PATTERN, name):
        raise mistake(
            "not an account name", "Use letters, digits and . _ @ + -, with a letter or a digit first."
        )
    return name


def _password(password: SecretStr) -> SecretStr:
    text = password.get_secret_value()
    if not re.fullmatch(r"[!-~]*", text):
        raise mistake(
            "has a blank, a line break or a character outside ASCII, which Docker clients send differently",
            "Use printable ASCII characters only.",
        )
    if len(text) < PASSWORD_MIN:
        raise mistake(
            "too short", f"Use {PASSWORD_MIN} characters at least, such as `openssl rand -hex 24` makes."
        )
    if len(text) > PASSWORD_MAX:
        raise mistake("too long", f"Use {PASSWORD_MAX} characters at most: bcrypt reads no more.")
    return password


def _secret(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise mistake("empty", "Set it with `pulumi config set --secret --path`.")
    return secret


def _path(text: str) -> str:
    if any(character < " " or character == "\x7f" for character in text):
        raise mistake("a path with a control character", "Write a path such as app.")
    if (length := len(text.encode())) > PATH_LENGTH:
        raise mistake(f"a path of {length} bytes", f"Use {PATH_LENGTH} at most.")
    return text


def _pem(text: str) -> str:
    if "-----BEGIN" not in text:
        return _path(text)
    if len(text) > LIMIT:
        raise mistake(f"larger than {LIMIT >> 20} MiB", "Write the authority's certificates only.", value="…")
    return text


def _text_of_number(value: object) -> object:
    # `pulumi config set --path …env.WORKERS 4` stores a number: its text is meant, and there is only one.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise mistake(
            "neither an address nor a network", "Write one such as 203.0.113.7 or 198.51.100.0/24."
        ) from None
    if "/" in text and ipaddress.ip_interface(text).ip != network.network_address:
        raise mistake("an address inside of its network", f"Write {network}, or the address alone.")
    return str(network)


def _few(networks: tuple[str, ...]) -> tuple[str, ...]:
    """Not the world: no network is too large, and neither are all of them taken together."""
    for text in networks:
        if (network := ipaddress.ip_network(text)).prefixlen < LARGEST_NETWORK[network.version]:
            raise mistake(f"{text} is open to {_part_of_world(network.prefixlen)}", CLOSED_REMEDY, value=text)
    for version, shortest in LARGEST_NETWORK.items():
        same = [network for text in networks if (network := ipaddress.ip_network(text)).version == version]
        for network in ipaddress.collapse_addresses(same):  # type: ignore[type-var]
            if network.prefixlen < shortest:
                raise mistake(f"together they open {network}", CLOSED_REMEDY)
    return networks


def _part_of_world(prefix: int) -> str:
    return "the whole world" if prefix == 0 else "a large part of the world"


LARGEST_NETWORK = {4: 8, 6: 20}
"""The shortest prefix, by IP version, of a network that somebody may have alone: what was given to single
organizations at most."""
CLOSED_REMEDY = "Write the networks of your office or VPN only, such as 203.0.113.7/32."
ACCOUNT_LENGTH = 64
ACCOUNT_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._@+-]*"
PASSWORD_MIN = 16
"""Characters. NIST SP 800-63B asks for 15 where a password is the only factor."""
PASSWORD_MAX = 72
"""Bytes. bcrypt ignores what comes after them."""
VARIABLE_PATTERN = r"[A-Za-z_][A-Za-z0-9_]*"
LABEL_PATTERN = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"

Port = Annotated[int, Within(1, 65535, "a TCP port")]
Seconds = Annotated[int, Within(1, 3600, "a time in seconds")]
Account = Annotated[StrictStr, AfterValidator(_account)]
Password = Annotated[SecretStr, AfterValidator(_password)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
FilePath = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_path)]
Pem = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_pem)]
Variable = Annotated[
    StrictStr,
    Matching(VARIABLE_PATTERN, "not a variable's name", "Use letters, digits and _, with no digit first."),
]
Value = Annotated[StrictStr, BeforeValidator(_text_of_number, json_schema_input_type=str | int)]
Label = Annotated[
    StrictStr,
    Matching(
        LABEL_PATTERN,
        "not a DNS label",
        "Use at most 63 lower-case letters, digits and hyphens, with a letter first and no hyphen last.",
    ),
]
DomainName = Annotated[
    StrictStr,
    Matching(
        r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "not a domain name",
        "Write the bare name in lower case, such as shop.example.com, without scheme, port or path.",
        length=253,
    ),
]
UrlPath = Annotated[
    StrictStr,
    Matching(
        r"/[!-\"$-~]*", "not the path of a URL", "Start it with / and use no blanks, such as /up.", length=500
    ),
]
Network = Annotated[StrictStr, AfterValidator(_network)]
ClosedNetworks = Annotated[
    tuple[Network, ...],
    AfterValidator(distinct),
    AfterValidator(_few),
    Field(examples=[["203.0.113.7/32"]]),
]


PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    )
)
"""Addresses that no packet from the internet has: RFC 1918, RFC 6598 and RFC 4193."""


def _private(networks: tuple[str, ...]) -> tuple[str, ...]:
    for text in networks:
        network = ipaddress.ip_network(text)
        if not any(network.version == own.version and network.subnet_of(own) for own in PRIVATE):  # type: ignore[arg-type]
            raise mistake(f"{text} is not a private network", "Write one such as 10.0.0.0/16.")
    return networks


PrivateNetworks = Annotated[
    tuple[Network, ...],
    AfterValidator(distinct),
    AfterValidator(_private),
    Field(examples=[["10.0.0.0/16"]]),
]


TaggedImage = Annotated[
    StrictStr,
    Matching(
        r"[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(@sha256:[0-9a-f]{64})?",
        "not an image with its tag",
        "Write name:tag, such as debian:12; @sha256:… behind it holds it to a digest.",
        length=400,
    ),
]
RegistryServer = Annotated[
    StrictStr,
    Matching(
        # As Docker tells a registry from a part of an image's name: by a dot or a port.
        r"(?=.*[.:])[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?",
        "not a registry's address",
        "Write host or host:port in lower case, such as docker.io; what follows a slash is `namespace`.",
        length=255,
    ),
]
RepositoryPath = Annotated[
    StrictStr,
    Matching(
        r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*",
        "not the beginning of an image's name",
        "Write it such as team, or team/apps, in lower case.",
        length=128,
    ),
]
RegistryUser = Annotated[
    StrictStr,
    Matching(r"[!-9;-~]+", "not an account's name", "Write it without blanks and colons.", length=255),
]
StackPath = Annotated[
    StrictStr,
    Matching(
        r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+",
        "not a stack's full name",
        "Write organization/project/stack; without Pulumi Cloud the organization is organization.",
    ),
]


def _region(region: str) -> str:
    if region not in REGIONS:
        raise mistake("not a region of AWS", f"{suggestion(region, REGIONS)}Write one such as eu-central-1.")
    return region


def _instance_type(kind: str) -> str:
    if not re.fullmatch(INSTANCE_TYPE_PATTERN, kind):
        raise mistake("not an instance type of EC2", "Write one such as t3.small, or t4g.small for arm64.")
    if architecture_of(kind) is None:
        raise mistake(
            "an instance type that runs no Linux", "Write one such as t3.small, or t4g.small for arm64."
        )
    return kind


Region = Annotated[StrictStr, AfterValidator(_region)]
InstanceType = Annotated[StrictStr, AfterValidator(_instance_type)]
SubnetId = Annotated[
    StrictStr,
    Matching(
        r"subnet-([0-9a-f]{8}|[0-9a-f]{17})",
        "not a subnet's id",
        "Write one such as subnet-0123456789abcdef0.",
    ),
]
Version = Annotated[
    StrictStr,
    Matching(r"[0-9]+\.[0-9]+\.[0-9]+", "not a version", "Write all three numbers, such as 28.5.2."),
]
Gibibytes = Annotated[int, Within(1, 16_384, "a size in GiB of a volume")]
Url = Annotated[
    StrictStr,
    Matching(r"https?://[!-~]+", "not a URL", "Write one such as http://127.0.0.1:5000.", length=500),
]
