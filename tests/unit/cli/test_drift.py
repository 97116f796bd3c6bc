"""Drift: what a state's resources have made, how a host is compared with it, and how it is made again.

The scripts run here, in place of a host.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.running import drift
from cli.running.drift import Desired, Job, Login
from cli.running.host_report import HostReport
from cli.running.ssh import CommandResult, Unreachable
from cli.running.stack import Failed, RunningStack
from cli.stack.desired import desired
from cli.update import repair
from cli.verify.host import is_as_made
from components import script as scripts
from components.script import assignments

LOGIN = Login("web-1", "127.0.0.1", 2201, "root", "key", "host key")
OWNER = f"{os.getuid()}:{os.getgid()}"


class Host:
    """A folder in place of a host: what it has in PATH, and how its commands run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs: list[str] = []
        self.silent = False
        self.units()

    def units(self, active: str = "active", file: str = "enabled") -> None:
        """Have each unit, Docker Engine's included, in these states."""
        # As systemd prints them: in an order of its own, and a blank line between two units.
        self.command(
            "systemctl",
            f"""[ "$1" = show ] || exit 1
shift 2
for unit; do
  [[ $unit = *.timer ]] || echo MainPID=0
  printf 'ActiveState={active}\nUnitFileState={file}\n'
  [ "$unit" = "${{@: -1}}" ] || echo
done""",
        )

    def command(self, name: str, body: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def run_all(self, jobs: Sequence[Job], patience: float) -> list[CommandResult | Unreachable]:
        return [Unreachable("SSH refuses") if self.silent else self._run(job, patience) for job in jobs]

    def _run(self, job: Job, patience: float) -> CommandResult:
        self.jobs.append(job.command)
        done = subprocess.run(
            ["/bin/bash", "-c", job.command],
            input=job.stdin.replace("/etc/slipway/", f"{self.root}/etc/slipway/"),
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setattr(drift, "run_all", made.run_all)
    return made


def set_up(host: Host, *, changes: str = "") -> Desired:
    """A set-up script that makes two files and a folder and removes a third file, after its first run."""
    body = (
        f'folder "$ROOT/keys" 0700\nput "$ROOT/keys/key.pem" 0600 <<<"$KEY"\nput "$ROOT/script" 0755 <<<"run me"\n'
        f'absent "$ROOT/old"\n{changes}\ntell_made\n'
    )
    library = (scripts.SCRIPTS / scripts.LIBRARY).read_text()
    stdin = (
        assignments({"ROOT": str(host.root / "etc"), "KEY": "a key"})
        + library
        + f"main() {{\n{body}}}\nmain </dev/null\n"
    )
    part = Desired(LOGIN, "urn::web-1-setup", (), "bash -s", stdin)
    (answer,) = host.run_all([Job(LOGIN, part.command, part.stdin)], 30)
    assert isinstance(answer, CommandResult)
    assert answer.status == 0, answer.stderr
    made = tuple(line.removeprefix("made ") for line in answer.stdout.splitlines())
    return Desired(LOGIN, part.urn, made, part.command, part.stdin)


def texts(part: Desired) -> list[str]:
    found = drift.differences([part])["web-1"]
    assert isinstance(found, list)
    return [item.text for item in found]


def test_nothing_differs_after_the_set_up(host: Host) -> None:
    assert texts(set_up(host)) == []


CHANGES = [
    ("echo more >>keys/key.pem", "keys/key.pem has another content"),
    ("rm keys/key.pem", "keys/key.pem is missing"),
    ("rm keys/key.pem; mkdir keys/key.pem", "keys/key.pem is not a plain file"),
    ("mv script s; ln -s s script", "script is not a plain file"),
    ("chmod 644 keys/key.pem", "keys/key.pem has the mode 644, not 600"),
    ("chmod 777 keys", "keys has the mode 777, not 700"),
    ("echo x >old", "old should not be there"),
    ("rm -r keys", "keys is missing"),
    ("ln -s nowhere old", "old should not be there"),
    ("mkdir old; touch old/file", "old should not be there"),
]


@pytest.mark.parametrize(("change", "text"), CHANGES)
def test_each_change_by_hand_is_found_and_mended(host: Host, change: str, text: str) -> None:
    part = set_up(host)
    subprocess.run(["/bin/bash", "-c", change], cwd=host.root / "etc", check=True)
    assert f"{host.root}/etc/{text}" in texts(part)
    outcome = repair.mend([part])
    assert f"web-1: {host.root}/etc/{text}" in outcome.mended
    assert (outcome.left, outcome.failures) == ((), ())
    assert texts(part) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_another_owner_is_found_and_mended(host: Host) -> None:
    part = set_up(host)
    os.chown(host.root / "etc/keys/key.pem", 1000, 1000)
    assert texts(part) == [f"{host.root}/etc/keys/key.pem belongs to 1000:1000, not to {OWNER} (uid:gid)"]
    repair.mend([part])
    assert texts(part) == []


def test_a_corrected_mode_is_no_change_of_the_file(host: Host) -> None:
    """A changed file restarts programs; a mode does not."""
    (host.root / "etc").mkdir()
    note = f'echo "$changed" >{host.root}/changed'
    part = set_up(host, changes=note.replace("$changed", "${changed-}"))
    (host.root / "etc/script").chmod(0o700)
    repair.mend([part])
    assert texts(part) == []
    assert (host.root / "changed").read_text().strip() == ""


def test_a_host_as_it_was_made_runs_nothing_again(host: Host) -> None:
    part = set_up(host)
    host.jobs.clear()
    assert repair.mend([part]) == repair.Outcome()
    assert host.jobs == ["bash -s"], "the comparison only"


def test_a_failed_script_is_told_with_its_own_words(host: Host) -> None:
    part = set_up(host)
    (host.root / "etc/script").unlink()
    broken = Desired(LOGIN, part.urn, part.made, "bash -s", "echo 'slipway: no room' >&2; exit 4\n")
    outcome = repair.mend([broken])
    assert outcome.failures == ("web-1-setup failed on web-1: slipway: no room",)
    assert [item.text for item in outcome.left] == [f"{host.root}/etc/script is missing"]


def test_a_silent_host_is_told(host: Host) -> None:
    part = set_up(host)
    host.silent = True
    assert repair.mend([part]) == repair.Outcome(failures=("web-1: SSH refuses",))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running web-1-net ", []),
        ("running other,web-1-net web", []),
        ("running other web", ["the container slipway-proxy is not in its network web-1-net"]),
        ("running - ", ["the container slipway-proxy is not in its network web-1-net"]),
        ("exited - ", ["the container slipway-proxy is exited"]),
        ("", ["the container slipway-proxy is missing"]),
    ],
)
def test_containers_are_looked_at(host: Host, state: str, expected: list[str]) -> None:
    host.command("docker", f"echo '{f'slipway-proxy {state}' if state else ''}'")
    made = ("container slipway-proxy", "network slipway-proxy web-1-net")
    assert texts(Desired(LOGIN, "urn::proxy", made)) == expected


