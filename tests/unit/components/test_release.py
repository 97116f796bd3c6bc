"""A service's release command: it runs once a version, and its failure ends the roll-out."""

import json
import subprocess
from pathlib import Path

import pytest

from components.release import version_key
from configuration.services import ServiceSettings
from configuration.types import STACK_CONTEXT
from tests.unit.components.machine import Machine
from tests.unit.components.test_switch import calls, switch
from well_known import RUN_LABEL

RUNNING = "old web running 10.0.0.3\nnew web created\n"
WORDS = ("--", "/bin/sh", "-c", 'echo "{{x}}" \\\n')


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def release(
    machine: Machine, *options: str, ends: str = "exited 0 false", containers: str = RUNNING
) -> subprocess.CompletedProcess[str]:
    """Run the release command of version `key`, whose twin ends like this if it starts."""
    (machine.root / "next").write_text(ends)
    return switch(
        machine, "--release", "web", "new", "key", "9", "3", *options, *WORDS, containers=containers
    )


def noted(machine: Machine) -> list[str]:
    """How each version's command ended, without the twin's name."""
    lines = (machine.root / "etc/slipway/releases/web").read_text().splitlines()
    return [" ".join(line.split()[:2]) for line in lines]


def note(machine: Machine, text: str, twin: str = "") -> None:
    folder = machine.root / "etc/slipway/releases"
    folder.mkdir(parents=True)
    (folder / "web").write_text(f"{text}\n")
    if twin:
        (machine.root / "twin").write_text(twin)


def test_it_runs_once_in_a_twin_of_the_new_container(machine: Machine) -> None:
    (machine.root / "binds").write_text("web.data:/data:rw\n/srv/x:/x:ro\n")
    assert release(machine, "pids=99").returncode == 0
    made = json.loads((machine.root / "created.json").read_text())
    assert made["Entrypoint"] == ["/bin/sh", "-c", 'echo "{{x}}" \\\n']
    assert made["Image"] == "sha256:1"
    assert made["HostConfig"] == {
        "Memory": 1,
        # The old version may write there.
        "Binds": ["web.data:/data:ro", "/srv/x:/x:ro"],
        "NetworkMode": "box-proxy-network",
        "PidsLimit": 99,
        "RestartPolicy": {"Name": "no"},
    }
    assert "rm -f earlier" in calls(machine, "rm")
    assert calls(machine, "start") == [f"start {made['name']}"]
    assert noted(machine) == ["key done"]

    assert release(machine).returncode == 0
    assert calls(machine, "start") == []


@pytest.mark.parametrize(
    ("ends", "words", "noted_as"),
    [
        ("exited 3 false", "ended with exit status 3", "failed"),
        ("exited 137 true", "was out of memory", "failed"),
        ("exited 137 false", "nobody knows how far it came", "begun"),
        ("exited 255 false", "nobody knows how far it came", "begun"),
    ],
)
def test_its_failure_ends_the_roll_out(machine: Machine, ends: str, words: str, noted_as: str) -> None:
    result = release(machine, ends=ends)
    assert result.returncode == 6
    assert words in result.stderr
    assert "the previous version continues to serve everywhere" in result.stderr
    assert "  | last words" in result.stderr
    assert noted(machine) == [f"key {noted_as}"]
    assert not {"start new", "stop -t 3 old"} & set(calls(machine))


def test_one_that_failed_runs_again_with_the_next_update(machine: Machine) -> None:
    note(machine, "other done -\nkey failed slipway-release-web-1", "exited 3 false")
    assert release(machine).returncode == 0
    assert noted(machine) == ["other done", "key done"]


def test_one_that_was_interrupted_asks_first(machine: Machine) -> None:
    note(machine, "key begun slipway-release-web-1", "exited 137 false")
    result = release(machine)
    assert result.returncode == 6
    assert "`./slip up --release-again web` runs it again" in result.stderr
    assert "  | last words" in result.stderr
    assert calls(machine, "start") == []
    assert switch(machine, "--release-again", "web").returncode == 0
    assert release(machine).returncode == 0
    assert noted(machine) == ["key done"]


def test_one_that_was_interrupted_may_run_again_by_a_setting(machine: Machine) -> None:
    note(machine, "key begun slipway-release-web-1", "exited 137 false")
    assert release(machine, "again=yes").returncode == 0
    assert noted(machine) == ["key done"]


@pytest.mark.parametrize("twin", ["running 0 false", "exited 0 false"])
def test_one_that_went_on_without_its_update_does_not_run_twice(machine: Machine, twin: str) -> None:
    note(machine, "key begun slipway-release-web-1", twin)
    result = release(machine)
    assert calls(machine, "start") == []
    # The stand-in's twin never ends.
    assert (result.returncode, noted(machine)) == (
        (0, ["key done"]) if "exited" in twin else (6, ["key begun"])
    )


def test_a_version_that_has_served_is_released(machine: Machine) -> None:
    assert release(machine, "known=yes").returncode == 0
    assert calls(machine, "start") == []
    assert noted(machine) == ["key done"]


@pytest.mark.parametrize(("options", "has_terminal"), [((), False), (("terminal=yes",), True)])
def test_a_command_of_a_person_runs_beside_what_serves(
    machine: Machine, options: tuple[str, ...], has_terminal: bool
) -> None:
    containers = "new web running 10.0.0.2\n"
    routes = {"@": "new 8080 1 3"}
    result = switch(machine, "--run", "web", *options, *WORDS, containers=containers, routes=routes)
    assert result.returncode == 0, result.stderr
    made = json.loads((machine.root / "created.json").read_text())
    assert made["Labels"] == {RUN_LABEL: "web"}
    assert (made["Tty"], made["OpenStdin"], made["HostConfig"]["AutoRemove"]) == (has_terminal, True, True)
    assert calls(machine, "start") == [f"start -ai {made['name']}"]


def test_a_command_of_a_person_runs_inside_what_serves(machine: Machine) -> None:
    containers = "old web exited\nnew web running 10.0.0.2\n"
    routes = {"@": "new 8080 1 3"}
    arguments = ("--exec", "web", "terminal=yes", "--", "id", "-u")
    switch(machine, *arguments, containers=containers, routes=routes)
    assert calls(machine, "exec") == ["exec -i -t new id -u"]


@pytest.mark.parametrize("verb", ["--run", "--exec"])
def test_a_service_that_does_not_run_has_no_commands(machine: Machine, verb: str) -> None:
    result = switch(
        machine, verb, "web", "--", "id", containers="old web exited\n", routes={"@": "old 8080 1 3"}
    )
    assert result.returncode == 125
    assert "web does not run on" in result.stderr
    assert calls(machine, "exec", "start") == []


def test_a_removed_service_leaves_no_record(machine: Machine) -> None:
    note(machine, "key done -")
    switch(machine, "--remove", "web", containers=RUNNING)
    assert not (machine.root / "etc/slipway/releases/web").exists()


def test_another_version_has_another_key() -> None:
    def key(image: str = "r:5000/web@sha256:1", secret: str = "s", **settings: object) -> str:
        written = {"build": {"context": "app"}, "release": "bin/migrate", **settings}
        service = ServiceSettings.model_validate(written, context={STACK_CONTEXT: "dev"})
        return version_key(service, image, {"URL": secret})

    assert key() == key(memory=64) == key(image="other:5000/web@sha256:1")
    others = [
        key(image="r:5000/web@sha256:2"),
        key(secret="t"),
        key(release="bin/other"),
        key(env={"A": "1"}),
    ]
    assert len({key(), *others}) == 5
