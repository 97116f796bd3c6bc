"""Jobs: the script that sets a service's timer, and one run of it."""

import json
import subprocess
from pathlib import Path

import pytest

from components.job import Job
from configuration.services import ServiceSettings
from configuration.types import STACK_CONTEXT
from tests.unit.components.machine import Machine
from tests.unit.components.test_switch import calls, switch

PLAN = ("--job", "tidy", "new", "60", "3", "pids=99", "--", "*-*-* 03:17:00 UTC", "Mon *-*-* 04:00:00 UTC")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    found.command("systemctl")
    found.command("systemd-analyze", 'case "$2" in *Nowhere*) exit 1 ;; esac')
    return found


def plan(machine: Machine, *arguments: str, containers: str = "new tidy created\n") -> None:
    result = switch(machine, *(arguments or PLAN), containers=containers)
    assert result.returncode == 0, result.stderr


def run(machine: Machine, ends: str = "0", running: str = "") -> subprocess.CompletedProcess[str]:
    (machine.root / "ends").write_text(ends)
    (machine.root / "runs").write_text(running)
    return switch(machine, "--run-job", "tidy", containers="new tidy created\n")


def last(machine: Machine) -> list[str]:
    return (machine.root / "etc/slipway/jobs/.tidy.last").read_text().split()


def unit(machine: Machine, kind: str) -> str:
    return (machine.root / f"etc/systemd/system/slipway-job-tidy.{kind}").read_text()


def test_a_job_has_a_timer_and_no_container_that_runs(machine: Machine) -> None:
    plan(machine)
    assert "OnCalendar=*-*-* 03:17:00 UTC\nOnCalendar=Mon *-*-* 04:00:00 UTC\nPersistent=true" in unit(
        machine, "timer"
    )
    assert "switch --run-job tidy" in unit(machine, "service")
    assert machine.calls("systemctl")[-1] == "systemctl restart slipway-job-tidy.timer"
    assert "start new" not in calls(machine)


def test_a_service_that_becomes_a_job_ends_and_the_other_way_round(machine: Machine) -> None:
    serving = machine.root / "etc/slipway/services/tidy"
    serving.parent.mkdir(parents=True)
    serving.write_text("old - 3 3\n")
    plan(machine, containers="new tidy created\nold tidy running 10.0.0.3\n")
    assert "stop -t 3 old" in calls(machine) or "stop -t 10 old" in calls(machine)
    assert not serving.exists()

    arguments = ("--start", "tidy", "new", "1", "3", "check=none")
    states = ("running 0 0 false 4711 127.0.0.1",)
    assert switch(machine, *arguments, states=states, containers="new tidy created\n").returncode == 0
    assert "systemctl -q disable --now slipway-job-tidy.timer" in machine.calls("systemctl")
    assert not (machine.root / "etc/slipway/jobs/tidy").exists()
    assert not (machine.root / "etc/systemd/system/slipway-job-tidy.timer").exists()


def test_a_time_that_the_host_does_not_know_is_told(machine: Machine) -> None:
    result = switch(machine, "--job", "tidy", "new", "60", "3", "--", "*-*-* 03:17:00 Nowhere/Town")
    assert result.returncode == 6
    assert "systemd knows no such time" in result.stderr
    assert not (machine.root / "etc/slipway/jobs/tidy").exists()


def test_a_run_has_a_container_of_its_own_that_may_write(machine: Machine) -> None:
    plan(machine)
    (machine.root / "binds").write_text("tidy.data:/data:rw\n")
    assert run(machine).returncode == 0
    made = json.loads((machine.root / "created.json").read_text())
    # The words of the service itself.
    assert (made["Entrypoint"], made["Cmd"]) == (["/entry"], ["word"])
    assert (made["HostConfig"]["Binds"], made["HostConfig"]["PidsLimit"]) == (["tidy.data:/data:rw"], 99)
    assert calls(machine, "start") == [f"start {made['name']}"]
    status, started, ended, twin = last(machine)
    assert (status, twin) == ("0", made["name"])
    assert int(started) <= int(ended)


@pytest.mark.parametrize(("ends", "said"), [("3", "ended with 3"), ("lost", "ended with lost")])
def test_a_run_that_fails_says_so(machine: Machine, ends: str, said: str) -> None:
    plan(machine)
    result = run(machine, ends)
    assert result.returncode == 1
    assert said in result.stderr
    assert last(machine)[0] == ends


def test_a_run_that_takes_too_long_is_ended(machine: Machine) -> None:
    plan(machine, *("--job", "tidy", "new", "1", "3", "--", "*-*-* 03:17:00 UTC"))
    (machine.root / "slow").touch()
    assert run(machine).returncode == 1
    assert last(machine)[0] == "timeout"
    assert any(call.startswith("stop -t ") for call in calls(machine))


