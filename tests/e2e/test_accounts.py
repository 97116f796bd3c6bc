"""Accounts are added, rotated and removed while the registry runs; Docker logs in and out; images are listed."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.command import Result
from tests.support.docker_command import docker
from tests.support.http_load import greeting
from tests.support.registry import Registry
from tests.support.stack import Stack
from tests.support.waiting import PATIENCE, eventually

HOSTS_ACCOUNT, BYSTANDER, GUEST = "hosts", "deploy", "guest.1"


class Visits:
    """A client that asks the registry again and again, with an account that stays as it is."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self.number = 0
        self.failures: list[str] = []

    def __enter__(self) -> "Visits":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def _visit(self) -> None:
        while not self._ended.wait(0.05):
            self.number += 1
            try:
                if not self._registry.answers():
                    self.failures.append("refused")
            except OSError as error:
                self.failures.append(str(error))


def _started(stack: Stack) -> str:
    return stack.on_host("yard", "docker", "inspect", "--format", "{{.State.StartedAt}}", "slipway-registry")


def _as(stack: Stack, account: str, password: str = "") -> Registry:
    outputs = stack.outputs()
    return replace(
        Registry.of(outputs), account=(account, password or outputs["registryPasswords"].get(account, ""))
    )


def _password(stack: Stack, account: str) -> str:
    return stack.clone.read("./slip", "account", "password", account, "--stack", stack.name).strip()


def _account(stack: Stack, command: str, name: str) -> Result:
    result = stack.clone.start("./slip", "account", command, name, "--stack", stack.name).wait()
    assert result.status == 0, str(result)
    assert "./slip up" in result.output
    return result


@pytest.fixture
def undisturbed(stack: Stack) -> Iterator[None]:
    """Fails if a test restarts the registry, or keeps it from serving another account."""
    before = _started(stack)
    with Visits(_as(stack, BYSTANDER)) as visits:
        yield
        eventually("the bystander has asked often", lambda: visits.number > 20)
    assert visits.failures == []
    assert _started(stack) == before


@pytest.mark.usefixtures("undisturbed")
def test_an_added_account_comes_in(stack: Stack) -> None:
    _account(stack, "add", GUEST)
    password = _password(stack, GUEST)
    assert not _as(stack, GUEST, password).answers(), "the registry knows the account before the `up`"
    result = stack.up()
    assert result.changes == {"registry-settings": {"update"}}, str(result)
    assert _as(stack, GUEST, password).answers()


@pytest.mark.usefixtures("undisturbed")
def test_rotated_accounts_take_the_new_password_only(stack: Stack) -> None:
    """The same `up` deploys a change of the app, so the hosts push and pull with their new password."""
    before = {name: _password(stack, name) for name in (GUEST, HOSTS_ACCOUNT)}
    for name in before:
        _account(stack, "rotate", name)
    stack.clone.greet("Hello with a new password")
    result = stack.up()
    assert "slipway-registry" not in result.changes
    assert "registry-container" not in result.changes, str(result)
    assert {greeting(url) for url in stack.urls()} == {"Hello with a new password"}
    for name, password in before.items():
        assert not _as(stack, name, password).answers(), name
        after = _password(stack, name)
        assert _as(stack, name, after).answers(), name
        assert not any(secret in output for output in stack.clone.printed for secret in (password, after)), (
            name
        )


@pytest.mark.usefixtures("undisturbed")
def test_a_removed_account_is_refused_at_once(stack: Stack) -> None:
    password = _password(stack, GUEST)
    assert _as(stack, GUEST, password).answers()
    _account(stack, "remove", GUEST)
    result = stack.up()
    assert result.changes == {"registry-settings": {"update"}}, str(result)
    assert not _as(stack, GUEST, password).answers()
    content = stack.config_file.read_text()
    assert GUEST not in content
    assert BYSTANDER in content
    stack.up("--expect-no-changes")


def test_hosts_keep_passwords_as_bcrypt_only(stack: Stack) -> None:
    accounts = stack.on_host("yard", "cat", "/etc/slipway/registry/htpasswd").splitlines()
    assert [line.partition(":")[0] for line in accounts] == sorted([HOSTS_ACCOUNT, BYSTANDER])
    assert all(line.partition(":")[2].startswith("$2") for line in accounts)
    for host in ("yard", "web-1", "web-2"):
        # A `docker login` would have left the password on the host.
        assert stack.on_host(host, "find", "/root", "-path", "*/.docker/config.json") == ""


def test_a_persons_docker_is_logged_in_and_out(stack: Stack, tmp_path: Path) -> None:
    def slip(command: str) -> Result:
        own = f"DOCKER_CONFIG={tmp_path}"
        return stack.clone.start("env", own, "./slip", command, "--stack", stack.name).wait()

    address = stack.outputs()["registryPublicAddress"]
    result = slip("login")
    rootful = "rootless" not in docker("info", "--format", "{{.SecurityOptions}}")
    if rootful and os.geteuid() != 0 and not os.access("/etc/docker/certs.d", os.W_OK):
        assert result.status == 3, str(result)
        assert f"| sudo install -D -m 644 /dev/stdin '/etc/docker/certs.d/{address}/ca.crt'" in result.output
        return
    try:
        assert result.status == 0, str(result)
        config = json.loads((tmp_path / "config.json").read_text())
        assert list(config["auths"]) == [address]
        (file,) = (word for word in result.output.split() if word.endswith("/ca.crt,"))
        assert Path(file.rstrip(",")).read_text() == stack.outputs()["registryCaCertificate"]
    finally:
        undone = slip("logout")
    assert undone.status == 0, str(undone)
    assert json.loads((tmp_path / "config.json").read_text())["auths"] == {}
    assert not Path(file.rstrip(",")).parent.exists()


def test_images_are_listed_with_what_runs_where(stack: Stack) -> None:
    listed = json.loads(stack.clone.read("./slip", "images", "--json", "--stack", stack.name))["images"]
    # Another client reads the same, tag by tag.
    assert {(image["repository"], image["digest"]) for image in listed} == stack.registry().images()
    running = {image["digest"]: image["runs"] for image in listed if image["runs"]}
    digest = stack.outputs()["images"]["web"].partition("@")[2]
    assert running == {digest: ["web on web-1", "web on web-2"]}
    for image in listed:
        assert image["size"] > 10_000_000
        assert image["platforms"]
        assert image["created"]
    (current,) = (image for image in listed if image["digest"] == digest)
    head = stack.clone.git("log", "-1", "--format=%H", "--", "app").strip()
    assert current["revision"] == head
