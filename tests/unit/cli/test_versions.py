"""`slip history SERVICE`, `diff`, `rollback` and `ps`: what they read from the outputs and the state."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest

from cli.errors import CommandError
from cli.running.hang import Hang
from cli.running.host_report import HostReport, Serving
from cli.update import move_back, orders, ps, rollback, versions
from cli.update.aftermath import Aftermath


def version(number: int, *results: str, minute: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "number": float(number),
        "images": {"web": f"sha256:{number}"},
        "settings": {},
        "secrets": {},
        "revision": f"commit{number}",
        "message": "",
        "deployments": [
            {
                "started": f"2026-01-01T00:{minute:02}:00+00:00",
                "seconds": 3.0,
                "result": result,
                "author": "ann@desk",
                "hosts": ["web-1"],
                "cause": "up",
            }
            for result in results
        ],
        **changes,
    }


def outputs(*found: dict[str, Any], current: int, left: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "serviceHosts": {"web": ["web-1"], "api": ["web-1"]},
        "versions": {"web": {"current": float(current), "left": left, "versions": list(found)}},
    }


GOOD, BEGUN = "deployed", "begun"


def test_the_version_before_is_the_last_good_one_below_the_current_one() -> None:
    found = outputs(version(3, BEGUN), version(2, BEGUN), version(1, GOOD), current=3)
    assert versions.of(found, "web", "").before == 1


def test_after_a_failure_it_is_the_one_that_was_deployed_last() -> None:
    rolled_back = version(1, GOOD, minute=3)
    found = outputs(version(3, BEGUN, minute=4), version(2, GOOD, minute=2), rolled_back, current=3)
    assert versions.of(found, "web", "").before == 1
    whole = outputs(version(3, GOOD, minute=4), version(2, GOOD, minute=2), rolled_back, current=3)
    assert versions.of(whole, "web", "").before == 2


def test_an_unknown_version_lists_those_that_are_there() -> None:
    known = versions.of(outputs(version(2, GOOD), version(1, GOOD), current=2), "web", "")
    with pytest.raises(CommandError, match=r"web has no version 41\. Versions: 2, 1") as raised:
        known.version(41, "")
    assert raised.value.status == 1


@pytest.mark.parametrize(
    ("service", "message"),
    [("shop", "no service shop. Services: api, web"), ("api", "no version of api is recorded yet")],
)
def test_a_service_without_versions_is_refused(service: str, message: str) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        versions.of(outputs(version(1, GOOD), current=1), service, "")
    assert raised.value.status == 1


def test_a_container_runs_the_version_of_its_image_that_was_deployed_before_it_was_made() -> None:
    same = {"images": {"web": "sha256:1"}}
    known = versions.of(
        outputs(version(2, GOOD, minute=5, **same), version(1, GOOD, minute=1, **same), current=2), "web", ""
    )
    image = frozenset({"sha256:1"})
    assert known.number_of(image, datetime(2026, 1, 1, 0, 4, tzinfo=UTC)) == 1
    assert known.number_of(image, datetime(2026, 1, 1, 0, 6, tzinfo=UTC)) == 2
    assert known.number_of(image, datetime(2025, 1, 1, tzinfo=UTC)) == 1
    assert known.number_of(frozenset({"sha256:9"}), None) is None


def test_differences_name_settings_and_secrets_without_a_secret_or_its_hash() -> None:
    before = version(1, GOOD, settings={"memory": 100.0, "env": {"A": "1"}}, secrets={"T": "11", "U": "22"})
    after = version(2, GOOD, settings={"memory": 200.0, "env": {"B": "2"}}, secrets={"T": "33"})
    assert versions.differences(before, after, "web") == [
        ("image", "sha256:1", "sha256:2"),
        ("commit", "commit1", "commit2"),
        ("env.A", "1", "-"),
        ("env.B", "-", "2"),
        ("memory", "100", "200"),
        ("secret T", "a value", "another value"),
        ("secret U", "a value", "-"),
    ]
    assert versions.differences(before, before, "web") == []


def test_values_that_two_states_have_hashed_are_not_compared() -> None:
    """Their keys differ, and so do the hashes of equal values."""
    before = version(1, GOOD, secrets={"T": "11", "U": "22", "file /etc/a": "33"})
    after = {**before, "secrets": {"T": "44", "file /etc/a": "55", "V": "66"}}
    assert versions.differences(before, after, "web", same_key=False) == [
        ("secret T", "a value", "a value of another state, the same or not"),
        ("secret U", "a value", "-"),
        ("secret V", "-", "another value"),
        ("file /etc/a", "a value", "a value of another state, the same or not"),
    ]


def test_a_rollback_says_that_files_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    old = version(1, GOOD, secrets={"file /etc/a": "11"})
    known = versions.of(outputs(version(2, GOOD, secrets={"file /etc/a": "22"}), old, current=2), "web", "")
    rollback._announce(known, old, ["web-1"], "web")
    said = capsys.readouterr().err
    assert "files (/etc/a): as they are now" in said
    assert "another value" not in said


def test_the_table_says_how_the_last_deployment_ended() -> None:
    failed, good = version(2, GOOD, BEGUN), version(1, GOOD)
    back = version(1, GOOD)
    back["deployments"][0]["cause"] = "rollback"
    assert [versions.result(one) for one in (failed, good, back)] == ["failed", "deployed", "rolled back to"]


STACK = "urn:pulumi:local::slipway::"
SERVICE = f"{STACK}slipway:index:Service::web"
IMAGE = f"{STACK}slipway:index:AppImage::web"
VOLUME = "docker:index/volume:Volume"
CONTAINER = "docker:index/container:Container"


def test_a_rollback_is_about_the_resources_of_its_service_and_not_about_its_image() -> None:
    def one(kind: str, name: str, parent: str = "", **more: Any) -> dict[str, Any]:
        urn = f"{STACK}{kind}::{name}"
        return {"urn": urn, "type": kind.rpartition("$")[2], "parent": parent, "custom": True, **more}

    container = one(f"slipway:index:Service${CONTAINER}", "web-web-1", SERVICE)
    marker = one(f"slipway:index:AppImage${VOLUME}", "web-deployed", IMAGE)
    state = {
        "resources": [
            {"urn": SERVICE, "type": "slipway:index:Service"},
            {"urn": IMAGE, "type": "slipway:index:AppImage"},
            one("slipway:index:AppImage$docker:index/image:Image", "web-image", IMAGE),
            marker,
            container,
            {**container, "delete": True},
            one(f"slipway:index:Service${CONTAINER}", "web2-web-1", SERVICE.replace("::web", "::web2")),
        ]
    }
    assert orders.targets_of(state, "web") == [SERVICE, marker["urn"], container["urn"]]


def report(host: str, number: int | None, minute: int = 9) -> HostReport:
    """A host that serves the image of a version; None for a host that does not answer."""
    if number is None:
        return HostReport(host, silence="SSH refuses connections")
    made = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)
    serving = Serving("web", "web-a", (f"yard:5000/web@sha256:{number}",), made, "HTTP 200 on /up", True)
    return HostReport(host, engine_version="28", proxy_answers=True, services={"web": serving})


@pytest.mark.parametrize(
    ("serving", "back"),
    [
        pytest.param((3, 1), {"web": (3, 1)}, id="the hosts are apart"),
        pytest.param((1, 1), {}, id="none has moved"),
        pytest.param((3, 3), {}, id="all have moved"),
        pytest.param((3, None), {}, id="one does not say what it serves"),
        pytest.param((3, 9), {"web": (3, 2)}, id="one serves what no record names"),
    ],
)
def test_hosts_go_back_if_they_are_apart(serving: tuple[int | None, ...], back: dict[str, Any]) -> None:
    stack = outputs(
        version(3, BEGUN, minute=5), version(2, GOOD, minute=4), version(1, GOOD, minute=1), current=3
    )
    stack["serviceHosts"] = {"web": ["web-1", "web-2"]}
    aftermath = Aftermath(mock.Mock())
    aftermath.__dict__ |= {
        "outputs": stack,
        "reports": {
            host: report(host, number) for host, number in zip(("web-1", "web-2"), serving, strict=True)
        },
    }
    assert move_back.moved_apart(aftermath) == back


def test_a_deployment_that_ended_well_takes_nothing_back() -> None:
    stack = outputs(version(2, GOOD), version(1, GOOD), current=2)
    stack["serviceHosts"] = {"web": ["web-1", "web-2"]}
    aftermath = Aftermath(mock.Mock())
    aftermath.__dict__ |= {
        "outputs": stack,
        "reports": {"web-1": report("web-1", 2), "web-2": report("web-2", 1)},
    }
    assert move_back.moved_apart(aftermath) == {}


def test_the_table_says_what_hangs() -> None:
    stack = outputs(version(1, GOOD), current=1)
    hung = replace(report("web-1", 1), hangs={"web": Hang(1, datetime.now(UTC), False, "/up is slow")})
    hangs = replace(report("web-2", 1), hangs={"web": Hang(0, None, True, "/up is slow")})
    places = [("web", "web-1"), ("web", "web-2")]
    found = list(ps.processes(stack, places, {"web-1": hung, "web-2": hangs}))
    assert [(one.health, one.healthy) for one in found] == [
        ("HTTP 200 on /up; hung and was restarted 0 s ago: /up is slow", True),
        ("HTTP 200 on /up; hangs: /up is slow", False),
    ]


def test_the_table_of_what_serves() -> None:
    stack = outputs(version(2, GOOD, minute=4), version(1, GOOD, minute=1), current=2)
    reports = {
        "web-1": replace(report("web-1", 2), memory={"web-a": 12_300_000}, cpu={"web-a": 0.123}),
        "web-2": replace(report("web-2", 1), maintained=frozenset({"web"})),
        "web-3": report("web-3", None),
    }
    found = list(ps.processes(stack, [("web", host) for host in reports], reports))
    assert [(one.version, one.current, one.healthy) for one in found] == [
        (2, True, True),
        (1, False, True),
        (None, False, False),
    ]
    rows = [ps.row(one, datetime(2026, 1, 1, 0, 20, tzinfo=UTC)) for one in found]
    assert rows[0] == ("web", "web-1", "2", "2", "-", "11 min", "HTTP 200 on /up", "0", "12.3%", "12.3 MB")
    assert (rows[1][2], rows[1][6]) == ("1, not the current one", "HTTP 200 on /up, under maintenance")
    assert [one.maintenance for one in found] == [False, True, False]
    assert rows[2][6] == "it does not answer: SSH refuses connections"
