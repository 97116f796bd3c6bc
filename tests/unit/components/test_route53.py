"""Names that are proved by records in Route 53: moto has the zones, and Pebble looks the records up there."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from moto import mock_aws

from components.acme import order, route53
from tests.support.pebble import Pebble, pebble
from tests.unit.components.test_acme_order import request


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A public zone beside a private one of the same name, and one above it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        client = boto3.client("route53")
        made = [
            client.create_hosted_zone(
                Name=name, CallerReference=name, HostedZoneConfig={"PrivateZone": False, "Comment": ""}
            )["HostedZone"]["Id"]
            for name in ("test", "shop.test")
        ]
        client.create_hosted_zone(
            Name="shop.test",
            CallerReference="private",
            HostedZoneConfig={"PrivateZone": True, "Comment": ""},
            VPC={"VPCRegion": "us-east-1", "VPCId": "vpc-1"},
        )
        yield made[1]


def texts(zone: str) -> dict[str, list[str]]:
    """The TXT records of a zone."""
    found = boto3.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {
        record["Name"].rstrip("."): [value["Value"].strip('"') for value in record["ResourceRecords"]]
        for record in found
        if record["Type"] == "TXT"
    }


class TestOrder:
    @pytest.fixture
    def asked(self) -> list[str]:
        """The names whose TXT records Pebble has asked for."""
        return []

    @pytest.fixture
    def authority(self, zone: str, asked: list[str], tmp_path: Path) -> Iterator[Pebble]:
        def found(name: str) -> Sequence[str]:
            asked.append(name)
            return texts(zone).get(name, ())

        # Nothing answers challenges on that port.
        with pebble(tmp_path, 1, texts=found) as running:
            yield running

    def test_a_wildcard_and_its_name_are_proved_by_one_record(
        self, authority: Pebble, zone: str, asked: list[str]
    ) -> None:
        answer = order.answer_to(request(authority, "*.shop.test", "shop.test", dns=True), None)
        certificate = x509.load_pem_x509_certificates(answer["certificate"].encode())[0]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert sorted(names.get_values_for_type(x509.DNSName)) == ["*.shop.test", "shop.test"]
        assert set(asked) == {"_acme-challenge.shop.test"}
        # What has proved it is gone.
        assert texts(zone) == {}

    def test_a_record_of_a_killed_order_does_not_stay(self, authority: Pebble, zone: str) -> None:
        left = route53.records({"_acme-challenge.shop.test": ["a", "b"]})
        left.__enter__()
        assert texts(zone) == {"_acme-challenge.shop.test": ["a", "b"]}
        order.answer_to(request(authority, "*.shop.test", dns=True), None)
        assert texts(zone) == {}
        # It would be gone, too, if that one had ended now.
        left.__exit__(None, None, None)

    def test_a_name_without_a_zone_gets_no_certificate(self, authority: Pebble) -> None:
        with pytest.raises(order.Refused, match=r"no public zone with _acme-challenge\.shop\.example "):
            order.answer_to(request(authority, "*.shop.example", dns=True), None)

    def test_without_records_a_wildcard_cannot_be_proved(self, authority: Pebble) -> None:
        with pytest.raises(order.Refused, match="offers no HTTP-01 challenge for"):
            order.answer_to(request(authority, "*.shop.test"), None)


def test_without_credentials_it_says_how_to_give_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(route53.Refused, match="set AWS_PROFILE"), route53.records({"a.test": ["b"]}):
        pass


def test_what_route_53_says_is_told() -> None:
    answer: Any = {"Error": {"Code": "AccessDenied", "Message": "not authorized to perform"}}
    assert route53.reason(ClientError(answer, "ListHostedZones")) == (
        "Route 53 refused: not authorized to perform (AccessDenied)"
    )
