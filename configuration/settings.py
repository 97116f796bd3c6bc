"""`StackSettings`: the whole configuration of one stack."""

import ipaddress
import json
from base64 import b64encode
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import Field, StrictBool, model_validator

from configuration.acme import STAGING, AcmeSettings
from configuration.address_pools import chosen
from configuration.aws import DISTRIBUTIONS, Architecture, Distribution, architecture_of
from configuration.backup import (
    BACKUP_PASSWORD,
    REGISTRY,
    STATE,
    BackupTarget,
    StateBackupSettings,
    password_name,
)
from configuration.base import Settings
from configuration.certificates import CertificateSettings
from configuration.cleanup import CleanupSettings
from configuration.hosts import (
    HostName,
    HostSettings,
    LocalPorts,
    Role,
    slot_of_name,
)
from configuration.image_names import DOCKER_HUB, ImageName
from configuration.networks import IPNetwork
from configuration.notices import HooksSettings, NoticeSettings
from configuration.operators import OperatorName, PublicKey
from configuration.platform import DEFAULT_CIDR, PlatformSettings
from configuration.ports import PublishedPort
from configuration.problems import Location
from configuration.proxy import ProxySettings
from configuration.registry import EXTERNAL_PASSWORD, RegistryMode, RegistrySettings
from configuration.review import ReviewSettings
from configuration.rollout import RolloutSettings
from configuration.services import BuildSettings, ServiceName, ServiceSettings
from configuration.tls import AutoSettings, Tls
from configuration.types import Account, Password, Secret, Variable
from well_known import (
    ENGINE_PORT,
    HOSTS_ACCOUNT,
    HTTP_PORT,
    HTTPS_PORT,
    REGISTRY_PORT,
    SSH_PORT,
    host_account,
    review_stack,
)

DOCKER_HUB_LOGIN = "https://index.docker.io/v1/"
"""As Docker calls an account at Docker Hub."""
LARGEST = 8
"""The shortest prefix of a network that is one organization's; 0.0.0.0/0 is everybody's."""


def _one_host() -> dict[str, HostSettings]:
    return {"box": HostSettings(roles=("registry", "build", "app"))}


