"""What a stack is configured with: `StackSettings`, and `load()`, the only reader of the stack's
configuration.

The class attributes below, in camelCase, are the keys that users write under `slipway:` in
`Pulumi.<stack>.yaml`. Their docstrings become the descriptions in `slipway.schema.json` and in the README's
table; after a change run `python -m configuration.reference`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic.alias_generators import to_camel

from configuration.aws import DISTRIBUTIONS, Architecture, Distribution, architecture_of
from configuration.files import certificates, read
from configuration.problems import SettingsError  # what `validate` raises, so part of this module
from configuration.registry_checks import EXTERNAL_PASSWORD
from configuration.types import (
    Account,
    ClosedNetworks,
    DomainName,
    FilePath,
    Gibibytes,
    InstanceType,
    Label,
    Network,
    Password,
    Pem,
    Port,
    PrivateNetworks,
    Region,
    RegistryServer,
    RegistryUser,
    RepositoryPath,
    Seconds,
    Secret,
    StackPath,
    SubnetId,
    TaggedImage,
    Url,
    UrlPath,
    Value,
    Variable,
    Version,
    Within,
    distinct,
    not_empty,
    reserved,
)

__all__ = ["LocalPorts", "SettingsError", "StackSettings", "load", "validate"]

Role = Literal["registry", "build", "app"]
"""What a host does: keeps the images, builds them, runs the services."""

RegistryMode = Literal["own", "insecure", "external"]
"""How a stack comes by its registry: its own behind TLS, its own with plain HTTP for trying out, or someone
else's."""

DistributionName = Literal["debian-12", "ubuntu-24.04", "amazon-linux-2023"]

HOSTS_ACCOUNT = "hosts"
"""The account of the registry by which the stack's own hosts push and pull. People have others."""

IMAGE_ARGUMENTS = ("TITLE", "REVISION", "SOURCE")
"""Build arguments that every Dockerfile gets, for the image's OCI labels."""

BASE_IMAGE_ARGUMENT = "BASE_IMAGE"
"""Build argument by which an app image's Dockerfile gets the reference of the service's base image."""

SSH_PORT, ENGINE_PORT, HTTP_PORT = 2200, 23760, 8080
"""Where a local host of slot 0 answers on 127.0.0.1, with no offset."""

REGISTRY_PORT = 5000
"""Where the registry answers unless told otherwise: distribution's own default."""


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        hide_input_in_errors=True,
    )