def test_a_stopped_engine_is_told_and_not_asked(host: Host) -> None:
    """Any question would start it, through its socket."""
    host.units(active="inactive")
    host.command("docker", f"touch {host.root}/asked")
    parts = [
        Desired(
            LOGIN, "urn::web-1-setup", ("unit docker.service", "engine dockerd -H fd://"), "bash -s", "true"
        ),
        Desired(LOGIN, "urn::proxy", ("container slipway-proxy",)),
        Desired(LOGIN, "urn::web-switch", ("route web web-a",)),
    ]
    found = drift.differences(parts)["web-1"]
    assert [str(item) for item in found] == ["web-1: docker.service is inactive"]  # type: ignore[union-attr]
    assert not (host.root / "asked").exists()


FIREWALL = (
    "-A INPUT -j SLIPWAY-INPUT",
    "-A SLIPWAY-INPUT -i docker0 -g SLIPWAY-HOST",
    "-A SLIPWAY-HOST -d 169.254.169.254/32 -j DROP",
    "-A SLIPWAY-HOST -p tcp -m tcp --dport 80 -j RETURN",
    "-A SLIPWAY-HOST -j DROP",
)
FIREWALLS: list[tuple[list[str], list[str]]] = [
    (["-P INPUT ACCEPT", *FIREWALL], []),
    (list(FIREWALL[:-1]), ["lacks the rule -A SLIPWAY-HOST -j DROP"]),
    (["-A INPUT -j ACCEPT", *FIREWALL], ["has a rule ahead of Slipway's: -A INPUT -j ACCEPT"]),
    (
        ["-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", *FIREWALL],
        ["has a rule ahead of Slipway's: -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"],
    ),
    (
        ["-A INPUT -i br-1 -j RETURN", *FIREWALL],
        ["has a rule ahead of Slipway's: -A INPUT -i br-1 -j RETURN"],
    ),
    (
        ["-A INPUT ! -i lo -j ACCEPT", *FIREWALL],
        ["has a rule ahead of Slipway's: -A INPUT ! -i lo -j ACCEPT"],
    ),
    # These let nothing of containers pass.
    (
        [
            "-A INPUT -i lo -j ACCEPT",
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A INPUT -j f2b-sshd",
            "-A INPUT -s 1.2.3.4/32 -j DROP",
            "-A FORWARD -j ACCEPT",
            *FIREWALL,
            "-A INPUT -j ACCEPT",
        ],
        [],
    ),
    (
        [*FIREWALL, "-A SLIPWAY-HOST -p udp -j RETURN"],
        ["has a rule that is not Slipway's: -A SLIPWAY-HOST -p udp -j RETURN"],
    ),
    (
        [*FIREWALL[:2], FIREWALL[3], FIREWALL[2], FIREWALL[4]],
        ["has Slipway's rules in another order, or twice"],
    ),
]