def test_there_are_never_two_runs(machine: Machine) -> None:
    plan(machine)
    result = run(machine, running="4711\n")
    assert result.returncode == 75
    assert calls(machine, "start") == []


def run_now(machine: Machine, ends: str = "0", state: str = "inactive") -> subprocess.CompletedProcess[str]:
    """A run that a person asks for. The unit's command has ended when `systemctl start` returns."""
    (machine.root / "ends").write_text(ends)
    (machine.root / "runs").write_text("")
    machine.command(
        "systemctl",
        f"""case "$*" in
        "show --property ActiveState --value slipway-job-tidy.service") echo {state} ;;
        "start --no-block slipway-job-tidy.service")
          [ -e {machine.root}/broken ] || /bin/bash {machine.root}/switch --run-job tidy || true ;;
        esac""",
    )
    return switch(machine, "--run-job-now", "tidy", containers="new tidy created\n")


@pytest.mark.parametrize("ends", ["0", "3"])
def test_a_person_gets_output_and_exit_status_of_a_run(machine: Machine, ends: str) -> None:
    plan(machine)
    run(machine)
    result = run_now(machine, ends)
    assert (result.returncode, last(machine)[0]) == (int(ends), ends)
    assert result.stdout == "its output\n"
    assert calls(machine, "logs") == [f"logs --follow {last(machine)[3]}"]


def test_a_person_gets_the_output_of_a_run_whose_container_has_yet_to_start(machine: Machine) -> None:
    plan(machine)
    noted = machine.root / "etc/slipway/jobs/.tidy.last"
    (machine.root / "not-started").touch()
    machine.command(
        "systemctl",
        f"""cd {machine.root}
        case "$*" in
        "show --property ActiveState"*)
          [ -e not-started ] || echo "0 1 2 slipway-job-tidy-1" >{noted}
          [ -e begun ] && echo activating || echo inactive ;;
        "start --no-block"*) touch begun; echo "running 1 0 slipway-job-tidy-1" >{noted} ;;
        esac""",
    )
    result = switch(machine, "--run-job-now", "tidy", containers="new tidy created\n")
    assert (result.returncode, result.stdout) == (0, "its output\n")


def test_a_person_hears_of_the_time_limit(machine: Machine) -> None:
    plan(machine, *("--job", "tidy", "new", "1", "3", "--", "*-*-* 03:17:00 UTC"))
    (machine.root / "slow").touch()
    result = run_now(machine)
    assert result.returncode == 124
    assert "longer than slipway:services.tidy.timeLimit allows" in result.stderr


def test_a_person_starts_no_second_run(machine: Machine) -> None:
    plan(machine)
    result = run_now(machine, state="activating")
    assert result.returncode == 75
    assert "a run of tidy has not ended" in result.stderr
    assert calls(machine, "start") == []


def test_a_run_that_does_not_begin_is_told(machine: Machine) -> None:
    plan(machine)
    run(machine)
    (machine.root / "broken").touch()
    result = run_now(machine)
    assert result.returncode == 125
    assert "`systemctl status slipway-job-tidy.service` there shows why" in result.stderr


def test_a_command_runs_with_what_a_job_has(machine: Machine) -> None:
    plan(machine)
    result = switch(machine, "--run", "tidy", "--", "id", containers="new tidy created\n")
    assert result.returncode == 0, result.stderr
    made = json.loads((machine.root / "created.json").read_text())
    assert (made["Entrypoint"], made["Cmd"]) == (["id"], [])


def test_only_the_last_runs_leave_their_logs(machine: Machine) -> None:
    plan(machine)
    (machine.root / "earlier").write_text("".join(f"run-{number}\n" for number in range(7)))
    run(machine)
    assert calls(machine, "rm") == ["rm -f run-4", "rm -f run-5", "rm -f run-6"]


def test_a_removed_job_leaves_nothing(machine: Machine) -> None:
    plan(machine)
    run(machine)
    switch(machine, "--remove", "tidy", containers="new tidy created\n")
    assert not [path for path in (machine.root / "etc/slipway/jobs").iterdir() if "tidy" in path.name]
    assert not [path for path in (machine.root / "etc/systemd/system").iterdir() if "tidy" in path.name]


def test_the_switch_is_told_the_times_with_their_zone() -> None:
    written = {
        "build": {"context": "app"},
        "schedule": "0 4 1 * mon",
        "timeZone": "Europe/Berlin",
        "pids": 64,
    }
    service = ServiceSettings.model_validate(written, context={STACK_CONTEXT: "dev"})
    job = Job.of(service)
    assert job
    assert job.arguments(10, service.pids) == [
        *("3600", "10", "pids=64", "--"),
        *("*-*-01 04:00:00 Europe/Berlin", "Mon *-*-* 04:00:00 Europe/Berlin"),
    ]
    assert service.own_check
