"""The script that switches a service's traffic on a host, run with stand-ins for the commands that it calls."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from components import script as scripts
from tests.unit.components import engine_api, haproxy, stand_in
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
    routes: Mapping[str, str] | None = None,
    containers: str = "",
    curl: str = "exit 7",
    proxy: str = "running",
    answers: bool = True,
    stdin: str = "",
    check: str = "exit 1",
) -> subprocess.CompletedProcess[str]:
    """Run the script on a host with a proxy and containers.

    Args:
        machine: the host.
        arguments: of the script; for none, those of a roll-out.
        states: of the new container, one after another; the last one lasts.
        routes: the records of routes by key; the proxy's process has read them.
        containers: a line each: name, service, state, address.
        curl: what answers a health check.
        proxy: the state of the proxy's container; empty if there is none.
        answers: whether the proxy's process answers.
        stdin: the script's standard input.
        check: what answers the container's own health check.

    """
    root = machine.root
    for number, state in enumerate(states):
        (root / f"state-{number}").write_text(state)
    (root / "containers").write_text(containers or "new web running 10.0.0.2\n")
    engine = stand_in.called(engine_api.main, root, """[[ " $* " = *" @- "* ]]""")
    machine.command(
        "curl",
        f"""case "$*" in *--unix-socket*) {engine} ;; esac
        case "$*" in *http://10.*) printf 'health '; {curl} ;; esac""",
    )
    (root / "proxy").write_text(proxy)
    if not answers:
        machine.command("sleep", "exit 0")
    machine.command("nsenter", stand_in.called(haproxy.main, root, """[[ " $* " != *" - "* ]]"""))
    machine.command(
        "docker",
        f"""cd {root}
        case "$*" in
        "exec slipway-proxy haproxy -c "*) [ ! -e refused ] || {{ [[ $* = *" -q "* ]] || cat refused; exit 1; }} ;;
        "start slipway-proxy" | "unpause slipway-proxy" | "restart slipway-proxy")
          echo '{{"mark": "", "servers": {{}}}}' >process.json ;;
        "container inspect new "*Networks*) echo box-proxy-network ;;
        "container inspect new "*Config.Env*)
          own=$(grep -o '"slipway.[a-z]*":"[a-z]*"' <<<"$*")
          echo '"Image":"sha256:1","Labels":{{'"$own"'}},"HostConfig":{{"Memory":1,' ;;
        "container inspect slipway-release-"*OOMKilled*) cat twin ;;
        "container inspect slipway-release-"*) [ ! -e twin ] || cut -d ' ' -f 1,2 twin ;;
        "ps -q --filter label=slipway.job="*) cat runs ;;
        "ps -aq --filter label=slipway.job="*) cat earlier 2>/dev/null ;;
        "wait slipway-job-"*) [ ! -e slow ] || exec /bin/sleep 5 ;;
        "ps -aq "*) echo earlier ;;
        "cp "* | "wait "*) ;;
        "container inspect new "*Config.Entrypoint*) echo '"Entrypoint":["/entry"],"Cmd":["word"]' ;;
        "container inspect slipway-job-"*State.Status*) [ ! -e not-started ] || {{ echo created; rm not-started; }} ;;
        "container inspect slipway-job-"*) cat ends ;;
        "start slipway-job-"*) ;;
        "container inspect new "*PidsLimit*) echo 88 ;;
        "exec -i "* | "start -ai "*) ;;
        "start slipway-release-"*) mv -f next twin 2>/dev/null || true ;;
        "container inspect new "*Healthcheck*) printf '%b' "$(cat healthcheck 2>/dev/null)\\n" ;;
        "exec new "*) {check} ;;
        "container inspect "*HostConfig.Binds*) cat binds 2>/dev/null ;;
        "logs --follow "*) [ ! -e not-started ] && echo "its output" || rm not-started ;;
        "logs "*) printf '\\033[31mlast words\\033[0m\\a \\377\\033]0;title\\a\\302\\233\\n' ;;
        "rm -f "*) sed -i "/^$3 /d" containers ;;
        "start "*) ;;
        *) exit 9 ;;
        esac""",
    )
    text = scripts.text("switch.sh")
    for patience, shorter in (("seq 50", "seq 5"), ("run_patience=60", "run_patience=1")):
        assert patience in text
        text = text.replace(patience, shorter)
    for folder in ("/proc/", "/etc/slipway/", "/etc/systemd/system", "/run/slipway-"):
        (root / folder.strip("/")).mkdir(parents=True, exist_ok=True)
        text = text.replace(folder, f"{root}{folder}")
    (root / "proc/4712/ns").mkdir(parents=True, exist_ok=True)
    (root / "proc/4712/ns/net").touch()
    file = root / "switch"
    file.write_text(text)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", file, *words],
            env={"PATH": f"{root}/bin:/usr/bin:/bin"},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    records = root / "etc/slipway/routes"
    records.mkdir(exist_ok=True)
    for key, record in (routes or {}).items():
        (records / key).write_text(f"{record}\n")
    if not (root / "process.json").exists() and answers:
        assert run("--prepare").returncode == 0
        (root / "process.json").write_text(json.dumps(haproxy.load(configuration(machine))))
    (root / "called").write_text("")
    (root / "told").write_text("")
    return run(*(arguments or ARGUMENTS))


