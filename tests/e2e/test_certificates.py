"""Certificates are renewed and authorities change while people push, hosts pull and the app serves, without a failure.

One stack with short-lived certificates goes through all of it, in the order of the tests.
"""

import contextlib
import http.client
import json
import os
import pwd
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from cli.errors import CommandError
from cli.running import ssh
from fast_start import import_asyncssh
from tests.support import settings
from tests.support.clone import Clone
from tests.support.command import Command, Result
from tests.support.http_load import Load
from tests.support.registry import Registry
from tests.support.stack import Stack
from tests.support.tls import tls_context
from tests.support.traffic import HostEngine, Person
from tests.support.waiting import ANSWER

SHORT_LIVED = {"validityHours": 48, "earlyRenewalHours": 24}
"""Certificates of two days, which any `up` renews on the second day."""
LEAVES = ("operator", "yard-engine", "web-1-engine", "registry-server")
LEAVER = "leaver"
"""An account that is removed while the registry asks for client certificates."""
PUSHES, PULLS = 10, 5
"""Rounds of the clients that have to go well around a change, at least one of them after it."""


@pytest.fixture(scope="module")
def certified(clone: Clone, machine: None) -> Iterator[Stack]:
    stack = Stack(clone, "e2e-certs")
    stack.remove_traces()
    configuration = settings.one_host()
    configuration["platform"]["portOffset"] = 900
    configuration["hosts"] = {"yard": {"roles": ["registry", "build"]}, "web-1": {"roles": ["app"]}}
    configuration["registry"] = {"users": ["deploy"]}
    configuration["certificates"] = SHORT_LIVED
    stack.write_config(configuration)
    try:
        stack.up()
        yield stack
    finally:
        stack.forget()


@dataclass(frozen=True)
class Clients:
    """All clients of the stack during a change."""

    person: Person
    """Trusts the authority that was valid before the change, and shows the certificate of that time."""
    host: HostEngine
    load: Load

    def check(self) -> None:
        """Fail if a client met an error, other than a registry or an engine that was restarting."""
        self.load.check()
        assert self.person.failures == []
        assert self.host.failures == []


@contextlib.contextmanager
def clients(stack: Stack) -> Iterator[Clients]:
    """Run all clients, from before the block until they are served again after it."""
    outputs = stack.outputs()
    person = Person(registry=Registry.of(outputs))
    account = outputs["registryHostAccounts"]["web-1"]
    host = HostEngine(
        container=stack.container("web-1"),
        registry=outputs["registryAddress"],
        account=(account, outputs["registryPasswords"][account]),
    )
    load = Load(*stack.urls())
    with load, person:
        person.go_on("a push", 1)
        with host:
            yield Clients(person, host, load)
            person.go_on("a push", max(1, PUSHES - person.successes))
            host.go_on("a pull", max(1, PULLS - host.successes))


def age(stack: Stack) -> None:
    """Change the state so that all leaf certificates end in an hour."""
    path = stack.state_file
    checkpoint = json.loads(path.read_text())
    soon = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for resource in checkpoint["checkpoint"]["latest"]["resources"]:
        if resource["type"].endswith(":LocallySignedCert"):
            resource["outputs"]["validityEndTime"] = soon
    path.write_text(json.dumps(checkpoint))


def started(stack: Stack, host: str) -> set[str]:
    """The name and the start of every container of a host."""
    listed = stack.on_host(host, "docker", "ps", "--quiet").split()
    form = "{{.Name}} {{.State.StartedAt}}"
    return set(stack.on_host(host, "docker", "inspect", "--format", form, *listed).splitlines())


