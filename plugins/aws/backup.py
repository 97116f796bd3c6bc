"""Daily snapshots by AWS Backup: backup.Vault, backup.Plan and backup.Selection."""

from collections.abc import Mapping, Sequence
from typing import Any

from plugins.aws.errors import Refused
from plugins.aws.kind import ARN, ARN_PATTERN, REGION, TAGS, Kind, Work, forced, output
from plugins.bridge.schema import Attribute, Schema, State


def _tags(work: Work, arn: str) -> State:
    tags = work("list_tags", ResourceArn=arn).get("Tags") or {}
    own = {key: value for key, value in sorted(tags.items()) if not key.startswith("aws:")}
    return {"tags": own, "tagsAll": own}


def _retag(work: Work, added: Mapping[str, str], removed: Sequence[str]) -> None:
    if removed:
        work("untag_resource", ResourceArn=work.old["arn"], TagKeyList=list(removed))
    if added:
        work("tag_resource", ResourceArn=work.old["arn"], Tags=dict(added))


def _create_vault(work: Work) -> str:
    made = work(
        "create_backup_vault",
        BackupVaultName=work.new["name"],
        BackupVaultTags=work.new["tagsAll"] or None,
        EncryptionKeyArn=work.new["kmsKeyArn"],
    )
    return str(made["BackupVaultName"])


def _observe_vault(work: Work) -> State | None:
    try:
        vault = work("describe_backup_vault", BackupVaultName=work.id)
    except Refused as refused:
        # AWS Backup's answer for a missing vault, if the credentials may not list vaults.
        if refused.code == "AccessDeniedException" and "Insufficient privileges" in str(refused):
            return None
        raise
    return {
        **_tags(work, vault["BackupVaultArn"]),
        "arn": vault["BackupVaultArn"],
        "kmsKeyArn": vault.get("EncryptionKeyArn") or "",
        "name": vault["BackupVaultName"],
        "recoveryPoints": vault.get("NumberOfRecoveryPoints") or 0,
    }


def _delete_vault(work: Work) -> None:
    if work.new.get("forceDestroy"):
        _empty(work)
    work("delete_backup_vault", BackupVaultName=work.id)


def _empty(work: Work) -> None:
    def points() -> int:
        return int(work("describe_backup_vault", BackupVaultName=work.id).get("NumberOfRecoveryPoints") or 0)

    if not points():
        return
    listed = work.cloud.pages(
        "backup",
        "list_recovery_points_by_backup_vault",
        "RecoveryPoints",
        {"BackupVaultName": work.id},
        work.region,
    )
    for point in listed:
        work("delete_recovery_point", BackupVaultName=work.id, RecoveryPointArn=point["RecoveryPointArn"])
    work.until(f"vault {work.id} is empty", lambda: points() == 0)


VAULT = Kind(
    pulumi_type="aws:backup/vault:Vault",
    service="backup",
    schema=Schema(
        timeouts={"delete": 600},
        autonamed="name",
        name_limit=50,
        attributes={
            **(ARN | REGION | TAGS),
            "forceDestroy": Attribute("boolean", default=False),
            "kmsKeyArn": forced(computed=True),
            "name": forced(computed=True, maximum=50, pattern="[a-zA-Z0-9_-]{2,}"),
            "recoveryPoints": output("integer"),
        },
    ),
    create=_create_vault,
    observe=_observe_vault,
    retag=_retag,
    delete=_delete_vault,
    gone=("ResourceNotFoundException",),
)

_RULE = {
    "completionWindow": "CompletionWindowMinutes",
    "enableContinuousBackup": "EnableContinuousBackup",
    "recoveryPointTags": "RecoveryPointTags",
    "ruleName": "RuleName",
    "schedule": "ScheduleExpression",
    "scheduleExpressionTimezone": "ScheduleExpressionTimezone",
    "startWindow": "StartWindowMinutes",
    "targetVaultName": "TargetBackupVaultName",
}
_LIFECYCLE = {
    "coldStorageAfter": "MoveToColdStorageAfterDays",
    "deleteAfter": "DeleteAfterDays",
    "optInToArchiveForSupportedResources": "OptInToArchiveForSupportedResources",
}
_DEFAULTS = {"completionWindow": 180, "scheduleExpressionTimezone": "Etc/UTC", "startWindow": 60}


def _plan(new: State) -> dict[str, Any]:
    return {"BackupPlanName": new["name"], "Rules": [_rule(rule) for rule in new["rules"]]}


def _rule(rule: State) -> dict[str, Any]:
    result = {key: rule[name] for name, key in _RULE.items() if rule.get(name)}
    for lifecycle in rule.get("lifecycle") or ():
        result["Lifecycle"] = {
            key: lifecycle[name] for name, key in _LIFECYCLE.items() if lifecycle.get(name)
        }
    return result


def _create_plan(work: Work) -> str:
    made = work("create_backup_plan", BackupPlan=_plan(work.new), BackupPlanTags=work.new["tagsAll"] or None)
    return str(made["BackupPlanId"])