def configuration(machine: Machine) -> str:
    return (machine.root / "etc/slipway/proxy/haproxy.cfg").read_text()


def record(machine: Machine, key: str) -> str:
    return (machine.root / "etc/slipway/routes" / key).read_text()


def taking(machine: Machine) -> list[str]:
    """The servers of the proxy's process that get new requests."""
    servers = json.loads((machine.root / "process.json").read_text())["servers"]
    return sorted(
        name for name, (*_, operation, admin) in servers.items() if (operation, admin) == ("2", "0")
    )


def told(machine: Machine) -> list[str]:
    """What HAProxy was told to change."""
    return (machine.root / "told").read_text().splitlines()


def calls(machine: Machine, *kinds: str) -> list[str]:
    """The calls of docker that change something, or those of these kinds."""
    called = [call.removeprefix("docker ") for call in machine.calls("docker")]
    chosen = kinds or ("start", "stop", "rm", "update", "restart", "unpause")
    return [call for call in called if call.split()[0] in chosen]


class TestCertificates:
    """A certificate that changes is exchanged in the process; one more, or one less, takes a reload."""

    INSIDE = "/usr/local/etc/haproxy/certificates"

    def bring(self, machine: Machine, **texts: str) -> None:
        folder = machine.root / "etc/slipway/certificates"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / f"{name}.pem").write_text(f"{text}\n")

    def served(self, machine: Machine) -> dict[str, str]:
        folder = machine.root / "etc/slipway/proxy/certificates"
        return {file.stem: file.read_text().strip() for file in sorted(folder.glob("*.pem"))}

    @pytest.fixture(autouse=True)
    def _no_groups(self, machine: Machine) -> None:
        # Only root gives files away.
        machine.command("chgrp", "exit 0")
        machine.command("install", 'cp "${@: -2:1}" "${@: -1}"')

    def test_the_first_one_opens_the_port(self, machine: Machine) -> None:
        assert switch(machine, "--certificates").returncode == 0
        assert ":443" not in configuration(machine)
        assert told(machine) == []
        self.bring(machine, web="a chain and a key")
        assert switch(machine, "--certificates").returncode == 0
        assert f"bind :443 ssl strict-sni alpn h2,http/1.1 crt {self.INSIDE}/web.pem" in configuration(
            machine
        )
        assert told(machine) == ["reload"]

    def test_a_renewed_one_costs_no_reload(self, machine: Machine) -> None:
        self.bring(machine, web="old", blog="its own")
        switch(machine, "--certificates")
        self.bring(machine, web="new\nkey")
        assert switch(machine, "--certificates").returncode == 0
        assert told(machine) == [f"certificate {self.INSIDE}/web.pem"]
        assert self.served(machine) == {"web": "new\nkey", "blog": "its own"}
        process = json.loads((machine.root / "process.json").read_text())
        assert process["certificates"][f"{self.INSIDE}/web.pem"] == "new\nkey"

    def test_a_process_that_does_not_take_it_reads_it_anew(self, machine: Machine) -> None:
        self.bring(machine, web="old")
        switch(machine, "--certificates")
        process = json.loads((machine.root / "process.json").read_text())
        (machine.root / "process.json").write_text(json.dumps(process | {"certificates": {}}))
        self.bring(machine, web="new")
        assert switch(machine, "--certificates").returncode == 0
        assert told(machine) == ["reload"]

    def test_one_that_the_proxy_lost_comes_back_with_any_switch(self, machine: Machine) -> None:
        self.bring(machine, web="text")
        switch(machine, "--certificates")
        (machine.root / "etc/slipway/proxy/certificates/web.pem").unlink()
        assert switch(machine, curl=HEALTHY).returncode == 0
        assert self.served(machine) == {"web": "text"}

    def test_one_that_haproxy_refuses_stays_out(self, machine: Machine) -> None:
        switch(machine, "--certificates")
        self.bring(machine, web="no certificate")
        (machine.root / "refused").write_text("unable to load certificate")
        found = switch(machine, "--certificates")
        assert found.returncode == 6
        assert "unable to load certificate" in found.stderr
        assert self.served(machine) == {}
        assert ":443" not in configuration(machine)

    def test_one_that_no_service_needs_goes_at_the_end(self, machine: Machine) -> None:
        self.bring(machine, web="text", blog="another")
        switch(machine, "--certificates")
        assert switch(machine, "--only", "@", "certificates=web").returncode == 0
        assert self.served(machine) == {"web": "text"}
        assert switch(machine, "--only", "@").returncode == 0
        assert self.served(machine) == {}
        assert ":443" not in configuration(machine)

    def test_challenges_of_acme_are_answered_until_no_service_needs_it(self, machine: Machine) -> None:
        told_by = machine.root / "etc/slipway/proxy/acme-thumbprint"
        told_by.parent.mkdir(parents=True)
        told_by.write_text("a-thumbprint\n")
        assert switch(machine, "--certificates").returncode == 0
        (line,) = [line for line in configuration(machine).splitlines() if "acme-challenge" in line]
        assert line.startswith("  http-request return status 200 ")
        assert line.endswith(" !{ ssl_fc }")
        assert '"%[path,field(-1,/)].a-thumbprint"' in line
        assert switch(machine, "--only", "@", "acme=yes").returncode == 0
        assert told_by.exists()
        assert switch(machine, "--only", "@").returncode == 0
        assert "acme-challenge" not in configuration(machine)
        assert not told_by.exists()

    def test_plain_http_leads_to_https(self, machine: Machine) -> None:
        routes = {
            "@a.test": "old 8080 1 1 https=8443 hsts=300",
            "@b.test": "old 8080 1 1 canonical=a.test https=443",
        }
        switch(machine, "--certificates", routes=routes, containers="old web running 10.0.0.1\n")
        text = configuration(machine)
        to = "unless { var(txn.scheme) -m str https }"
        assert f"redirect code 308 location https://%[var(txn.host)]:8443%[pathq] {to}" in text
        assert f"redirect code 308 location https://a.test%[pathq] {to}" in text
        assert "set-header Strict-Transport-Security max-age=300 if { var(txn.scheme) -m str https }" in text


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
        assert taking(machine) == []

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
            ("@", "old web running 10.0.0.3", "the previous version continues to serve\n"),
            ("@", "old blog running 10.0.0.3", "the service blog continues to serve what no "),
            ("@", "old web exited", "container old, does not run, so nothing serves\n"),
            ("@a.test%api", "old web running 10.0.0.3", "previous version continues to serve: a.test/api"),
        ],
    )
    def test_what_serves_then_is_looked_up(
        self, machine: Machine, route: str, state: str, serves: str
    ) -> None:
        assert serves in switch(machine, routes={route: "old 80 30 10"}, containers=f"{state}\n").stderr

    def test_a_configuration_that_haproxy_refuses_changes_nothing(self, machine: Machine) -> None:
        (machine.root / "refused").write_text("[NOTICE] a version\n[ALERT] unknown keyword\n")
        both = "new web running 10.0.0.2\nold web running 10.0.0.3\n"
        result = switch(
            machine, *ARGUMENTS, "timeout=9", routes={"@": "old 80 30 10"}, containers=both, curl=HEALTHY
        )
        assert result.returncode == 6
        assert "\n[ALERT] unknown keyword\n" in f"\n{result.stderr}"
        assert "[NOTICE]" not in result.stderr
        assert "the previous version continues to serve" in result.stderr
        assert (record(machine, "@"), taking(machine)) == ("old 80 30 10\n", ["r:/old"])
        assert "server old 10.0.0.3:80\n" in configuration(machine)


