"""The firewall's rules as EC2 security groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.hosts.aws.firewall import ALL, Rule, is_ipv4


@dataclass(frozen=True, kw_only=True)
class SecurityGroupsArgs:
    """What security groups are made from."""

    label: str
    """The first part of their names."""
    vpc_id: pulumi.Input[str]
    """The VPC of the hosts."""
    groups: Mapping[str, str]
    """The groups, with their descriptions."""
    rules: Sequence[Rule]
    """Their rules."""


class SecurityGroups(pulumi.ComponentResource):
    """Security groups, with one resource for each rule."""

    ids: dict[str, pulumi.Output[str]]
    """The groups' ids, by name."""

    def __init__(
        self, name: str, args: SecurityGroupsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("slipway:hosts:SecurityGroups", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        of_group = pulumi.ResourceOptions(
            parent=self,
            # A new group first, then the instances move to it, then the old one goes: EC2 deletes no group in use, and
            # until then its rules let the operator in. So a group has no name of its own choice; those of older
            # versions of Slipway keep theirs.
            delete_before_replace=False,
            # EC2 changes neither in place. Another text in firewall.py must not make new groups.
            ignore_changes=["name", "description"],
        )
        self.ids = {}
        for group, description in args.groups.items():
            # EC2 adds a rule that allows all outgoing traffic; the plugin removes it.
            self.ids[group] = aws.ec2.SecurityGroup(
                f"{name}-{group}",
                description=description,
                vpc_id=args.vpc_id,
                # Without it two groups that name each other in rules cannot be deleted.
                revoke_rules_on_delete=True,
                tags={"Name": f"{args.label}-{group}"},
                opts=of_group,
            ).id
        for rule in args.rules:
            kind = (
                aws.vpc.SecurityGroupIngressRule
                if rule.direction == "ingress"
                else aws.vpc.SecurityGroupEgressRule
            )
            ipv4 = rule.network is not None and is_ipv4(rule.network)
            kind(
                rule.name,
                security_group_id=self.ids[rule.group],
                description=rule.what,
                ip_protocol=rule.protocol,
                from_port=None if rule.protocol == ALL else rule.port,
                to_port=None if rule.protocol == ALL else rule.port,
                cidr_ipv4=rule.network if ipv4 else None,
                cidr_ipv6=None if ipv4 else rule.network,
                referenced_security_group_id=self.ids[rule.peer] if rule.peer else None,
                opts=child,
            )
        self.register_outputs({"groups": sorted(self.ids)})