@pytest.mark.parametrize(("rules", "expected"), FIREWALLS)
def test_the_firewall_is_compared(host: Host, rules: list[str], expected: list[str]) -> None:
    host.command("iptables", "printf '%s\\n' " + " ".join(f"'{rule}'" for rule in rules))
    part = Desired(LOGIN, "urn::web-1-setup", tuple(f"rule iptables {rule}" for rule in FIREWALL))
    assert texts(part) == [f"the firewall (iptables) {text}" for text in expected]


def test_a_unit_that_starts_with_the_machine_may_have_ended(host: Host) -> None:
    host.units(active="inactive", file="masked")
    part = Desired(LOGIN, "urn::web-1-setup", ("enabled slipway-cold.service",))
    assert texts(part) == ["slipway-cold.service is masked, so it does not start with the machine"]


CONFIGURATION = "global\n  description MARK\nbackend r:\n  server web-a 10.0.0.2:8080\n"


@pytest.mark.parametrize(
    ("route", "change", "expected"),
    [
        ("web web-a", {}, []),
        (
            "web web-b",
            {},
            ["the proxy does not route web to web-b", "FILE is not as the switch of web made it"],
        ),
        ("web web-a", {"drains": True}, ["the proxy does not route web to web-a"]),
        ("web web-a", {"file": ""}, ["FILE is not as the switch of web made it"]),
        ("web web-a", {"file": CONFIGURATION + "# more\n"}, ["FILE is not as the switch of web made it"]),
        ("web web-a", {"loaded": "another"}, ["the proxy's process has not read FILE"]),
    ],
)
def test_routes_are_looked_at(host: Host, route: str, change: dict[str, Any], expected: list[str]) -> None:
    marked = CONFIGURATION.replace("  description MARK\n", "\n").replace("  server web-a 10.0.0.2:8080\n", "")
    mark = hashlib.sha256(marked.encode()).hexdigest()[:16]
    file = host.root / "etc/slipway/proxy/haproxy.cfg"
    file.parent.mkdir(parents=True)
    file.write_text(change.get("file", CONFIGURATION).replace("MARK", mark))
    admin = 8 if change.get("drains") else 0
    (host.root / "process").write_text(
        f"Name: HAProxy\ndescription: {change.get('loaded', mark)}\n\n1\n# be_id be_name srv_id srv_name\n"
        f"3 r: 1 web-a 10.0.0.2 2 {admin} 1 1 4 1 0 0 0 0 0 0 - 8080 - 0 0 - - 0\n"
    )
    host.command("docker", "echo 4711")
    host.command("nsenter", f"cat {host.root}/process")
    found = [
        text.replace(str(file), "FILE") for text in texts(Desired(LOGIN, "urn::switch", (f"route {route}",)))
    ]
    assert found == expected


def test_rules_and_ssh_settings_are_looked_at(host: Host) -> None:
    made = (
        "rule iptables -A INPUT -j SLIPWAY-INPUT",
        "sshd disableforwarding yes",
        "sshd maxstartups 400:30:600",
    )
    part = Desired(LOGIN, "urn", made, "true")
    host.command("iptables", "echo '-A INPUT -j SLIPWAY-INPUT'")
    host.command("sshd", "echo disableforwarding yes; echo maxstartups 400:30:600")
    assert texts(part) == []
    host.command("iptables", "echo '-A INPUT -j SLIPWAY-INPUT-2'")
    host.command("sshd", "echo disableforwarding no")
    assert texts(part) == [
        "the firewall (iptables) lacks the rule -A INPUT -j SLIPWAY-INPUT",
        "the SSH server has disableforwarding no, not yes",
        "the SSH server has maxstartups unset, not 400:30:600",
    ]


def test_verify_tells_what_differs(host: Host) -> None:
    part = set_up(host)

    def verified() -> str:
        found = drift.differences([part])["web-1"]
        if isinstance(found, Unreachable):
            report = HostReport("web-1", not_compared=str(found))
        else:
            report = HostReport("web-1", differences=tuple(found))
        return is_as_made(replace(RunningStack({}), desired=(part,), reports={"web-1": report}), "web-1")

    assert verified() == "4 things compared"
    (host.root / "etc/script").unlink()
    with pytest.raises(Failed, match=r"etc/script is missing$"):
        verified()
    host.silent = True
    with pytest.raises(Failed, match="could not be compared: SSH refuses"):
        verified()


SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
CONTAINER, COMMAND = "docker:index/container:Container", "command:remote:Command"


