"""The registry's data: a volume of its own, and its daily snapshots."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

SCHEDULE = "cron(0 3 * * ? *)"
"""When snapshots are made: daily at 3:00 UTC, when few people push."""
BACKUP_POLICY = "arn:{partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
"""What AWS Backup needs to make snapshots: AWS's own policy for it."""


def partition_of(region: str) -> str:
    """Which of AWS's separate clouds a region is in: the second part of every ARN there."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
    return next((name for prefix, name in prefixes.items() if region.startswith(prefix)), "aws")


def refuse_shrinking(args: pulumi.ResourceHookArgs) -> None:
    """Ends the update, or its preview, where a volume is to get smaller, which EC2 cannot do.

    Raises:
        pulumi.RunError: naming the setting, and the volume's size.

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
    """The zone of the registry's host: a volume does not leave its zone."""
    size_gib: int
    """Its size."""
    protect: bool
    """Whether Pulumi refuses to delete it."""


class RegistryVolume(pulumi.ComponentResource):
    """An encrypted volume that outlives the registry's host."""

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
                # A host that moved to another zone is told so by EC2; an empty new volume would be worse.
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
    """What snapshots are made of."""

    label: str
    """The first part of names."""
    region: str
    """The region; IAM's names are the whole account's."""
    volume: aws.ebs.Volume
    """The volume."""
    days: int
    """How long each is kept."""
    protect: bool
    """Whether they stay where the stack goes."""


class Snapshots(pulumi.ComponentResource):
    """Daily snapshots of a volume by AWS Backup, each kept for some days."""

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
            # A vault that is not empty could not be deleted otherwise.
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
