"""Proofs that the names of a certificate are the operator's, as records in Route 53 (DNS-01; RFC 8555, 8.4)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, WaiterError

TTL = 10
"""Seconds for which name servers may keep a record: the next order has another one."""
PATIENCE = {"Delay": 5, "MaxAttempts": 60}
"""How often it is asked whether all servers of Route 53 know a record, and seconds in between."""


class Refused(Exception):
    """A record was not made; the text is a sentence."""


@contextmanager
def records(texts: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """TXT records that all servers of Route 53 know, for as long as the block runs.

    Args:
        texts: the texts of each record, by its name.

    Raises:
        Refused: by Route 53, or this machine has no credentials for it.
    """
    with ExitStack() as made:
        try:
            route53 = boto3.client("route53")
            changes = []
            for name, values in texts.items():
                zone = _zone(route53, name)
                changes.append(_change(route53, "UPSERT", zone, name, values))
                made.callback(_forget, route53, zone, name, values)
            for change in changes:
                route53.get_waiter("resource_record_sets_changed").wait(Id=change, WaiterConfig=PATIENCE)
        except (BotoCoreError, ClientError) as error:
            raise Refused(reason(error)) from None
        yield


def _forget(route53: Any, zone: str, name: str, values: Sequence[str]) -> None:
    # A record that stays proves nothing any more, and the next order puts another one in its place.
    with suppress(BotoCoreError, ClientError):
        _change(route53, "DELETE", zone, name, values)


def _zone(route53: Any, name: str) -> str:
    """The id of the public zone with the longest name that has this one."""
    found = {
        zone["Name"].rstrip("."): zone["Id"]
        for page in route53.get_paginator("list_hosted_zones").paginate()
        for zone in page["HostedZones"]
        if not zone["Config"]["PrivateZone"] and f".{name}.".endswith(f".{zone['Name']}")
    }
    if not found:
        raise Refused(
            f"Route 53 has no public zone with {name} in the account of these credentials: make one, or use "
            "credentials of its account"
        )
    return str(found[max(found, key=len)])


def _change(route53: Any, action: str, zone: str, name: str, values: Sequence[str]) -> str:
    """Change a record. Returns the id of the change, which servers learn of later."""
    record = {
        "Name": name,
        "Type": "TXT",
        "TTL": TTL,
        "ResourceRecords": [{"Value": f'"{value}"'} for value in sorted(values)],
    }
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    return str(route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)["ChangeInfo"]["Id"])


def reason(error: Exception) -> str:
    """Why Route 53 made no record."""
    match error:
        case NoCredentialsError():
            return (
                "this machine has no credentials for AWS, which slipway:acme.dns = route53 takes: set AWS_PROFILE, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        case WaiterError():
            return f"Route 53 has not published a record in {PATIENCE['Delay'] * PATIENCE['MaxAttempts']} seconds"
        case ClientError():
            found = error.response["Error"]
            return f"Route 53 refused: {found.get('Message') or error} ({found.get('Code', 'no code')})"
        case _:
            return f"Route 53 does not answer: {error}"
