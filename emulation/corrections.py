"""Where moto answers otherwise than AWS."""

import json
from collections.abc import Callable
from typing import cast


def correct() -> None:
    """Correct moto, in this process."""
    _describe_rules_by_group()
    _offer_policies()
    _keep_elastic_addresses()
    _protect_instances()
    _forget_backup_plans()


def _describe_rules_by_group() -> None:
    """Moto looks for a rule's description at its range of addresses only: a refresh would show a change."""
    from moto.ec2.models.security_groups import SecurityGroupRule

    def description(rule: SecurityGroupRule) -> str | None:
        return rule.ip_range.get("Description") or rule.source_group.get("Description")

    SecurityGroupRule.description = property(description)  # type: ignore[assignment,method-assign]


def _offer_policies() -> None:
    """Moto has none of AWS's own policies or all of them, which is slow to keep: have those for backups."""
    from moto.iam import models as iam
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    def aws_policies(backend: iam.IAMBackend) -> list[iam.AWSManagedPolicy]:
        return [
            iam.AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, content)
            for name, content in json.loads(aws_managed_policies_data).items()
            if name.startswith("AWSBackup")
        ]

    iam.IAMBackend._init_aws_policies = aws_policies  # type: ignore[assignment,method-assign]


def _keep_elastic_addresses() -> None:
    """Moto forgets an interface's Elastic IP when its instance stops, if it began with another public address."""
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface

    def keeping(change: Callable[[NetworkInterface], None]) -> Callable[[NetworkInterface], None]:
        def changed(interface: NetworkInterface) -> None:
            change(interface)
            for address in interface.ec2_backend.addresses:
                if address.eni is interface:
                    interface.public_ip = address.public_ip

        return changed

    for name in ("start", "stop"):
        setattr(NetworkInterface, name, keeping(getattr(NetworkInterface, name)))


def _protect_instances() -> None:
    """A protected instance is so from its birth; moto reads that of requests for changes only."""
    from moto.core.responses import ActionResult
    from moto.ec2.models.instances import Reservation
    from moto.ec2.responses.instances import InstanceResponse

    run = InstanceResponse.run_instances

    def run_protected(request: InstanceResponse) -> ActionResult:
        answer = run(request)
        for instance in cast("Reservation", answer.result).instances:
            instance.disable_api_termination = bool(request._get_param("DisableApiTermination"))
        return answer

    InstanceResponse.run_instances = run_protected  # type: ignore[assignment,method-assign]


def _forget_backup_plans() -> None:
    """A plan that is gone leaves its name to the next one; moto keeps it."""
    from moto.backup.models import BackupBackend

    delete = BackupBackend.delete_backup_plan

    def delete_plan(backend: BackupBackend, backup_plan_id: str) -> tuple[str, str, float, str]:
        answer = delete(backend, backup_plan_id)
        del backend.plans[backup_plan_id]
        return answer

    BackupBackend.delete_backup_plan = delete_plan  # type: ignore[assignment,method-assign]