def secret(value: Any) -> dict[str, str]:
    return {**SECRET, "plaintext": json.dumps(value)}


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:local::slipway::{kind}::{name}",
        "type": kind,
        "custom": True,
        "id": "1",
        **more,
    }


def state(*more: dict[str, Any], user: str = "root") -> dict[str, Any]:
    web_1 = resource(CONTAINER, "web-1")
    connection = secret(
        {"host": "127.0.0.1", "port": 2201, "user": user, "privateKey": "key", "hostKey": "line"}
    )
    root = "" if user == "root" else "sudo -n "
    setup = resource(
        COMMAND,
        "web-1-setup",
        deletedWith=web_1["urn"],
        inputs={"connection": connection, "create": f"{root}bash -s", "stdin": secret("put …")},
        outputs={
            "stdout": secret("Docker Engine 28\nmade file 600 0:0 abc /etc/key\nmade unit docker.service\n")
        },
    )
    switch = resource(
        COMMAND,
        "web-web-1-switch",
        deletedWith=setup["urn"],
        inputs={
            "connection": connection,
            "create": f"{root}/usr/local/lib/slipway/switch web web-a 8080 /up 30 30 pause=600",
        },
    )
    proxy, old, new = (
        resource(CONTAINER, name, deletedWith=setup["urn"], outputs={"name": outputs})
        for name, outputs in (
            ("web-1-proxy-container", "slipway-proxy"),
            ("web-web-1", "web-a"),
            ("web-web-1-new", "web-b"),
        )
    )
    return {"resources": [web_1, setup, proxy, old, new, switch, *more]}


def test_the_state_says_what_was_made() -> None:
    setup, route, *containers = desired(state())
    assert setup.made == ("file 600 0:0 abc /etc/key", "unit docker.service")
    assert (setup.command, setup.stdin, setup.host) == ("bash -s", "put …", "web-1")
    assert setup.login == Login("web-1", "127.0.0.1", 2201, "root", "key", "line")
    assert route.made == ("route web web-a",)
    # A repair makes no pause.
    assert route.command == "/usr/local/lib/slipway/switch web web-a 8080 /up 30 30"
    # A version that no route leads to may have ended: it never became healthy.
    assert [part.container for part in containers] == ["slipway-proxy", "web-a"]


def test_a_login_user_who_is_not_root_gets_sudo_once() -> None:
    """The SSH client puts it ahead of each command."""
    setup, route, *_ = desired(state(user="admin"))
    assert setup.command == "bash -s"
    assert route.command.startswith("/usr/local/lib/slipway/switch ")


def test_secrets_are_not_shown() -> None:
    shown = repr(desired(state()))
    assert "put …" not in shown
    assert "privateKey" not in shown
    assert "'key'" not in shown


def test_only_one_host() -> None:
    assert desired(state(), "web-2") == []
    assert len(desired(state(), "web-1")) == 4


def test_set_up_of_an_older_version_is_left_out() -> None:
    older = state()
    older["resources"][1]["outputs"]["stdout"] = secret("Docker Engine 28\n")
    assert [part.made[0].split()[0] for part in desired(older)] == ["route", "container", "container"]


MAPS = {"accounts": ["hosts host", "alice user"], "push": ["hosts: mirror"], "pull": ["hosts: yes"]}
"""What the files of the proxy before the registry say."""


@pytest.mark.parametrize(
    ("mark", "has", "expected"),
    [
        ("feed", MAPS, []),
        # The order is the process's own.
        ("feed", MAPS | {"accounts": ["alice user", "hosts host"]}, []),
        ("beef", MAPS, ["the proxy before the registry has not read {0}/haproxy.cfg"]),
        (
            "feed",
            MAPS | {"push": ["hosts: mirror", "alice: yes"]},
            ["the proxy before the registry has other rights than {0}/push.map"],
        ),
        (
            "feed",
            MAPS | {"accounts": ["hosts host"]},
            ["the proxy before the registry has other rights than {0}/accounts.map"],
        ),
    ],
)
def test_the_proxy_before_the_registry_has_what_its_files_say(
    host: Host, mark: str, has: dict[str, list[str]], expected: list[str]
) -> None:
    files = host.root / "etc/slipway/registry-proxy"
    files.mkdir(parents=True)
    for name, lines in MAPS.items():
        (files / f"{name}.map").write_text("\n".join(lines) + "\n")
    answers = ["Name: HAProxy", f"description: {mark}", ""]
    for name in ("accounts", "push", "pull"):
        answers += [*(f"0x7f{number}0 {line}" for number, line in enumerate(has[name])), ""]
    host.command("docker", "echo 4711")
    host.command("nsenter", "cat >/dev/null; cat <<'END'\n" + "\n".join(answers) + "\nEND")
    found = texts(Desired(LOGIN, "urn::registry-settings", ("front feed",), "bash -s", "true"))
    assert found == [text.format(files) for text in expected]
