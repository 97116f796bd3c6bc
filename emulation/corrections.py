"""Where moto answers otherwise than AWS."""

import json


def correct() -> None:
    """Correct moto, in this process."""
    from moto.ec2.models.security_groups import SecurityGroupRule
    from moto.iam import models as iam
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    def description(rule: SecurityGroupRule) -> str | None:
        """A rule by group has its description there, not at a range of addresses: a refresh would show a change."""
        return rule.ip_range.get("Description") or rule.source_group.get("Description")

    def aws_policies(backend: iam.IAMBackend) -> list[iam.AWSManagedPolicy]:
        """Of AWS's own policies only those for backups; moto has none or all of them, which is slow to keep."""
        return [
            iam.AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, content)
            for name, content in json.loads(aws_managed_policies_data).items()
            if name.startswith("AWSBackup")
        ]

    SecurityGroupRule.description = property(description)  # type: ignore[assignment,method-assign]
    iam.IAMBackend._init_aws_policies = aws_policies  # type: ignore[assignment,method-assign]
