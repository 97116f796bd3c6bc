"""The platform `aws`: from the settings to EC2 instances with their network, firewall, volume and records."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components.host import Announce, Host, Serving
from components.hosts.aws.catalogue import Catalogue, VolumeFacts, check_placement, zones_for
from components.hosts.aws.firewall import groups, groups_of, rules
from components.hosts.aws.instance import AwsHost, AwsHostArgs
from components.hosts.aws.network import AwsNetwork, AwsNetworkArgs
from components.hosts.aws.provider import make_provider, tags_of_stack
from components.hosts.aws.quotas import ADDRESSES, VCPUS, Demand, problems, standard_vcpus
from components.hosts.aws.records import make_checks, make_records
from components.hosts.aws.registry_volume import RegistryVolume, RegistryVolumeArgs
from components.hosts.aws.security_groups import SecurityGroups, SecurityGroupsArgs
from components.hosts.aws.snapshots import Snapshots, SnapshotsArgs
from configuration.aws import has_cpu_credits
from configuration.platform import DEFAULT_CIDR, OWN_SUBNETS
from configuration.settings import StackSettings


def make_hosts(
    settings: StackSettings,
    ssh_key: tls.PrivateKey,
    known_hosts: Mapping[str, Any],
    names_before: Collection[str] = (),
) -> tuple[dict[str, Host], Announce]:
    """The stack's hosts, by name, and what makes the stack's names lead to them.

    Args:
        settings: the stack's.
        ssh_key: the operator's key.
        known_hosts: the output `hosts` that the last successful update left.
        names_before: the names that led to hosts when it ended.
    """
    arguments = AwsPlatformArgs(
        settings=settings, ssh_key=ssh_key, known_hosts=known_hosts, names_before=names_before
    )
    platform = AwsPlatform("hosts", arguments)
    return platform.hosts, platform.announce


@dataclass(frozen=True)
class _Place:
    """A subnet for hosts, and its zone."""

    subnet_id: pulumi.Input[str]
    zone: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class AwsPlatformArgs:
    """What the platform is made from."""

    settings: StackSettings
    """The stack's settings."""
    ssh_key: tls.PrivateKey
    """The operator's key."""
    known_hosts: Mapping[str, Any] = field(default_factory=dict)
    """The output `hosts` that the last successful update left."""
    names_before: Collection[str] = ()
    """The names that led to hosts when it ended."""


