"""Names: route53.Record and route53.HealthCheck."""

import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from plugins.aws.kind import ARN, TAGS, Kind, Work, forced, minutes, output, tag_list, tags_of
from plugins.bridge.schema import Attribute, Schema, State


def _same_name(old: object, new: object) -> bool:
    """Say whether two domain names are the same, apart from case and a final dot."""
    return str(old or "").rstrip(".").lower() == str(new or "").rstrip(".").lower()


def _full_name(work: Work) -> str:
    """Return the record's name with the name of its zone, which the program may leave out."""
    zone = str(work("get_hosted_zone", Id=work.new["zoneId"])["HostedZone"]["Name"]).rstrip(".").lower()
    name = str(work.new["name"] or "").rstrip(".").lower()
    return name if name == zone or name.endswith(f".{zone}") else f"{name}.{zone}".lstrip(".")


def _record_set(state: State, name: str) -> dict[str, Any]:
    given = {
        "Name": name,
        "Type": state["type"],
        "TTL": state["ttl"],
        "ResourceRecords": [{"Value": _quoted(value, state["type"])} for value in state["records"] or []],
        "SetIdentifier": state.get("setIdentifier"),
        "MultiValueAnswer": state.get("multivalueAnswerRoutingPolicy"),
        "HealthCheckId": state.get("healthCheckId"),
    }
    # Of one name, Route 53 tells records apart by the mere presence of a set identifier.
    absent = {"SetIdentifier", "MultiValueAnswer", "HealthCheckId"}
    return {key: value for key, value in given.items() if value or key not in absent}


def _quoted(value: str, kind: str) -> str:
    return f'"{value}"' if kind in ("TXT", "SPF") and not value.startswith('"') else value


def _change(work: Work, *changes: tuple[str, dict[str, Any]]) -> None:
    """Change records, all at once or none, and wait until all of Route 53's servers know it."""
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": records} for action, records in changes]}
    made = work("change_resource_record_sets", HostedZoneId=work.new["zoneId"], ChangeBatch=batch)
    change = made["ChangeInfo"]["Id"].rpartition("/")[2]

    def known() -> bool:
        return bool(work("get_change", Id=change)["ChangeInfo"]["Status"] == "INSYNC")

    work.until(f"Route 53's servers know the record {changes[-1][1]['Name']}", known)


def _create(work: Work) -> str:
    name = _full_name(work)
    _change(work, ("UPSERT" if work.new["allowOverwrite"] else "CREATE", _record_set(work.new, name)))
    parts = (work.new["zoneId"], name, work.new["type"], work.new["setIdentifier"])
    return "_".join(part for part in parts if part)


def _found(work: Work) -> dict[str, Any] | None:
    name, kind, identifier = _full_name(work), work.new["type"], work.new.get("setIdentifier") or ""
    listed = work(
        "list_resource_record_sets",
        HostedZoneId=work.new["zoneId"],
        StartRecordName=name,
        StartRecordType=kind,
        # A name has 100 records of one type at most.
        MaxItems="100" if identifier else "1",
    )["ResourceRecordSets"]
    for record in listed:
        # Route 53 writes a wildcard as an octal escape.
        same = _same_name(record["Name"].replace("\\052", "*"), name) and record["Type"] == kind
        if same and record.get("SetIdentifier", "") == identifier:
            return dict(record)
    return None


def _observe(work: Work) -> State | None:
    record = _found(work)
    if record is None:
        return None
    of_several = {
        "healthCheckId": record.get("HealthCheckId") or "",
        "multivalueAnswerRoutingPolicy": bool(record.get("MultiValueAnswer")),
        "setIdentifier": record.get("SetIdentifier") or "",
    }
    return {
        "fqdn": _full_name(work),
        "records": sorted(
            each["Value"].strip('"') if record["Type"] in ("TXT", "SPF") else each["Value"]
            for each in record.get("ResourceRecords") or []
        ),
        "ttl": record.get("TTL") or 0,
        "type": record["Type"],
        # The state of a plain record that an earlier version made has none of these.
        **{name: value for name, value in of_several.items() if value or work.new.get(name)},
    }


def _update(work: Work) -> None:
    name = _full_name(work)
    if work.has_changed("setIdentifier"):
        # A record with another identifier is another one to Route 53, which exchanges both at one moment.
        _change(work, ("DELETE", _record_set(work.old, name)), ("CREATE", _record_set(work.new, name)))
    elif work.has_changed("records", "ttl", "healthCheckId", "multivalueAnswerRoutingPolicy"):
        _change(work, ("UPSERT", _record_set(work.new, name)))


def _delete(work: Work) -> None:
    record = _found(work)
    if record is not None:
        _change(work, ("DELETE", record))


RECORD_TYPES = (
    *("SOA", "A", "TXT", "NS", "CNAME", "MX", "NAPTR", "PTR", "SRV", "SPF", "AAAA", "CAA", "DS"),
    *("TLSA", "SSHFP", "SVCB", "HTTPS"),
)

