"""The script that switches a service's traffic on a host, run with stand-ins for the commands that it calls."""

import subprocess
from pathlib import Path

import pytest

from components import script as scripts
from tests.unit.components.machine import Machine

ARGUMENTS = ("web", "new", "8080", "/up", "1", "1", "3")
"""Service, container, port, health path, and the times of health check, drain and grace."""
HEALTHY = "printf 200"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def switch(
    machine: Machine,
    *arguments: str,
    states: tuple[str, ...] = ("running 0 0 false 4711 10.0.0.2",),
    routes: str | None = "",
    containers: str = "",
    curl: str = "exit 7",
    proxy: str = "running",
) -> subprocess.CompletedProcess[str]:
    """Run the script on a host with a proxy and containers.

    Args:
        machine: the host.
        arguments: of the script; for none, those of a roll-out.
        states: of the new container, one after another; the last one lasts.
        routes: the proxy's listing without its titles; None for a proxy that does not answer.
        containers: a line each: name, service, state.
        curl: what answers a health check.
        proxy: the state of the proxy's container; none if there is none.

    """
    for number, state in enumerate(states):
        (machine.root / f"state-{number}").write_text(state)
    titles = "Service  Host  Path  Target  State  TLS\n"
    (machine.root / "listing").write_text("" if routes is None else titles + routes)
    (machine.root / "containers").write_text(containers)
    machine.command("curl", curl)
    if routes is None:
        machine.command("sleep", "exit 0")
    machine.command(
        "docker",
        f"""cd {machine.root}
        next_state() {{
          number=$(cat asked 2>/dev/null || echo 0)
          echo $((number + 1 < {len(states)} ? number + 1 : number)) >asked
          cat state-$number
        }}
        case "$*" in
        "ps "*) cat containers ;;
        "exec slipway-proxy kamal-proxy list") cat listing; [ -s listing ] ;;
        "exec slipway-proxy kamal-proxy deploy "*)
          sed -i "/^$5 /d" listing
          echo "$5 $([ "$8" = --host ] && echo "$9" || echo "*") / $7 running no" >>listing ;;
        "exec slipway-proxy "*) ;;
        "container inspect slipway-proxy "*) echo {proxy}; [ -n "{proxy}" ] ;;
        "start slipway-proxy" | "unpause slipway-proxy") echo "{titles[:-1]}" >listing ;;
        "container inspect "*RestartCount*) next_state ;;
        "container inspect "*StopSignal*) echo "4711 " ;;
        "container inspect "*.State.Pid*) echo 4711 ;;
        "logs "*) printf '\\033[31mlast words\\033[0m\\a \\377\\033]0;title\\a\\302\\233\\n' ;;
        "rm -f "*) sed -i "/^$3 /d" containers ;;
        "update "* | "start "* | "stop "*) ;;
        *) exit 9 ;;
        esac""",
    )
    text = scripts.text("switch.sh")
    for folder in ("/proc/", "/etc/slipway/"):
        (machine.root / folder.strip("/")).mkdir(parents=True, exist_ok=True)
        text = text.replace(folder, f"{machine.root}{folder}")
    file = machine.root / "switch"
    file.write_text(text)
    return subprocess.run(
        ["/bin/bash", file, *(arguments or ARGUMENTS)],
        env={"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def calls(machine: Machine, *kinds: str) -> list[str]:
    """The calls of docker that change something, or those of these kinds."""
    called = [call.removeprefix("docker ") for call in machine.calls("docker")]
    chosen = kinds or ("exec", "start", "stop", "rm", "update")
    return [call for call in called if call.split()[0] in chosen and not call.endswith(" list")]


PROXY = "exec slipway-proxy kamal-proxy "


class TestFailure:
    @pytest.mark.parametrize(
        ("states", "reason"),
        [
            (["created 0 0 false 0", "exited 3 0 false 0"], "it crashed with exit code 3, before"),
            (
                [*("running 0 0 false 7 10.0.0.2",) * 2, "restarting 3 1 false 0"],
                "it crashed with exit code 3, before",
            ),
            (
                [
                    *("created 0 0 false 0", "running 0 1 false 7 10.0.0.2"),
                    *("running 0 2 false 7 10.0.0.2", "restarting 137 3 true 0"),
                ],
                "it crashed with exit code 137, out of memory, before",
            ),
            (
                ["created 0 0 false 0", "running 0 1 false 7 10.0.0.2"],
                "it crashed with exit code unknown, before",
            ),
            (["created 0 0 false 0", "restarting 0 1 false 0"], "it ended with exit code 0, before"),
            # It has served before, and was restarted then.
            (["running 0 4 false 7 10.0.0.2"], "it refused the connection on port 8080 for 1 s"),
        ],
        ids=[
            "ended",
            "between two tries",
            "running again",
            "running for good",
            "ended well",
            "not listening",
        ],
    )
    def test_the_reason_is_shown_and_the_container_works_on_nothing(
        self, machine: Machine, states: list[str], reason: str
    ) -> None:
        result = switch(machine, states=tuple(states))
        assert result.returncode == 6, result.stderr
        assert reason in result.stderr
        assert "there is no previous version, so nothing serves yet" in result.stderr
        # Nothing in its log drives a terminal.
        assert result.stderr.endswith("last log lines:\n  | last words \n")
        assert calls(machine)[-1] == "stop -t 3 new"
        assert not [call for call in calls(machine) if " deploy " in call]

    @pytest.mark.parametrize(
        ("curl", "reason", "remedy"),
        [
            ("printf 404", "answered HTTP 404 for 1 s", "set slipway:services.web.health"),
            ("printf 400", "answered HTTP 400 for 1 s", "set slipway:services.web.domain"),
            ("printf '302 https://a/up'", "HTTP 302 for 1 s, a redirect to https://a/up", "itself answer"),
            ("printf 000; exit 28", "timed out, for 1 s: it takes more than 5 s", "answer within 5 s"),
            (
                "printf 000; exit 52",
                "no HTTP answer for 1 s (curl exit status 52)",
                "plain HTTP on port 8080",
            ),
        ],
    )
    def test_the_reason_has_a_remedy(self, machine: Machine, curl: str, reason: str, remedy: str) -> None:
        result = switch(machine, curl=curl)
        assert reason in result.stderr
        assert remedy in result.stderr.partition("slipway: to mend it: ")[2].partition("\n")[0]

    @pytest.mark.parametrize(
        ("kind", "socket", "reason", "remedy"),
        [
            (
                "tcp",
                "",
                "it runs, but listened on no port for 1 s",
                "services.web.healthTimeout to more than 1",
            ),
            ("tcp", "0100007F:1F90 00000000:0000 0A", "on port 8080 of 127.0.0.1 only", "listen on 0.0.0.0"),
            ("tcp", "0200007F:1F90 00000000:0000 0A", "on port 8080 of 127.0.0.1 only", "listen on 0.0.0.0"),
            (
                "tcp6",
                f"{'0' * 24}01000000:1F90 0:0 0A",
                "on port 8080 of 127.0.0.1 only",
                "listen on 0.0.0.0",
            ),
            ("tcp", "00000000:0BB8 00000000:0000 0A", "port 3000, and not on port 8080", "port to 3000"),
            ("tcp6", f"{'0' * 32}:0BB8 0:0 0A", "port 3000, and not on port 8080", "port to 3000"),
            ("tcp", "0100007F:0BB8 0:0 0A", "port 3000 of 127.0.0.1 only, and not", "0.0.0.0, and set"),
            ("tcp6", f"{'0' * 32}:1F90 0:0 0A", "on port 8080 for IPv6 only", "listen on 0.0.0.0"),
            ("tcp", "0200000A:1F90 0:0 0A", "on port 8080 of one address only", "listen on 0.0.0.0"),
            ("tcp", "00000000:1F90 0:0 0A", "port 8080 only now, after 1 s", "healthTimeout to more than 1"),
            ("tcp", "0200000A:1F90 0300000A:C000 01", "on no port for 1 s", "let it listen on port 8080"),
            (
                "udp",
                "00000000:0035 0:0 07",
                "no TCP port, but on UDP port 53",
                "answer HTTP on TCP port 8080",
            ),
        ],
    )
    def test_a_refused_connection_is_explained_by_the_containers_sockets(
        self, machine: Machine, kind: str, socket: str, reason: str, remedy: str
    ) -> None:
        folder = machine.root / "proc/4711/net"
        folder.mkdir(parents=True)
        own = {
            "tcp": "   0: 0B00007F:A3D1 00000000:0000 0A 0\n",
            "udp": "  0: 0B00007F:A3D2 00000000:0000 07\n",
        }
        for each in ("tcp", "tcp6", "udp"):
            lines = own.get(each, "") + (f"   1: {socket} 0\n" if each == kind and socket else "")
            (folder / each).write_text("  sl  local_address rem_address   st tx_queue\n" + lines)
        result = switch(machine)
        assert "refused the connection on port 8080 for 1 s: it " in result.stderr, result.stderr
        assert reason in result.stderr
        assert remedy in result.stderr.partition("slipway: to mend it: ")[2].partition("\n")[0]

    @pytest.mark.parametrize(
        ("route", "state", "serves"),
        [
            ("web * / old:80 running no\n", "old web running", "the previous version continues to serve\n"),
            ("@ * / old:80 running no\n", "old blog running", "the service blog continues to serve what no "),
            (
                "web * / old:80 running no\n",
                "old web exited",
                "container old, does not run, so nothing serves\n",
            ),
            (
                "web a.test / old:80 running no\n",
                "old web running",
                "previous version continues to serve: a.test",
            ),
        ],
    )
    def test_what_serves_then_is_looked_up(
        self, machine: Machine, route: str, state: str, serves: str
    ) -> None:
        assert serves in switch(machine, routes=route, containers=state + "\n").stderr


class TestSuccess:
    @pytest.mark.parametrize(
        ("routes", "domain", "options"),
        [
            ("", "", "@ --target new:8080 --health-check-path /up"),
            ("web * / old:8080 running no\n", "", "web --target new:8080 --health-check-path /up"),
            (
                "web * / old:8080 running no\n",
                "web.test",
                "@web.test --target new:8080 --host web.test --health-check-path /up --health-check-host web.test",
            ),
            (
                "\033[1;34mblog\033[0m  web.test  /  blog-1:80  running  no\n",
                "web.test",
                "blog --target new:8080 --host web.test --health-check-path /up --health-check-host web.test",
            ),
        ],
        ids=["the first", "the name of an older version", "another domain", "another service's domain"],
    )
    def test_a_route_passes_on_under_the_name_that_it_has(
        self, machine: Machine, routes: str, domain: str, options: str
    ) -> None:
        result = switch(machine, *ARGUMENTS, *([domain] if domain else []), routes=routes, curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        assert calls(machine, "exec") == [f"{PROXY}deploy {options} --deploy-timeout 1s --drain-timeout 1s"]
        assert (machine.root / f"etc/slipway/routes/@{domain}").read_text() == "new 8080 1 3\n"

    @pytest.mark.parametrize("path", ["/up?probe=1", "/up?f[a]=1", "/%41", "/a/../up", "//up", "/up;v=1"])
    def test_a_path_that_the_proxy_would_change_is_asked_by_us_alone(
        self, machine: Machine, path: str
    ) -> None:
        machine.command("nsenter")
        (machine.root / "proc/4711/net").mkdir(parents=True)
        (machine.root / "proc/4711/net/tcp").write_text("0: 0B00007F:FFFA 00000000:0000 0A\n")
        result = switch(machine, "web", "new", "8080", path, "1", "1", "3", curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        (deploy,) = calls(machine, "exec")
        assert "--health-check-path" not in deploy
        # 65530 is in use.
        assert "--health-check-port 65529" in deploy
        (asked,) = machine.calls("curl")
        assert asked.endswith(f" http://10.0.0.2:8080{path}")
        assert "--listen=0.0.0.0:65529" in machine.calls("nsenter")[0]

    def test_the_container_is_limited_and_started(self, machine: Machine) -> None:
        states = ("created 0 0 false 0", "running 0 0 false 4711 10.0.0.2")
        assert switch(machine, states=states, curl=HEALTHY).returncode == 0
        assert calls(machine, "update", "start") == [
            "update --pids-limit 4096 new slipway-proxy",
            "start new",
        ]

    def test_only_containers_without_a_route_end(self, machine: Machine) -> None:
        routes = "@a.test a.test / web-1:80 running no\n@b.test b.test / old:80 running no\n"
        containers = "".join(
            f"{line}\n"
            for line in ("web-1 web running", "old web running", "failed web exited", "killed web running")
        )
        result = switch(machine, *ARGUMENTS, "b.test", routes=routes, containers=containers, curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        assert calls(machine, "stop", "rm") == [
            *("stop -t 3 failed", "rm -f failed", "stop -t 3 killed", "rm -f killed"),
            # The version before stays for its log. web-1 serves its domain until another service takes it over.
            "stop -t 3 old",
        ]

    def test_a_route_that_a_killed_run_stopped_goes_on(self, machine: Machine) -> None:
        switch(machine, routes="web * / old:80 stopped no\n", curl=HEALTHY)
        assert calls(machine, "exec")[-1] == f"{PROXY}resume web"


class TestRoutes:
    def test_lost_ones_come_back(self, machine: Machine) -> None:
        folder = machine.root / "etc/slipway/routes"
        folder.mkdir(parents=True)
        for key, target in {"@": "shop-1 80", "@a.test": "blog-1 80", "@b.test": "gone-1 80"}.items():
            (folder / key).write_text(f"{target} 30 10\n")
        (machine.root / "proc/4711/net").mkdir(parents=True)
        (machine.root / "proc/4711/net/tcp").write_text("")
        machine.command("nsenter")
        containers = "shop-1 shop running\nblog-1 blog running\n"
        result = switch(machine, "--restore", routes="@ * / shop-1:80 running no\n", containers=containers)
        assert result.returncode == 0, result.stderr
        (deploy,) = calls(machine)
        assert deploy.startswith(
            f"{PROXY}deploy @a.test --target blog-1:80 --host a.test --health-check-port 65530 "
        )

    def test_a_stopped_container_is_started_by_restore(self, machine: Machine) -> None:
        folder = machine.root / "etc/slipway/routes"
        folder.mkdir(parents=True)
        (folder / "@").write_text("shop-1 80 30 10\n")
        routes = "@ * / shop-1:80 running no\n"
        assert switch(machine, "--restore", routes=routes, containers="shop-1 shop exited\n").returncode == 0
        assert calls(machine) == ["start shop-1"]

    def test_those_of_former_domains_go_with_their_containers(self, machine: Machine) -> None:
        routes = "@ * / shop-2:80 running no\nshop a.test / shop-1:80 running no\n"
        containers = "shop-1 shop running\nshop-2 shop running\n"
        assert switch(machine, "--only", "@", routes=routes, containers=containers).returncode == 0
        assert calls(machine) == [
            f"{PROXY}stop shop --drain-timeout 30s",
            f"{PROXY}remove shop",
            "stop -t 10 shop-1",
        ]

    def test_a_removed_service_leaves_them_to_the_one_that_took_them_over(self, machine: Machine) -> None:
        containers = "shop-1 shop running\nweb-1 web exited\n"
        routes = "web a.test / shop-1:80 running no\n"
        assert switch(machine, "--remove", "web", routes=routes, containers=containers).returncode == 0
        assert calls(machine) == ["stop -t 10 web-1"]

    @pytest.mark.parametrize(
        ("proxy", "mended"), [("exited", "start"), ("created", "start"), ("paused", "unpause")]
    )
    def test_a_proxy_that_does_not_run_is_started(self, machine: Machine, proxy: str, mended: str) -> None:
        result = switch(machine, "--restore", routes=None, proxy=proxy)
        assert result.returncode == 0, result.stderr
        assert calls(machine, "start", "unpause") == [f"{mended} slipway-proxy"]

    def test_a_proxy_that_was_removed_is_made_again_by_pulumi(self, machine: Machine) -> None:
        result = switch(machine, routes=None, proxy="")
        assert result.returncode == 6
        assert "has no proxy: the container slipway-proxy was removed" in result.stderr
        assert "`./slip up --refresh` makes it again" in result.stderr
        assert calls(machine) == []

    def test_a_service_can_be_removed_without_a_proxy(self, machine: Machine) -> None:
        result = switch(machine, "--remove", "web", routes=None, containers="web-1 web running\n")
        assert result.returncode == 0, result.stderr
        assert calls(machine) == ["stop -t 10 web-1"]


@pytest.mark.parametrize(("mask", "grace"), [("0000000000000000", 0), ("0000000000004000", 10)])
@pytest.mark.parametrize("kind", ["SigBlk", "SigIgn", "SigCgt"])
def test_a_process_that_never_gets_sigterm_is_not_waited_for(
    machine: Machine, kind: str, mask: str, grace: int
) -> None:
    (machine.root / "proc/4711").mkdir(parents=True)
    masks = dict.fromkeys(("SigBlk", "SigIgn", "SigCgt"), "0" * 16) | {kind: mask}
    (machine.root / "proc/4711/status").write_text(
        "".join(f"{key}:\t{value}\n" for key, value in masks.items())
    )
    switch(machine, "--remove", "web", containers="old web running\n")
    assert calls(machine) == [f"stop -t {grace} old"]
