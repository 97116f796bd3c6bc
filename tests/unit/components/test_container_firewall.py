"""Which addresses a host's firewall closes to containers, and with which ports open."""

import subprocess
from pathlib import Path

import pytest

from components import script as scripts
from components.firewall import merged
from components.hosts.local_host import ipv4_network
from tests.unit.components.machine import Machine


@pytest.mark.parametrize(
    ("hosts", "arguments"),
    [
        ([], []),
        ([("10.83.0.7", ())], ["=10.83.0.7"]),
        ([("10.83.0.8", (9100, 5432)), ("10.83.0.7", ())], ["=10.83.0.7", "5432,9100=10.83.0.8"]),
        # Hosts of one network cannot be told apart.
        ([("172.18.0.0/16", (5432,)), ("172.18.0.0/16", (9100,))], ["5432,9100=172.18.0.0/16"]),
        ([("10.83.0.8", (5432, "5353/udp", 53))], ["53,5353/udp,5432=10.83.0.8"]),
        # An address that is not known, in a network without IPv4.
        ([("", (5432,))], []),
    ],
)
def test_arguments(hosts: list[tuple[str, tuple[int | str, ...]]], arguments: list[str]) -> None:
    assert merged(hosts) == arguments


def test_a_network_without_addresses_has_no_subnet() -> None:
    assert ipv4_network(None) == ""
    assert ipv4_network([]) == ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    for command in ("iptables", "ip6tables"):
        # No rule and no chain is there yet; without IPv6 in the kernel nothing can be listed.
        machine.command(command, 'case "$*" in *-C*|*-L*) exit 1 ;; esac')
    for command in ("iptables-restore", "ip6tables-restore"):
        machine.command(command, f'cat >>"{tmp_path}/{command}.rules"')
    machine.command("ip", "echo default via 192.168.7.1 dev ens5")
    return machine