BOTH = "new web running 10.0.0.2\nold web running 10.0.0.3\n"


class TestSuccess:
    def test_a_body_of_known_length_comes_ahead_of_the_request(self, machine: Machine) -> None:
        assert switch(machine, *ARGUMENTS, "maxBody=1", curl=HEALTHY).returncode == 0
        _, _, rules = configuration(machine).partition("\nbackend r:")
        waits = (
            "  http-request wait-for-body time 60s at-least 12288 if { req.hdr(content-length) -m found }\n"
        )
        assert rules.index(" deny_status 413 ") < rules.index(waits)

    def test_the_first_route_is_reloaded(self, machine: Machine) -> None:
        """HAProxy has no backend for it yet."""
        result = switch(machine, *ARGUMENTS, "web.test", curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        assert record(machine, "@web.test") == "new 8080 1 3\n"
        assert (told(machine), taking(machine)) == (["reload"], ["r:web.test/new"])

    def test_a_switch_reloads_nothing(self, machine: Machine) -> None:
        (machine.root / "busy").write_text("2")
        patient = (*ARGUMENTS[:5], "60", "3")
        result = switch(machine, *patient, routes={"@": "old 80 1 3"}, containers=BOTH, curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        assert taking(machine) == ["r:/new"]
        assert told(machine) == [
            "@1 add server r:/new 10.0.0.2:8080",
            "@1 set server r:/new state ready",
            "@1 set server r:/old state drain",
            "@1 set server r:/old state maint",
            "@1 del server r:/old",
        ]
        assert calls(machine, "stop") == ["stop -t 3 old"]
        assert "  server new 10.0.0.2:8080\n" in configuration(machine)

    def test_a_new_container_has_the_limit_of_the_one_before(self, machine: Machine) -> None:
        limit = "maxConnections=7"
        routes = {"@": f"old 80 1 3 {limit}"}
        result = switch(machine, *ARGUMENTS, limit, routes=routes, containers=BOTH, curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        assert told(machine)[0] == "@1 add server r:/new 10.0.0.2:8080 maxconn 7"

    def test_requests_that_take_longer_than_the_limit_are_cut(self, machine: Machine) -> None:
        (machine.root / "busy").write_text("1000000")
        result = switch(machine, *ARGUMENTS, routes={"@": "old 80 1 3"}, containers=BOTH, curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        for worker in (7, 8):
            assert f"@!{worker} shutdown sessions server r:/old" in told(machine)
        assert calls(machine, "stop") == ["stop -t 3 old"]

    def test_the_container_is_limited_and_started(self, machine: Machine) -> None:
        states = ("created 0 0 false 0", "running 0 0 false 4711 10.0.0.2")
        assert switch(machine, states=states, curl=HEALTHY).returncode == 0
        assert calls(machine, "update", "start") == [
            *("update slipway-proxy 4096", "update new 4096"),
            "start new",
        ]

    def test_only_containers_without_a_route_end(self, machine: Machine) -> None:
        routes = {"@a.test": "web-1 80 30 10", "@b.test": "old 80 30 10"}
        containers = "".join(
            f"{line}\n"
            for line in (
                *("web-1 web running 10.0.0.4", "old web running 10.0.0.3", "failed web exited"),
                *("killed web running 10.0.0.5", "new web running 10.0.0.2"),
            )
        )
        result = switch(machine, *ARGUMENTS, "b.test", routes=routes, containers=containers, curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        assert calls(machine, "stop", "rm") == [
            *("stop -t 3 failed", "rm -f failed", "stop -t 3 killed", "rm -f killed"),
            # The version before stays for its log. web-1 serves its name until another service takes it over.
            "stop -t 3 old",
        ]
        assert taking(machine) == ["r:a.test/web-1", "r:b.test/new"]

    def test_all_names_of_a_service_go_together(self, machine: Machine) -> None:
        words = (
            "shop.test",
            "*.shop.test",
            "path=/api/v1",
            "strip=yes",
            "canonical=shop.test",
            *("timeout=120", "maxConnections=7", "allow=10.0.0.0/8,10.1.0.1/32", "rate=9/10"),
        )
        assert switch(machine, *ARGUMENTS, *words, "maxBody=2", curl=HEALTHY).returncode == 0
        assert taking(machine) == ["r:_.shop.test:api:v1/new", "r:shop.test:api:v1/new"]
        text = configuration(machine)
        assert (
            "use_backend r:shop.test:api:v1 if { var(txn.host) -m str shop.test } { var(txn.path) -m beg /api/v1/ }"
            in text
        )
        assert text.count("http-request redirect code 308 location %[var(txn.scheme)]://shop.test") == 1
        assert text.count("http-request replace-path ^/api/v1/?(.*)$ /\\1") == 2
        assert text.count("timeout server 120s") == 2
        assert text.count("gt 2097152") == 2
        assert text.count("  default-server maxconn 7\n  timeout queue 120s\n") == 2
        refused = (
            'status 403 content-type text/plain string "This address has no access.\\n" hdr X-Refused network'
        )
        assert text.count(f"{refused} unless {{ var(txn.client) -m ip 10.0.0.0/8 10.1.0.1/32 }}\n") == 2
        assert text.count(" if { sc_http_req_rate(0) gt 9 }\n") == 2
        assert text.count("\nbackend rate:web\n") == 1
        (asked,) = [call for call in machine.calls("curl") if "http://10." in call]
        assert " -H Host: shop.test " in asked

    def test_longer_paths_and_whole_names_go_first(self, machine: Machine) -> None:
        keys = ("@", "@%api", "@*.a.test", "@a.test", "@a.test%api", "@a.test%api%v1")
        switch(machine, "--restore", routes=dict.fromkeys(keys, "old 80 30 10"), containers=BOTH)
        rules = [line.split()[1] for line in configuration(machine).splitlines() if " use_backend " in line]
        assert rules == ["r:a.test:api:v1", "r:a.test:api", "r:a.test", "r:_.a.test", "r::api", "r:"]


class TestRoutes:
    def test_lost_ones_come_back(self, machine: Machine) -> None:
        (machine.root / "process.json").write_text('{"mark": "", "servers": {}}')
        routes = {"@": "shop-1 80 30 10", "@a.test": "blog-1 80 30 10", "@b.test": "gone-1 80 30 10"}
        containers = "shop-1 shop running 10.0.0.3\nblog-1 blog running 10.0.0.4\n"
        result = switch(machine, "--restore", routes=routes, containers=containers)
        assert result.returncode == 0, result.stderr
        assert taking(machine) == ["r:/shop-1", "r:a.test/blog-1"]
        assert "  server gone-1 0.0.0.0:80 disabled\n" in configuration(machine)

    def test_a_restarted_container_has_another_address(self, machine: Machine) -> None:
        routes = {"@": "old 80 30 10"}
        switch(machine, "--restore", routes=routes, containers="old web exited\n")
        assert taking(machine) == []
        switch(machine, "--restore", containers="old web running 10.0.0.3\n")
        assert told(machine) == [
            "@1 set server r:/old addr 10.0.0.3 port 80",
            "@1 set server r:/old state ready",
        ]
        switch(machine, "--restore", containers="old web running 10.0.0.9\n")
        assert told(machine) == ["@1 set server r:/old addr 10.0.0.9 port 80"]
        assert "  server old 10.0.0.9:80\n" in configuration(machine)

    def test_before_the_machine_has_started_no_address_is_known(self, machine: Machine) -> None:
        switch(machine, "--cold", routes={"@": "old 80 30 10"}, containers=BOTH)
        assert "  server old 0.0.0.0:80 disabled\n" in configuration(machine)

    def test_a_stopped_container_is_started_by_restore(self, machine: Machine) -> None:
        result = switch(
            machine, "--restore", routes={"@": "shop-1 80 30 10"}, containers="shop-1 shop exited\n"
        )
        assert result.returncode == 0, result.stderr
        assert calls(machine) == ["start shop-1"]

    def test_those_of_former_names_go_with_their_containers(self, machine: Machine) -> None:
        routes = {"@": "shop-2 80 30 10", "@a.test": "shop-1 80 30 10"}
        containers = "shop-1 shop running 10.0.0.3\nshop-2 shop running 10.0.0.4\n"
        result = switch(
            machine, "--only", "@", "trusted=10.0.0.0/8,10.1.0.1/32", routes=routes, containers=containers
        )
        assert result.returncode == 0, result.stderr
        assert taking(machine) == ["r:/shop-2"]
        assert calls(machine) == ["stop -t 10 shop-1"]
        assert "acl trusted src 255.255.255.255 10.0.0.0/8 10.1.0.1/32\n" in configuration(machine)

    def test_a_request_pays_only_for_rules_that_a_setting_asks_for(self, machine: Machine) -> None:
        routes, containers = {"@a.test": "shop-1 80 30 10"}, "shop-1 shop running 10.0.0.3\n"
        asks = ("trusted", "txn.wildcard", "txn.path", "txn.port")
        only = ("--only", "@a.test", "@*.test", "@a.test%api")
        assert switch(machine, *only, routes=routes, containers=containers).returncode == 0
        assert not [word for word in asks if word in configuration(machine)]
        routes = {"@*.test": "shop-1 80 30 10 canonical=a.test", "@a.test%api": "shop-1 80 30 10"}
        asked = (*only, "trusted=10.0.0.0/8")
        assert switch(machine, *asked, routes=routes, containers=containers).returncode == 0
        assert not [word for word in asks if word not in configuration(machine)]

    def test_a_removed_service_leaves_them_to_the_one_that_took_them_over(self, machine: Machine) -> None:
        containers = "shop-1 shop running 10.0.0.3\nweb-1 web exited\n"
        routes = {"@a.test": "shop-1 80 30 10"}
        assert switch(machine, "--remove", "web", routes=routes, containers=containers).returncode == 0
        assert calls(machine) == ["stop -t 10 web-1"]
        assert taking(machine) == ["r:a.test/shop-1"]

    @pytest.mark.parametrize(
        ("proxy", "mended"),
        [("exited", "start"), ("created", "start"), ("paused", "unpause"), ("restarting", "restart")],
    )
    def test_a_proxy_that_does_not_run_is_started(self, machine: Machine, proxy: str, mended: str) -> None:
        result = switch(machine, "--restore", answers=False, proxy=proxy)
        assert result.returncode == 0, result.stderr
        assert calls(machine, "start", "unpause", "restart") == [f"{mended} slipway-proxy"]

    def test_a_proxy_that_was_removed_is_made_again_by_pulumi(self, machine: Machine) -> None:
        result = switch(machine, answers=False, proxy="")
        assert result.returncode == 6
        assert "has no proxy: the container slipway-proxy was removed" in result.stderr
        assert "`./slip up --refresh` makes it again" in result.stderr
        assert calls(machine) == []

    def test_a_service_can_be_removed_without_a_proxy(self, machine: Machine) -> None:
        result = switch(machine, "--remove", "web", answers=False, proxy="", containers="web-1 web running\n")
        assert result.returncode == 0, result.stderr
        assert calls(machine) == ["stop -t 10 web-1"]


class TestVisitors:
    ROUTES: ClassVar = {"@a.test": "web-1 80 30 10 auth=yes", "@": "blog-1 80 30 10"}
    CONTAINERS = "web-1 web running 10.0.0.3\nblog-1 blog running 10.0.0.4\n"

    def bring(self, machine: Machine) -> None:
        for path in ("visitors/web", "visitors/old", "proxy/errors/web.1.html", "proxy/errors/old.1.html"):
            file = machine.root / "etc/slipway" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("alice $2b$08$hash\n")

    def restore(self, machine: Machine, *arguments: str) -> str:
        words = arguments or ("--restore",)
        result = switch(machine, *words, routes=self.ROUTES, containers=self.CONTAINERS)
        assert result.returncode == 0, result.stderr
        return configuration(machine)

    def test_hashes_are_read_by_the_proxy_alone(self, machine: Machine) -> None:
        self.restore(machine)
        file = machine.root / "etc/slipway/proxy/haproxy.cfg"
        assert (file.stat().st_mode & 0o777, file.stat().st_gid) == (0o640, 99)
        self.bring(machine)
        assert "\nuserlist web\n  user alice password $2b$08$hash\n" in self.restore(
            machine, "--certificates"
        )
        assert (file.stat().st_mode & 0o777, file.stat().st_gid) == (0o640, 99)
        assert told(machine) == ["reload"]
        self.restore(machine, "--cold")
        assert (file.stat().st_mode & 0o777, file.stat().st_gid) == (0o640, 99)

    def test_without_hashes_the_list_is_there_and_empty(self, machine: Machine) -> None:
        text = self.restore(machine)
        assert text.endswith("\nuserlist web\n")
        assert "http_auth(web)" in text

    def test_a_route_whose_container_is_gone_lets_nobody_in(self, machine: Machine) -> None:
        result = switch(machine, "--restore", routes=self.ROUTES, containers="blog-1 blog running 10.0.0.4\n")
        assert result.returncode == 0, result.stderr
        assert "http_auth(nobody)" in configuration(machine)
        assert configuration(machine).endswith("\nuserlist nobody\n")

    def test_another_page_is_another_configuration(self, machine: Machine) -> None:
        self.bring(machine)
        text = self.restore(machine)
        for status in (502, 503, 504):
            assert (
                f'http-error status {status} content-type "text/html; charset=utf-8" file '
                "/usr/local/etc/haproxy/errors/web.1.html hdr Cache-Control no-store hdr Retry-After 10\n"
            ) in text
        assert "blog.1.html" not in text

    def test_files_of_services_that_have_none_any_more_go(self, machine: Machine) -> None:
        self.bring(machine)
        self.restore(machine, "--only", "@", "@a.test", "passwords=web,api", "pages=web")
        assert [file.name for file in (machine.root / "etc/slipway/visitors").iterdir()] == ["web"]
        assert [file.name for file in (machine.root / "etc/slipway/proxy/errors").iterdir()] == ["web.1.html"]
        self.restore(machine, "--only", "@", "@a.test")
        assert list((machine.root / "etc/slipway/visitors").iterdir()) == []
        assert list((machine.root / "etc/slipway/proxy/errors").iterdir()) == []


class TestMaintenance:
    ROUTES: ClassVar = {"@a.test": "web-1 80 30 10", "@a.test%api": "web-1 80 30 10", "@": "blog-1 80 30 10"}
    CONTAINERS = "web-1 web running 10.0.0.3\nblog-1 blog running 10.0.0.4\n"

    def switch(self, machine: Machine, *arguments: str, stdin: str = "") -> list[str]:
        """The rules of the configuration that stand in place of a service, with the backend of each."""
        result = switch(
            machine,
            *("--maintenance", *arguments),
            routes=self.ROUTES,
            containers=self.CONTAINERS,
            stdin=stdin,
        )
        assert result.returncode == 0, result.stderr
        return self.rules(machine)

    def rules(self, machine: Machine) -> list[str]:
        found, backend = [], ""
        for line in configuration(machine).splitlines():
            if line.startswith("backend "):
                backend = line.split()[1]
            if " status 503 " in line:
                found.append(f"{backend} {line.partition(' content-type ')[2]}")
        return found

    def pages(self, machine: Machine) -> list[Path]:
        return list((machine.root / "etc/slipway/proxy/pages").iterdir())

    def test_visitors_get_the_page_by_every_route_of_the_service(self, machine: Machine) -> None:
        rules = self.switch(machine, "web", "on", "10.1.0.0/16", "10.2.0.1/32", stdin="<p>Back soon\n")
        (page,) = self.pages(machine)
        assert page.read_text() == "<p>Back soon\n"
        assert (page.stat().st_mode & 0o777, page.name.partition(".")[2]) == (0o644, "web.html")
        rule = (
            f'"text/html; charset=utf-8" file /usr/local/etc/haproxy/pages/{page.name} hdr Retry-After 60 '
            "hdr Cache-Control no-store hdr X-Maintenance web unless { var(txn.client) -m ip 10.1.0.0/16 10.2.0.1/32 }"
        )
        assert rules == [f"r:a.test:api {rule}", f"r:a.test {rule}"] or rules == [
            f"r:a.test {rule}",
            f"r:a.test:api {rule}",
        ]
        assert told(machine) == ["reload"]

    def test_it_outlasts_a_roll_out_and_ends_when_it_is_told(self, machine: Machine) -> None:
        self.switch(machine, "web", "on", stdin="<p>Back soon\n")
        (first,) = self.pages(machine)
        containers = f"{self.CONTAINERS}new web running 10.0.0.2\n"
        result = switch(machine, *ARGUMENTS, "a.test", containers=containers, curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        assert any(rule.startswith("r:a.test ") for rule in self.rules(machine))
        self.switch(machine, "web", "on", stdin="<p>Tomorrow\n")
        assert self.pages(machine) != [first]
        assert self.switch(machine, "web", "off") == []
        assert (self.pages(machine), told(machine)) == ([], ["reload"])

    def test_a_lost_page_leaves_a_proxy_that_starts(self, machine: Machine) -> None:
        self.switch(machine, "web", "on", stdin="<p>Back soon\n")
        self.pages(machine)[0].unlink()
        assert switch(machine, "--restore", containers=self.CONTAINERS).returncode == 0
        assert all(" string " in rule for rule in self.rules(machine))

    def test_a_removed_service_leaves_none(self, machine: Machine) -> None:
        self.switch(machine, "web", "on", stdin="<p>Back soon\n")
        assert switch(machine, "--remove", "web", containers=self.CONTAINERS).returncode == 0
        assert (self.pages(machine), list((machine.root / "etc/slipway/maintenance").iterdir())) == ([], [])


class TestStopped:
    """A service that an operator has stopped runs nowhere until it is started again."""

    ROUTES: ClassVar = {"@a.test": "web-1 80 30 10", "@": "blog-1 80 30 10"}
    RUNS = "web-1 web running 10.0.0.3\nblog-1 blog running 10.0.0.4\n"
    ENDED = "web-1 web exited\nblog-1 blog running 10.0.0.4\n"

    def halt(self, machine: Machine) -> None:
        result = switch(machine, "--halt", "web", routes=self.ROUTES, containers=self.RUNS)
        assert result.returncode == 0, result.stderr

    def mark(self, machine: Machine) -> Path:
        return machine.root / "etc/slipway/stopped/web"

    def answers(self, machine: Machine) -> list[str]:
        """The backends with an answer in place of the service."""
        found, backend = [], ""
        for line in configuration(machine).splitlines():
            if line.startswith("backend "):
                backend = line.split()[1]
            if line.endswith(" hdr X-Stopped web"):
                found.append(backend)
        return found

    def test_its_containers_end_and_the_proxy_answers_in_its_place(self, machine: Machine) -> None:
        self.halt(machine)
        assert self.answers(machine) == ["r:a.test"]
        assert calls(machine) == ["stop -t 10 web-1"]
        # New requests get the answer before anything ends.
        assert told(machine)[0] == "reload"
        assert self.mark(machine).read_text().strip().isdecimal()

    def test_nothing_starts_it_but_an_operator(self, machine: Machine) -> None:
        self.halt(machine)
        assert switch(machine, "--may-start", "web-1", containers=self.ENDED).returncode == 1
        assert switch(machine, "--may-start", "blog-1", containers=self.ENDED).returncode == 0
        assert switch(machine, "--restore", containers=self.ENDED).returncode == 0
        assert calls(machine) == []
        # The engine has started it with the machine.
        assert switch(machine, "--restore", containers=self.RUNS).returncode == 0
        assert calls(machine) == ["stop -t 10 web-1"]

        assert switch(machine, "--resume", "web", containers=self.ENDED).returncode == 0
        assert calls(machine) == ["start web-1"]
        assert self.answers(machine) == []
        assert not self.mark(machine).exists()
        assert switch(machine, "--may-start", "web-1", containers=self.ENDED).returncode == 0

    def test_a_roll_out_leaves_it_stopped(self, machine: Machine) -> None:
        self.halt(machine)
        containers = f"new web created\n{self.ENDED}"
        result = switch(machine, *ARGUMENTS, "a.test", containers=containers)
        assert result.returncode == 0, result.stderr
        assert [call for call in calls(machine) if not call.startswith("update new ")] == []
        assert record(machine, "@a.test") == "new 8080 1 3\n"
        assert result.stdout.endswith(" is stopped, and stays so\n")
        assert self.answers(machine) == ["r:a.test"]
        assert taking(machine) == ["r:/blog-1"]

        resumed = switch(machine, "--resume", "web", containers=containers)
        assert resumed.returncode == 0, resumed.stderr
        assert calls(machine) == ["start new"]

    def test_a_service_without_a_proxy_stays_stopped_too(self, machine: Machine) -> None:
        services = machine.root / "etc/slipway/services"
        services.mkdir(parents=True)
        (services / "web").write_text("web-1 - 10 10\n")
        containers = "web-1 web running 10.0.0.3\n"
        assert switch(machine, "--halt", "web", containers=containers).returncode == 0
        assert calls(machine) == ["stop -t 10 web-1"]
        result = switch(
            machine,
            *("--start", "web", "new", "1", "3", "check=none"),
            containers="new web created\nweb-1 web exited\n",
        )
        assert result.returncode == 0, result.stderr
        assert [call for call in calls(machine) if not call.startswith("update new ")] == []
        assert (services / "web").read_text() == "new - 3 3\n"

    def test_a_removed_service_leaves_no_mark(self, machine: Machine) -> None:
        self.halt(machine)
        assert switch(machine, "--remove", "web", containers=self.ENDED).returncode == 0
        assert not self.mark(machine).exists()


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
