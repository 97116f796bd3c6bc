"""Where moto answers otherwise than AWS."""

import json
from typing import cast


def correct() -> None:
    """Correct moto, in this process."""
    from moto.backup.models import BackupBackend
    from moto.core.responses import ActionResult
    from moto.ec2.models.instances import Reservation
    from moto.ec2.models.security_groups import SecurityGroupRule
    from moto.ec2.responses.instances import InstanceResponse
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

    run = InstanceResponse.run_instances

    def run_protected(request: InstanceResponse) -> ActionResult:
        """A protected instance is so from its birth; moto reads that of requests for changes only."""
        answer = run(request)
        for instance in cast("Reservation", answer.result).instances:
            instance.disable_api_termination = bool(request._get_param("DisableApiTermination"))
        return answer

    delete = BackupBackend.delete_backup_plan

    def delete_plan(backend: BackupBackend, backup_plan_id: str) -> tuple[str, str, float, str]:
        """A plan that is gone leaves its name to the next one; moto keeps it."""
        answer = delete(backend, backup_plan_id)
        del backend.plans[backup_plan_id]
        return answer

    BackupBackend.delete_backup_plan = delete_plan  # type: ignore[assignment,method-assign]
    InstanceResponse.run_instances = run_protected  # type: ignore[assignment,method-assign]
    SecurityGroupRule.description = property(description)  # type: ignore[assignment,method-assign]
    iam.IAMBackend._init_aws_policies = aws_policies  # type: ignore[assignment,method-assign]