RECORD = Kind(
    pulumi_type="aws:route53/record:Record",
    service="route53",
    schema=Schema(
        version="2",
        timeouts=minutes(create=30, delete=30, update=30),
        attributes={
            "allowOverwrite": Attribute("boolean", computed=True),
            "fqdn": output(),
            "healthCheckId": Attribute(),
            "multivalueAnswerRoutingPolicy": Attribute("boolean"),
            "name": forced(required=True, same=_same_name),
            "records": Attribute("set"),
            "setIdentifier": Attribute(),
            "ttl": Attribute("integer"),
            "type": forced(required=True, choices=RECORD_TYPES),
            "zoneId": forced(required=True, pattern=".+"),
        },
    ),
    create=_create,
    observe=_observe,
    update=_update,
    delete=_delete,
    gone=("NoSuchHostedZone",),
)


def _address(value: Any) -> str | None:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return f"has to be an IP address; it is {value!r}"
    return None


def _interval(value: Any) -> str | None:
    return None if value in (10, 30) else f"has to be 10 or 30; it is {value!r}"


def _of_an_endpoint(value: Any) -> str | None:
    if value in ("HTTP", "HTTPS", "TCP"):
        return None
    return (
        f"is {value!r}, which Slipway's stand-in for pulumi-aws does not support: set HTTP, HTTPS or TCP, or use the "
        "official plugin"
    )


def _create_check(work: Work) -> str:
    new = work.new
    config = {
        "Type": new["type"],
        "IPAddress": new["ipAddress"] or None,
        "Port": new["port"] or None,
        "RequestInterval": new["requestInterval"] or None,
        "FailureThreshold": new["failureThreshold"] or None,
        "ResourcePath": new["resourcePath"] or None,
        "FullyQualifiedDomainName": new["fqdn"] or None,
        "Disabled": new["disabled"] or None,
        "MeasureLatency": new["measureLatency"] or None,
    }
    made = work(
        "create_health_check",
        # A request with the reference of an earlier one makes no second check.
        CallerReference=f"pulumi-{uuid.uuid4().hex}",
        HealthCheckConfig={key: value for key, value in config.items() if value is not None},
    )
    return str(made["HealthCheck"]["Id"])


def _tag_check(work: Work) -> None:
    if work.is_new and work.new["tagsAll"]:
        _retag_check(work, work.new["tagsAll"], ())


def _retag_check(work: Work, added: Mapping[str, str], removed: Sequence[str]) -> None:
    work(
        "change_tags_for_resource",
        ResourceType="healthcheck",
        ResourceId=work.id,
        AddTags=tag_list(added) or None,
        RemoveTagKeys=list(removed) or None,
    )


def _observe_check(work: Work) -> State | None:
    config = work("get_health_check", HealthCheckId=work.id)["HealthCheck"]["HealthCheckConfig"]
    tags = work("list_tags_for_resource", ResourceType="healthcheck", ResourceId=work.id)
    return {
        **tags_of(tags["ResourceTagSet"]),
        "arn": f"arn:{work.cloud.partition(work.region)}:route53:::healthcheck/{work.id}",
        "disabled": bool(config.get("Disabled")),
        "enableSni": bool(config.get("EnableSNI")),
        "failureThreshold": config.get("FailureThreshold"),
        "fqdn": config.get("FullyQualifiedDomainName") or "",
        "ipAddress": config.get("IPAddress") or "",
        "measureLatency": bool(config.get("MeasureLatency")),
        "port": config.get("Port") or 0,
        "requestInterval": config.get("RequestInterval") or 0,
        "resourcePath": config.get("ResourcePath") or "",
        "type": config["Type"],
    }


_CHANGED = {
    "disabled": "Disabled",
    "failureThreshold": "FailureThreshold",
    "fqdn": "FullyQualifiedDomainName",
    "ipAddress": "IPAddress",
    "port": "Port",
    "resourcePath": "ResourcePath",
}
"""The properties of a health check that can change in place, with their names in UpdateHealthCheck."""


def _update_check(work: Work) -> None:
    changed = {name: work.new[key] for key, name in _CHANGED.items() if work.has_changed(key)}
    if changed:
        work("update_health_check", HealthCheckId=work.id, **changed)


CHECK_TYPES = (
    *("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP"),
    *("CALCULATED", "CLOUDWATCH_METRIC", "RECOVERY_CONTROL"),
)

HEALTH_CHECK = Kind(
    pulumi_type="aws:route53/healthCheck:HealthCheck",
    service="route53",
    schema=Schema(
        attributes={
            **(ARN | TAGS),
            "disabled": Attribute("boolean", default=False),
            "enableSni": Attribute("boolean", computed=True, supported=False),
            "failureThreshold": Attribute("integer", computed=True, minimum=1, maximum=10),
            "fqdn": Attribute(maximum=255),
            "ipAddress": Attribute(wrong=_address),
            "measureLatency": forced("boolean", default=False),
            "port": Attribute("integer", minimum=1, maximum=65535),
            "requestInterval": forced("integer", wrong=_interval),
            "resourcePath": Attribute(maximum=255),
            "type": forced(required=True, choices=CHECK_TYPES, wrong=_of_an_endpoint),
        },
    ),
    create=_create_check,
    settle=_tag_check,
    observe=_observe_check,
    update=_update_check,
    retag=_retag_check,
    delete=lambda work: work("delete_health_check", HealthCheckId=work.id),
    gone=("NoSuchHealthCheck",),
    # A record that has just gone still had it.
    busy=("HealthCheckInUse",),
)

KINDS = (RECORD, HEALTH_CHECK)
