"""One host of the platform `aws`: an EC2 instance with an SSH host key known beforehand."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components import script
from components.host import Host
from components.hosts.aws.cloud_config import CloudConfigArgs, cloud_config
from configuration.aws import Architecture, Distribution
from well_known import REGISTRY_DATA_PATH

DEVICE = "/dev/sdf"
"""The device name of the data volume. NVMe devices get other names: see scripts/mount-data.sh."""


@dataclass(frozen=True, kw_only=True)
class AwsHostArgs:
    """What a host is made from."""

    label: str
    """Its name in AWS's console."""
    roles: frozenset[str]
    """Among `registry`, `build` and `app`."""
    distribution: Distribution
    """Its distribution."""
    engine_version: str | None
    """Its Docker Engine's version; None for the distribution's own."""
    image: str
    """The machine image that a new machine starts from."""
    instance_type: str
    """Its instance type."""
    architecture: Architecture
    """That type's architecture."""
    root_size_gib: int
    """Size of its root volume."""
    subnet_id: pulumi.Input[str]
    """Its subnet."""
    security_groups: Sequence[pulumi.Input[str]]
    """Its security groups."""
    way_out: Sequence[pulumi.Resource]
    """Routes and rules that must exist before it boots, since it installs packages at once."""
    public: bool
    """Whether it has a public address."""
    key_name: pulumi.Input[str]
    """The name of the key pair in EC2."""
    ssh_key: tls.PrivateKey
    """The operator's key, which is in that key pair."""
    dns_names: Sequence[str]
    """DNS SANs of its certificates, besides its own name."""
    boot_seconds: int
    """Limit for its first boot, in seconds."""
    protect: bool
    """Whether Pulumi, and EC2 itself, refuse to delete it."""


class AwsHost(pulumi.ComponentResource):
    """An instance, its address, and a command that waits for the end of its first boot."""

    host: Host
    """The host, for all other components."""
    instance: aws.ec2.Instance
    """The machine."""

    def __init__(self, name: str, args: AwsHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:hosts:AwsHost", name, None, opts)
        host_key = tls.PrivateKey(
            f"{name}-host-key", algorithm="ED25519", opts=pulumi.ResourceOptions(parent=self)
        )
        tags = {"Name": args.label}
        self.instance = instance = aws.ec2.Instance(
            name,
            ami=args.image,
            instance_type=args.instance_type,
            subnet_id=args.subnet_id,
            vpc_security_group_ids=list(args.security_groups),
            key_name=args.key_name,
            # It installs its engine before it gets its Elastic IP, which then replaces this address.
            associate_public_ip_address=args.public,
            user_data=_user_data(name, args, host_key),
            user_data_replace_on_change=True,
            disable_api_termination=args.protect,
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled",
                http_tokens="required",
                # Containers are one hop further away, so they cannot read the metadata.
                http_put_response_hop_limit=1,
            ),
            root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3",
                volume_size=args.root_size_gib,
                encrypted=True,
                delete_on_termination=True,
                tags={"Name": f"{args.label}-root"},
            ),
            tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=args.way_out,
                protect=args.protect,
                # The old machine holds the address and the data volume.
                delete_before_replace=True,
                # A newer image does not replace a machine; a machine that is replaced for another reason gets it.
                ignore_changes=["ami"],
            ),
        )
        address: pulumi.Output[str] = instance.private_ip
        reachable: list[pulumi.Resource] = [instance]
        if args.public:
            elastic = aws.ec2.Eip(
                f"{name}-address", domain="vpc", tags=tags, opts=pulumi.ResourceOptions(parent=self)
            )
            association = aws.ec2.EipAssociation(
                f"{name}-address-association",
                instance_id=instance.id,
                allocation_id=elastic.allocation_id,
                opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
            )
            address = elastic.public_ip
            reachable.append(association)
        addresses: list[pulumi.Input[str]] = [instance.private_ip]
        host = Host(
            name=name,
            roles=args.roles,
            address=address,
            private_address=instance.private_ip,
            private_ip=instance.private_ip,
            ssh_port=22,
            ssh_user=args.distribution.login,
            ssh_private_key=pulumi.Output.secret(args.ssh_key.private_key_openssh),
            ssh_host_key=host_key.public_key_openssh.apply(str.strip),
            engine_port=2376,
            http_port=80,
            platform=f"linux/{args.architecture}",
            dns_names=[name, *args.dns_names],
            ip_addresses=[address, *addresses] if args.public else addresses,
            resource=instance,
            machine_id=instance.id,
        )
        patience = f"{args.boot_seconds}s"
        boot = script.remote_command(
            f"{name}-boot",
            host,
            "wait-for-boot.sh",
            {"MACHINE_ID": host.machine_id, "KIND": args.instance_type},
            pulumi.ResourceOptions(
                parent=self,
                depends_on=reachable,
                custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
                # Deleting it needs no command on the host, which may be down.
                retain_on_delete=True,
            ),
        )
        self.host = dataclasses.replace(host, ready=[boot], deleted_with=boot)
        self.register_outputs({"address": address})

    def mount(self, name: str, volume: aws.ebs.Volume, size_gib: int) -> None:
        """Attach the registry's volume and mount it, before any other work on the host."""
        host = self.host
        attachment = aws.ec2.VolumeAttachment(
            f"{name}-attachment",
            device_name=DEVICE,
            instance_id=self.instance.id,
            volume_id=volume.id,
            # Deleted with the machine, which unmounts the volume when it shuts down: a mounted volume must not be
            # detached.
            opts=host.on_host(pulumi.ResourceOptions(parent=self, delete_before_replace=True)),
        )
        mounted = script.remote_command(
            f"{name}-mount",
            host,
            "mount-data.sh",
            {"VOLUME": volume.id, "SIZE": str(size_gib), "DATA_PATH": REGISTRY_DATA_PATH},
            pulumi.ResourceOptions(parent=self, depends_on=[*host.ready, attachment], retain_on_delete=True),
        )
        self.host = dataclasses.replace(host, ready=[*host.ready, mounted])


def _user_data(name: str, args: AwsHostArgs, host_key: tls.PrivateKey) -> pulumi.Output[str]:
    keys = pulumi.Output.all(
        private=host_key.private_key_openssh,
        public=host_key.public_key_openssh,
        admin=args.ssh_key.public_key_openssh,
    )
    return pulumi.Output.secret(
        keys.apply(
            lambda known: cloud_config(
                CloudConfigArgs(
                    name=name,
                    distribution=args.distribution,
                    engine_version=args.engine_version,
                    host_private_key=known["private"],
                    host_public_key=known["public"].strip(),
                    admin_public_key=known["admin"].strip(),
                )
            )
        )
    )
