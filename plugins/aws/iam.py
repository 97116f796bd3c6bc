"""Roles: iam.Role and iam.RolePolicyAttachment."""

import json
from collections.abc import Mapping, Sequence

from plugins.aws.kind import ARN, ARN_PATTERN, TAGS, Kind, Work, forced, output, tag_list, tags_of
from plugins.aws.limits import json_text
from plugins.bridge.schema import Attribute, Schema, State


def same_json(old: object, new: object) -> bool:
    """Say whether two texts are the same JSON. Texts that are not JSON are compared as text."""
    try:
        return bool(json.loads(str(old)) == json.loads(str(new)))
    except ValueError:
        return old == new


def _create(work: Work) -> str:
    made = work(
        "create_role",
        RoleName=work.new["name"],
        AssumeRolePolicyDocument=work.new["assumeRolePolicy"],
        Description=work.new["description"],
        MaxSessionDuration=work.new["maxSessionDuration"],
        Path=work.new["path"],
        PermissionsBoundary=work.new["permissionsBoundary"],
        Tags=tag_list(work.new["tagsAll"]) or None,
    )
    return str(made["Role"]["RoleName"])


def _observe(work: Work) -> State | None:
    role = work("get_role", RoleName=work.id)["Role"]
    policy = json.dumps(role["AssumeRolePolicyDocument"], separators=(",", ":"))
    known = work.new.get("assumeRolePolicy")
    created = role.get("CreateDate")
    return {
        **tags_of(role),
        "arn": role["Arn"],
        "assumeRolePolicy": known if same_json(known, policy) else policy,
        "createDate": created.strftime("%Y-%m-%dT%H:%M:%SZ") if created else None,
        "description": role.get("Description") or "",
        "maxSessionDuration": role.get("MaxSessionDuration"),
        "name": role["RoleName"],
        "namePrefix": "",
        "path": role["Path"],
        "permissionsBoundary": (role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn") or "",
        "uniqueId": role["RoleId"],
    }


def _update(work: Work) -> None:
    new = work.new
    if work.has_changed("assumeRolePolicy"):
        work("update_assume_role_policy", RoleName=work.id, PolicyDocument=new["assumeRolePolicy"])
    if work.has_changed("description", "maxSessionDuration"):
        work(
            "update_role",
            RoleName=work.id,
            Description=new["description"] or "",
            MaxSessionDuration=new["maxSessionDuration"],
        )
    if work.has_changed("permissionsBoundary"):
        if new["permissionsBoundary"]:
            boundary = new["permissionsBoundary"]
            work("put_role_permissions_boundary", RoleName=work.id, PermissionsBoundary=boundary)
        else:
            work("delete_role_permissions_boundary", RoleName=work.id)


def _retag(work: Work, added: Mapping[str, str], removed: Sequence[str]) -> None:
    if removed:
        work("untag_role", RoleName=work.id, TagKeys=list(removed))
    if added:
        work("tag_role", RoleName=work.id, Tags=tag_list(added))


def _delete(work: Work) -> None:
    if work.new.get("forceDetachPolicies"):
        for policy in work("list_attached_role_policies", RoleName=work.id)["AttachedPolicies"]:
            work("detach_role_policy", RoleName=work.id, PolicyArn=policy["PolicyArn"])
        for name in work("list_role_policies", RoleName=work.id)["PolicyNames"]:
            work("delete_role_policy", RoleName=work.id, PolicyName=name)
    work("delete_role", RoleName=work.id)


ROLE = Kind(
    pulumi_type="aws:iam/role:Role",
    service="iam",
    schema=Schema(
        autonamed="name",
        name_limit=64,
        attributes={
            **(ARN | TAGS),
            "assumeRolePolicy": Attribute(required=True, same=same_json, wrong=json_text),
            "createDate": output(),
            "description": Attribute(maximum=1000),
            "forceDetachPolicies": Attribute("boolean", default=False),
            "maxSessionDuration": Attribute("integer", default=3600, minimum=3600, maximum=43200),
            "name": forced(computed=True, maximum=64, pattern=r"[\w+=,.@-]*"),
            "namePrefix": output(),
            "path": forced(default="/"),
            "permissionsBoundary": Attribute(),
            "uniqueId": output(),
        },
    ),
    create=_create,
    observe=_observe,
    update=_update,
    retag=_retag,
    delete=_delete,
    gone=("NoSuchEntity",),
)


def _attach(work: Work) -> str:
    work("attach_role_policy", RoleName=work.new["role"], PolicyArn=work.new["policyArn"])
    return f"{work.new['role']}/{work.new['policyArn']}"


def _observe_attachment(work: Work) -> State | None:
    attached = work("list_attached_role_policies", RoleName=work.new["role"])["AttachedPolicies"]
    if work.new["policyArn"] not in {policy["PolicyArn"] for policy in attached}:
        return None
    return {"policyArn": work.new["policyArn"], "role": work.new["role"]}


ROLE_POLICY_ATTACHMENT = Kind(
    pulumi_type="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    service="iam",
    schema=Schema(
        attributes={"policyArn": forced(required=True, pattern=ARN_PATTERN), "role": forced(required=True)}
    ),
    create=_attach,
    observe=_observe_attachment,
    delete=lambda work: work(
        "detach_role_policy", RoleName=work.new["role"], PolicyArn=work.new["policyArn"]
    ),
    gone=("NoSuchEntity",),
)

KINDS = (ROLE, ROLE_POLICY_ATTACHMENT)
