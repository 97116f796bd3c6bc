"""Certificates are renewed and authorities change while people push, hosts pull and the app serves: nobody notices.

One stack goes through it all, in the order of the tests. Its certificates are short-lived.
"""

import contextlib
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.clone import Clone
from tests.support.command import Command, Result
from tests.support.http_load import Load
from tests.support.registry import Registry
from tests.support.stack import Stack
from tests.support.traffic import HostEngine, Person
from tests.support.waiting import PATIENCE, eventually

SHORT_LIVED = {"validityHours": 48, "earlyRenewalHours": 24}
"""Certificates of two days, renewed by any `up` in the second."""
LEAVES = ("operator", "yard-engine", "web-1-engine", "registry-server")
RESTART = 5.0
"""Seconds that the registry may be away for its one restart; it takes about one on a quiet machine."""


@pytest.fixture(scope="module")
def certified(clone: Clone, machine: None) -> Iterator[Stack]:
    stack = Stack(clone, "e2e-certs")
    stack.remove_traces()
    settings = one_host_settings()
    settings["platform"]["portOffset"] = 900
    settings["hosts"] = {"yard": {"roles": ["registry", "build"]}, "web-1": {"roles": ["app"]}}
    settings["registry"] = {"users": ["deploy"]}
    settings["certificates"] = SHORT_LIVED
    stack.write_config(settings)
    try:
        stack.up()
        yield stack
    finally:
        take_down(stack)


@dataclass(frozen=True)
class Everybody:
    """All who use the stack while something happens to it."""

    person: Person
    """Trusts the authority of the beginning, and shows the certificate of then."""
    host: HostEngine
    load: Load

    def undisturbed(self) -> None:
        """Fail if one of them was, but for a short restart of the registry, or of the engine that pulls."""
        self.load.check()
        assert self.person.rounds >= 10
        assert self.host.rounds >= 5
        assert self.person.failures == []
        assert self.host.failures == []
        assert self.person.away < RESTART
        # Every round after the restart went well.
        assert len(self.person.refusals) < self.person.rounds / 2


@contextlib.contextmanager
def everybody(stack: Stack) -> Iterator[Everybody]:
    outputs = stack.outputs()
    registry = Registry.of(outputs)
    person = Person(registry=registry)
    host = HostEngine(
        container=stack.container("web-1"), registry=outputs["registryAddress"], account=registry.account
    )
    load = Load(*stack.urls())
    with load, person:
        eventually("something is pushed", lambda: person.rounds > 1)
        with host:
            yield Everybody(person, host, load)


def configure(stack: Stack, key: str, value: object) -> None:
    """Change a setting for good."""
    content = yaml.safe_load(stack.config_file.read_text())
    content["config"][f"slipway:{key}"] = value
    stack.config_file.write_text(yaml.safe_dump(content, sort_keys=False))


def age(stack: Stack, tmp_path: Path) -> None:
    """Let the state say that all leaf certificates end in an hour, as it will say one day."""
    state = json.loads(stack.export("--show-secrets"))
    soon = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for resource in state["deployment"]["resources"]:
        if resource["type"].endswith(":LocallySignedCert"):
            resource["outputs"]["validityEndTime"] = soon
    file = tmp_path / "state.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(state))
    stack.clone.read(*stack.in_prepared_shell(f"pulumi stack import --stack {stack.name} --file {file}"))


def started(stack: Stack, host: str) -> set[str]:
    """Every container of a host, with when it was started."""
    listed = stack.on_host(host, "docker", "ps", "--quiet").split()
    form = "{{.Name}} {{.State.StartedAt}}"
    return set(stack.on_host(host, "docker", "inspect", "--format", form, *listed).splitlines())