def _observe_plan(work: Work) -> State | None:
    found = work("get_backup_plan", BackupPlanId=work.id)
    if found.get("DeletionDate"):
        return None
    return {
        **_tags(work, found["BackupPlanArn"]),
        "arn": found["BackupPlanArn"],
        "name": found["BackupPlan"]["BackupPlanName"],
        "rules": [_observe_rule(rule) for rule in found["BackupPlan"].get("Rules") or []],
        "version": found["VersionId"],
    }


def _observe_rule(rule: dict[str, Any]) -> State:
    result: State = {name: rule.get(key) or _DEFAULTS.get(name) for name, key in _RULE.items()}
    result["enableContinuousBackup"] = bool(rule.get("EnableContinuousBackup"))
    result["recoveryPointTags"] = rule.get("RecoveryPointTags") or {}
    lifecycle = rule.get("Lifecycle")
    result["lifecycle"] = (
        [{name: lifecycle.get(key) for name, key in _LIFECYCLE.items()}] if lifecycle else []
    )
    return result


PLAN = Kind(
    pulumi_type="aws:backup/plan:Plan",
    service="backup",
    schema=Schema(
        autonamed="name",
        name_limit=50,
        attributes={
            **(ARN | REGION | TAGS),
            "name": forced(computed=True),
            "rules": Attribute(
                "set",
                {
                    "completionWindow": Attribute("integer", default=_DEFAULTS["completionWindow"]),
                    "enableContinuousBackup": Attribute("boolean"),
                    "lifecycle": Attribute(
                        "list",
                        {
                            "coldStorageAfter": Attribute("integer"),
                            "deleteAfter": Attribute("integer"),
                            "optInToArchiveForSupportedResources": Attribute("boolean", computed=True),
                        },
                        single=True,
                    ),
                    "recoveryPointTags": Attribute("map"),
                    "ruleName": Attribute(required=True, maximum=50, pattern="[0-9A-Za-z_.-]+"),
                    "schedule": Attribute(),
                    "scheduleExpressionTimezone": Attribute(default=_DEFAULTS["scheduleExpressionTimezone"]),
                    "startWindow": Attribute("integer", default=_DEFAULTS["startWindow"]),
                    "targetVaultName": Attribute(required=True, maximum=50, pattern="[0-9A-Za-z_-]{2,}"),
                },
                required=True,
                terraform_name="rule",
            ),
            "version": output(),
        },
    ),
    create=_create_plan,
    observe=_observe_plan,
    update=lambda work: (
        work.has_changed("rules")
        and work("update_backup_plan", BackupPlanId=work.id, BackupPlan=_plan(work.new))
    ),
    retag=_retag,
    delete=lambda work: work("delete_backup_plan", BackupPlanId=work.id),
    gone=("ResourceNotFoundException",),
    busy=("Related backup plan selections must be deleted",),
)


def _create_selection(work: Work) -> str:
    new = work.new
    tags = [
        {"ConditionType": tag["type"], "ConditionKey": tag["key"], "ConditionValue": tag["value"]}
        for tag in new["selectionTags"] or []
    ]
    made = work(
        "create_backup_selection",
        BackupPlanId=new["planId"],
        BackupSelection={
            "SelectionName": new["name"],
            "IamRoleArn": new["iamRoleArn"],
            "Resources": new["resources"] or None,
            "NotResources": new["notResources"] or None,
            "ListOfTags": tags or None,
        },
    )
    return str(made["SelectionId"])


def _observe_selection(work: Work) -> State | None:
    found = work("get_backup_selection", BackupPlanId=work.new["planId"], SelectionId=work.id)
    selection = found["BackupSelection"]
    return {
        "iamRoleArn": selection["IamRoleArn"],
        "name": selection["SelectionName"],
        "notResources": sorted(selection.get("NotResources") or []),
        "planId": found["BackupPlanId"],
        "resources": sorted(selection.get("Resources") or []),
        "selectionTags": [
            {"key": tag["ConditionKey"], "type": tag["ConditionType"], "value": tag["ConditionValue"]}
            for tag in selection.get("ListOfTags") or []
        ],
    }


SELECTION = Kind(
    pulumi_type="aws:backup/selection:Selection",
    service="backup",
    schema=Schema(
        autonamed="name",
        name_limit=50,
        attributes={
            **REGION,
            "iamRoleArn": forced(required=True, pattern=ARN_PATTERN),
            "name": forced(computed=True, maximum=50, pattern="[0-9A-Za-z_.-]+"),
            "notResources": forced("set", computed=True),
            "planId": forced(required=True),
            "resources": forced("set", computed=True),
            "selectionTags": forced(
                "set",
                {
                    "key": Attribute(required=True),
                    "type": Attribute(required=True, choices=("STRINGEQUALS",)),
                    "value": Attribute(required=True),
                },
                terraform_name="selection_tag",
            ),
        },
    ),
    create=_create_selection,
    observe=_observe_selection,
    delete=lambda work: work("delete_backup_selection", BackupPlanId=work.new["planId"], SelectionId=work.id),
    gone=("ResourceNotFoundException", "Cannot find Backup plan"),
    # Other services can use a new role only after some seconds.
    early=("cannot be assumed", "is not authorized to call tag:GetResources"),
)

KINDS = (VAULT, PLAN, SELECTION)