class StackSettings(Settings):
    """The whole configuration of one stack."""

    platform: PlatformSettings = Field(default_factory=PlatformSettings, examples=[{"kind": "local"}])
    """Where hosts come from. Default: containers on this machine."""

    hosts: dict[HostName, HostSettings] = Field(
        default_factory=_one_host, min_length=1, examples=[{"yard": {"roles": ["registry", "build", "app"]}}]
    )
    """Docker hosts by name. Default: one host, `box`, with every role."""

    registry: RegistrySettings = Field(default_factory=RegistrySettings, examples=[{"users": ["alice"]}])
    """Image registry. Default: the stack's own."""

    services: dict[ServiceName, ServiceSettings] = Field(
        default_factory=dict, examples=[{"web": {"build": {"context": "app"}}}]
    )
    """Services by name. Default: none, only a registry."""

    proxy: ProxySettings = Field(default_factory=ProxySettings)
    """The proxies of the app hosts. Default: they trust no other proxy."""

    acme: AcmeSettings = Field(default_factory=AcmeSettings, examples=[{"email": "ops@example.com"}])
    """The authority of services with `tls: auto`. Default: Let's Encrypt."""

    rollout: RolloutSettings = Field(default_factory=RolloutSettings)
    """How new versions reach the hosts. Default: all hosts get a version, or all keep the old one."""

    hooks: HooksSettings = Field(default_factory=HooksSettings, examples=[{"after": "bin/smoke-test"}])
    """Commands on the operator's machine, around an update by `slip`. Default: none."""

    notify: tuple[NoticeSettings, ...] = Field(
        default=(), examples=[[{"url": {"secret": "SLACK_URL"}, "on": ["failed"]}]]
    )
    """Webhooks that are told of an update by `slip`. A webhook that does not answer fails nothing. Default: none."""

    passwords: dict[Account, Password] = Field(default_factory=dict, examples=[{"alice": {"secure": "…"}}])
    """Password of each account of the registry: 16 to 72 printable ASCII characters. `./slip account rotate
    NAME` makes a new one. Default: made by `./slip up`."""

    secrets: dict[Variable, Secret] = Field(
        default_factory=dict, examples=[{"DATABASE_URL": {"secure": "…"}}]
    )
    """Secrets that services ask for by name. `./slip secret set NAME` sets one. Default: none."""

    certificates: CertificateSettings = Field(default_factory=CertificateSettings)
    """How long certificates are valid, and when certificate authorities rotate. Default: certificates of
    one year."""

    cleanup: CleanupSettings = Field(default_factory=CleanupSettings)
    """What hosts keep on their disks beside what runs. Default: three images of each service, and 10 GiB of
    the build cache."""

    operators: dict[OperatorName, PublicKey] = Field(
        default_factory=dict, examples=[{"alice": "ssh-ed25519 AAAA…"}]
    )
    """SSH public key of each person who may log in to the hosts. Each gets a client certificate for the
    engines, too: `./slip operator certificate NAME` prints it. Removing a person and `./slip up` take both
    away. Default: none."""

    state_backup: StateBackupSettings | None = Field(
        default=None, examples=[{"to": {"path": "/mnt/backups"}}]
    )
    """Backup of the stack's state after each `./slip up`, and by `./slip backup state`. Default: none."""

    review: ReviewSettings = Field(default_factory=ReviewSettings, examples=[{"limit": 10, "ttlHours": 168}])
    """Review environments, which `./slip review open` makes from `Pulumi.review.yaml`. Default: five at most, for three
    days each."""

    protect: StrictBool = False
    """`true` makes Pulumi refuse to delete hosts and the registry's data. Default: `false`."""

    @model_validator(mode="before")
    @classmethod
    def _one_host_without_a_registry(cls, values: Any) -> Any:
        """The default host has no role `registry` if the registry is external."""
        registry = values.get("registry") if isinstance(values, dict) else None
        if isinstance(registry, dict) and registry.get("external") and "hosts" not in values:
            return {**values, "hosts": {"box": {"roles": ["build", "app"]}}}
        return values

    def hosts_with(self, role: Role) -> tuple[str, ...]:
        """The names of the hosts with this role, by name: Pulumi sorts the maps of a configuration."""
        return tuple(name for name, host in self.hosts.items() if role in host.roles)

    @property
    def edges(self) -> tuple[str, ...]:
        """The names of the hosts that stand before the app hosts; none if visitors reach the app hosts themselves."""
        return self.hosts_with("edge")

    def has_proxy(self, host: str) -> bool:
        """Whether visitors reach this host, or an edge does for them."""
        return not {"app", "edge"}.isdisjoint(self.hosts[host].roles)

    def doors(self, service: str) -> tuple[str, ...]:
        """The names of the hosts where visitors reach this service: the edges, or else its own hosts."""
        return self.edges or self.service_hosts(service)

    @property
    def registry_host(self) -> str | None:
        """The name of the host that keeps the images; None if the registry is external."""
        return next(iter(self.hosts_with("registry")), None)

    @property
    def guest_prefix(self) -> str:
        """On the hosts of another stack: what the names of the services begin with. Empty on hosts of its own."""
        review = self.review
        is_guest = review.hosts_of is not None and review.pull_request is not None
        return f"{review_stack(review.pull_request or 0)}-" if is_guest else ""

    @property
    def build_host(self) -> str | None:
        """The name of the host that builds images; None if no host has that role."""
        return next(iter(self.hosts_with("build")), None)

    @property
    def copying_host(self) -> str:
        """The name of the host that copies the images of `registry.mirror`: the build host, if the stack has one."""
        return self.build_host or self.registry_host or next(iter(self.hosts))

    @property
    def registry_port(self) -> int:
        """The TCP port of the stack's own registry, the same on its host and on 127.0.0.1."""
        return self.registry.port or REGISTRY_PORT + self.platform.port_offset

    @property
    def external_port(self) -> int:
        """The TCP port of the external registry. Another stack's is not known here and taken to be the default."""
        server = self.registry.external and self.registry.external.server
        return int(server.partition(":")[2] or 443) if server else REGISTRY_PORT

    @property
    def registry_networks(self) -> tuple[str, ...]:
        """On AWS: the networks that may reach the registry from outside the stack."""
        allowed = self.registry.allowed_cidrs
        return self.platform.admin_cidrs if allowed is None else allowed

    def known_networks(self) -> dict[Location, tuple[IPNetwork, ...]]:
        """The networks in the settings, by their location: clients of the hosts, and on AWS the hosts themselves."""
        named: dict[Location, Sequence[str]] = {
            ("platform", "adminCidrs"): self.platform.admin_cidrs,
            ("registry", "allowedCidrs"): self.registry.allowed_cidrs or (),
            ("registry", "metricsCidrs"): self.registry.metrics_cidrs,
            **{
                ("services", name, "allowedCidrs"): service.allowed_cidrs
                for name, service in self.services.items()
            },
        }
        if self.platform.kind == "aws":
            network = self.platform.network
            own = (network.cidr or DEFAULT_CIDR,) if not (network.default or network.subnets) else ()
            named["platform", "network", "cidr"] = own
        # The whole internet is in every list of services that everybody may reach.
        return {
            location: tuple(
                found for text in texts if (found := ipaddress.ip_network(text)).prefixlen >= LARGEST
            )
            for location, texts in named.items()
        }

    @property
    def address_pools(self) -> tuple[IPNetwork, ...]:
        """The pools of the hosts' engines; none for the engine's own."""
        if self.platform.address_pools:
            return tuple(map(ipaddress.ip_network, self.platform.address_pools))
        return chosen([network for networks in self.known_networks().values() for network in networks])

    def distribution(self, host: str) -> Distribution:
        """On AWS: the host's Linux distribution."""
        return DISTRIBUTIONS[self.hosts[host].distribution or self.platform.distribution]

    def engine_version(self, host: str) -> str | None:
        """On AWS: the version of the host's Docker Engine; None for the distribution's own package."""
        return self.hosts[host].engine_version or self.platform.engine_version

    def instance_type(self, host: str) -> str:
        """On AWS: the host's instance type."""
        return self.hosts[host].type or self.platform.instance_type

    def architecture(self, host: str) -> Architecture:
        """On AWS: the host's processor architecture."""
        return architecture_of(self.instance_type(host)) or "amd64"

    def root_size(self, host: str) -> int:
        """On AWS: GiB of the host's root volume."""
        return self.hosts[host].root_size or self.platform.root_size

    def subnet(self, host: str, count: int) -> int:
        """On AWS: the index of the host's subnet among `count` subnets."""
        chosen = self.hosts[host].subnet
        number = slot_of_name(host) if chosen is None else chosen
        return (number - 1) % count if number else 0

    @property
    def registry_address(self) -> str:
        """`host:port` of the stack's own registry, the first part of its images' names."""
        return f"{self.registry_host}:{self.registry_port}"

    @property
    def registry_mode(self) -> RegistryMode:
        """Whose registry the stack uses, and whether that speaks TLS."""
        if self.registry.external:
            return "external"
        return "insecure" if self.registry.insecure else "own"

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts of the stack's own registry, the hosts' first; or the one account at an external registry."""
        if self.registry.external:
            return (self.registry.external.username,)
        return (HOSTS_ACCOUNT, *self.registry.users)

    @property
    def hosts_account(self) -> str:
        """The account with which the build host pushes and pulls; every host at an external registry."""
        return self.accounts[0]

    def account_of(self, host: str) -> str:
        """The account by which a host uses the registry. Only the build host's may push."""
        if self.registry.external or host == self.copying_host:
            return self.hosts_account
        return host_account(host)

    def password(self, account: str) -> str:
        """The password of one of `accounts`."""
        if self.registry.external:
            return self.secrets[EXTERNAL_PASSWORD].get_secret_value()
        return self.passwords[account].get_secret_value()

    @property
    def backup_targets(self) -> dict[str, BackupTarget]:
        """Where backups go: of the services that have them, of the registry (`REGISTRY`) and of the state (`STATE`)."""
        found = {name: service.backup.to for name, service in self.services.items() if service.backup}
        if self.registry.backup:
            found[REGISTRY] = self.registry.backup.to
        if self.state_backup:
            found[STATE] = self.state_backup.to
        return found

    def backup_passwords(self, name: str) -> tuple[str, str]:
        """The password of one of these, and that of its repository in older versions; empty if there was none."""
        former = self.secrets[BACKUP_PASSWORD].get_secret_value() if BACKUP_PASSWORD in self.secrets else ""
        own = self.secrets.get(password_name(name))
        return (own.get_secret_value(), former) if own else (former, "")

    def service_hosts(self, service: str) -> tuple[str, ...]:
        """The names of the hosts that run this service, in the order of its roll-out."""
        return self.services[service].hosts or self.hosts_with("app")

    def image_source(self, service: str) -> str:
        """The name of the service whose image this one runs: its own, or at the end of a chain of `from`."""
        seen = [service]
        while (other := self.services[seen[-1]].from_) and other in self.services and other not in seen:
            seen.append(other)
        return seen[-1]

    @property
    def built_services(self) -> dict[str, BuildSettings]:
        """The builds, by the name of the service that each belongs to."""
        return {name: service.build for name, service in self.services.items() if service.build}

    @property
    def mirrored_images(self) -> tuple[str, ...]:
        """The images of others that the stack's registry has copies of: those of `registry.mirror`, and of services."""
        mirrored = {ImageName.of(image).tagged: image for image in self.registry.mirror}
        for service in self.services.values():
            if service.image:
                mirrored.setdefault(ImageName.of(service.image).tagged, service.image)
        return tuple(mirrored.values())

    def source_logins(self, servers: Collection[str]) -> str:
        """The accounts at these registries as Docker's config.json; empty if none of them has one."""
        logins = {
            name: {"auth": b64encode(f"{account.username}:{password}".encode()).decode()}
            for server, account in sorted(self.registry.sources.items())
            if server in servers
            for password in [self.secrets[account.password.secret].get_secret_value()]
            for name in (server, *([DOCKER_HUB_LOGIN] if server == DOCKER_HUB else []))
        }
        return json.dumps({"auths": logins}) if logins else ""

    def mirrored_as(self, image: str) -> str:
        """The name by which an image of a service is among `mirrored_images`."""
        return next(
            one for one in self.mirrored_images if ImageName.of(one).tagged == ImageName.of(image).tagged
        )

    def needed_first(self) -> list[str]:
        """The names of the services, each behind those that it needs, and otherwise in their own order.

        Behind a service whose image it runs, too, if that one has a release command and does not need it itself.
        """
        found: dict[str, None] = {}

        def add(name: str) -> None:
            for other in self.services[name].needs:
                if other not in found:
                    add(other)
            source = self.image_source(name)
            releases = source in self.services and self.services[source].release is not None
            if releases and source not in found and name not in self.all_needed(source):
                add(source)
            found[name] = None

        for name in self.services:
            if name not in found:
                add(name)
        return list(found)

    def all_needed(self, service: str) -> set[str]:
        """The service, and all that it needs, and what those need."""
        found: set[str] = set()
        left = [service]
        while left:
            name = left.pop()
            if name not in found and name in self.services:
                found.add(name)
                left += self.services[name].needs
        return found

    @property
    def private_ports(self) -> dict[int, str]:
        """The private ports of services, each with its service."""
        return {port: name for name, service in self.services.items() for port in service.ports.private}

    def names_in_zone(self) -> dict[str, tuple[str, ...]]:
        """On AWS: the names that get a record in `platform.zone`, each with the hosts that it resolves to."""
        zone = self.platform.zone
        names = {self.registry.domain: self.hosts_with("registry")} if self.registry.domain else {}
        for service, settings in self.services.items():
            # Services can share a name by their paths.
            for name in settings.names:
                names[name] = tuple(dict.fromkeys((*names.get(name, ()), *self.doors(service))))
        return {name: hosts for name, hosts in names.items() if zone and f".{name}".endswith(f".{zone}")}

    def services_on(self, host: str) -> tuple[str, ...]:
        """The names of the services that this host runs."""
        return tuple(name for name in self.services if host in self.service_hosts(name))

    def repositories_on(self, host: str) -> tuple[str, ...]:
        """The repositories of the stack's registry with the images of these services."""
        sources = [self.image_source(name) for name in self.services_on(host)]
        images = {name: self.services[name].image for name in sources}
        return tuple(ImageName.of(image).copy if image else name for name, image in images.items())

    def tls(self, service: str) -> Tls:
        """Who vouches for a service's names. A service without a name has nothing to vouch for."""
        settings = self.services[service]
        if settings.tls is not None:
            return settings.tls
        return "own" if settings.names and self.platform.kind == "local" else "off"

    def acme_directory(self, service: str) -> str | None:
        """The URL of the ACME directory that signs a service's certificate; None if none does."""
        tls = self.tls(service)
        if isinstance(tls, AutoSettings):
            return STAGING
        return self.acme.directory if tls == "auto" else None

    def has_https(self, service: str) -> bool:
        """Whether a service answers by HTTPS."""
        return self.tls(service) != "off"

    def https_on(self, host: str) -> tuple[str, ...]:
        """The names of the services that answer by HTTPS on this host."""
        return tuple(name for name in self.services if self.has_https(name) and host in self.doors(name))

    def acme_on(self, host: str) -> tuple[str, ...]:
        """The names of the services for whose certificates by ACME this host answers challenges."""
        by_http = [name for name in self.services if self.acme_directory(name) and not self.acme.dns]
        return tuple(name for name in by_http if host in self.doors(name))

    def with_visitors(self, host: str) -> tuple[str, ...]:
        """The names of the services on this host that ask visitors for a password."""
        return tuple(name for name in self.services_on(host) if self.services[name].auth)

    def with_error_page(self, host: str) -> tuple[str, ...]:
        """The names of the services with a page of their own for errors, on this host or behind this edge."""
        return tuple(
            name
            for name, service in self.services.items()
            if service.error_page and host in (*self.service_hosts(name), *self.edges)
        )

    def slot(self, host: str) -> int:
        """The host's slot: the configured one, or else the number at the end of its name, or else 0."""
        configured = self.hosts[host].slot
        return slot_of_name(host) if configured is None else configured

    def local_ports(self, host: str) -> LocalPorts:
        """On the platform `local`: the host's ports on 127.0.0.1."""
        shift = self.slot(host) + self.platform.port_offset
        return LocalPorts(
            ssh=SSH_PORT + shift,
            engine=ENGINE_PORT + shift,
            http=HTTP_PORT + shift,
            https=HTTPS_PORT + shift,
        )

    def service_ports(self, host: str) -> dict[PublishedPort, str]:
        """The ports that services publish on this host, each with its service."""
        return {port: name for name in self.services_on(host) for port in self.services[name].ports.published}

    def public_ports(self, host: str) -> tuple[PublishedPort, ...]:
        """Those that are open to other machines."""
        return tuple(port for port in self.service_ports(host) if port.is_public)

    def local_port(self, host: str, port: int) -> int:
        """On the platform `local`: the port of 127.0.0.1 that leads to a public port of the host."""
        return port + self.slot(host) + self.platform.port_offset

    def published_ports(self, host: str) -> dict[int, str]:
        """What listens on the host's ports on 127.0.0.1, by port, without the registry and the ports of services."""
        ports = self.local_ports(host)
        published = {ports.ssh: "SSH", ports.engine: "the Docker Engine"}
        if self.has_proxy(host):
            published[ports.http] = "HTTP"
        if self.https_on(host):
            published[ports.https] = "HTTPS"
        return published
