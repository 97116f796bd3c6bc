"""Containers that hang after their roll-out: how the host finds them, and how often it restarts them."""

import subprocess
from pathlib import Path

import pytest

from components import script as scripts
from tests.unit.components.machine import Machine
from tests.unit.components.test_switch import ARGUMENTS, BOTH, HEALTHY, switch


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    for folder in ("etc/slipway/checked", "etc/slipway/hangs", "run/slipway-answered", "run/slipway-silent"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/slipway/checked/web").write_text("new 30 3 http 8080 /up\n")
    (tmp_path / "run/slipway-answered/new").touch()
    return found


def run(machine: Machine, words: str) -> list[str]:
    """Calls functions of the script. The clock is a variable. Returns what they print, a line each."""
    script = scripts.text("switch.sh")
    assert script.endswith('main "$@"\n')
    for folder in ("/etc/slipway/", "/run/slipway-"):
        script = script.replace(folder, f"{machine.root}{folder}")
    result = subprocess.run(
        ["/bin/bash", "-c", script.removesuffix('main "$@"\n') + f"unset EPOCHSECONDS\n{words}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def tended(machine: Machine, answers: str, state: str = "") -> list[str]:
    """When a service is restarted, in seconds, and the reason that the host tells; by what its check answers.

    A check that answers (`+`) or refuses (`-`) takes no time, one that does not (`.`) five seconds. At `|` it has
    another process.
    """
    return run(
        machine,
        f"""
EPOCHSECONDS=0 moments='{answers}' number=1
turns=0
sleep() {{ EPOCHSECONDS=$((EPOCHSECONDS + $1)) turns=$((turns + 1)); [ -n "$moments" ] && [ "$turns" -lt 99 ]; }}
is_halted() {{ false; }}
has_route() {{ true; }}
look() {{
  status=running address=10.0.0.2 pid=$number
  {state}
}}
answers() {{
  local moment=${{moments:0:1}}
  moments=${{moments:1}} why='says no'
  case "$moment" in
    +) return 0 ;;
    '|') number=$((number + 1)) ;;
    .) EPOCHSECONDS=$((EPOCHSECONDS + 5)) why='is slow' ;;
  esac
  return 1
}}
revive() {{ echo "$EPOCHSECONDS $(cat "$silent/$service")"; }}
tend_service web
""",
    )


@pytest.mark.parametrize(
    ("answers", "restarts"),
    [
        ("+++++", []),
        # Three checks without an answer.
        ("+...", ["21 is slow"]),
        ("+..+..+", []),
        # One that refuses is asked for twelve seconds.
        ("+" + "-" * 12, []),
        ("+" + "-" * 13, ["18 says no"]),
    ],
)
def test_one_that_gives_no_answer_hangs_in_20_seconds(
    machine: Machine, answers: str, restarts: list[str]
) -> None:
    assert tended(machine, answers) == restarts


def test_one_that_has_never_answered_may_be_slow(machine: Machine) -> None:
    (machine.root / "run/slipway-answered/new").unlink()
    assert tended(machine, "." * 12) == []
    assert tended(machine, "+") == []
    assert (machine.root / "run/slipway-answered/new").exists()


def test_one_that_has_just_started_has_its_time(machine: Machine) -> None:
    # 30 s from its start at 6 s.
    assert tended(machine, "+|" + "." * 7) == ["53 is slow"]


@pytest.mark.parametrize(
    "state", ["status=exited", "status=paused", "address=", "is_halted() { true; }", "has_route() { false; }"]
)
def test_one_that_is_not_to_answer_is_left_alone(machine: Machine, state: str) -> None:
    assert tended(machine, "+" + "." * 9, state) == []


def revived(machine: Machine, before: str, *, well: str = "", policy: str = "always") -> list[str]:
    """What is done at the second 10,000; `before` is what the host remembers of the service."""
    if before:
        (machine.root / "etc/slipway/hangs/web").write_text(f"{before}\n")
    return run(
        machine,
        f"""
bodies=('{{"Name":"/new","HostConfig":{{"RestartPolicy":{{"Name":"{policy}","MaximumRetryCount":0}}}}}}')
engine() {{ echo "engine $*"; }}
look_around() {{ :; }}
read_process() {{ servers=(r:/new r:/other); }}
ask() {{ echo "proxy: $*" >&3; }}
end() {{ echo "end $*"; }}
may_start() {{ true; }}
exec 3>&1
EPOCHSECONDS=10000 service=web container=new stop_grace=3 since=9985 well_since={well} why='is slow'
revive
""",
    )


DONE = [
    "restarting new, which hangs: is slow",
    # Visitors wait for it no longer.
    "proxy: @1 set server r:/new state maint @1 shutdown sessions server r:/new",
    "end new 3",
    "engine POST /containers/new/start",
]


@pytest.mark.parametrize(
    ("before", "well", "after"),
    [
        ("", "", "1 10000 new is slow"),
        # The second time in a row after a minute, the third one after two, and so on, up to half an hour.
        ("1 9941 new x", "", "1 9941 new x"),
        ("1 9940 new x", "", "2 10000 new is slow"),
        ("2 9881 new x", "", "2 9881 new x"),
        ("2 9880 new x", "9900", "3 10000 new is slow"),
        ("5 9041 new x", "", "5 9041 new x"),
        ("9 8201 new x", "", "9 8201 new x"),
        ("9 8200 new x", "", "10 10000 new is slow"),
        # It was well for ten minutes.
        ("9 9380 new x", "9385", "1 10000 new is slow"),
    ],
)
def test_it_is_restarted_less_and_less_often(machine: Machine, before: str, well: str, after: str) -> None:
    assert revived(machine, before, well=well) == ([] if after == before else DONE)
    assert (machine.root / "etc/slipway/hangs/web").read_text() == f"{after}\n"


def test_one_that_must_not_start_again_is_left(machine: Machine) -> None:
    assert revived(machine, "", policy="no") == []


def test_a_roll_out_says_how_it_is_checked(machine: Machine) -> None:
    checked = machine.root / "etc/slipway/checked"
    hangs = machine.root / "etc/slipway/hangs"
    (hangs / "web").write_text("3 99 old is slow\n")
    assert switch(machine, *ARGUMENTS, "shop.test", containers=BOTH, curl=HEALTHY).returncode == 0
    assert (checked / "web").read_text() == "new 1 3 http 8080 /up shop.test\n"
    # Another version is another story.
    assert not (hangs / "web").exists()
    assert switch(machine, "--remove", "web", containers=BOTH).returncode == 0
    assert not (checked / "web").exists()


@pytest.mark.parametrize(
    ("check", "noted"), [("tcp:5432", "tcp 5432"), ("command", "command"), ("none", None)]
)
def test_a_service_of_its_own_says_it_too(machine: Machine, check: str, noted: str | None) -> None:
    run(machine, f"service=db container=new health_timeout=2 stop_grace=3 check={check}\nnote_own_check")
    file = machine.root / "etc/slipway/checked/db"
    assert (file.read_text() if file.exists() else None) == (noted and f"new 2 3 {noted}\n")
