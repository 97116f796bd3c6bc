"""Versions: which deployment is a new one, what is remembered, and what a rollback leaves."""

from dataclasses import replace

from components import rollbacks, versions
from components.rollbacks import Orders
from components.versions import BEGUN, DEPLOYED, Candidate, Deployment, ServiceVersions
from configuration.services import ServiceSettings

KEEP = 2


def deployment(time: int = 0) -> Deployment:
    return Deployment(
        started=f"2026-01-01T00:00:{time:02}+00:00",
        seconds=0,
        result=BEGUN,
        author="ann@desk",
        hosts=["web-1"],
        cause="up",
    )


def candidate(number: int) -> Candidate:
    """What a tree with a content of its own asks for."""
    return Candidate(
        number=None,
        images={"web-base": "sha256:base", "web": f"sha256:{number}"},
        source=f"tag-{number}",
        settings={"memory": 100},
        secrets={},
        left=(),
        built=f"tag-{number}",
    )


def deploy(
    known: ServiceVersions | None, wanted: Candidate, *, succeeds: bool = True, keep: int = KEEP
) -> ServiceVersions:
    found = versions.begun(known, wanted, deployment(), ("commit", "message"), keep)
    return versions.ended(found, 7) if succeeds else found


def history(*numbers: int, keep: int = 100) -> ServiceVersions:
    """Versions in the order of their deployment; a negative number fails."""
    known: ServiceVersions | None = None
    for number in numbers:
        known = deploy(known, candidate(abs(number)), succeeds=number > 0, keep=keep)
    assert known
    return known


def numbers(known: ServiceVersions) -> list[int]:
    return [one["number"] for one in known["versions"]]


def test_another_content_is_another_version() -> None:
    first = history(1)
    for change in (
        candidate(2),
        replace(candidate(1), settings={"memory": 200}),
        replace(candidate(1), secrets={"TOKEN": "1234"}),
    ):
        assert numbers(deploy(first, change)) == [2, 1]


def test_the_same_content_changes_nothing() -> None:
    first = history(1)
    assert deploy(first, candidate(1)) == first
    assert versions.recorded(first) == first


def test_an_update_that_fails_is_recorded_and_tried_again_under_its_number() -> None:
    failed = history(1, -2)
    assert failed["current"] == 2
    assert failed["versions"][0]["deployments"][-1]["result"] == BEGUN
    again = deploy(failed, candidate(2))
    assert numbers(again) == [2, 1]
    assert [one["result"] for one in again["versions"][0]["deployments"]] == [BEGUN, DEPLOYED]


def test_content_that_comes_back_is_the_version_that_it_was() -> None:
    back = deploy(history(1, 2), candidate(1))
    assert back["current"] == 1
    assert numbers(back) == [2, 1]


def test_failed_versions_push_no_good_one_out() -> None:
    known = history(1, 2, 3, *range(-4, -13, -1), keep=KEEP)
    assert numbers(known) == [12, 11, 3, 2]


def test_a_rollback_keeps_the_number_and_notes_the_secrets_of_now() -> None:
    known = history(1, 2)
    left = rollbacks.left_by(known, 1)
    wanted = replace(candidate(1), number=1, secrets={"TOKEN": "new"}, left=left, built="tag-2")
    back = deploy(known, wanted)
    assert (back["current"], back["left"], back["built"]) == (1, [2], "tag-2")
    assert len(back["versions"][1]["deployments"]) == 2
    assert back["versions"][1]["secrets"] == {"TOKEN": "new"}
    # It holds, and holding it changes nothing.
    assert deploy(back, wanted) == back
    # A new content goes on.
    assert deploy(back, candidate(3))["left"] == []


def test_a_rollback_leaves_the_current_version_and_all_later_ones() -> None:
    known = history(1, 2, 3)
    assert rollbacks.left_by(known, 1) == [2, 3]
    at_one = deploy(known, replace(candidate(1), number=1, left=[2, 3]))
    assert rollbacks.left_by(at_one, 2) == [1, 3]


def test_a_tree_is_a_version_that_was_left_if_code_and_settings_are() -> None:
    known = deploy(history(1, 2), replace(candidate(1), number=1, left=[2]))
    assert rollbacks.is_left(known, "tag-2", {"memory": 100})
    assert not rollbacks.is_left(known, "tag-2", {"memory": 200})
    assert not rollbacks.is_left(known, "tag-3", {"memory": 100})
    assert not rollbacks.is_left(known, "tag-1", {"memory": 100})


def test_numbers_that_pulumi_returns_are_whole_again() -> None:
    known = history(1)
    known["versions"][0]["settings"] = {"memory": 100.0, "list": [1.0], "env": {"A": "1.0"}}
    read = versions.recorded({**known, "current": 1.0})
    assert read
    assert repr(read["versions"][0]["settings"]) == "{'memory': 100, 'list': [1], 'env': {'A': '1.0'}}"
    assert repr(read["current"]) == "1"


def test_settings_of_a_version_come_back_with_what_is_no_part_of_it_as_it_is_now() -> None:
    def service(**settings: object) -> ServiceSettings:
        return ServiceSettings.model_validate({"build": {"context": "app"}, **settings})

    then = service(memory=100, env={"A": "1"}, domain="shop.example.com", hosts=["web-1"])
    known = history(1)
    known["versions"][0]["settings"] = versions.settings_of(then)
    assert "hosts" not in known["versions"][0]["settings"]
    now = service(memory=200, env={"B": "2"}, hosts=["web-2"])
    back = rollbacks.with_version(now, known["versions"][0], "test")
    assert back == service(memory=100, env={"A": "1"}, domain="shop.example.com", hosts=["web-2"])


def test_a_secret_has_a_hash_that_needs_the_key() -> None:
    one = versions.secret_hashes("web", {"TOKEN": "value"}, "key")
    assert one == versions.secret_hashes("web", {"TOKEN": "value"}, "key")
    assert one != versions.secret_hashes("web", {"TOKEN": "value"}, "another key")
    assert one != versions.secret_hashes("web", {"TOKEN": "another value"}, "key")
    assert one != versions.secret_hashes("api", {"TOKEN": "value"}, "key")


def test_orders() -> None:
    orders = Orders.of(
        {"SLIPWAY_ROLLBACK": "web=41,api=7", "SLIPWAY_FORWARD": "shop, blog", "SLIPWAY_KEEP": "*"}
    )
    assert orders.back == {"web": 41, "api": 7}
    assert orders.forward == {"shop", "blog"}
    assert orders.keep == {"*"}
    assert Orders.of({}) == Orders({}, frozenset())
