"""`slipway:registry`: the image registry."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictStr, TypeAdapter, WrapValidator

from configuration.backup import RegistryBackupSettings
from configuration.base import OnAws, Settings
from configuration.constraints import Within, distinct, mistake, reserved
from configuration.containers import SecretName
from configuration.files import certificates, read
from configuration.networks import ClosedNetworks, PrivateNetworks
from configuration.types import (
    Account,
    DomainName,
    Gibibytes,
    Pem,
    Port,
    RegistryServer,
    RegistryUser,
    RepositoryPath,
    SnapshotId,
    StackPath,
    TaggedImage,
    VolumeId,
)
from well_known import HOSTS_ACCOUNT

MIRROR = "mirror"
"""The first part of the names of the copies of `registry.mirror`."""

RegistryMode = Literal["own", "insecure", "external"]
"""Whose registry a stack uses: its own with TLS, its own with plain HTTP, or an existing one."""

EXTERNAL_PASSWORD = "REGISTRY_PASSWORD"  # noqa: S105 - a name
"""Key in `slipway:secrets` of the password for an external registry."""


class RetentionSettings(Settings):
    """Which images stay in the registry."""

    keep: Annotated[int, Within(1, 10_000, "a number of images")] = 10
    """Number of images that stay in each repository, 1 to 10000: the newest, and those before the image
    that a service runs, for a rollback. In a service's repository only images that have served count.
    Default: 10."""

    days: Annotated[int, Within(0, 36_500, "a number of days", "days")] = 30
    """Days for which an image stays after its last push, 0 to 36500. A push of one of its tags counts, the
    time of its build does not. Default: 30."""

    hour: Annotated[int, Within(0, 23, "an hour of the day")] = 3
    """Hour of the day at which all other images are removed, 0 to 23, by the clock of the registry's host,
    which is usually UTC. Default: 3."""


class ExternalRegistrySettings(Settings):
    """Existing registry that a stack uses instead of its own."""

    server: Annotated[RegistryServer, Field(examples=["registry.example.com"])] | None = None
    """Address of the registry, `host` or `host:port`, such as `docker.io` for Docker Hub. Required unless
    `stack` is set."""

    stack: Annotated[StackPath, Field(examples=["organization/slipway/base"])] | None = None
    """Full name of another Slipway stack, `organization/project/stack`, whose registry to use. That stack's
    outputs hold the address and the certificate authority. Required unless `server` is set."""

    namespace: RepositoryPath | None = None
    """First part of the images' names at the registry, such as `team` for `docker.io/team/web`. Docker Hub
    needs one. Default: none."""

    username: Annotated[RegistryUser, Field(examples=["team"])]
    """Account at the registry, which may push and pull. Its password is
    `slipway:secrets.REGISTRY_PASSWORD`. Required."""

    certificate_authority: Annotated[Pem, Field(examples=["ca.crt"])] | None = None
    """Certificate authority of the registry: a PEM file of 1 MiB at most, relative to the project, or its
    text. Only the certificates in it are used. Default: the authorities that every machine trusts."""

    def authority(self, directory: Path) -> str:
        """The certificates of `certificateAuthority`, PEM; empty if it is not set.

        Args:
            directory: the project's.

        Raises:
            UnfitFile: the file cannot be read, holds no certificate, or holds a private key.
        """
        text = self.certificate_authority or ""
        if not text:
            return ""
        if not self.is_authority_text:
            # Comments between the certificates may have any encoding.
            text = read(directory / text).decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        return certificates(text)

    @property
    def is_authority_text(self) -> bool:
        """Whether `certificateAuthority` holds PEM text, not the path of a file."""
        return "-----BEGIN" in (self.certificate_authority or "")


class SourceSettings(Settings):
    """An account at a registry that images come from."""

    username: Annotated[RegistryUser, Field(examples=["team-bot"])]
    """Account, which may pull the images. Required."""

    password: Annotated[SecretName, Field(examples=[{"secret": "GHCR_PASSWORD"}])]
    """Its password or token, `{ secret: NAME }` with a name from `slipway:secrets`. Required."""


def _repositories(pattern: str) -> str:
    if not re.fullmatch(REPOSITORIES_PATTERN, pattern):
        raise mistake(
            "neither a repository's name nor the beginning of one",
            "Write team/app, team/* for all repositories that begin with team/, or * for all.",
        )
    return pattern


def _writable(pattern: str) -> str:
    if pattern.partition("/")[0] == MIRROR:
        raise mistake(
            "reserved: only the build host writes the copies of registry.mirror", "Leave this entry out."
        )
    return pattern


REPOSITORIES_PATTERN = r"\*|[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*(/\*)?"
Repositories = Annotated[StrictStr, AfterValidator(_repositories)]
"""A repository's name; the beginning of names with `/*` at its end; or `*` for all."""

User = Annotated[Account, AfterValidator(reserved({HOSTS_ACCOUNT: "the stack's hosts use it"}))]


class UserSettings(Settings):
    """What an account may do in the registry."""

    push: Annotated[
        tuple[Annotated[Repositories, AfterValidator(_writable)], ...],
        AfterValidator(distinct),
        Field(examples=[["team/*"]]),
    ] = ()
    """Repositories that the account may push to: `team/app`, `team/*` for all that begin with `team/`, or `*`
    for all but `mirror/*`, which only the build host writes. What an account may push, it may pull.
    Default: none."""

    pull: Annotated[tuple[Repositories, ...], AfterValidator(distinct), Field(examples=[["team/*"]])] = ("*",)
    """Repositories that the account may pull, in the same form. With less than `*` it does not see the
    catalogue either. Default: all."""