class NetworkSettings(_Settings):
    """The network of a stack on AWS: one of its own unless one of the others is named."""

    cidr: Network | None = None
    """Addresses of the stack's own network, a private IPv4 network from /16 to /26. By default 10.83.0.0/22."""

    default: StrictBool = False
    """Whether to use the account's default VPC in the region instead."""

    subnets: Annotated[
        tuple[SubnetId, ...],
        AfterValidator(distinct),
        Field(examples=[["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]]),
    ] = ()
    """Subnets to use instead, all in one VPC, in different zones, with a way out to the internet."""


class PlatformSettings(_Settings):
    """Where hosts come from."""

    kind: Literal["local", "aws"] = "local"
    """`local`: hosts are containers on this machine's own Docker Engine. `aws`: they are EC2 instances."""

    port_offset: Annotated[int, Within(0, 41000, "an offset of ports")] = 0
    """local: added to every port that is published on 127.0.0.1, so that two stacks fit on one machine. Steps
    of 100 keep them apart. The highest one keeps the highest port (23760 + slot 99 + offset) below 65536."""

    region: Region | None = None
    """aws: the region, such as `eu-central-1`. Required there."""

    admin_cidrs: ClosedNetworks = ()
    """aws: networks that may reach SSH and the Docker Engines: yours. Required there; never the world."""

    network: NetworkSettings = Field(default_factory=NetworkSettings, examples=[{"cidr": "10.83.0.0/22"}])
    """aws: the network. By default a small VPC of the stack's own with two public subnets."""

    connect: Literal["public", "private"] = "public"
    """aws: `public`: each host has an Elastic IP, and you reach it there. `private`: no host has a public
    address, and you reach them by a VPN into `network.subnets`."""

    distribution: DistributionName = "debian-12"
    """aws: what the hosts run, where a host says nothing else. A change replaces the hosts."""

    instance_type: InstanceType = "t3.small"
    """aws: the hosts' instance type, where a host names none. By default one with 2 GiB of memory. With
    Graviton's, such as `t4g.small`, images are built for `linux/arm64`."""

    root_size: Annotated[Gibibytes, Field(examples=[20])] = 20
    """aws: GiB of a host's root volume, where a host says nothing else: system, images and containers."""

    engine_version: Version | None = None
    """aws: the Docker Engine's version, such as `28.5.2`: from Docker's repository, or Amazon Linux's own. By
    default the distribution's own package. A change replaces the hosts, all at once; see `hosts.HOST.engineVersion`."""

    ssh_timeout: Annotated[int, Within(30, 3600, "a time in seconds")] = 600
    """aws: seconds that a new host has to answer SSH and finish its first boot, 30 to 3600."""

    zone: DomainName | None = None
    """aws: a Route 53 zone of the account. `registry.domain` and the services' domains that are in it get
    records."""

    endpoint: Url | None = None
    """aws: asks this URL in place of AWS's own, for trying out. AWS_ENDPOINT_URL in the environment does the
    same."""


class HostSettings(_Settings):
    """One Docker host."""

    roles: Annotated[
        tuple[Role, ...],
        AfterValidator(distinct),
        AfterValidator(not_empty("one role or more of registry, build and app")),
        Field(examples=[["registry", "build"]]),
    ]
    """What the host does: `registry` keeps the images (exactly one host), `build` builds them (one host),
    `app` runs services (any number)."""

    slot: Annotated[int, Within(0, 99, "a slot")] | None = None
    """local: which ports of 127.0.0.1 the host has: SSH on 2200 + slot, its engine on 23760 + slot, HTTP on 8080 +
    slot. By default the number at the end of the host's name, else 0."""

    memory: Annotated[int, Within(256, 1_048_576, "an amount of memory in MiB for a host")] | None = None
    """local: MiB of memory that the host may use, 256 at least; no limit by default. systemd, sshd and Docker
    Engine alone take about 150."""

    type: InstanceType | None = None
    """aws: the host's instance type. By default `platform.instanceType`."""

    root_size: Gibibytes | None = None
    """aws: GiB of the host's root volume. By default `platform.rootSize`. It can grow in place."""

    distribution: DistributionName | None = None
    """aws: what the host runs. By default `platform.distribution`. A change replaces the host."""

    engine_version: Version | None = None
    """aws: the host's Docker Engine's version. By default `platform.engineVersion`. A change replaces the host:
    so it is host by host that a new version comes while the others serve."""

    subnet: Annotated[int, Within(1, 16, "the number of a subnet")] | None = None
    """aws: which of the network's subnets the host is in, counted from 1. By default the number at the end of
    its name goes round them: web-1 is in the first, web-2 in the second. A host without one is in the first."""


class RetentionSettings(_Settings):
    """Which images the registry keeps."""

    keep: Annotated[int, Within(1, 10_000, "a number of images")] = 10
    """The newest so many images of each repository stay, 1 at least, and so do the ones before what a service
    runs, to which it could be rolled back. In the repository of a service only images that have served count."""

    days: Annotated[int, Within(0, 36_500, "a number of days")] = 30
    """Images that were pushed within the last so many days stay, too. What counts is when an image, or a tag of
    it, was pushed, and not when it says that it was built."""

    hour: Annotated[int, Within(0, 23, "an hour of the day")] = 3
    """When the others are removed each day, by the clock of the registry's host, which is mostly UTC."""


class ExternalRegistrySettings(_Settings):
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


class RegistrySettings(_Settings):
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

    metrics_cidrs: PrivateNetworks = ()
    """aws: private networks that may reach `metricsPort`, such as that of a VPC with a Prometheus in it, besides
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

    allowed_cidrs: ClosedNetworks | None = None
    """aws: networks that may reach the registry, besides the stack's own hosts. By default
    `platform.adminCidrs`; never the world."""

    domain: DomainName | None = None
    """aws: a name of the registry's host, which its certificate then carries. With `platform.zone` it gets
    a record."""

    data_size: Annotated[Gibibytes, Field(examples=[50])] = 20
    """aws: GiB of the volume that keeps the images. It grows in place, and never shrinks."""

    snapshot_days: Annotated[int, Within(0, 3650, "a number of days")] = 7
    """aws: days that the daily snapshots of that volume are kept; 0 makes none."""

    retention: RetentionSettings | None = Field(default=None, examples=[{"keep": 10, "days": 30}])
    """Which images are kept. By default all of them, for ever: only the stack's own services can be asked what
    they still need. What they run stays in any case."""


class BaseImageSettings(_Settings):
    """The image that a service's own image stands on: what changes seldom."""

    context: Annotated[FilePath, Field(examples=["app/base"])]
    """Directory that is sent to the build, relative to the project."""

    dockerfile: FilePath = "Dockerfile"
    """The Dockerfile, relative to `context`, and inside it where it is a link: text of 1 MiB at most."""

    args: dict[
        Annotated[
            Variable, AfterValidator(reserved(dict.fromkeys(IMAGE_ARGUMENTS, "the build sets it itself")))
        ],
        Value,
    ] = Field(default_factory=dict, examples=[{"BASE": "debian:12"}])
    """Build arguments. They are no place for secrets: an image's history shows them."""

    @property
    def dockerfile_path(self) -> str:
        """The Dockerfile, relative to the project."""
        return f"{self.context}/{self.dockerfile}"


class BuildSettings(BaseImageSettings):
    """How a service's image is built."""

    context: Annotated[FilePath, Field(examples=["app"])]
    """Directory that is sent to the build, relative to the project. Its `.dockerignore` is honoured."""

    base: BaseImageSettings | None = None
    """A base image that is built first. The service's Dockerfile gets its reference as the build argument
    `BASE_IMAGE`."""

    platform: Literal["linux/amd64", "linux/arm64"] | None = None
    """What the image runs on. By default what the hosts are."""


class ServiceSettings(_Settings):
    """One web service: an image, and how its containers run on the app hosts."""

    build: Annotated[BuildSettings, Field(examples=[{"context": "app"}])]
    """How the image is built."""

    port: Port = 8080
    """TCP port that the service listens on, inside its container."""

    health: UrlPath = "/up"
    """Path that answers with a status of 2xx once the service can take requests."""

    health_timeout: Seconds = 30
    """Seconds that a new container has to become healthy, 1 to 3600, before the roll-out is given up. 30 is
    Kamal's default too."""

    drain_timeout: Seconds = 30
    """Seconds that requests to the old container have to finish, 1 to 3600. 30 is Kamal's default too."""

    hosts: (
        Annotated[
            tuple[str, ...],
            AfterValidator(distinct),
            AfterValidator(not_empty("one app host or more, or leave `hosts` out to use them all")),
            Field(examples=[["web-1"]]),
        ]
        | None
    ) = None
    """Hosts that run the service, in the order of the roll-out. By default all with the role `app`, by
    name."""

    domain: DomainName | None = None
    """Name by which the proxy knows requests for this service. A service without one gets all that no other
    service of its host asks for."""

    allowed_cidrs: Annotated[
        tuple[Network, ...],
        AfterValidator(distinct),
        AfterValidator(not_empty("one network or more, or leave `allowedCidrs` out to let everybody in")),
        Field(examples=[["198.51.100.0/24"]]),
    ] = ("0.0.0.0/0",)
    """aws: networks that may reach the service. By default everybody, by IPv4."""

    env: dict[Variable, Value] = Field(default_factory=dict, examples=[{"LOG_LEVEL": "info"}])
    """Environment of the containers. It is readable in the stack's state; secrets belong into `secrets`."""

    secrets: Annotated[
        tuple[Variable, ...], AfterValidator(distinct), Field(examples=[["DATABASE_URL"]])
    ] = ()
    """Names from `slipway:secrets`. The containers find each as a file of that name in /run/secrets."""

    memory: Annotated[int, Within(6, 1_048_576, "an amount of memory in MiB")] = 512
    """MiB of memory that a container may use. Docker takes 6 at least."""


Generation = Annotated[int, Within(1, 1000, "a generation")]
"""The first authority has 1; each that takes over from another has one more."""


class CertificateSettings(_Settings):
    """How long certificates are valid."""

    authority_validity_hours: Annotated[int, Within(1, 175_200, "a time in hours")] = 87_600
    """Hours that the two certificate authorities are valid, 1 to 175200 (20 years). By default 10 years."""

    validity_hours: Annotated[int, Within(1, 19_800, "a time in hours")] = 8_760
    """Hours that the certificates of engines, registry and clients are valid. By default one year; at most
    825 days, beyond which Apple's systems refuse a server's certificate."""

    early_renewal_hours: Annotated[int, Within(0, 19_799, "a time in hours")] = 720
    """An `up` renews the certificates that end within so many hours. By default 30 days, so that one `up` a
    month is enough."""

    registry_ca_generation: Generation = 1
    """Which authority stands for the registry. One more than before makes a new one, and the next two `up`s move
    everybody to it: the first lets hosts trust both, the second drops the old one. People then have to log in
    again. 1 to 1000."""

    engine_ca_generation: Generation = 1
    """The same for the authority that stands for the engines and for who may drive them. 1 to 1000."""


ServiceName = Annotated[
    Label,
    AfterValidator(
        reserved(
            {
                **dict.fromkeys(("registry", "proxy"), "a container of Slipway's own has it"),
                "mirror": "the registry's copies of others' images have it",
            }
        )
    ),
]
HostName = Annotated[Label, AfterValidator(reserved({"localhost": "it is every machine's own name"}))]


@dataclass(frozen=True)
class LocalPorts:
    """Where a local host answers on 127.0.0.1; the registry's port comes on top on its host."""

    ssh: int
    engine: int
    http: int
    """Only hosts with the role `app` publish it."""


def _one_host() -> dict[str, HostSettings]:
    return {"box": HostSettings(roles=("registry", "build", "app"))}


class StackSettings(_Settings):
    """The whole configuration of one stack."""

    platform: PlatformSettings = Field(default_factory=PlatformSettings, examples=[{"kind": "local"}])
    """Where hosts come from. By default containers on this machine."""

    hosts: dict[HostName, HostSettings] = Field(
        default_factory=_one_host, min_length=1, examples=[{"yard": {"roles": ["registry", "build", "app"]}}]
    )
    """The Docker hosts by name. By default one, `box`, that has every role."""

    registry: RegistrySettings = Field(default_factory=RegistrySettings, examples=[{"users": ["alice"]}])
    """The stack's own image registry."""

    services: dict[ServiceName, ServiceSettings] = Field(
        default_factory=dict, examples=[{"web": {"build": {"context": "app"}}}]
    )
    """The web services by name. By default none, which leaves a registry."""

    passwords: dict[Account, Password] = Field(default_factory=dict, examples=[{"alice": {"secure": "…"}}])
    """The password of each account of the registry: 16 to 72 printable ASCII characters. `./slip up` makes
    those that are missing; by hand it is `pulumi config set --secret --path slipway:passwords.NAME`."""

    secrets: dict[Variable, Secret] = Field(
        default_factory=dict, examples=[{"DATABASE_URL": {"secure": "…"}}]
    )
    """Secrets that services may ask for by name. `pulumi config set --secret --path slipway:secrets.NAME`
    sets one."""

    certificates: CertificateSettings = Field(default_factory=CertificateSettings)
    """How long certificates are valid."""

    protect: StrictBool = False
    """Whether Pulumi refuses to delete hosts and the registry's data."""

    @model_validator(mode="before")
    @classmethod
    def _one_host_without_a_registry(cls, values: Any) -> Any:
        """By default the one host keeps the images, unless someone else does."""
        registry = values.get("registry") if isinstance(values, dict) else None
        if isinstance(registry, dict) and registry.get("external") and "hosts" not in values:
            return {**values, "hosts": {"box": {"roles": ["build", "app"]}}}
        return values

    def hosts_with(self, role: Role) -> tuple[str, ...]:
        """The names of the hosts that have this role, in the order of the configuration."""
        return tuple(name for name, host in self.hosts.items() if role in host.roles)

    @property
    def registry_host(self) -> str | None:
        """The name of the one host that keeps the images; none does if someone else's registry has them."""
        return next(iter(self.hosts_with("registry")), None)

    @property
    def build_host(self) -> str | None:
        """The name of the host that builds images; none is needed without services."""
        return next(iter(self.hosts_with("build")), None)

    @property
    def copying_host(self) -> str:
        """The name of the host that makes the copies of `registry.mirror`: the one that builds on them, if any."""
        return self.build_host or self.registry_host or next(iter(self.hosts))

    @property
    def registry_port(self) -> int:
        """The registry's TCP port, the same for hosts and for people."""
        return self.registry.port or REGISTRY_PORT + self.platform.port_offset

    @property
    def external_port(self) -> int:
        """Where someone else's registry answers. Of another stack's it is not known here, so its default is taken."""
        server = self.registry.external and self.registry.external.server
        return int(server.partition(":")[2] or 443) if server else REGISTRY_PORT

    @property
    def registry_networks(self) -> tuple[str, ...]:
        """aws: the networks that reach the registry from outside."""
        allowed = self.registry.allowed_cidrs
        return self.platform.admin_cidrs if allowed is None else allowed

    def distribution(self, host: str) -> Distribution:
        """aws: what the host runs."""
        return DISTRIBUTIONS[self.hosts[host].distribution or self.platform.distribution]

    def engine_version(self, host: str) -> str | None:
        """aws: the version of the host's Docker Engine; None for its distribution's own."""
        return self.hosts[host].engine_version or self.platform.engine_version

    def instance_type(self, host: str) -> str:
        """aws: the host's instance type."""
        return self.hosts[host].type or self.platform.instance_type

    def architecture(self, host: str) -> Architecture:
        """aws: the host's architecture."""
        return architecture_of(self.instance_type(host)) or "amd64"

    def root_size(self, host: str) -> int:
        """aws: GiB of the host's root volume."""
        return self.hosts[host].root_size or self.platform.root_size

    def subnet(self, host: str, count: int) -> int:
        """aws: which of so many subnets the host is in, counted from 0."""
        chosen = self.hosts[host].subnet
        number = slot_of_name(host) if chosen is None else chosen
        return (number - 1) % count if number else 0

    @property
    def registry_address(self) -> str:
        """`host:port` of the stack's own registry, by which hosts know it and images are named."""
        return f"{self.registry_host}:{self.registry_port}"

    @property
    def registry_mode(self) -> RegistryMode:
        """How the stack comes by its registry."""
        if self.registry.external:
            return "external"
        return "insecure" if self.registry.insecure else "own"

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every account of the stack's own registry, the hosts' first; or the one at someone else's."""
        if self.registry.external:
            return (self.registry.external.username,)
        return (HOSTS_ACCOUNT, *self.registry.users)

    @property
    def hosts_account(self) -> str:
        """The account by which the stack's hosts push and pull."""
        return self.accounts[0]

    def password(self, account: str) -> str:
        """The password of one of the accounts."""
        if self.registry.external:
            return self.secrets[EXTERNAL_PASSWORD].get_secret_value()
        return self.passwords[account].get_secret_value()

    def service_hosts(self, service: str) -> tuple[str, ...]:
        """The names of the hosts that run this service, in the order of its roll-out."""
        return self.services[service].hosts or self.hosts_with("app")

    def names_in_zone(self) -> dict[str, tuple[str, ...]]:
        """aws: the names that get a record in `platform.zone`, each with the hosts that it leads to."""
        zone = self.platform.zone
        names = {self.registry.domain: self.hosts_with("registry")} if self.registry.domain else {}
        for service, settings in self.services.items():
            if settings.domain:
                names[settings.domain] = self.service_hosts(service)
        return {name: hosts for name, hosts in names.items() if zone and f".{name}".endswith(f".{zone}")}

    def services_on(self, host: str) -> tuple[str, ...]:
        """The names of the services that this host runs."""
        return tuple(name for name in self.services if host in self.service_hosts(name))

    def slot(self, host: str) -> int:
        """The host's slot: as configured, else the number at the end of its name, else 0."""
        configured = self.hosts[host].slot
        return slot_of_name(host) if configured is None else configured

    def local_ports(self, host: str) -> LocalPorts:
        """Where this host answers on 127.0.0.1 on the platform `local`."""
        shift = self.slot(host) + self.platform.port_offset
        return LocalPorts(ssh=SSH_PORT + shift, engine=ENGINE_PORT + shift, http=HTTP_PORT + shift)

    def published_ports(self, host: str) -> dict[int, str]:
        """What this host itself answers on 127.0.0.1, by port; the registry's comes on top."""
        ports = self.local_ports(host)
        published = {ports.ssh: "SSH", ports.engine: "the Docker Engine"}
        return published | {ports.http: "HTTP"} if "app" in self.hosts[host].roles else published


def slot_of_name(host: str) -> int:
    """The number at the end of a host's name, else 0: 12 for `web-12`."""
    number = re.search(r"[0-9]+$", host)
    return int(number.group()) if number else 0


def validate(
    configuration: Mapping[str, Any], directory: Path | None = None, secret_keys: frozenset[str] | None = None
) -> StackSettings:
    """The settings that a configuration means.

    Args:
        configuration: what the user wrote, with the keys' `slipway:` taken off.
        directory: the project's; what `context` is relative to. By default the current one.
        secret_keys: the keys that Pulumi keeps secret, where that is known.

    Raises:
        SettingsError: with every mistake that there is, not the first only.
    """
    from configuration.validation import validated

    return validated(StackSettings, configuration, directory or Path.cwd(), secret_keys)


def load(directory: Path | None = None, check_ports: bool = True) -> StackSettings:
    """The settings of the stack that runs this program.

    Args:
        directory: the project's. By default the current one, which is where Pulumi runs programs.
        check_ports: whether to refuse a port of this machine that is somebody else's.

    Raises:
        pulumi.RunError: one, which tells every mistake in the configuration.
    """
    import pulumi

    from configuration.local_ports import occupied
    from configuration.pulumi_config import secret_keys, written

    try:
        settings = validate(written(), directory, secret_keys())
        if (
            check_ports
            and settings.platform.kind == "local"
            and (taken := occupied(settings, pulumi.get_project(), pulumi.get_stack()))
        ):
            raise SettingsError(taken)
    except SettingsError as error:
        count = len(error.problems)
        mistakes = "one mistake" if count == 1 else f"{count} mistakes"
        raise pulumi.RunError(
            f"the configuration of stack {pulumi.get_stack()} has {mistakes}; nothing was touched:\n"
            + "\n".join(f"  {problem}" for problem in error.problems)
        ) from None
    return settings