def verify(stack: Stack, status: int, *options: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The results of `slip verify`, by check and subject."""
    result = stack.slip("verify", "--json", *options)
    assert result.status == status, str(result)
    checks = json.loads(result.output)["checks"]
    return {(check["check"], check["subject"]): check for check in checks}


def replaced(result: Result) -> set[str]:
    return {name for name, operations in result.changes.items() if "replace" in operations}


def test_days_left_are_shown_and_too_few_fail(certified: Stack) -> None:
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


def test_leaves_are_renewed_early_without_a_failure(certified: Stack) -> None:
    before = certified.outputs()["engineClientCertificate"]
    containers = {host: started(certified, host) for host in ("yard", "web-1")}
    age(certified)
    foreseen = certified.slip("preview", "--refresh")
    assert foreseen.status == 0, str(foreseen)
    assert foreseen.changes.keys() == {
        *(f"{leaf}-certificate" for leaf in LEAVES),
        *("yard-setup", "web-1-setup", "registry-settings"),
    }, str(foreseen)
    with clients(certified) as all_:
        result = certified.up()
    all_.check()
    assert replaced(result) == {f"{leaf}-certificate" for leaf in LEAVES}, str(result)
    assert certified.outputs()["engineClientCertificate"] != before
    # Not even the registry was restarted.
    assert {host: started(certified, host) for host in containers} == containers
    assert all_.person.refusals == []
    verify(certified, 0)


def test_a_generation_that_hosts_cannot_follow_is_refused(certified: Stack) -> None:
    with certified.configured(lambda settings: settings["certificates"].update(registryCaGeneration=3)):
        result = certified.slip("up")
    assert result.status == 3
    assert "this stack has 1, and hosts can follow one step at a time" in result.output
    assert result.changes == {}


def test_both_authorities_are_followed_by_the_next_without_a_failure(certified: Stack) -> None:
    outputs = certified.outputs()
    operator = (outputs["engineClientCertificate"], outputs["engineClientKey"])
    containers = started(certified, "web-1")
    certified.configure({"certificates": SHORT_LIVED | {"registryCaGeneration": 2, "engineCaGeneration": 2}})
    with clients(certified) as all_:
        # Killed half-way: engines have new certificates, which the state does not contain yet.
        command = certified.start_slip("up")
        command.wait_until("the registry's turn", lambda step: step.name == "registry-settings")
        Command.kill_everything(command)
        command.wait()
        certified.up()
        assert certified.outputs()["registryCaGeneration"] == 2
    all_.check()
    during = certified.outputs()["registryCaCertificate"]
    assert during.count("BEGIN") == 2
    assert outputs["registryCaCertificate"].strip() in during
    detail = verify(certified, 0)["the certificate lasts", "registry CA"]["detail"]
    assert "people have to `./slip login` again" in detail

    # A client that trusts only the old authority can go on until the next `up`, in which the proxy changes its chain.
    assert Registry.of(outputs).answers()
    with clients(certified) as all_:
        certified.up()
    all_.check()
    assert all_.person.refusals == [], "dropping the old authority restarts no registry"
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
    """Ask a host's engine as this client; raises OSError if the engine refuses it."""
    outputs = stack.outputs()
    address = urlsplit(outputs["engineEndpoints"][host])
    context = tls_context(outputs["engineCaCertificate"], identity)
    connection = http.client.HTTPSConnection(
        address.hostname or "", address.port, context=context, timeout=ANSWER
    )
    try:
        connection.request("GET", "/_ping")
        assert connection.getresponse().status == http.client.OK
    finally:
        connection.close()


def ssh_lets_in(stack: Stack, host: str, private_key: str) -> None:
    """Log in to a host with this key; raises CommandError if the host refuses it."""
    assert ssh.run(stack.outputs() | {"sshPrivateKey": private_key}, host, "true").status == 0


def test_an_operator_comes_and_goes_by_one_line(certified: Stack) -> None:
    key = import_asyncssh().generate_private_key("ssh-ed25519")
    private_key = key.export_private_key().decode()
    containers = {host: started(certified, host) for host in ("yard", "web-1")}
    with pytest.raises(CommandError, match="refuses the stack's key"):
        ssh_lets_in(certified, "web-1", private_key)
    certified.configure({"operators": {"alice": key.export_public_key().decode().strip()}})
    with clients(certified) as all_:
        certified.up("--", "--message", "alice joins")
    all_.check()
    command = ("./slip", "operator", "certificate", "alice", "--stack", certified.name)
    alice = (certified.clone.read(*command), certified.clone.read(*command, "--key"))
    for host in ("yard", "web-1"):
        engine_lets_in(certified, host, alice)
        ssh_lets_in(certified, host, private_key)
    assert certified.up("--refresh", "--expect-no-changes").changes == {}

    certified.configure({"operators": {}})
    with clients(certified) as all_:
        certified.up()
    all_.check()
    outputs = certified.outputs()
    for host in ("yard", "web-1"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            engine_lets_in(certified, host, alice)
        with pytest.raises(CommandError, match="refuses the stack's key"):
            ssh_lets_in(certified, host, private_key)
        engine_lets_in(certified, host, (outputs["engineClientCertificate"], outputs["engineClientKey"]))
        assert started(certified, host) == containers[host]
    listed = json.loads(certified.clone.read("./slip", "history", "--json", "--stack", certified.name))
    left, same, joined = listed[:3]
    assert left["changed"] == ["operators.alice (removed)"]
    assert same["changed"] == []
    assert joined["changed"] == ["operators.alice (added)"]
    assert joined["message"].startswith(f"alice joins ({pwd.getpwuid(os.getuid()).pw_name}@")


def test_a_registry_may_ask_each_client_for_a_certificate(certified: Stack) -> None:
    certified.configure({"registry": {"users": ["deploy", LEAVER], "clientCertificates": True}})
    result = certified.up()
    assert "registry-container" not in result.changes, str(result)
    checks = verify(certified, 0)
    for title in ("/v2/ refuses no certificate", "/v2/ refuses a foreign certificate"):
        assert checks[title, "registry"]["passed"]
    assert {subject for title, subject in checks if title == "pulls by digest"} == {
        "web on yard",
        "web on web-1",
    }
    registry = certified.registry()
    assert registry.answers()
    with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
        replace(registry, identity=None).answers()
    # In TLS 1.3 the connection may be reset before the client reads the reason.
    assert "CERTIFICATE_REQUIRED" in str(refused.value) or isinstance(refused.value, ConnectionError)
    listed = json.loads(certified.clone.read("./slip", "images", "--json", "--stack", certified.name))[
        "images"
    ]
    assert {image["repository"] for image in listed} == {"web"}
    # A certificate is of one account.
    outputs = certified.outputs()
    passwords = outputs["registryPasswords"]
    for account in ("hosts", LEAVER, "host/web-1"):
        assert replace(_as(outputs, "deploy"), account=(account, passwords[account])).status() == 403
        assert _as(outputs, account).status() == http.client.OK


def _as(outputs: dict[str, Any], account: str) -> Registry:
    """The registry, for one of its accounts with the certificate of this account."""
    certificate = outputs["registryClientCertificates"][account], outputs["registryClientKeys"][account]
    return replace(
        Registry.of(outputs), account=(account, outputs["registryPasswords"][account]), identity=certificate
    )


def test_a_registry_that_asks_moves_to_the_next_authority_without_a_failure(certified: Stack) -> None:
    """People show a certificate of the old authority until they log in again; hosts show one of the new authority."""
    leaver, stays = (_as(certified.outputs(), name) for name in (LEAVER, "deploy"))
    assert leaver.status() == http.client.OK
    certified.configure(
        {
            "certificates": SHORT_LIVED | {"registryCaGeneration": 3, "engineCaGeneration": 2},
            "registry": {"users": ["deploy"], "clientCertificates": True},
        }
    )
    with clients(certified) as all_:
        certified.up()
    all_.check()
    # Whose certificate it was does not matter any more: it is of no account.
    assert leaver.status() == 403
    assert replace(leaver, account=stays.account).status() == 403
    assert stays.status() == http.client.OK
    assert all_.host.engine_away == 0, "a change of the registry's authority restarts no engine"
    before = certified.registry()
    with clients(certified) as all_:
        certified.up()
    all_.check()
    verify(certified, 0)
    assert before.answers(), "a person who has logged in again is refused"
    assert certified.up("--refresh", "--expect-no-changes").changes == {}


def test_certificates_by_a_clock_that_is_ahead_are_made_anew(certified: Stack) -> None:
    """No engine and no client accepts them. The next `up` replaces them, and only then looks at what is there."""
    clone = certified.clone
    later = "self._clock = lambda: clock() + 40 * 86_400 * 1_000_000_000"
    with (
        Load(*certified.urls()) as load,
        clone.edited("plugins/tls/plugin.py", "self._clock = clock", later),
        clone.edited("components/scripts/engine.sh", "  wait_for_validity\n", ""),
    ):
        assert certified.slip("up").status == 1
        checks = verify(certified, 1)
        assert not checks["the certificate lasts", "engine of web-1"]["passed"]
        assert "makes it anew" in checks["the certificate lasts", "engine of web-1"]["remedy"]
    result = certified.up("--refresh")
    assert "web-1-engine: not valid before" in result.output
    load.check()
    verify(certified, 0)
    assert certified.up("--refresh", "--expect-no-changes").changes == {}
