"""Names: route53.Record."""

from typing import Any

from plugins.aws.kind import Kind, Work, forced, minutes, output
from plugins.bridge.schema import Attribute, Schema, State


def _same_name(old: object, new: object) -> bool:
    """Say whether two domain names are the same, apart from case and a final dot."""
    return str(old or "").rstrip(".").lower() == str(new or "").rstrip(".").lower()


def _full_name(work: Work) -> str:
    """Return the record's name with the name of its zone, which the program may leave out."""
    zone = str(work("get_hosted_zone", Id=work.new["zoneId"])["HostedZone"]["Name"]).rstrip(".").lower()
    name = str(work.new["name"] or "").rstrip(".").lower()
    return name if name == zone or name.endswith(f".{zone}") else f"{name}.{zone}".lstrip(".")


def _record_set(work: Work, name: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": work.new["type"],
        "TTL": work.new["ttl"],
        "ResourceRecords": [
            {"Value": _quoted(value, work.new["type"])} for value in work.new["records"] or []
        ],
    }


def _quoted(value: str, kind: str) -> str:
    return f'"{value}"' if kind in ("TXT", "SPF") and not value.startswith('"') else value


def _change(work: Work, action: str, record_set: dict[str, Any]) -> None:
    """Change a record, and wait until all of Route 53's servers know it."""
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record_set}]}
    made = work("change_resource_record_sets", HostedZoneId=work.new["zoneId"], ChangeBatch=batch)
    change = made["ChangeInfo"]["Id"].rpartition("/")[2]

    def known() -> bool:
        return bool(work("get_change", Id=change)["ChangeInfo"]["Status"] == "INSYNC")

    work.until(f"Route 53's servers know the record {record_set['Name']}", known)


def _create(work: Work) -> str:
    name = _full_name(work)
    _change(work, "UPSERT" if work.new["allowOverwrite"] else "CREATE", _record_set(work, name))
    return f"{work.new['zoneId']}_{name}_{work.new['type']}"


def _found(work: Work) -> dict[str, Any] | None:
    name, kind = _full_name(work), work.new["type"]
    listed = work(
        "list_resource_record_sets",
        HostedZoneId=work.new["zoneId"],
        StartRecordName=name,
        StartRecordType=kind,
        MaxItems="1",
    )["ResourceRecordSets"]
    for record in listed:
        # Route 53 writes a wildcard as an octal escape.
        if _same_name(record["Name"].replace("\\052", "*"), name) and record["Type"] == kind:
            return dict(record)
    return None


def _observe(work: Work) -> State | None:
    record = _found(work)
    return record and {
        "fqdn": _full_name(work),
        "records": sorted(
            each["Value"].strip('"') if record["Type"] in ("TXT", "SPF") else each["Value"]
            for each in record.get("ResourceRecords") or []
        ),
        "ttl": record.get("TTL") or 0,
        "type": record["Type"],
    }


def _update(work: Work) -> None:
    if work.has_changed("records", "ttl"):
        _change(work, "UPSERT", _record_set(work, _full_name(work)))


def _delete(work: Work) -> None:
    record = _found(work)
    if record is not None:
        _change(work, "DELETE", record)


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
            "name": forced(required=True, same=_same_name),
            "records": Attribute("set"),
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

KINDS = (RECORD,)
