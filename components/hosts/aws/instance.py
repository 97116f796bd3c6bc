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
from configuration.aws import Architecture, CpuCredits, Distribution
from well_known import EMULATED, REGISTRY_DATA_PATH, REGISTRY_USER

DEVICE = "/dev/sdf"
"""The device name of the data volume. NVMe devices get other names: see scripts/mount-data.sh."""
UNMOUNT_TIMEOUT = "3m"
"""Limit for a host to give its volume back. Pushes that run are cut off after ten seconds."""


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
    engine_setting: str
    """The path of the setting with that version, for messages."""
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
    """Routes and rules that must exist before anything is installed on it."""
    public: bool
    """Whether it has a public address."""
    cpu_credits: CpuCredits | None
    """What it does without CPU credits; None if its type has none."""
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
            # Its only public address is its Elastic IP: an address of EC2's own would change during its first minute.
            associate_public_ip_address=False,
            credit_specification=aws.ec2.InstanceCreditSpecificationArgs(cpu_credits=args.cpu_credits)
            if args.cpu_credits
            else None,
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
                # None of these replaces a machine; a machine that is replaced for another reason gets them: a newer
                # image, the user data of another version of Slipway. A refresh takes an Elastic IP for an address of
                # EC2's own.
                ignore_changes=["ami", "associatePublicIpAddress", "userData"],
                # These do, since a machine gets them at its birth only. Pulumi does not act on the first trigger that a
                # resource of an older version gets.
                replacement_trigger=_birth(args, host_key),
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
            seen_by_containers=instance.private_ip,
            ssh_port=22,
            ssh_user=args.distribution.login,
            ssh_private_key=pulumi.Output.secret(args.ssh_key.private_key_openssh),
            ssh_host_key=host_key.public_key_openssh.apply(str.strip),
            engine_port=2376,
            http_port=80,
            https_port=443,
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
            {
                "MACHINE_ID": host.machine_id,
                "KIND": args.instance_type,
                "INSTALL_SCRIPT": script.text("install-engine.sh"),
                "PACKAGES": " ".join(args.distribution.packages),
                "ENGINE_VERSION": args.engine_version or "",
                "SETTING": args.engine_setting,
                "REPLACE": _replacement(instance),
            },
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

    def mount(self, name: str, volume_id: pulumi.Input[str], size_gib: int) -> None:
        """Attach the registry's volume and mount it, before any other work on the host.

        Args:
            name: the first part of the resources' names.
            volume_id: the volume.
            size_gib: the size that it should have, GiB.
        """
        host = self.host
        attachment = aws.ec2.VolumeAttachment(
            f"{name}-attachment",
            device_name=DEVICE,
            instance_id=self.instance.id,
            volume_id=volume_id,
            # Deleted with the machine, which unmounts the volume when it shuts down. If the machine stays, the command
            # below unmounts it first: EC2 does not detach a mounted volume.
            opts=host.on_host(pulumi.ResourceOptions(parent=self, delete_before_replace=True)),
        )
        mounted = script.remote_command(
            f"{name}-mount",
            host,
            "mount-data.sh",
            {
                "VOLUME": volume_id,
                "SIZE": str(size_gib),
                "DATA_PATH": REGISTRY_DATA_PATH,
                "DATA_USER": str(REGISTRY_USER),
            },
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[*host.ready, attachment],
                # The other way round it would unmount what it has just mounted.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete=UNMOUNT_TIMEOUT),
            ),
            undone_with=[attachment.id],
        )
        self.host = dataclasses.replace(host, ready=[*host.ready, mounted])


def _birth(args: AwsHostArgs, host_key: tls.PrivateKey) -> pulumi.Output[str]:
    """What a machine gets at its birth only: another text replaces every machine of every stack."""
    return pulumi.Output.concat(
        f"distribution={args.distribution.name} engine={args.engine_version or ''} ",
        f"address={'public' if args.public else 'private'} ",
        "admin=",
        args.ssh_key.public_key_openssh.apply(str.strip),
        " host=",
        host_key.public_key_openssh.apply(str.strip),
    )


def _replacement(instance: aws.ec2.Instance) -> pulumi.Output[str]:
    """The command that makes a new machine in this one's place."""
    stack = pulumi.get_stack()
    source = stack.removesuffix(EMULATED)
    options = f"-s {source} --emulate" if source != stack else f"-s {stack}"
    return instance.urn.apply(lambda urn: f"./slip up {options} -- --replace '{urn}'")


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
                    host_private_key=known["private"],
                    host_public_key=known["public"].strip(),
                    admin_public_key=known["admin"].strip(),
                )
            )
        )
    )
