"""Daily snapshots of the registry's volume."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.hosts.aws.names import NameRule, resource_name
from configuration.aws import partition_of

SCHEDULE = "cron(0 3 * * ? *)"
"""The time of snapshots: daily at 3:00 UTC, when few people push."""
ROLE_NAME = NameRule("A-Za-z0-9+=,.@_-", 64)
"""Names of roles. Source: IAM's CreateRole."""
VAULT_NAME = NameRule("A-Za-z0-9_-", 50)
"""Names of backup vaults, which have no dots. Source: AWS Backup's CreateBackupVault."""
PLAN_NAME = NameRule("A-Za-z0-9._-", 50)
"""Names of backup plans and selections. Source: AWS Backup's BackupPlanInput and BackupSelection."""
BACKUP_POLICY = "arn:{partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
"""AWS's own policy that lets AWS Backup make snapshots."""


@dataclass(frozen=True, kw_only=True)
class SnapshotsArgs:
    """What snapshots are made from."""

    label: str
    """The first part of names."""
    region: str
    """The region, for names in IAM, which all regions share."""
    volume_arn: pulumi.Input[str]
    """The volume's ARN."""
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
            name=resource_name(f"{args.label}-{args.region}", ROLE_NAME),
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
            name=resource_name(args.label, VAULT_NAME),
            # Without it a vault that has snapshots cannot be deleted.
            force_destroy=not args.protect,
            tags=tags,
            opts=child,
        )
        plan = aws.backup.Plan(
            f"{name}-plan",
            name=resource_name(args.label, PLAN_NAME),
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
            name=resource_name(args.label, PLAN_NAME),
            plan_id=plan.id,
            iam_role_arn=role.arn,
            resources=[args.volume_arn],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.register_outputs({})
