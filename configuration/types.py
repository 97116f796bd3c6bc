"""The types of values that settings hold, each with messages for what is wrong and what to write instead."""

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StrictStr,
    ValidationInfo,
)

from configuration.aws import INSTANCE_TYPE_PATTERN, REGIONS, architecture_of
from configuration.constraints import NAME, Matching, Within, mistake
from configuration.files import LIMIT, PATH_LENGTH
from configuration.problems import command, suggestion

STACK_CONTEXT = "stack"
"""The key of pydantic's context with the stack's name, for the commands that messages suggest."""


def _account(name: str) -> str:
    if not name:
        raise mistake("an empty account name", "Write a name such as alice.")
    if ":" in name:
        # Some users write `alice:password`, as in an htpasswd file. No message shows what follows the colon.
        before = name.partition(":")[0][:20]
        raise mistake(
            "an account name with a colon, which ends the name in htpasswd",
            "Write the name alone; its password belongs in slipway:passwords.",
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
            "not an account name", "Use letters, digits and . _ @ + -, and begin with a letter or a digit."
        )
    return name


def _password(password: SecretStr) -> SecretStr:
    text = password.get_secret_value()
    if not re.fullmatch(r"[!-~]*", text):
        raise mistake(
            "has a space, a line break or a character outside ASCII, which Docker's clients encode differently",
            "Use printable ASCII characters only.",
        )
    if len(text) < PASSWORD_MIN:
        raise mistake(
            "too short", f"Use {PASSWORD_MIN} characters at least, such as `openssl rand -hex 24` makes."
        )
    if len(text) > PASSWORD_MAX:
        raise mistake("too long", f"Use {PASSWORD_MAX} characters at most: bcrypt reads no more.")
    return password


def _secret(secret: SecretStr, info: ValidationInfo) -> SecretStr:
    if not secret.get_secret_value():
        stack = (info.context or {}).get(STACK_CONTEXT, "STACK")
        raise mistake("empty", f"Set it: {command(f'secret set {NAME}', stack)}.")
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


def text_of_number(value: object) -> object:
    """A whole number as a text; anything else as it is."""
    # `pulumi config set --path …env.WORKERS 4` stores a number, and a whole number has only one text.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ACCOUNT_LENGTH = 64
ACCOUNT_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._@+-]*"
PASSWORD_MIN = 16
"""Characters. NIST SP 800-63B asks for 15 where a password is the only factor."""
PASSWORD_MAX = 72
"""Bytes. bcrypt ignores all further ones."""
PORT_NUMBER = r"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
"""From 1 to 65535."""
VARIABLE_PATTERN = r"[A-Za-z_][A-Za-z0-9_]*"
LABEL_PATTERN = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"

Port = Annotated[int, Within(1, 65535, "a TCP port")]
Seconds = Annotated[int, Within(1, 3600, "a time in seconds", "seconds")]
Account = Annotated[StrictStr, AfterValidator(_account)]
Password = Annotated[SecretStr, AfterValidator(_password)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
FilePath = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_path)]
Pem = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_pem)]
Variable = Annotated[
    StrictStr,
    Matching(
        VARIABLE_PATTERN, "not a variable's name", "Use letters, digits and _, and do not begin with a digit."
    ),
]
NameOfSecret = Annotated[
    StrictStr,
    Matching(
        VARIABLE_PATTERN,
        "not the name of a secret",
        "Write a name from slipway:secrets: letters, digits and _, without a digit at the beginning. "
        "`./slip secret set SECRET` sets its value.",
        is_shown=False,
    ),
]
"""The name of one of `slipway:secrets`."""
Value = Annotated[StrictStr, BeforeValidator(text_of_number, json_schema_input_type=str | int)]
Label = Annotated[
    StrictStr,
    Matching(
        LABEL_PATTERN,
        "not a DNS label",
        "Use at most 63 lower-case letters, digits and hyphens; begin with a letter and do not end with a hyphen.",
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
WildcardName = Annotated[
    StrictStr,
    Matching(
        r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "not a domain name",
        "Write the bare name in lower case, such as shop.example.com or *.example.com, without scheme, port or path.",
        length=253,
    ),
]
PathPrefix = Annotated[
    StrictStr,
    Matching(
        r"(/[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*)+",
        "not the beginning of a path",
        "Write it without a slash at its end, such as /api, with letters, digits, hyphens, dots and underscores.",
        length=100,
    ),
]
UrlPath = Annotated[
    StrictStr,
    Matching(
        # RFC 3986, and the brackets that many servers read in a query.
        r"/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*(\?([A-Za-z0-9._~!$&'()*+,;=:@/?\[\]-]|%[0-9A-Fa-f]{2})*)?",
        "not the path of a URL",
        "Begin it with / and use no spaces, such as /up; write other characters as % and two hexadecimal digits.",
        length=500,
    ),
]
TaggedImage = Annotated[
    StrictStr,
    Matching(
        r"[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(@sha256:[0-9a-f]{64})?",
        "not an image with its tag",
        "Write name:tag, such as debian:12, or name:tag@sha256:… for one digest.",
        length=400,
    ),
]
RegistryServer = Annotated[
    StrictStr,
    Matching(
        # Docker takes the first part of an image's name for a registry if it has a dot or a port.
        rf"(?=.*[.:])[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:{PORT_NUMBER})?",
        "not a registry's address",
        "Write host or host:port in lower case, such as docker.io; a path after it belongs in namespace.",
        length=255,
    ),
]
RepositoryPath = Annotated[
    StrictStr,
    Matching(
        r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*",
        "not the first part of an image's name",
        "Write it in lower case, such as team or team/apps.",
        length=128,
    ),
]
RegistryUser = Annotated[
    StrictStr,
    Matching(r"[!-9;-~]+", "not an account's name", "Write it without spaces and colons.", length=255),
]
StackPath = Annotated[
    StrictStr,
    Matching(
        r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+",
        "not a stack's full name",
        "Write organization/project/stack; without Pulumi Cloud the organization is called organization.",
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
        raise mistake("an instance type without Linux", "Write one such as t3.small, or t4g.small for arm64.")
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
SnapshotId = Annotated[
    StrictStr,
    Matching(
        r"snap-([0-9a-f]{8}|[0-9a-f]{17})",
        "not a snapshot's id",
        "Write one such as snap-0123456789abcdef0: `aws ec2 describe-snapshots --owner-ids self` lists them.",
    ),
]
VolumeId = Annotated[
    StrictStr,
    Matching(
        r"vol-([0-9a-f]{8}|[0-9a-f]{17})",
        "not a volume's id",
        "Write one such as vol-0123456789abcdef0: `aws ec2 describe-volumes` lists them.",
    ),
]
Version = Annotated[
    StrictStr,
    Matching(r"[0-9]+\.[0-9]+\.[0-9]+", "not a version", "Write all three numbers, such as 28.5.2."),
]
Gibibytes = Annotated[int, Within(1, 16_384, "a size in GiB of a volume", "GiB")]
Url = Annotated[
    StrictStr,
    Matching(r"https?://[!-~]+", "not a URL", "Write one such as http://127.0.0.1:5000.", length=500),
]
