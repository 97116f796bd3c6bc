"""Corrections of moto, where its answers differ from AWS's."""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast


def correct() -> None:
    """Correct moto, in this process."""
    _describe_rules_by_group()
    _offer_policies()
    _keep_elastic_addresses()
    _protect_instances()
    _forget_backup_plans()
    _keep_groups_in_use()
    _keep_record_sets()
    _know_health_checks()


def _describe_rules_by_group() -> None:
    """Moto reads a rule's description from its address range only, so a refresh of a rule by group shows a change."""
    from moto.ec2.models.security_groups import SecurityGroupRule

    def description(rule: SecurityGroupRule) -> str | None:
        return rule.ip_range.get("Description") or rule.source_group.get("Description")

    SecurityGroupRule.description = property(description)  # type: ignore[assignment,method-assign]


def _offer_policies() -> None:
    """Moto offers AWS's managed policies all or none, and saving all is slow: offer those for backups."""
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
    """Moto drops an interface's Elastic IP when its instance stops, if it first had another public address."""
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
    """RunInstances can protect an instance from termination; moto reads that from ModifyInstanceAttribute only."""
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
    """A new plan may take a deleted plan's name; moto refuses it."""
    from moto.backup.models import BackupBackend

    delete = BackupBackend.delete_backup_plan

    def delete_plan(backend: BackupBackend, backup_plan_id: str) -> tuple[str, str, float, str]:
        answer = delete(backend, backup_plan_id)
        del backend.plans[backup_plan_id]
        return answer

    BackupBackend.delete_backup_plan = delete_plan  # type: ignore[assignment,method-assign]


def _keep_groups_in_use() -> None:
    """EC2 deletes no security group that an instance has or that another group's rule names; moto deletes any."""
    from moto.ec2.exceptions import DependencyViolationError
    from moto.ec2.models.security_groups import SecurityGroupBackend

    delete = SecurityGroupBackend._delete_security_group

    def delete_group(backend: Any, vpc_id: str | None, group_id: str) -> None:
        if group_id in _groups_in_use(backend):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        delete(backend, vpc_id, group_id)

    SecurityGroupBackend._delete_security_group = delete_group  # type: ignore[assignment,method-assign]


def _groups_in_use(backend: Any) -> set[str]:
    of_instances = {
        group.id
        for reservation in backend.reservations.values()
        for instance in reservation.instances
        if instance.state != "terminated"
        for interface in instance.nics.values()
        for group in interface.group_set
    }
    in_rules = {
        rule.source_group.get("GroupId")
        for groups in backend.groups.values()
        for group in groups.values()
        for rule in (*group.ingress_rules, *group.egress_rules)
        if rule.source_group.get("GroupId") != group.id
    }
    return of_instances | in_rules


def _keep_record_sets() -> None:
    """Route 53 makes all changes of a request or none.

    Beside a record without an identifier there is none with one of
    the same name and type. Moto allows that, and deletes by the identifier alone, whatever the name.
    """
    from moto.route53.exceptions import Route53ClientError
    from moto.route53.models import FakeZone, Route53Backend

    change = Route53Backend.change_resource_record_sets

    def change_all(backend: Any, zoneid: str, change_list: list[dict[str, Any]]) -> None:
        zone: FakeZone = backend.get_hosted_zone(zoneid)
        if problem := _refused({_key(vars(each)) for each in zone.rrsets}, change_list):
            raise Route53ClientError("InvalidChangeBatch", problem)
        for each in change_list:
            before, gone = list(zone.rrsets), _key(each["ResourceRecordSet"])
            change(backend, zoneid, [each])
            if each["Action"] == "DELETE":
                zone.rrsets = [one for one in before if _key(vars(one)) != gone]
                # Moto refuses to create what its journal has.
                zone.rr_changes[:] = [
                    one for one in zone.rr_changes if _key(one["ResourceRecordSet"]) != gone
                ]

    Route53Backend.change_resource_record_sets = change_all  # type: ignore[assignment,method-assign]


def _key(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """By what Route 53 knows a record, in a request or in moto: name, type and set identifier."""
    name = str(record.get("Name") or record.get("name"))
    identifier = record.get("SetIdentifier") or record.get("set_identifier") or ""
    return name.rstrip(".").lower(), str(record.get("Type") or record.get("type")), identifier


def _refused(present: set[tuple[str, str, str]], changes: list[dict[str, Any]]) -> str:
    """Why Route 53 refuses these changes of a zone with these records; empty if it takes them."""
    for change in changes:
        key = name, kind, identifier = _key(change["ResourceRecordSet"])
        what = f"RRSet with DNS name {name}., type {kind}, SetIdentifier {identifier or 'none'}"
        if change["Action"] == "DELETE":
            if key not in present:
                return f"Tried to delete {what}, but it was not found"
            present.remove(key)
            continue
        if change["Action"] == "CREATE" and key in present:
            return f"Tried to create {what}, but it already exists"
        if any(each[:2] == key[:2] and bool(each[2]) != bool(identifier) for each in present):
            return f"{what} cannot be created as a conflicting set exists with the same name and type"
        present.add(key)
    return ""


def _know_health_checks() -> None:
    """Moto deletes a health check that does not exist; Route 53 says so."""
    from moto.route53.models import Route53Backend

    delete = Route53Backend.delete_health_check

    def delete_check(backend: Any, health_check_id: str) -> None:
        backend.get_health_check(health_check_id)
        delete(backend, health_check_id)

    Route53Backend.delete_health_check = delete_check  # type: ignore[assignment,method-assign]