EVERYTHING = UserSettings(push=("*",))
"""What an account of a plain list may do."""


def _rights(value: object) -> object:
    if value is None or isinstance(value, dict):
        return value or {}
    # Some users write a password here.
    raise mistake(
        "not a map of rights",
        "Write {} or { push: [team/*] }; its password belongs in slipway:passwords.",
        value="…",
    )


def _users(value: object, _: object) -> object:
    """A list of names, or a map from names to rights. A union of the two would report each mistake twice."""
    if not isinstance(value, dict):
        return _NAMES.validate_python(value)
    return _RIGHTS.validate_python(value)


_NAMES: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    Annotated[tuple[User, ...], AfterValidator(distinct)], config={"defer_build": True}
)
_RIGHTS: TypeAdapter[dict[str, UserSettings]] = TypeAdapter(
    dict[User, Annotated[UserSettings, BeforeValidator(_rights)]], config={"defer_build": True}
)


class RegistrySettings(Settings):
    """Image registry: the stack's own, or an existing one."""

    users: Annotated[
        tuple[User, ...] | dict[User, UserSettings],
        WrapValidator(_users),
        Field(examples=[["alice"]]),
    ] = ()
    """Accounts of people and programs. In a list, `[alice, ci]`, each may pull everything and push to all
    repositories but `mirror/*`; a map gives each its own rights, `{ alice: { push: [team/*] }, reader: {} }`.
    Each needs a password in `slipway:passwords`, and so does `hosts`, the account of the stack's own
    hosts. Default: none but `hosts`."""

    port: Port | None = None
    """TCP port of the registry on its host and on 127.0.0.1, 1 to 65535. Default: 5000 +
    `platform.portOffset`."""

    metrics_port: Port | None = None
    """TCP port of the registry's metrics (`/metrics`, for Prometheus) and health (`/debug/health`), 1 to
    65535. It is private: on `local` it is on 127.0.0.1, on `aws` on the host's private address. Default:
    not published."""

    metrics_cidrs: OnAws[PrivateNetworks] = ()
    """Private networks that may reach `metricsPort` besides the stack's own app hosts, such as that of a
    VPC with a Prometheus. Default: none."""

    mirror: Annotated[tuple[TaggedImage, ...], AfterValidator(distinct), Field(examples=[["debian:12"]])] = ()
    """Third-party images of which the registry keeps copies, `name:tag`, so that builds depend on no other
    registry: `FROM` with the same name uses the copy. A tag is looked up once; `name:tag@sha256:…` names
    the digest. Default: none."""

    sources: Annotated[
        dict[RegistryServer, SourceSettings],
        Field(examples=[{"ghcr.io": {"username": "team-bot", "password": {"secret": "GHCR_PASSWORD"}}}]),
    ] = Field(default_factory=dict)
    """Accounts at the registries that images of `mirror` and of services come from, by `host` or `host:port`;
    `docker.io` is Docker Hub. Only the host that makes the copies uses them. Default: none, for images that
    everybody may pull."""

    external: ExternalRegistrySettings | None = None
    """Existing registry to use instead of the stack's own. No host has the role `registry` then, and the
    accounts are made at that registry. Default: the stack's own registry."""

    insecure: StrictBool = False
    """`true` serves plain HTTP, for trying out: whoever listens on the network reads passwords and images.
    The hosts' engines get the registry as one of their `insecure-registries`. Refused on platforms other
    than `local`, and with `protect`. Default: `false`."""

    client_certificates: StrictBool = False
    """`true` makes the registry ask each client for a certificate of the stack's, besides account and
    password (mutual TLS). Hosts get theirs with `./slip up`, people with `./slip login`. Docker Engine 29
    and newer send none. Default: `false`."""

    allowed_cidrs: OnAws[ClosedNetworks | None] = None
    """Networks that may reach the registry besides the stack's own hosts, none larger than /8 (IPv6: /20).
    Default: `platform.adminCidrs`."""

    domain: OnAws[DomainName | None] = None
    """Domain name of the registry's host. The registry's certificate is valid for it, and with
    `platform.zone` it gets a record. Default: none."""

    data_size: OnAws[Annotated[Gibibytes, Field(examples=[50])]] = 20
    """GiB of the volume that keeps the images, 1 to 16384. It grows in place and never shrinks. Default:
    20."""

    data_snapshot: OnAws[Annotated[SnapshotId, Field(examples=["snap-0123456789abcdef0"])] | None] = None
    """EBS snapshot, such as a recovery point of AWS Backup, that brings the images back: the volume is
    replaced by one made from it. Leave it set: another one makes another volume. Default: none."""

    data_volume: OnAws[Annotated[VolumeId, Field(examples=["vol-0123456789abcdef0"])] | None] = None
    """Existing EBS volume that keeps the images instead of one of the stack's own: in the zone of the
    registry's host, with a file system of a Slipway registry (XFS) or blank. Slipway never deletes it.
    Default: a volume of the stack's own."""

    snapshot_days: OnAws[Annotated[int, Within(0, 3650, "a number of days", "days")]] = 7
    """Days for which the daily snapshots of that volume are kept, 0 to 3650; 0 makes no snapshots. Default:
    7."""

    retention: RetentionSettings | None = Field(default=None, examples=[{"keep": 10, "days": 30}])
    """Which images stay. Those that the stack's own services run stay in any case. Default: all images
    stay, since other users of the registry may need them."""

    backup: RegistryBackupSettings | None = Field(default=None, examples=[{"to": {"host": "web-1"}}])
    """Backup of the images, each day. Default: none."""

    def rights(self, user: str) -> UserSettings:
        """What one of `users` may do."""
        return self.users[user] if isinstance(self.users, dict) else EVERYTHING
