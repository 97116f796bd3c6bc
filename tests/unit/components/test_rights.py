"""Who may do what in the registry, as maps, and the proxy's configuration that reads them."""

import re
from typing import Any

import pytest

from components.registry import front
from components.registry.rights import Rights, maps, rights_of
from configuration.load import validate
from tests.unit.program import PASSWORDS, ROOT

CONTEXT = "tests/e2e/fixtures/tiny"


SERVICES = {
    "web": {"build": {"context": CONTEXT}, "hosts": ["web-1"]},
    "shop": {"build": {"context": CONTEXT}, "hosts": ["web-2"], "domains": ["shop.example.com"]},
}


def rights(users: object, services: dict[str, Any] = SERVICES) -> dict[str, Rights]:
    """The rights of a stack of three hosts with these users."""
    names = list(users) if isinstance(users, (dict, list)) else []
    configuration = {
        "hosts": {
            "yard": {"roles": ["registry", "build"]},
            "web-1": {"roles": ["app"]},
            "web-2": {"roles": ["app"]},
        },
        "services": services,
        "registry": {"users": users},
        "passwords": dict.fromkeys(["hosts", *names], PASSWORDS["alice"]),
    }
    return rights_of(validate(configuration, ROOT))


def test_a_list_of_users_may_push_everything_but_the_mirror() -> None:
    found = maps(rights(["alice"]))
    assert "alice: yes" in found["push"].splitlines()
    assert "alice: yes" in found["pull"].splitlines()
    assert [line for line in found["push"].splitlines() if line.endswith(" mirror")] == ["hosts: mirror"]


def test_a_map_of_users_gives_each_its_rights() -> None:
    found = maps(rights({"alice": {"push": ["team/*", "tool"]}, "ci": {"push": ["*"]}, "reader": {}}))
    assert found["push"].splitlines() == [
        "alice:team/ yes",
        "alice:tool$ yes",
        "ci: yes",
        "hosts: mirror",
    ]
    assert {"alice: yes", "ci: yes", "reader: yes"} <= set(found["pull"].splitlines())


def test_what_an_account_may_push_it_may_pull() -> None:
    found = maps(rights({"alice": {"push": ["team/*"], "pull": ["base"]}}))
    assert {line for line in found["pull"].splitlines() if line.startswith("alice:")} == {
        "alice:team/ yes",
        "alice:base$ yes",
    }


def test_an_app_host_pulls_the_services_that_it_runs_and_pushes_nothing() -> None:
    found = maps(rights(["alice"]))
    assert "host/" not in found["push"]
    assert [line for line in found["pull"].splitlines() if line.startswith("host/")] == [
        "host/web-1:web$ yes",
        "host/web-2:shop$ yes",
    ]
    assert found["accounts"].splitlines() == [
        "alice user",
        "host/web-1 host",
        "host/web-2 host",
        "hosts host",
    ]


def test_an_app_host_pulls_the_images_of_services_that_have_none_of_their_own() -> None:
    services = {
        "web": {"build": {"context": CONTEXT}, "hosts": ["web-1"]},
        "worker": {"from": "web", "health": {"none": True}, "hosts": ["web-2"]},
        "db": {"image": "postgres:16", "health": {"tcp": 5432}, "hosts": ["web-2"]},
    }
    found = maps(rights(["alice"], services))
    assert [line for line in found["pull"].splitlines() if line.startswith("host/")] == [
        "host/web-1:web$ yes",
        "host/web-2:mirror/postgres$ yes",
        "host/web-2:web$ yes",
    ]


PATHS = {
    "/v2/web/manifests/latest": "web",
    "/v2/team/a/manifests/sha256:0a": "team/a",
    "/v2/team/a/manifests/sha256%3A0a": "team/a",
    "/v2/a/blobs/uploads/": "a",
    "/v2/a/blobs/uploads/0-1_a=": "a",
    "/v2/a/blobs/uploads/blobs/sha256:0a": "a/blobs/uploads",
    "/v2/a/manifests/b/manifests/c": "a/manifests/b",
    "/v2/a/tags/list": "a",
    "/v2/a/../b/tags/list": None,
    "/v2/a/%2e%2e/b/tags/list": None,
    "/v2/team%2fa/tags/list": None,
    "/v2//a/tags/list": None,
    "//v2/a/tags/list": None,
    "/v2/A/tags/list": None,
    "/V2/a/tags/list": None,
    "/v2/a/tags/list/": None,
    "/v2/a/tags/list;x": None,
    "/v2/a\\b/tags/list": None,
}


@pytest.mark.parametrize(("path", "repository"), PATHS.items())
def test_a_path_has_one_spelling_and_one_repository(path: str, repository: str | None) -> None:
    text = front.configuration()
    accepted = re.search(r"^  acl content path_reg (.*)$", text, re.MULTILINE)
    captured = re.search(r"regsub\('\"(.*)\"','\"\\1\"'\)", text)
    assert accepted
    assert captured
    assert bool(re.fullmatch(accepted[1], path)) == bool(repository)
    if repository:
        assert re.sub(captured[1], r"\1", path) == repository


def test_certificates_are_bound_to_accounts_where_the_registry_asks_for_them() -> None:
    assert "verify required" not in front.configuration()
    assert "own_certificate" not in front.configuration()
    assert "verify required" in front.configuration(client_certificates=True)
    assert "!own_certificate" in front.configuration(client_certificates=True)
    assert " ssl " not in front.configuration(tls=False)
