"""Edges: what the program makes of them, what their proxies get, and what the app hosts behind them believe."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.components.machine import Machine
from tests.unit.components.test_switch import ARGUMENTS, HEALTHY, configuration, switch
from tests.unit.program import CONFIGURATION, Program, Secret, run

BUILD = {"context": "app", "base": {"context": "app/base"}}
SHOP = {"build": BUILD, "domains": ["shop.example.com", "www.example.com"], "canonical": "shop.example.com"}
HOSTS = CONFIGURATION["hosts"] | {"edge": {"roles": ["edge"], "slot": 9}}


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def program(services: dict[str, Any], **changes: Any) -> Program:
    return run(json.dumps({"services": services, "hosts": HOSTS, **changes}))


def plain(value: Any) -> str:
    return str(value.value if isinstance(value, Secret) else value)


class TestProgram:
    def test_visitors_come_to_the_edge_and_so_does_https(self) -> None:
        found = program({"shop": SHOP})
        assert found.outputs["serviceUrls"] == {
            "shop": ["https://shop.example.com:8452/", "https://www.example.com:8452/"]
        }
        assert found.outputs["serviceEndpoints"] == {"shop": ["127.0.0.1:8452"]}
        assert found.outputs["serviceHosts"] == {"shop": ["web-1", "web-2"]}
        assert found.outputs["hosts"]["edge"]["httpPort"] == 8089
        assert "private key" in plain(found.named("edge-certificates", "Command").inputs["stdin"])
        assert found.named("edge.https", "Container").inputs["ports"][0]["external"] == 8452
        for host in ("web-1", "web-2"):
            assert not [name for name in found.resources if name.endswith(f"::{host}-certificates")]
            assert not [name for name in found.resources if name.endswith(f"::{host}.https")]
            switch = plain(found.named(f"shop-{host}-switch").inputs["create"])
            assert " https=" not in switch
            assert plain(found.named(f"{host}-routes").inputs["create"]).endswith(" edges=edge")

    def test_the_edge_is_told_of_hosts_services_and_routes(self) -> None:
        api = {"build": BUILD, "domain": "shop.example.com", "path": "/api", "stripPath": True}
        api |= {"health": "/ready", "timeout": 10, "maxConnections": 5, "hosts": ["web-2"], "hsts": 60}
        told = plain(program({"shop": SHOP, "api": api}).named("edge-backends").inputs["stdin"])
        for line in (
            "host web-1 web-1",
            (
                "service shop hosts=web-1,web-2 health=/up status=200-299 name=shop.example.com timeout=65 "
                "canonical=shop.example.com https=8452"
            ),
            (
                "service api hosts=web-2 health=/api/ready status=200-299 name=shop.example.com timeout=25 "
                "https=8452 hsts=60"
            ),
            "route @shop.example.com shop",
            "route @www.example.com shop",
            "route @shop.example.com%api api",
            "CERTIFICATES=shop,api",
        ):
            assert f"{line}\n" in told

    def test_the_edge_waits_until_all_hosts_know_it(self) -> None:
        found = program({"web": {"build": BUILD}})
        waits = found.named("edge-backends").request.dependencies
        assert {urn.rpartition("::")[2] for urn in waits} >= {"web-1-routes", "web-2-routes"}
        # Its proxy comes after theirs, so that a new version of it reaches one host after another.
        assert any(
            urn.endswith("::web-2-proxy-container")
            for urn in found.named("edge-proxy-container").request.dependencies
        )

    def test_the_edge_has_the_pages_of_all_services(self) -> None:
        found = program(
            {"shop": SHOP | {"errorPage": "app/Dockerfile", "hosts": ["web-1"]}, "web": {"build": BUILD}}
        )
        brought = plain(found.named("edge-visitors").inputs["stdin"])
        (page,) = re.findall(r"^PAGES='shop (\S+)$", brought, re.MULTILINE)
        assert base64.b64decode(page).decode() == Path("app/Dockerfile").read_text()
        assert "PAGES=shop\n" in plain(found.named("edge-backends").inputs["stdin"])
        assert any(
            urn.endswith("::edge-visitors") for urn in found.named("edge-backends").request.dependencies
        )
        assert not [name for name in found.resources if name.endswith("::web-2-visitors")]

    def test_a_cdn_reaches_the_edge_only(self) -> None:
        found = program({"web": {"build": BUILD}}, proxy={"trustedProxies": ["192.0.2.0/24"]})
        assert "TRUSTED=192.0.2.0/24\n" in plain(found.named("edge-backends").inputs["stdin"])
        assert "trusted=" not in plain(found.named("web-1-routes").inputs["create"])

    def test_a_stack_without_an_edge_knows_nothing_of_it(self) -> None:
        found = run(json.dumps({"services": {"web": {"build": BUILD}}}))
        assert found.named("web-1-routes").inputs["create"].endswith("/switch --only @")
        assert not [name for name in found.resources if "edge" in name]


LINES = """host web-1 10.83.0.7
host web-2 web-2.internal
service web hosts=web-1,web-2 health=/up status=200-299 name=web.test timeout=65 https=443 hsts=30
service api hosts=web-2 health=/it's status=200-499 name=web.test timeout=25
route @web.test web
route @web.test%api api
"""


class TestConfiguration:
    @pytest.fixture
    def machine(self, tmp_path: Path) -> Machine:
        found = Machine(tmp_path)
        found.command("systemctl")
        found.command("getent", 'case "$2" in edge) echo "172.18.0.9 STREAM edge" ;; *) exit 2 ;; esac')
        return found

    def edge(self, machine: Machine, lines: str = LINES) -> str:
        (machine.root / "etc/slipway").mkdir(parents=True, exist_ok=True)
        (machine.root / "etc/slipway/edge").write_text(lines)
        result = switch(machine, "--only", "trusted=192.0.2.0/24")
        assert result.returncode == 0, result.stderr
        return configuration(machine)

    def test_a_backend_for_each_service_has_a_server_on_each_host(self, machine: Machine) -> None:
        text = self.edge(machine)
        assert (
            "  use_backend e:api if { var(txn.host) -m str web.test } { var(txn.path) -m beg /api/ } "
            "{ var(txn.repeatable) -m bool }\n"
            "  use_backend o:api if { var(txn.host) -m str web.test } { var(txn.path) -m beg /api/ }\n"
            "  use_backend e:web if { var(txn.host) -m str web.test } { var(txn.repeatable) -m bool }\n"
            "  use_backend o:web if { var(txn.host) -m str web.test }\n"
        ) in text
        web, once, api, _ = re.split("\nbackend [eo]:", text)[1:]
        assert "http-check send meth GET uri '/up' ver HTTP/1.1 hdr Host web.test\n" in web
        assert "http-check expect status 200-299\n" in web
        assert "option redispatch 1\n" in web
        assert "    server web-1 10.83.0.7:80 tcp-ut 5s\n" in web
        assert "redirect code 308 location https://%[var(txn.host)]%[pathq] unless" in web
        assert "max-age=30" in web
        assert "send-proxy-v2" in web
        assert r"uri '/it'\''s' ver" in api
        # A host that is gone is known sooner by requests that can go to another one.
        assert "tcp-ut" not in once
        assert "  option http-server-close\n" in once
        assert "    server web-1 10.83.0.7:80 track e:web/web-1\n" in once
        assert "max-age=30" in once
        assert "httpchk" not in once
        assert "web-1" not in api
        assert "redirect" not in api

    def test_a_host_whose_name_is_unknown_gets_nothing_until_it_is_known(self, machine: Machine) -> None:
        assert "    server web-2 0.0.0.0:80 tcp-ut 5s disabled\n" in self.edge(machine)
        machine.command("getent", 'echo "172.18.0.4 STREAM web-2.internal"')
        assert "    server web-2 172.18.0.4:80 tcp-ut 5s\n" in self.edge(machine)
        machine.command("getent", "exit 2")
        assert "    server web-2 172.18.0.4:80 tcp-ut 5s\n" in self.edge(machine), "the last address counts"

    def test_the_hosts_are_a_part_of_its_mark(self, machine: Machine) -> None:
        def mark(text: str) -> str:
            return text.partition("description ")[2].partition("\n")[0]

        assert mark(self.edge(machine)) != mark(self.edge(machine, LINES.replace("10.83.0.7", "10.83.0.8")))

    def test_a_service_without_a_name_gets_the_rest(self, machine: Machine) -> None:
        service = "service web hosts=web-1 health=/up status=200-299 name=web timeout=65"
        lines = f"host web-1 10.83.0.7\n{service}\nroute @ web\n"
        assert (
            "  use_backend e:web if { var(txn.repeatable) -m bool }\n"
            "  use_backend o:web\n"
            "  default_backend nobody\n"
        ) in self.edge(machine, lines)

    def test_its_own_errors_have_the_page_of_the_service(self, machine: Machine) -> None:
        folder = machine.root / "etc/slipway/proxy/errors"
        folder.mkdir(parents=True)
        for service in ("web", "gone"):
            (folder / f"{service}.1.html").write_text("<p>down\n")
        (machine.root / "etc/slipway/edge").write_text(LINES)
        assert switch(machine, "--only", "pages=web").returncode == 0
        text = configuration(machine)
        assert [file.name for file in folder.iterdir()] == ["web.1.html"]
        page = 'http-error status 503 content-type "text/html; charset=utf-8" file '
        assert text.count(f"{page}/usr/local/etc/haproxy/errors/web.1.html hdr Cache-Control") == 2

    def test_it_leaves_the_client_to_the_app_host(self, machine: Machine) -> None:
        text = self.edge(machine)
        assert "add-header X-Forwarded-For" not in text
        assert "acl trusted src 255.255.255.255 192.0.2.0/24\n" in text
        assert "expect-proxy" not in text

    def test_a_start_of_the_machine_leaves_its_addresses(self, machine: Machine) -> None:
        before = self.edge(machine)
        assert switch(machine, "--cold").returncode == 0
        assert configuration(machine) == before

    def test_an_app_host_believes_its_edges_only(self, machine: Machine) -> None:
        assert switch(machine, curl=HEALTHY).returncode == 0
        assert "fc_rcvd_proxy" not in configuration(machine)
        assert switch(machine, "--only", "@", "edges=edge,10.0.0.8").returncode == 0
        text = configuration(machine)
        known = "{ src 255.255.255.255 172.18.0.9 10.0.0.8 }"
        assert (
            f"  tcp-request connection expect-proxy layer4 if {known}\n  acl trusted fc_rcvd_proxy\n" in text
        )
        assert (
            f"  http-after-response set-status 200 if {known} {{ res.hdr(X-Maintenance) -m found }}\n" in text
        )
        assert "add-header X-Forwarded-For %[src]\n" in text
        assert switch(machine, "--only", "@").returncode == 0
        assert "expect-proxy" not in configuration(machine)

    def test_a_host_that_runs_services_is_an_edge_no_more(self, machine: Machine) -> None:
        self.edge(machine)
        result = switch(machine, *ARGUMENTS, curl=HEALTHY)
        assert result.returncode == 0, result.stderr
        assert "backend e:" not in configuration(machine)
        assert "  server new 10.0.0.2:8080\n" in configuration(machine)
