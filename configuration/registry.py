"""`slipway:registry`: the image registry."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool

from configuration.base import OnAws, Settings
from configuration.files import certificates, read
from configuration.types import (
    Account,
    ClosedNetworks,
    DomainName,
    Gibibytes,
    Pem,
    Port,
    PrivateNetworks,
    RegistryServer,
    RegistryUser,
    RepositoryPath,
    StackPath,
    TaggedImage,
    Within,
    distinct,
    reserved,
)
from well_known import HOSTS_ACCOUNT

RegistryMode = Literal["own", "insecure", "external"]
"""How a stack comes by its registry: its own behind TLS, its own with plain HTTP for trying out, or someone
else's."""


REGISTRY_PORT = 5000
"""Where the registry answers unless told otherwise: distribution's own default."""


EXTERNAL_PASSWORD = "REGISTRY_PASSWORD"  # noqa: S105 - a name
"""Which of `slipway:secrets` is the password of the account at someone else's registry."""


class RetentionSettings(Settings):
    """Which images the registry keeps."""

    keep: Annotated[int, Within(1, 10_000, "a number of images")] = 10
    """The newest so many images of each repository stay, 1 at least, and so do the ones before what a service
    runs, to which it could be rolled back. In the repository of a service only images that have served count."""

    days: Annotated[int, Within(0, 36_500, "a number of days")] = 30
    """Images that were pushed within the last so many days stay, too. What counts is when an image, or a tag of
    it, was pushed, and not when it says that it was built."""

    hour: Annotated[int, Within(0, 23, "an hour of the day")] = 3
    """When the others are removed each day, by the clock of the registry's host, which is mostly UTC."""


class ExternalRegistrySettings(Settings):
    """Someone else's registry in the place of the stack's own."""

    server: Annotated[RegistryServer, Field(examples=["registry.example.com"])] | None = None
    """Where it answers, `host` or `host:port`: `docker.io` for Docker Hub, or a cloud's. Either this or
    `stack`."""

    stack: Annotated[StackPath, Field(examples=["organization/slipway/base"])] | None = None
    """Another Slipway stack, `organization/project/stack`, whose registry to use. Its outputs tell where it is
    and whom to trust."""

    namespace: RepositoryPath | None = None
    """What the images' names begin with there, such as `team` for `docker.io/team/web`. Docker Hub needs one."""

    username: Annotated[RegistryUser, Field(examples=["team"])]
    """The account there, which may push and pull. Its password is `slipway:secrets.REGISTRY_PASSWORD`."""

    certificate_authority: Annotated[Pem, Field(examples=["ca.crt"])] | None = None
    """The authority to trust for it: a PEM file of 1 MiB at most, relative to the project, or its text. Only its
    certificates are used. By default those that every machine trusts."""

    def authority(self, directory: Path) -> str:
        """The authority's certificates, PEM, and nothing else of the file; empty if none is set.

        Raises:
            UnfitFile: the file cannot be read, or holds no certificate, or a private key.
        """
        text = self.certificate_authority or ""
        if not text:
            return ""
        if not self.is_authority_text:
            # A comment between certificates may be in any encoding.
            text = read(directory / text).decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        return certificates(text)

    @property
    def is_authority_text(self) -> bool:
        """Whether `certificateAuthority` is not a file's path but the text itself."""
        return "-----BEGIN" in (self.certificate_authority or "")


class RegistrySettings(Settings):
    """The image registry: the stack's own, or someone else's."""

    users: Annotated[
        tuple[Annotated[Account, AfterValidator(reserved({HOSTS_ACCOUNT: "the stack's hosts use it"}))], ...],
        AfterValidator(distinct),
        Field(examples=[["alice"]]),
    ] = ()
    """Accounts of the people and programs that may push and pull. Each needs a password in
    `slipway:passwords`, and so does `hosts`, the account of the stack's own hosts."""

    port: Port | None = None
    """TCP port of the registry, on its host and on 127.0.0.1. By default 5000 + `platform.portOffset`."""

    metrics_port: Port | None = None
    """TCP port of the registry's metrics (`/metrics`, for Prometheus) and health (`/debug/health`): private, on
    the platform `local` on 127.0.0.1, on aws on the host's private address. By default nobody is given them."""

    metrics_cidrs: OnAws[PrivateNetworks] = ()
    """Private networks that may reach `metricsPort`, such as that of a VPC with a Prometheus in it, besides
    the stack's own app hosts."""

    mirror: Annotated[tuple[TaggedImage, ...], AfterValidator(distinct), Field(examples=[["debian:12"]])] = ()
    """Images of others that the registry keeps copies of, `name:tag`, so that builds depend on nobody else's: a
    build's `FROM` with the same name uses the copy. A tag is looked up once; `name:tag@sha256:…` says which."""

    external: ExternalRegistrySettings | None = None
    """Someone else's registry instead of the stack's own: then no host has the role `registry`, and accounts are
    made there."""

    insecure: StrictBool = False
    """Plain HTTP, for trying out: the hosts' engines then take the registry without TLS (`insecure-registries`),
    and whoever listens on the way reads passwords and images. On the platform `local` only, and never with
    `protect`."""

    client_certificates: StrictBool = False
    """Whether the registry asks each client for a certificate of the stack's, besides account and password
    (mutual TLS). The hosts get theirs, and `./slip login` puts a person's in place. Docker Engine 29 and newer
    show none."""

    allowed_cidrs: OnAws[ClosedNetworks | None] = None
    """Networks that may reach the registry, besides the stack's own hosts. By default
    `platform.adminCidrs`; never the world."""

    domain: OnAws[DomainName | None] = None
    """A name of the registry's host, which its certificate then carries. With `platform.zone` it gets
    a record."""

    data_size: OnAws[Annotated[Gibibytes, Field(examples=[50])]] = 20
    """GiB of the volume that keeps the images. It grows in place, and never shrinks."""

    snapshot_days: OnAws[Annotated[int, Within(0, 3650, "a number of days")]] = 7
    """Days that the daily snapshots of that volume are kept; 0 makes none."""

    retention: RetentionSettings | None = Field(default=None, examples=[{"keep": 10, "days": 30}])
    """Which images are kept. By default all of them, for ever: only the stack's own services can be asked what
    they still need. What they run stays in any case."""
