"""Security groups, their rules and key pairs: ec2.SecurityGroup, vpc.SecurityGroup{Ingress,Egress}Rule, ec2.KeyPair."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from plugins.aws.kind import ARN, REGION, TAGS, Kind, Work, forced, minutes, output, tag_list, tags_of
from plugins.aws.limits import ipv4_network, ipv6_network
from plugins.bridge.schema import Attribute, Attributes, Schema, State
from plugins.protocol.messages import Failure

_RULES: Attributes = {
    "cidrBlocks": Attribute("list"),
    "description": Attribute(),
    "fromPort": Attribute("integer"),
    "ipv6CidrBlocks": Attribute("list"),
    "prefixListIds": Attribute("list"),
    "protocol": Attribute(),
    "securityGroups": Attribute("set"),
    "self": Attribute("boolean"),
    "toPort": Attribute("integer"),
}


def _create_group(work: Work) -> str:
    made = work(
        "create_security_group",
        GroupName=work.new["name"],
        Description=work.new["description"],
        VpcId=work.new["vpcId"],
        TagSpecifications=work.tagged("security-group"),
    )
    work.id = str(made["GroupId"])
    try:
        _revoke_default(work)
    except Failure:
        # Do not leave a group that allows all outgoing traffic.
        work("delete_security_group", GroupId=work.id)
        raise
    return work.id


def _group(work: Work) -> dict[str, Any] | None:
    return work.one("describe_security_groups", "SecurityGroups", GroupIds=[work.id])


def _revoke_default(work: Work) -> None:
    """Revoke the rule that EC2 gives each new group (all outgoing traffic), as the official plugin does."""
    work.until(f"AWS shows security group {work.id}", lambda: _group_or_none(work) is not None)
    every = (_group_or_none(work) or {}).get("IpPermissionsEgress")
    if every:
        work("revoke_security_group_egress", GroupId=work.id, IpPermissions=every)


def _group_or_none(work: Work) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = work(
        "describe_security_groups", Filters=[{"Name": "group-id", "Values": [work.id]}]
    )["SecurityGroups"]
    return found[0] if found else None


def _observe_group(work: Work) -> State | None:
    group = _group(work)
    return group and {
        **tags_of(group),
        "arn": work.arn(f"security-group/{work.id}", group.get("OwnerId", "")),
        "description": group["Description"],
        "egress": _permissions(work.id, group.get("IpPermissionsEgress")),
        "ingress": _permissions(work.id, group.get("IpPermissions")),
        "name": group["GroupName"],
        "namePrefix": "",
        "ownerId": group.get("OwnerId"),
        "vpcId": group.get("VpcId"),
    }


def _permissions(group: str, permissions: list[dict[str, Any]] | None) -> list[State]:
    """Return the rules of a group; rules with the same protocol, ports and description become one."""
    rules: dict[tuple[Any, ...], State] = {}
    for permission in permissions or []:
        ports = permission.get("FromPort") or 0, permission.get("ToPort") or 0
        for key, name, value in (
            ("IpRanges", "cidrBlocks", "CidrIp"),
            ("Ipv6Ranges", "ipv6CidrBlocks", "CidrIpv6"),
            ("PrefixListIds", "prefixListIds", "PrefixListId"),
            ("UserIdGroupPairs", "securityGroups", "GroupId"),
        ):
            for each in permission.get(key) or []:
                description = each.get("Description") or ""
                rule = rules.setdefault(
                    (permission["IpProtocol"], *ports, description),
                    {
                        "cidrBlocks": [],
                        "description": description,
                        "fromPort": ports[0],
                        "ipv6CidrBlocks": [],
                        "prefixListIds": [],
                        "protocol": permission["IpProtocol"],
                        "securityGroups": [],
                        "self": False,
                        "toPort": ports[1],
                    },
                )
                if each[value] == group:
                    rule["self"] = True
                else:
                    rule[name].append(each[value])
    return list(rules.values())


def _delete_group(work: Work) -> None:
    if work.new.get("revokeRulesOnDelete"):
        group = _group(work) or {}
        for way, key in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
            if group.get(key):
                work(f"revoke_security_group_{way}", GroupId=work.id, IpPermissions=group[key])
    work("delete_security_group", GroupId=work.id)


SECURITY_GROUP = Kind(
    pulumi_type="aws:ec2/securityGroup:SecurityGroup",
    schema=Schema(
        version="1",
        timeouts=minutes(create=10, delete=15),
        autonamed="name",
        name_limit=255,
        attributes={
            **(ARN | REGION | TAGS),
            "description": forced(default="Managed by Pulumi", maximum=255),
            # Rules are resources of their own. Inline rules are refused as inputs, but the state shows existing rules.
            "egress": output("set", _RULES),
            "ingress": output("set", _RULES),
            "name": forced(computed=True),
            "namePrefix": output(),
            "ownerId": output(),
            "revokeRulesOnDelete": Attribute("boolean", default=False),
            "vpcId": forced(computed=True),
        },
    ),
    create=_create_group,
    observe=_observe_group,
    delete=_delete_group,
    gone=("InvalidGroup.NotFound", "InvalidGroupId.Malformed"),
)


def _create_rule(work: Work, way: str) -> str:
    made = work(
        f"authorize_security_group_{way}",
        GroupId=work.new["securityGroupId"],
        IpPermissions=[_permission(work.new)],
        TagSpecifications=work.tagged("security-group-rule"),
    )
    return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])


def _permission(rule: State) -> dict[str, Any]:
    text = {"Description": rule.get("description") or None}
    permission: dict[str, Any] = {
        "IpProtocol": rule["ipProtocol"],
        "FromPort": rule.get("fromPort"),
        "ToPort": rule.get("toPort"),
    }
    for name, key, value in (
        ("cidrIpv4", "IpRanges", "CidrIp"),
        ("cidrIpv6", "Ipv6Ranges", "CidrIpv6"),
        ("prefixListId", "PrefixListIds", "PrefixListId"),
        ("referencedSecurityGroupId", "UserIdGroupPairs", "GroupId"),
    ):
        if rule.get(name):
            permission[key] = [{value: rule[name], **text}]
    return permission


def _rule(work: Work) -> dict[str, Any] | None:
    return work.one("describe_security_group_rules", "SecurityGroupRules", SecurityGroupRuleIds=[work.id])


def _observe_rule(work: Work) -> State | None:
    rule = _rule(work)
    if rule is None:
        return None
    reference = rule.get("ReferencedGroupInfo") or {}
    anything = rule["IpProtocol"] == "-1"
    return {
        **tags_of(rule),
        "arn": work.arn(f"security-group-rule/{work.id}", rule.get("GroupOwnerId", "")),
        "cidrIpv4": rule.get("CidrIpv4") or None,
        "cidrIpv6": rule.get("CidrIpv6") or None,
        "description": rule.get("Description") or None,
        # For all protocols EC2 reports the port -1, and the program gives none.
        "fromPort": None if anything and work.new.get("fromPort") is None else rule.get("FromPort"),
        "ipProtocol": rule["IpProtocol"],
        "prefixListId": rule.get("PrefixListId") or None,
        "referencedSecurityGroupId": reference.get("GroupId") or None,
        "securityGroupId": rule["GroupId"],
        "securityGroupRuleId": work.id,
        "toPort": None if anything and work.new.get("toPort") is None else rule.get("ToPort"),
    }


def _update_rule(work: Work) -> None:
    if work.changed <= {"tags", "tagsAll"}:
        return
    rule = {
        "IpProtocol": work.new["ipProtocol"],
        "FromPort": -1 if work.new.get("fromPort") is None else work.new["fromPort"],
        "ToPort": -1 if work.new.get("toPort") is None else work.new["toPort"],
        "CidrIpv4": work.new.get("cidrIpv4") or None,
        "CidrIpv6": work.new.get("cidrIpv6") or None,
        "PrefixListId": work.new.get("prefixListId") or None,
        "ReferencedGroupId": work.new.get("referencedSecurityGroupId") or None,
        "Description": work.new.get("description") or None,
    }
    work(
        "modify_security_group_rules",
        GroupId=work.new["securityGroupId"],
        SecurityGroupRules=[{"SecurityGroupRuleId": work.id, "SecurityGroupRule": rule}],
    )


def _delete_rule(work: Work, way: str) -> None:
    group = work.new["securityGroupId"]
    work(f"revoke_security_group_{way}", GroupId=group, SecurityGroupRuleIds=[work.id])


def _rule_kind(way: str) -> Kind:
    name = f"SecurityGroup{way.title()}Rule"
    return Kind(
        pulumi_type=f"aws:vpc/s{name[1:]}:{name}",
        schema=Schema(
            attributes={
                **(ARN | REGION | TAGS),
                "cidrIpv4": Attribute(wrong=ipv4_network()),
                "cidrIpv6": Attribute(wrong=ipv6_network),
                "description": Attribute(),
                "fromPort": Attribute("integer", minimum=-1, maximum=65535),
                "ipProtocol": Attribute(required=True),
                "prefixListId": Attribute(),
                "referencedSecurityGroupId": Attribute(),
                "securityGroupId": forced(required=True),
                "securityGroupRuleId": output(),
                "toPort": Attribute("integer", minimum=-1, maximum=65535),
            },
        ),
        create=partial(_create_rule, way=way),
        observe=_observe_rule,
        update=_update_rule,
        delete=partial(_delete_rule, way=way),
        gone=("InvalidSecurityGroupRuleId.NotFound", "InvalidGroup.NotFound", "InvalidPermission.NotFound"),
        early=("InvalidGroup.NotFound",),
    )


INGRESS_RULE, EGRESS_RULE = _rule_kind("ingress"), _rule_kind("egress")


def _import_key(work: Work) -> str:
    made = work(
        "import_key_pair",
        KeyName=work.new["keyName"],
        PublicKeyMaterial=str(work.new["publicKey"]).encode(),
        TagSpecifications=work.tagged("key-pair"),
    )
    return str(made["KeyName"])


def _observe_key(work: Work) -> State | None:
    key = work.one("describe_key_pairs", "KeyPairs", KeyNames=[work.id])
    return key and {
        **tags_of(key),
        "arn": work.arn(f"key-pair/{work.id}"),
        "fingerprint": key.get("KeyFingerprint"),
        "keyName": key["KeyName"],
        "keyNamePrefix": "",
        "keyPairId": key.get("KeyPairId"),
        "keyType": key.get("KeyType"),
    }


def _retag_key(work: Work, added: Mapping[str, str], removed: Any) -> None:
    """Change the tags of a key pair. They belong to its `keyPairId`, not to its name, which is the resource's id."""
    pair = work.old.get("keyPairId")
    if removed:
        work("delete_tags", Resources=[pair], Tags=[{"Key": key} for key in removed])
    if added:
        work("create_tags", Resources=[pair], Tags=tag_list(added))


def _same_key(old: object, new: object) -> bool:
    """Say whether two public keys are the same, apart from blanks around them."""
    return str(old or "").strip() == str(new or "").strip()


KEY_PAIR = Kind(
    pulumi_type="aws:ec2/keyPair:KeyPair",
    schema=Schema(
        version="1",
        autonamed="keyName",
        name_limit=255,
        attributes={
            **(ARN | REGION | TAGS),
            "fingerprint": output(),
            "keyName": forced(computed=True, maximum=255),
            "keyNamePrefix": output(),
            "keyPairId": output(),
            "keyType": output(),
            "publicKey": forced(required=True, same=_same_key),
        },
    ),
    create=_import_key,
    observe=_observe_key,
    retag=_retag_key,
    delete=lambda work: work("delete_key_pair", KeyName=work.id),
    gone=("InvalidKeyPair.NotFound",),
)

KINDS = (SECURITY_GROUP, INGRESS_RULE, EGRESS_RULE, KEY_PAIR)
