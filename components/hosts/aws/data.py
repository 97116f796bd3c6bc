"""The registry's data: a separate volume, and its daily snapshots."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

SCHEDULE = "cron(0 3 * * ? *)"
"""The time of snapshots: daily at 3:00 UTC, when few people push."""
BACKUP_POLICY = "arn:{partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
"""AWS's own policy that lets AWS Backup make snapshots."""


def partition_of(region: str) -> str:
    """The partition of a region: the second part of its ARNs."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
    return next((name for prefix, name in prefixes.items() if region.startswith(prefix)), "aws")


def refuse_shrinking(args: pulumi.ResourceHookArgs) -> None:
    """Refuse to shrink a volume, which EC2 cannot do: a hook of an update and of its preview.

    Raises:
        pulumi.RunError: names the setting and the volume's size.

    """
    old, new = ((inputs or {}).get("size") for inputs in (args.old_inputs, args.new_inputs))
    if old is not None and new is not None and new < old:
        raise pulumi.RunError(
            f"slipway:registry.dataSize = {int(new)}: the volume has {int(old)} GiB, and no volume gets smaller. "
            f"Set {int(old)} or more."
        )


@dataclass(frozen=True, kw_only=True)
class RegistryVolumeArgs:
    """What the volume is made from."""

    label: str
    """Its name in AWS's console."""
    zone: pulumi.Input[str]
    """The zone of the registry's host: a volume cannot leave its zone."""
    size_gib: int
    """Its size, GiB."""
    protect: bool
    """Whether Pulumi refuses to delete it."""


class RegistryVolume(pulumi.ComponentResource):
    """An encrypted volume that stays when the registry's host is replaced."""

    volume: aws.ebs.Volume
    """The volume."""

    def __init__(
        self, name: str, args: RegistryVolumeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("slipway:hosts:RegistryVolume", name, None, opts)
        self.volume = aws.ebs.Volume(
            f"{name}-volume",
            availability_zone=args.zone,
            size=args.size_gib,
            type="gp3",
            encrypted=True,
            tags={"Name": args.label},
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                retain_on_delete=args.protect,
                # EC2 refuses to attach it to a host in another zone. An empty new volume would lose the images.
                ignore_changes=["availabilityZone"],
                hooks=pulumi.ResourceHookBinding(before_update=[_never_smaller()]),
            ),
        )
        self.register_outputs({"id": self.volume.id})


def _never_smaller() -> pulumi.ResourceHook:
    return pulumi.ResourceHook(
        "volumes-never-shrink", refuse_shrinking, opts=pulumi.ResourceHookOptions(on_dry_run=True)
    )


@dataclass(frozen=True, kw_only=True)
class SnapshotsArgs:
    """What snapshots are made from."""

    label: str
    """The first part of names."""
    region: str
    """The region, for names in IAM, which all regions share."""
    volume: aws.ebs.Volume
    """The volume."""
    days: int
    """Days to keep each snapshot."""
    protect: bool
    """Whether the snapshots stay when the stack is deleted."""


class Snapshots(pulumi.ComponentResource):
    """Daily snapshots of a volume by AWS Backup, each kept for a number of days."""

    def __init__(self, name: str, args: SnapshotsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:hosts:Snapshots", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = {"Name": args.label}
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "backup.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        role = aws.iam.Role(
            f"{name}-role",
            name=f"{args.label}-{args.region}",
            description="AWS Backup makes snapshots of the registry's volume",
            assume_role_policy=json.dumps(trust),
            tags=tags,
            opts=child,
        )
        policy = aws.iam.RolePolicyAttachment(
            f"{name}-policy",
            role=role.name,
            policy_arn=BACKUP_POLICY.format(partition=partition_of(args.region)),
            opts=child,
        )
        vault = aws.backup.Vault(
            f"{name}-vault",
            name=args.label,
            # Without it a vault that has snapshots cannot be deleted.
            force_destroy=not args.protect,
            tags=tags,
            opts=child,
        )
        plan = aws.backup.Plan(
            f"{name}-plan",
            name=args.label,
            rules=[
                aws.backup.PlanRuleArgs(
                    rule_name="daily",
                    target_vault_name=vault.name,
                    schedule=SCHEDULE,
                    lifecycle=aws.backup.PlanRuleLifecycleArgs(delete_after=args.days),
                )
            ],
            tags=tags,
            opts=child,
        )
        aws.backup.Selection(
            f"{name}-selection",
            name=args.label,
            plan_id=plan.id,
            iam_role_arn=role.arn,
            resources=[args.volume.arn],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.register_outputs({})