def run(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    return machine.run("firewall.sh", {}, *arguments)


def rules(machine: Machine, command: str = "iptables") -> list[str]:
    return (machine.root / f"{command}-restore.rules").read_text().splitlines()


def test_everything_that_is_not_named_is_refused(machine: Machine) -> None:
    result = run(machine, "5432=", "5353/udp,9100=10.83.0.7", "=10.83.0.8")
    assert result.returncode == 0, result.stderr
    refusal = "REJECT --reject-with icmp-port-unreachable"
    host = [rule for rule in rules(machine) if rule.startswith("-A SLIPWAY-HOST")]
    assert host[-1] == f"-A SLIPWAY-HOST -j {refusal}"
    opened = [rule.split("--dport ")[1] for rule in host if "--dport" in rule]
    assert opened == ["80 -j RETURN", "443 -j RETURN", "5432 -j RETURN"]
    others = [rule for rule in rules(machine) if rule.startswith("-A SLIPWAY-OTHERS")]
    assert others[-2:] == [
        f"-A SLIPWAY-OTHERS -d 10.83.0.7 -j {refusal}",
        f"-A SLIPWAY-OTHERS -d 10.83.0.8 -j {refusal}",
    ]
    assert "-A SLIPWAY-OTHERS -d 10.83.0.7 -p tcp -m tcp --dport 9100 -j RETURN" in others
    assert "-A SLIPWAY-OTHERS -d 10.83.0.7 -p udp -m udp --dport 5353 -j RETURN" in others
    assert f"-A SLIPWAY-OTHERS -d 169.254.169.254 -j {refusal}" in others
    # The metadata comes before any port that is open.
    assert others.index(f"-A SLIPWAY-OTHERS -d 169.254.169.254 -j {refusal}") < 3
    assert "-I INPUT -j SLIPWAY-INPUT" in rules(machine)
    assert "-I DOCKER-USER -j SLIPWAY-FORWARD" in rules(machine)


def test_its_chains_come_first(machine: Machine) -> None:
    """A rule ahead of them could let everything pass. They are moved in one step."""
    machine.command(
        "iptables",
        'case "$*" in'
        ' *"-S INPUT") printf "%s\\n" "-P INPUT ACCEPT" "-A INPUT -j ACCEPT" "-A INPUT -j SLIPWAY-INPUT" ;;'
        ' *"-S DOCKER-USER") printf "%s\\n" "-N DOCKER-USER" "-A DOCKER-USER -j SLIPWAY-FORWARD" ;;'
        ' *"-S FORWARD") printf "%s\\n" "-P FORWARD DROP" ;;'
        ' *"-C FORWARD"*) exit 1 ;; esac',
    )
    assert run(machine, "=").returncode == 0
    written = "\n".join(rules(machine))
    assert "*filter\n-D INPUT -j SLIPWAY-INPUT\n-I INPUT -j SLIPWAY-INPUT\nCOMMIT" in written
    assert "*filter\n-I FORWARD -j DOCKER-USER\nCOMMIT" in written
    assert "SLIPWAY-FORWARD\nCOMMIT" not in written


def test_a_machine_whose_own_network_is_a_bridge_stays_reachable(machine: Machine) -> None:
    machine.command("ip", "echo default via 192.168.7.1 dev br-lan")
    assert run(machine, "=").returncode == 0
    into = [rule for rule in rules(machine) if rule.startswith("-A SLIPWAY-INPUT")]
    assert into[0] == "-A SLIPWAY-INPUT -i br-lan -j RETURN"
    out = [rule for rule in rules(machine) if rule.startswith("-A SLIPWAY-FORWARD -o ")]
    assert out[0] == "-A SLIPWAY-FORWARD -o br-lan -j RETURN"


def test_only_what_comes_by_a_published_port_reaches_a_container_from_elsewhere(machine: Machine) -> None:
    assert run(machine, "=").returncode == 0
    for command in ("iptables", "ip6tables"):
        forwarded = [rule for rule in rules(machine, command) if rule.startswith("-A SLIPWAY-FORWARD")]
        # What containers send has left the chain by then.
        assert forwarded[-4:] == [
            "-A SLIPWAY-FORWARD -i docker0 -g SLIPWAY-OTHERS",
            "-A SLIPWAY-FORWARD -i br-+ -g SLIPWAY-OTHERS",
            "-A SLIPWAY-FORWARD -o docker0 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
            "-A SLIPWAY-FORWARD -o br-+ -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
        ]


def test_a_kernel_that_cannot_refuse_drops(machine: Machine) -> None:
    kept = machine.root / "iptables-restore.rules"
    keep = f'text=$(cat); case "$text" in *REJECT*) exit 1 ;; *-A*) echo "$text" >"{kept}" ;; esac'
    machine.command("iptables-restore", keep)
    assert run(machine, "=").returncode == 0
    assert rules(machine)[-2:] == ["-A SLIPWAY-HOST -j DROP", "COMMIT"]


def test_services_are_kept_apart_from_the_machines_start_on(machine: Machine, tmp_path: Path) -> None:
    """Docker Engine starts containers before slipway-apart knows the proxy's ports."""
    assert run(machine, "=").returncode == 0
    assert (
        rules(machine)[rules(machine).index(":SLIPWAY-OTHERS - [0:0]") + 1]
        == "-A SLIPWAY-FORWARD -j SLIPWAY-APART"
    )
    assert not [rule for rule in rules(machine) if rule.startswith((":SLIPWAY-APART", "-A SLIPWAY-APART"))]
    # Nothing is known of the network before the first proxy.
    assert not [line for line in machine.calls("iptables") if "-A SLIPWAY-APART" in line]
    apart = tmp_path / "etc/slipway/apart"
    apart.write_text("br-0123456789ab\n")
    assert run(machine, "=").returncode == 0
    added = "iptables -w -A SLIPWAY-APART -i br-0123456789ab -o br-0123456789ab -j DROP"
    assert machine.called.count(added) == 1
    # A chain that is there is for slipway-apart.
    machine.command("iptables", 'case "$*" in *-N*) exit 1 ;; esac')
    assert run(machine, "=").returncode == 0
    assert machine.called.count(added) == 1


def test_only_what_comes_from_or_goes_to_the_proxy_passes(machine: Machine, tmp_path: Path) -> None:
    machine.command("ip6tables", "exit 1")
    machine.command("iptables")
    text = scripts.text("apart.sh").replace(
        "main </dev/null", "wall br-x veth1\nwall br-x veth1\nwall br-x veth2"
    )
    (tmp_path / "etc/slipway").mkdir(parents=True)
    subprocess.run(
        ["/bin/bash", "-s"],
        input=text.replace("/etc/slipway", f"{tmp_path}/etc/slipway"),
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        text=True,
        check=True,
        timeout=30,
    )
    # Once for each port that the proxy has had, and for no kernel without the chain.
    assert len(machine.calls("iptables-restore")) == 2
    assert not [line for line in machine.called if line.startswith("ip6tables-restore")]
    assert (tmp_path / "etc/slipway/apart").read_text() == "br-x\n"
    bridged = "-A SLIPWAY-APART -m physdev --physdev-is-bridged"
    assert rules(machine)[-7:] == [
        "*filter",
        ":SLIPWAY-APART - [0:0]",
        f"{bridged} --physdev-in veth2 -j RETURN",
        f"{bridged} --physdev-out veth2 -j RETURN",
        "-A SLIPWAY-APART -i br-x -o br-x -m conntrack --ctstate DNAT -j RETURN",
        "-A SLIPWAY-APART -i br-x -o br-x -j DROP",
        "COMMIT",
    ]


def test_a_kernel_without_ipv6_has_no_rules_for_it(machine: Machine) -> None:
    machine.command("ip6tables", "exit 1")
    assert run(machine, "=").returncode == 0
    assert not machine.calls("ip6tables-restore")


SSH_SERVER = """
sshd() {
  echo "sshd $*" >>"$root/called"
  case "$*" in
    -T) echo "port 22"; tr 'A-Z' 'a-z' <"$ssh_settings" ;;
    "-t -f"*)
      sed -n "/PerSource/=" "$3" | sed "s,.*,$3: line &: Bad configuration option," >&2
      ! grep -q PerSource "$3" || return 255
      ;;
    -t) ! [ -e "$root/invalid" ] || { echo "line 3 is wrong" >&2; return 255; } ;;
  esac
}
answers_ssh() { ! [ -e "$root/silent" ]; }
systemctl() { echo "systemctl $*" >>"$root/called"; }
"""


def harden(root: Path) -> subprocess.CompletedProcess[str]:
    """Runs `harden_ssh` with a folder in place of the machine, and with an SSH server that knows no PerSource…."""
    (root / "etc/ssh/sshd_config.d").mkdir(parents=True, exist_ok=True)
    main = root / "etc/ssh/sshd_config"
    if not main.exists():
        main.write_text("Port 22\n")
    (root / "run").mkdir(exist_ok=True)
    text = "".join((scripts.SCRIPTS / name).read_text() for name in ("lib.sh", "ssh-server.sh"))
    text = text.replace("=/etc/ssh/", f"={root}/etc/ssh/").replace("=/run/", f"={root}/run/")
    return subprocess.run(
        ["/bin/bash", "-s"],
        input=f"{text}\nroot={root}\n{SSH_SERVER}\nharden_ssh\ntell_made\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


SETTINGS = "etc/ssh/sshd_config.d/00-slipway.conf"


def test_the_ssh_server_gets_the_settings_that_it_knows(tmp_path: Path) -> None:
    result = harden(tmp_path)
    assert result.returncode == 0, result.stderr
    settings = (tmp_path / SETTINGS).read_text()
    assert "DisableForwarding yes\n" in settings
    assert "PerSource" not in settings
    called = (tmp_path / "called").read_text().splitlines()
    assert "systemctl reload ssh.service" in called
    assert not any("restart" in call for call in called)
    assert "made sshd disableforwarding yes" in result.stdout.splitlines()
    (tmp_path / "called").unlink()
    assert harden(tmp_path).returncode == 0
    assert "systemctl" not in (tmp_path / "called").read_text()


@pytest.mark.parametrize("fault", ["invalid", "silent"])
def test_settings_that_the_ssh_server_does_not_take_are_taken_back(tmp_path: Path, fault: str) -> None:
    settings = tmp_path / SETTINGS
    settings.parent.mkdir(parents=True)
    settings.write_text("LoginGraceTime 60\n")
    (tmp_path / fault).touch()
    result = harden(tmp_path)
    assert result.returncode == 4
    assert "so it keeps its former ones" in result.stderr
    assert settings.read_text() == "LoginGraceTime 60\n"


def test_a_reload_that_a_killed_run_missed_is_made_up_for(tmp_path: Path) -> None:
    assert harden(tmp_path).returncode == 0
    (tmp_path / "run/slipway-sshd-unread").touch()
    (tmp_path / "called").unlink()
    assert harden(tmp_path).returncode == 0
    assert "systemctl reload ssh.service" in (tmp_path / "called").read_text()