def verify(stack: Stack, status: int, *options: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What each check saw."""
    result = stack.slip("verify", "--json", *options)
    assert result.status == status, str(result)
    checks = json.loads(result.output)["checks"]
    return {(check["check"], check["subject"]): check for check in checks}


def replaced(result: Result) -> set[str]:
    return {name for name, operations in result.changes.items() if "replace" in operations}


def test_days_left_are_told_and_too_few_fail(certified: Stack) -> None:
    checks = verify(certified, 0)
    lasting = {
        subject: check["detail"] for (title, subject), check in checks.items() if "certificate lasts" in title
    }
    leaves = {"registry", "engine of yard", "engine of web-1", "operator"}
    assert lasting.keys() == leaves | {"registry CA", "engine CA"}
    assert all(lasting[leaf].startswith("47 hours left") for leaf in leaves), lasting
    failed = {
        subject for (_, subject), check in verify(certified, 1, "--days", "3").items() if not check["passed"]
    }
    assert failed == leaves


def test_leaves_are_renewed_early_and_nobody_notices(certified: Stack, tmp_path: Path) -> None:
    before = certified.outputs()["engineClientCertificate"]
    containers = {host: started(certified, host) for host in ("yard", "web-1")}
    age(certified, tmp_path)
    foreseen = certified.slip("preview", "--refresh")
    assert foreseen.status == 0, str(foreseen)
    assert foreseen.changes.keys() == {
        *(f"{leaf}-certificate" for leaf in LEAVES),
        *("yard-setup", "web-1-setup", "registry-settings"),
    }, str(foreseen)
    with everybody(certified) as all_:
        result = certified.up()
    all_.undisturbed()
    assert replaced(result) == {f"{leaf}-certificate" for leaf in LEAVES}, str(result)
    assert certified.outputs()["engineClientCertificate"] != before
    assert started(certified, "web-1") == containers["web-1"]
    # The registry is the one that was restarted.
    assert {line.split()[0] for line in started(certified, "yard") - containers["yard"]} == {
        "/slipway-registry"
    }
    verify(certified, 0)


def test_a_generation_that_hosts_cannot_follow_is_refused(certified: Stack) -> None:
    with certified.configured(lambda settings: settings["certificates"].update(registryCaGeneration=3)):
        result = certified.slip("up")
    assert result.status == 1
    assert "this stack has 1, and hosts can follow one step at a time" in result.output
    assert result.changes == {}


def test_both_authorities_are_followed_by_the_next_and_nobody_notices(certified: Stack) -> None:
    outputs = certified.outputs()
    operator = (outputs["engineClientCertificate"], outputs["engineClientKey"])
    containers = started(certified, "web-1")
    configure(certified, "certificates", SHORT_LIVED | {"registryCaGeneration": 2, "engineCaGeneration": 2})
    with everybody(certified) as all_:
        # Killed half-way: engines have new certificates, of which the state knows nothing yet.
        command = certified.start_slip("up")
        command.wait_until("the registry's turn", lambda step: step.name == "registry-settings", PATIENCE)
        Command.kill_everything(command)
        command.wait(60)
        certified.up()
        assert certified.outputs()["registryCaGeneration"] == 2
    all_.undisturbed()
    during = certified.outputs()["registryCaCertificate"]
    assert during.count("BEGIN") == 2
    assert outputs["registryCaCertificate"].strip() in during
    said = verify(certified, 0)["the certificate lasts", "registry CA"]["detail"]
    assert "people have to `./slip login` again" in said

    # Who trusts the old one, as nobody has told them, can go on until the next `up` has ended.
    with everybody(certified) as all_:
        all_.person.registry = Registry.of(outputs)
        certified.up()
    all_.undisturbed()
    assert all_.person.refusals == [], "dropping the old one restarts no registry"
    after = certified.outputs()
    assert after["registryCaCertificate"].count("BEGIN") == 1
    assert after["registryCaCertificate"].strip() not in outputs["registryCaCertificate"]
    for host in ("yard", "web-1"):
        trusted = certified.on_host(host, "cat", f"/etc/docker/certs.d/{after['registryAddress']}/ca.crt")
        assert trusted.strip() == after["registryCaCertificate"].strip()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            engine_lets_in(certified, host, operator)
        engine_lets_in(certified, host, (after["engineClientCertificate"], after["engineClientKey"]))
    assert started(certified, "web-1") == containers
    verify(certified, 0)
    assert certified.up("--refresh", "--expect-no-changes").changes == {}


def engine_lets_in(stack: Stack, host: str, identity: tuple[str, str]) -> None:
    """Ask a host's engine as this client; raises OSError if it is not let in."""
    import http.client
    from urllib.parse import urlsplit

    from cli.verify.checks import trusting

    outputs = stack.outputs()
    address = urlsplit(outputs["engineEndpoints"][host])
    context = trusting(outputs["engineCaCertificate"], identity)
    connection = http.client.HTTPSConnection(
        address.hostname or "", address.port, context=context, timeout=10
    )
    try:
        connection.request("GET", "/_ping")
        assert connection.getresponse().status == http.client.OK
    finally:
        connection.close()


def test_a_registry_may_ask_each_client_for_a_certificate(certified: Stack) -> None:
    configure(certified, "registry", {"users": ["deploy"], "clientCertificates": True})
    result = certified.up()
    assert "registry-container" not in result.changes, str(result)
    checks = verify(certified, 0)
    for title in ("/v2/ refuses no certificate", "/v2/ refuses a foreign certificate"):
        assert checks[title, "registry"]["passed"]
    assert {subject for title, subject in checks if title == "pulls by digest"} == {"yard web", "web-1 web"}
    registry = certified.registry()
    assert registry.answers()
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        replace(registry, identity=None).answers()
    told = json.loads(certified.clone.read("./slip", "images", "--json", "--stack", certified.name))["images"]
    assert {image["repository"] for image in told} >= {"web", "traffic"}


def test_a_registry_that_asks_moves_to_the_next_authority_and_nobody_notices(certified: Stack) -> None:
    """People show a certificate of the old authority until they log in again; hosts show one of the new."""
    configure(certified, "certificates", SHORT_LIVED | {"registryCaGeneration": 3, "engineCaGeneration": 2})
    with everybody(certified) as all_:
        certified.up()
    all_.undisturbed()
    assert all_.host.engine_away == 0, "the registry's authority is no reason to restart an engine"
    before = certified.registry()
    with everybody(certified) as all_:
        certified.up()
    all_.undisturbed()
    verify(certified, 0)
    assert before.answers(), "who logged in again meanwhile has to be let in"
    assert certified.up("--refresh", "--expect-no-changes").changes == {}
