"""What the command does to a stack's state, with the real Pulumi CLI and a file backend, without a host."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.registry import accounts
from cli.running.engine import ERRORS, connected
from cli.stack import deployment, passphrase
from cli.stack.backend import Backend
from cli.stack.deployment import CONTAINER_TYPE, NETWORK_TYPE
from cli.stack.open import open_stack
from cli.stack.passwords import make_missing_passwords
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.update import forget, recovery, remote_lock
from cli.update.marker import Marker
from tests.support.waiting import PATIENCE, eventually

CONTAINER, NETWORK = CONTAINER_TYPE, NETWORK_TYPE
ROOT = Path(forget.__file__).parents[2]

PROGRAM = """
import pathlib
import time
import pulumi
pulumi.ComponentResource("slipway:test:Thing", "thing")
pulumi.export("answer", 42)
if pulumi.Config().get_bool("held"):
    pathlib.Path("begun").touch()
    while not pathlib.Path("released").exists():
        time.sleep(0.05)
"""
"""With `held` it waits for a file, so that an update lasts as long as a test needs."""


@pytest.fixture(scope="module")
def first_use(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project of its own, with the stack `local` as the first `slip up` makes it."""
    project = tmp_path_factory.mktemp("first use")  # a blank in a path must do no harm
    (project / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    (project / "__main__.py").write_text(PROGRAM)
    with pytest.MonkeyPatch.context() as patch:
        _forget_login(patch, project)
        open_stack("local", create=True, project=Project(project))
    return project


@pytest.fixture
def stack(first_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A copy of it."""
    _forget_login(monkeypatch, tmp_path)
    project = tmp_path / "a clone"
    shutil.copytree(first_use, project, symlinks=True)
    return open_stack("local", project=Project(project))


def _forget_login(patch: pytest.MonkeyPatch, directory: Path) -> None:
    """Unset the operator's own backend and passphrase."""
    for name in [name for name in os.environ if name.startswith("PULUMI_")]:
        patch.delenv(name)
    patch.setenv("PULUMI_CREDENTIALS_PATH", str(directory / "no login"))


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:local::slipway::{kind}::{name}"


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": urn(kind, name), "custom": True, "type": kind, "id": f"id-{name}", **more}


DOCKER = "pulumi:providers:docker"
WEB_1, WEB_2 = urn(CONTAINER, "web-1"), urn(CONTAINER, "web-2")


def two_hosts() -> list[dict[str, Any]]:
    """web-2's app is rolled out after web-1's."""
    resources = [
        {"urn": urn("pulumi:pulumi:Stack", "slipway-local"), "custom": False, "type": "pulumi:pulumi:Stack"},
        resource(DOCKER, "default_5_1_0", inputs={"version": "5.1.0"}, outputs={"version": "5.1.0"}),
    ]
    own = f"{urn(DOCKER, 'default_5_1_0')}::id-default_5_1_0"
    resources += [resource(CONTAINER, name, provider=own) for name in ("web-1", "web-2")]
    for name, host in (("web-1", WEB_1), ("web-2", WEB_2)):
        inputs = {"host": f"tcp://{name}:2376", "version": "5.1.0"}
        resources.append(
            resource(DOCKER, name, inputs=inputs, outputs=inputs, dependencies=[host], deletedWith=host)
        )
        after = [urn(CONTAINER, "web-1-app")] if name == "web-2" else []
        resources.append(
            resource(
                CONTAINER,
                f"{name}-app",
                provider=f"{urn(DOCKER, name)}::id-{name}",
                deletedWith=host,
                replaceWith=[host],
                dependencies=[host, *after],
                propertyDependencies={"image": None, "name": after},
            )
        )
    return resources


def load(stack: Stack, resources: list[dict[str, Any]]) -> None:
    exported = stack.export()
    exported["deployment"]["resources"] = resources
    stack.import_state(exported)


def test_the_edited_state_passes_pulumis_own_checks(stack: Stack) -> None:
    load(stack, two_hosts())
    before = stack.export()
    forget.run(stack, "web-1", yes=True)

    after = {item["urn"]: item for item in stack.export()["deployment"]["resources"]}
    gone = {urn(CONTAINER, "web-1-app"), urn(DOCKER, "web-1")}
    expected = {
        item["urn"]: dict(item) for item in before["deployment"]["resources"] if item["urn"] not in gone
    }
    expected[WEB_1]["taint"] = True
    expected[urn(CONTAINER, "web-2-app")]["dependencies"] = [WEB_2]
    assert after.keys() == expected.keys()
    for name, item in expected.items():
        item.pop("propertyDependencies", None)
        found = dict(after[name])
        properties = found.pop("propertyDependencies", None) or {}
        assert not any(properties.values())
        assert found == item

    (backup,) = (stack.project.private / "backups").iterdir()
    assert backup.stat().st_mode & 0o777 == 0o600
    assert json.loads(backup.read_text())["deployment"]["resources"] == before["deployment"]["resources"]
    stack.import_state(json.loads(backup.read_text()))
    assert stack.export()["deployment"]["resources"] == before["deployment"]["resources"]


def test_both_hosts_can_be_forgotten_one_after_the_other(stack: Stack) -> None:
    load(stack, two_hosts())
    forget.run(stack, "web-1", yes=True)
    stack.import_state(stack.export())
    forget.run(stack, "web-2", yes=True)
    names = [item["urn"].rpartition("::")[2] for item in stack.export()["deployment"]["resources"]]
    assert names == ["slipway-local", "default_5_1_0", "web-1", "web-2"]


def test_passwords_are_secrets_of_the_stack(stack: Stack) -> None:
    password = accounts.password(stack, "deploy")
    assert len(password) == 32
    assert password != accounts.password(stack, "hosts")
    assert password not in stack.config_file.read_text()
    assert "secure:" in stack.config_file.read_text()
    assert make_missing_passwords(stack, stack.config) == ()


def test_the_right_passphrase_is_told_from_a_wrong_one(stack: Stack) -> None:
    salts = passphrase.salts(stack.config, stack.deployment())
    assert salts, "Pulumi has written no salt"
    phrase = passphrase.current(stack.project, {})
    assert [passphrase.fits(phrase, salt) for salt in salts] == [True] * len(salts)
    assert not any(passphrase.fits(f"{phrase}x", salt) for salt in salts)


def test_secrets_are_decrypted_as_the_cli_decrypts_them(stack: Stack) -> None:
    key, signature = deployment.SECRET_SIGNATURE
    exported = stack.export()
    secret = {key: signature, "plaintext": json.dumps({"password": "x\u00e4"})}
    others = {key: signature, "plaintext": json.dumps({"one": secret})}
    root = {
        "urn": urn("pulumi:pulumi:Stack", "slipway-local"),
        "custom": False,
        "type": "pulumi:pulumi:Stack",
        "outputs": {"open": [1, None], "key": secret, "keys": {"first": [secret]}, "made of others": others},
    }
    exported["deployment"] |= {"resources": [root]}
    stack.import_state(exported)
    state_file = stack.backend.state_file("slipway", "local")
    assert state_file
    assert "password" not in state_file.read_text()
    by_the_cli = stack.export(show_secrets=True)["deployment"]["resources"]
    # At first by the passphrase, then by the key that it gave.
    for _ in range(2):
        found = stack.deployment_with_secrets()["resources"]
        # Secrets inside of a secret are a text there, which the CLI writes without blanks.
        assert deployment.plain(found) == deployment.plain(by_the_cli)
    shown = json.loads(
        stack.pulumi.read("stack", "output", "--stack", stack.name, "--json", "--show-secrets")
    )
    assert stack.outputs() == shown
    assert shown["made of others"] == {"one": shown["key"]}
    assert shown["key"] == {"password": "x\u00e4"}


@pytest.mark.parametrize("content", [None, ""], ids=["missing", "empty"])
def test_a_lost_passphrase_is_told_with_the_way_out(stack: Stack, content: str | None) -> None:
    stack.project.passphrase_file.unlink()
    if content is not None:
        stack.project.passphrase_file.write_text(content)
    with pytest.raises(CommandError, match="empty" if content == "" else "missing") as raised:
        open_stack("local", project=stack.project)
    assert "`./slip down --without-state`" in raised.value.remedy
    # The state is encrypted, too, so a new passphrase is no way out without the configuration either.
    stack.config_file.write_text("config: {'slipway:hosts': {box: {roles: [registry, build, app]}}}\n")
    with pytest.raises(CommandError, match="encrypted with a passphrase"):
        open_stack("local", create=True, project=stack.project)


def set_pending(stack: Stack, *operations: dict[str, Any]) -> None:
    """Leave operations pending, as a killed CLI does: an import would drop them."""
    path = stack.backend.state_file("slipway", "local")
    assert path
    content = json.loads(path.read_text())
    content["checkpoint"]["latest"]["pending_operations"] = list(operations)
    path.write_text(json.dumps(content))


@pytest.fixture
def image() -> Iterator[str]:
    """An image with nothing in it, on this machine's engine."""
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    name = f"slipway-test-{uuid.uuid4().hex[:8]}"
    with contextlib.ExitStack() as opened:
        try:
            engine = opened.enter_context(connected(""))
        except ERRORS:
            pytest.skip("no Docker Engine answers")
        engine.import_image_from_data(empty.getvalue(), repository=name, tag="1")
        yield f"{name}:1"
        engine.remove_image(f"{name}:1", force=True)


@pytest.mark.engine
def test_what_a_killed_update_was_making_is_removed(stack: Stack, image: str) -> None:
    """The container and the network that the state lacks are removed; the container that it has and the volume stay."""
    run = uuid.uuid4().hex[:8]
    labels = {"slipway.stack": run, "slipway.project": "slipway"}
    own = f"{urn(DOCKER, 'default_5_1_0')}::id-default_5_1_0"
    inputs = {"labels": [{"label": key, "value": value} for key, value in labels.items()]}
    with connected("") as engine:
        try:
            known, orphan = (
                engine.create_container(image, "x", name=f"{name}-{run}", labels=labels, volumes=["/data"])[
                    "Id"
                ]
                for name in ("known", "orphan")
            )
            network = engine.create_network(f"net-{run}", labels=labels)["Id"]
            load(
                stack,
                [*two_hosts()[:2], resource(CONTAINER, "known", provider=own, inputs=inputs) | {"id": known}],
            )
            creating = [
                {
                    "type": "creating",
                    "resource": resource(kind, name, provider=own, inputs={**inputs, "name": f"{name}-{run}"})
                    | {"id": ""},
                }
                for kind, name in ((CONTAINER, "known"), (CONTAINER, "orphan"), (NETWORK, "net"))
            ]
            set_pending(stack, *creating)
            assert recovery.recover(stack) is False
            left = engine.containers(all=True, filters={"label": f"slipway.stack={run}"})
            assert [container["Id"] for container in left] == [known]
            assert engine.networks(filters={"label": f"slipway.stack={run}"}) == []
        finally:
            for container in engine.containers(all=True, filters={"label": f"slipway.stack={run}"}):
                engine.remove_container(container["Id"], force=True, v=True)
            for item in engine.networks(filters={"label": f"slipway.stack={run}"}):
                engine.remove_network(item["Id"])
    assert orphan != known != network
    deployment = stack.export()["deployment"]
    assert not deployment.get("pending_operations")
    assert [item["id"] for item in deployment["resources"] if item["type"] == CONTAINER] == [known]


def slip(stack: Stack, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """`slip up` on this stack, in a process of its own."""
    code = (
        "import sys; from pathlib import Path\n"
        "from cli.errors import CommandError; from cli.stack.project import Project; from cli.update import updates\n"
        "Project.here = classmethod(lambda cls: cls(Path(sys.argv[1])))\n"
        "try: sys.exit(updates.up(updates.Update(yes=True, preview=False, options=tuple(sys.argv[2:]))))\n"
        "except CommandError as error: print(error.message, error.remedy); sys.exit(error.status)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(stack.project.root), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def without_hosts(stack: Stack) -> Stack:
    """The stack on a platform that needs no engine on this machine."""
    text = stack.config_file.read_text().replace("{kind: local}", "{kind: none}")
    stack.config_file.write_text(text)
    return stack


@pytest.mark.parametrize("killed", ["pulumi", "slip", "both"])
def test_the_update_after_a_killed_one_completes(without_hosts: Stack, killed: str) -> None:
    stack = without_hosts
    root = stack.project.root
    first = slip(stack, "--config", "slipway:held=true")
    assert first.stdout
    try:
        eventually("the program runs", lambda: (root / "begun").exists() or first.poll() is not None)
        assert first.poll() is None, first.stdout.read()
        marker = Marker.read(stack)
        assert marker
        assert marker.pulumi
        for name in ("slip", "pulumi") if killed == "both" else (killed,):
            os.kill(getattr(marker, name), signal.SIGKILL)
        first.wait(PATIENCE)  # without its Pulumi CLI, `slip` says how the update failed, and ends
        second = slip(stack, "--config", "slipway:held=false")
        assert second.stdout
        output = second.communicate(timeout=PATIENCE)[0]
        assert second.returncode == 0, output
    finally:
        (root / "released").touch()
    assert stack.locks() == []
    assert not stack.project.marker("local").exists()
    assert stack.outputs()["answer"] == 42
    first.communicate(timeout=PATIENCE)


def test_one_of_many_updates_at_once_goes_on(without_hosts: Stack) -> None:
    """The others say whose it is, and neither disturb it nor remove its marker."""
    stack = without_hosts
    root = stack.project.root
    started = [slip(stack, "--config", "slipway:held=true") for _ in range(8)]
    try:
        eventually(
            "seven are refused",
            lambda: (root / "begun").exists() and sum(process.poll() is not None for process in started) == 7,
        )
        (winner,) = (process for process in started if process.poll() is None)
        for process in started:
            if process is not winner:
                output = process.communicate()[0]
                assert process.returncode == 3, output
                assert (
                    f"another update of the stack 'local' runs: `./slip`, process {winner.pid} of " in output
                )
        assert Marker.read(stack)
    finally:
        (root / "released").touch()
    output = winner.communicate(timeout=PATIENCE)[0]
    assert winner.returncode == 0, output
    assert stack.locks() == []
    assert stack.outputs()["answer"] == 42


def test_an_update_of_another_clone_is_respected(stack: Stack) -> None:
    """Its lock, which is in a backend that both share; and so that Pulumi says whose it is, as for a bucket."""
    assert stack.backend.directory
    shared = replace(stack, backend=Backend(stack.backend.url))
    assert remote_lock.locks(shared) == []
    folder = stack.backend.directory / ".pulumi/locks/organization/slipway/local"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"pid": 4711, "username": "bob", "hostname": "elsewhere", "timestamp": "2026-01-02T03:04:05Z"}
    (folder / "a.json").write_text(json.dumps(content))
    (found,) = remote_lock.locks(shared)
    assert replace(found, path=folder / "a.json") == shared.locks()[0]
    update = slip(stack)
    output = update.communicate(timeout=PATIENCE)[0]
    assert update.returncode == 3, output
    assert "locked by another update: process 4711 of bob on elsewhere, since 2026-01-02" in output
    remedy = output[output.index("eval") :].split("--yes")[0].replace("\n", " ")
    assert remedy.endswith("pulumi cancel -s local ")
    assert len(stack.locks()) == 1
