"""The platform `aws`: from the settings to EC2 instances and all that they need."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components.host import Host
from components.hosts.aws.catalogue import Catalogue, check_placement, zones_for
from components.hosts.aws.data import RegistryVolume, RegistryVolumeArgs, Snapshots, SnapshotsArgs
from components.hosts.aws.firewall import groups, groups_of, rules
from components.hosts.aws.instance import AwsHost, AwsHostArgs
from components.hosts.aws.network import DEFAULT_CIDR, AwsNetwork, AwsNetworkArgs
from components.hosts.aws.security_groups import SecurityGroups, SecurityGroupsArgs
from configuration.platform import OWN_SUBNETS
from configuration.settings import StackSettings

RECORD_TTL = 60
"""Seconds that name servers keep an address: a host that is gone for good is forgotten soon."""


def make_hosts(settings: StackSettings, ssh_key: tls.PrivateKey) -> dict[str, Host]:
    """The stack's hosts, by name."""
    return AwsPlatform("hosts", AwsPlatformArgs(settings=settings, ssh_key=ssh_key)).hosts


@dataclass(frozen=True)
class _Place:
    """Where hosts can be."""

    subnet_id: pulumi.Input[str]
    zone: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class AwsPlatformArgs:
    """The hosts, and who may log in to them."""

    settings: StackSettings
    """The stack's."""
    ssh_key: tls.PrivateKey
    """The operator's key."""


class AwsPlatform(pulumi.ComponentResource):
    """Hosts as EC2 instances, with their network, firewall, data volume and names."""

    hosts: dict[str, Host]
    """The hosts, by name."""

    def __init__(self, name: str, args: AwsPlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:hosts:AwsPlatform", name, None, opts)
        self._settings = settings = args.settings
        self._region = str(settings.platform.region)
        self._label = f"{pulumi.get_project()}-{pulumi.get_stack()}"
        self._aws = _provider(settings, self._region, self)
        self._catalogue = Catalogue(self._region, pulumi.InvokeOptions(provider=self._aws))
        self._inside = pulumi.ResourceOptions(parent=self, providers=[self._aws])

        # Whatever AWS must be asked, before anything is made.
        images, zone_id = self._images(), self._zone_id()
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
            # The name is the old one's until it is gone.
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
                    image=images[host],
                    instance_type=settings.instance_type(host),
                    architecture=settings.architecture(host),
                    root_size_gib=settings.root_size(host),
                    subnet_id=places[settings.subnet(host, len(places))].subnet_id,
                    security_groups=[firewall.ids[group] for group in groups_of(settings, host)],
                    way_out=[*network, firewall],
                    public=settings.platform.connect == "public",
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
        if keeper := settings.registry_host:
            self._keep_data(keeper, hosts[keeper], places)
        self.hosts = {host: made.host for host, made in hosts.items()}
        self._make_records(zone_id)
        self.register_outputs({"hosts": sorted(self.hosts)})

    def _images(self) -> dict[str, str]:
        """For each host, the machine image that a new machine starts from; each is asked for once."""
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
        """The VPC, its subnets, and what has to be there before a host is."""
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

    def _keep_data(self, name: str, host: AwsHost, places: Sequence[_Place]) -> None:
        """Gives the registry's host its volume, and the volume its snapshots."""
        settings, registry = self._settings, self._settings.registry
        data = RegistryVolume(
            "registry-data",
            RegistryVolumeArgs(
                label=f"{self._label}-images",
                zone=places[settings.subnet(name, len(places))].zone,
                size_gib=registry.data_size,
                protect=settings.protect,
            ),
            self._inside,
        )
        host.mount("registry-data", data.volume, registry.data_size)
        if registry.snapshot_days:
            Snapshots(
                "registry-snapshots",
                SnapshotsArgs(
                    label=f"{self._label}-images",
                    region=self._region,
                    volume=data.volume,
                    days=registry.snapshot_days,
                    protect=settings.protect,
                ),
                self._inside,
            )

    def _zone_id(self) -> str | None:
        """The id of the stack's zone, if it has one."""
        zone, connect = self._settings.platform.zone, self._settings.platform.connect
        return None if zone is None else self._catalogue.hosted_zone(zone, private=connect == "private")

    def _make_records(self, zone_id: str | None) -> None:
        """Makes a record for each name that is in the stack's zone."""
        for name, its in self._settings.names_in_zone().items() if zone_id else ():
            aws.route53.Record(
                name,
                zone_id=str(zone_id),
                name=name,
                type="A",
                ttl=RECORD_TTL,
                records=[self.hosts[host].address for host in its],
                opts=pulumi.ResourceOptions(parent=self, provider=self._aws),
            )


def _own_names(settings: StackSettings, host: str) -> list[str]:
    """The names that a host's certificates carry besides its own."""
    domain = settings.registry.domain
    return [domain] if domain and host == settings.registry_host else []


def _provider(settings: StackSettings, region: str, parent: pulumi.Resource) -> aws.Provider:
    """An explicit one, so that no default provider, with a region of its own, makes anything."""
    endpoint = settings.platform.endpoint
    trying = endpoint is not None
    return aws.Provider(
        "aws",
        region=region,
        default_tags=aws.ProviderDefaultTagsArgs(
            tags={"slipway:project": pulumi.get_project(), "slipway:stack": pulumi.get_stack()}
        ),
        endpoints=[
            aws.ProviderEndpointArgs(
                backup=endpoint,
                ec2=endpoint,
                iam=endpoint,
                route53=endpoint,
                ssm=endpoint,
                sts=endpoint,
            )
        ]
        if trying
        else None,
        skip_credentials_validation=True if trying else None,
        skip_metadata_api_check=True if trying else None,
        skip_region_validation=True if trying else None,
        skip_requesting_account_id=True if trying else None,
        opts=pulumi.ResourceOptions(parent=parent),
    )
