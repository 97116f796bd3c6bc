"""The price of a stack on AWS."""

from typing import Any

from cli.screen.comment.prices import TABLE, described_prices, price, table
from cli.screen.events import Step

AWS = "urn:pulumi:dev::slipway::slipway:hosts:AwsPlatform$slipway:hosts:AwsHost$"
INSTANCE = "aws:ec2/instance:Instance"


def step(operation: str, kind: str, name: str, before: Any = None, after: Any = None) -> Step:
    return Step(operation, f"{AWS}{kind}::{name}", before=before or {}, after=after or {})


def instance(kind: str, size: int = 20) -> dict[str, Any]:
    return {"instanceType": kind, "rootBlockDevice": {"volumeType": "gp3", "volumeSize": size}}


def test_a_larger_instance() -> None:
    lines = described_prices(
        [
            step("update", INSTANCE, "box", instance("t3.small"), instance("t3.medium")),
            step("same", "aws:ec2/eip:Eip", "box-address", {"domain": "vpc"}, {"domain": "vpc"}),
            step("same", "aws:ec2/vpc:Vpc", "network", {"a": 1}, {"a": 1}),
        ],
        "eu-central-1",
    )
    # 730 h of t3.small or t3.medium, 20 GB of gp3, 730 h of an address.
    before, after = 730 * 0.024 + 20 * 0.0952 + 730 * 0.005, 730 * 0.048 + 20 * 0.0952 + 730 * 0.005
    when = f"table of {table()['date']}, `eu-central-1`"
    assert lines == [
        f"Price per month: {before:.2f} USD → {after:.2f} USD, on demand, without traffic ({when})."
    ]


def test_health_checks_cost_and_records_do_not() -> None:
    lines = described_prices(
        [
            *(
                step("create", "aws:route53/healthCheck:HealthCheck", f"edge-{n}-health", None, {"a": 1})
                for n in "12"
            ),
            step("create", "aws:route53/record:Record", "shop.example.com-edge-1", None, {"a": 1}),
        ],
        "eu-central-1",
    )
    assert len(lines) == 1
    assert "0.00 USD → 1.00 USD, on demand" in lines[0]


def test_what_is_not_in_the_table_is_unknown_and_never_nothing() -> None:
    lines = described_prices(
        [
            step("create", INSTANCE, "box", None, instance("x9.huge")),
            step("create", "aws:rds/instance:Instance", "database", None, {"size": 1}),
        ],
        "eu-central-1",
    )
    assert "0.00 USD → 1.90 USD + unknown" in lines[0]
    assert lines[1] == "Unknown, and not in it: `box (x9.huge)`, `database`."
    elsewhere = described_prices([step("create", INSTANCE, "box", None, instance("t3.small"))], "mars-1")
    assert "→ unknown," in elsewhere[0]
    assert elsewhere[1] == "Unknown, and not in it: `box (t3.small)`, `box's disk (gp3)`."


def test_a_replacement_and_a_removal() -> None:
    lines = described_prices(
        [
            step("replace", INSTANCE, "a", instance("t3.small"), instance("t3.small")),
            step("create-replacement", INSTANCE, "a", instance("t3.small"), instance("t3.small")),
            step("delete-replaced", INSTANCE, "a", instance("t3.small")),
            step("delete", INSTANCE, "b", instance("t3.small")),
        ],
        "us-east-1",
    )
    one = 730 * 0.0208 + 20 * 0.08
    assert f"{2 * one:.2f} USD → {one:.2f} USD" in lines[0]


def test_a_stack_elsewhere_has_no_price() -> None:
    assert described_prices([Step("create", "urn:pulumi:a::b::docker:index/volume:Volume::x")], "") == []


def test_faster_disks_are_unknown() -> None:
    found = price(
        "aws:ebs/volume:Volume", "data", {"type": "gp3", "size": 9, "iops": 9000}, "us-east-1", table()
    )
    assert (found.known, found.unknown) == (0.0, ("data (gp3)",))


def test_the_table_says_where_it_is_from() -> None:
    assert TABLE.read_text().count("https://aws.amazon.com/") == 4
    assert table()["date"]