class AwsPlatform(pulumi.ComponentResource):
    """Hosts as EC2 instances, with their network, firewall, data volume and names."""

    hosts: dict[str, Host]
    """The hosts, by name."""

    def __init__(self, name: str, args: AwsPlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:hosts:AwsPlatform", name, None, opts)
        self._args, self._settings = args, args.settings
        settings = args.settings
        self._region = str(settings.platform.region)
        self._label = f"{pulumi.get_project()}-{pulumi.get_stack()}"
        self._aws = make_provider(settings, self._region, self)
        self._catalogue = Catalogue(self._region, pulumi.InvokeOptions(provider=self._aws))
        self._inside = pulumi.ResourceOptions(parent=self, providers=[self._aws])

        # All queries come first, so that a mistake ends the update before anything is made.
        images, self._in_zone, self._volume = self._images(), self._zone_id(), self._data_volume()
        self._check_quotas(args.known_hosts)
        self._warn_of_copies()
        vpc_id, places, network = self._places()
        firewall = SecurityGroups(
            "firewall",
            SecurityGroupsArgs(
                label=self._label, vpc_id=vpc_id, groups=groups(settings), rules=rules(settings)
            ),
            self._inside,
        )
        key = aws.ec2.KeyPair(
            "ssh-key-pair",
            key_name=self._label,
            public_key=args.ssh_key.public_key_openssh.apply(str.strip),
            tags={"Name": self._label},
            # The old key pair holds the name.
            opts=pulumi.ResourceOptions(parent=self, provider=self._aws, delete_before_replace=True),
        )
        hosts = {
            host: AwsHost(
                host,
                AwsHostArgs(
                    label=f"{self._label}-{host}",
                    roles=frozenset(its.roles),
                    distribution=settings.distribution(host),
                    engine_version=settings.engine_version(host),
                    engine_setting=_engine_setting(settings, host),
                    image=images[host],
                    instance_type=settings.instance_type(host),
                    architecture=settings.architecture(host),
                    root_size_gib=settings.root_size(host),
                    subnet_id=places[settings.subnet(host, len(places))].subnet_id,
                    security_groups=[firewall.ids[group] for group in groups_of(settings, host)],
                    way_out=[*network, firewall],
                    public=settings.platform.connect == "public",
                    cpu_credits=settings.platform.cpu_credits
                    if has_cpu_credits(settings.instance_type(host))
                    else None,
                    key_name=key.key_name,
                    ssh_key=args.ssh_key,
                    dns_names=_own_names(settings, host),
                    boot_seconds=settings.platform.ssh_timeout,
                    protect=settings.protect,
                ),
                self._inside,
            )
            for host, its in settings.hosts.items()
        }
        if registry_host := settings.registry_host:
            self._add_registry_volume(registry_host, hosts[registry_host], places)
        self.hosts = {host: made.host for host, made in hosts.items()}
        self._beside = pulumi.ResourceOptions(parent=self, provider=self._aws)
        if self._in_zone:
            self.hosts = make_checks(settings, self.hosts, args.known_hosts, self._label, self._beside)
        self.register_outputs({"hosts": sorted(self.hosts)})

    def announce(self, serving: Serving) -> None:
        """Make the names in the zone lead to the hosts, once these serve."""
        if self._in_zone:
            args, zone_id = self._args, self._in_zone
            make_records(
                args.settings, self.hosts, args.known_hosts, args.names_before, zone_id, serving, self._beside
            )

    def _images(self) -> dict[str, str]:
        """The machine image of each host; each image is looked up once."""
        found: dict[str, str] = {}
        images: dict[str, str] = {}
        for host in self._settings.hosts:
            distribution, architecture = self._settings.distribution(host), self._settings.architecture(host)
            name = distribution.image_name(architecture)
            if name not in found:
                found[name] = self._catalogue.image(distribution, architecture)
            images[host] = found[name]
        return images

    def _places(self) -> tuple[pulumi.Input[str], list[_Place], list[pulumi.Resource]]:
        """The VPC, its subnets, and the resources that must exist before a host."""
        settings, network = self._settings, self._settings.platform.network
        types = {host: settings.instance_type(host) for host in settings.hosts}
        offers = self._catalogue.offers(types.values())
        if network.subnets or network.default:
            subnets = [
                self._catalogue.subnet(subnet) for subnet in network.subnets
            ] or self._catalogue.default_subnets()[:OWN_SUBNETS]
            if not subnets:
                raise pulumi.RunError(
                    f"slipway:platform.network.default: the default VPC of {self._region} has no subnets. "
                    "Leave it out, or name subnets."
                )
            places = {host: settings.subnet(host, len(subnets)) for host in settings.hosts}
            check_placement(types, places, subnets, offers)
            return subnets[0].vpc, [_Place(subnet.id, subnet.zone) for subnet in subnets], []
        own = AwsNetwork(
            "network",
            AwsNetworkArgs(
                label=self._label,
                cidr=network.cidr or DEFAULT_CIDR,
                zones=zones_for(types, self._catalogue.zones(), offers, OWN_SUBNETS),
            ),
            self._inside,
        )
        return own.vpc_id, [_Place(subnet.id, subnet.availability_zone) for subnet in own.subnets], [own]

    def _add_registry_volume(self, name: str, host: AwsHost, places: Sequence[_Place]) -> None:
        """Give the registry's host its volume, with daily snapshots if configured."""
        settings, registry = self._settings, self._settings.registry
        zone = places[settings.subnet(name, len(places))].zone
        if self._volume:
            volume_id = _in_zone(self._volume, zone, name)
            volume_arn: pulumi.Input[str] = self._volume.arn
            host.mount("registry-data", volume_id, self._volume.size_gib)
        else:
            own = RegistryVolume(
                "registry-data",
                RegistryVolumeArgs(
                    label=f"{self._label}-images",
                    zone=zone,
                    size_gib=registry.data_size,
                    snapshot=registry.data_snapshot,
                    protect=settings.protect,
                ),
                self._inside,
            ).volume
            volume_arn = own.arn
            host.mount("registry-data", own.id, registry.data_size)
        if registry.snapshot_days:
            Snapshots(
                "registry-snapshots",
                SnapshotsArgs(
                    label=f"{self._label}-images",
                    region=self._region,
                    volume_arn=volume_arn,
                    days=registry.snapshot_days,
                    protect=settings.protect,
                ),
                self._inside,
            )

    def _data_volume(self) -> VolumeFacts | None:
        """The existing volume of the images, if the settings name one. Checks the snapshot, if they name one."""
        registry = self._settings.registry
        if registry.data_snapshot:
            size = self._catalogue.snapshot_size(registry.data_snapshot)
            if size > registry.data_size:
                raise pulumi.RunError(
                    f"slipway:registry.dataSize = {registry.data_size}: the snapshot {registry.data_snapshot} is of a "
                    f"volume of {size} GiB. Set {size} or more."
                )
        return self._catalogue.volume(registry.data_volume) if registry.data_volume else None

    def _check_quotas(self, known: Mapping[str, Any]) -> None:
        """Check that the account may have all hosts, if there are new ones: EC2 would refuse the last of them."""
        settings = self._settings
        if settings.hosts.keys() <= set(known):
            return
        own, demands = tags_of_stack(), []
        if settings.platform.connect == "public" and (limit := self._catalogue.quota(ADDRESSES)) is not None:
            others = self._catalogue.addresses_of_others(own)
            demands.append(Demand(ADDRESSES, len(settings.hosts), others, limit))
        if (limit := self._catalogue.quota(VCPUS)) is not None:
            needed = {host: settings.instance_type(host) for host in settings.hosts}
            running = self._catalogue.types_of_others(own)
            vcpus = self._catalogue.vcpus([*needed.values(), *running.values()])
            demands.append(
                Demand(VCPUS, standard_vcpus(needed, vcpus), standard_vcpus(running, vcpus), limit)
            )
        if wrong := problems(demands, self._region):
            raise pulumi.RunError("\n".join(wrong))

    def _warn_of_copies(self) -> None:
        """Warn of copies of third-party images that have one architecture only."""
        settings, host = self._settings, self._settings.copying_host
        distribution = settings.distribution(host)
        if settings.registry.mirror and not distribution.skopeo:
            pulumi.log.warn(
                f"slipway:registry.mirror: {host} runs {distribution.name}, which has no skopeo, so the copies are for "
                f"linux/{settings.architecture(host)} only. Give {host} another distribution to copy all architectures."
            )

    def _zone_id(self) -> str | None:
        """The id of the stack's Route 53 zone, if it has one."""
        zone, connect = self._settings.platform.zone, self._settings.platform.connect
        return None if zone is None else self._catalogue.hosted_zone(zone, private=connect == "private")


def _in_zone(volume: VolumeFacts, zone: pulumi.Input[str], host: str) -> pulumi.Output[str]:
    """The volume's id, once its zone is known to be the host's: EC2 would refuse it after the old one is detached."""

    def checked(zone: str) -> str:
        if volume.zone != zone:
            raise pulumi.RunError(
                f"slipway:registry.dataVolume = {volume.id}: it is in {volume.zone}, and {host} in {zone}. Make a "
                f"volume in {zone} from a snapshot of it, or move {host} by slipway:hosts.{host}.subnet."
            )
        return volume.id

    return pulumi.Output.from_input(zone).apply(checked)


def _engine_setting(settings: StackSettings, host: str) -> str:
    """The path of the setting that decides over a host's engine version."""
    own = settings.hosts[host].engine_version is not None
    return f"slipway:hosts.{host}.engineVersion" if own else "slipway:platform.engineVersion"


def _own_names(settings: StackSettings, host: str) -> list[str]:
    """DNS SANs of a host's certificates, besides its own name."""
    domain = settings.registry.domain
    return [domain] if domain and host == settings.registry_host else []
