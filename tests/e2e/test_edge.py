"""An edge: what its proxy does with visitors, as the scripts render it, and a stack with one before two app hosts."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import METHODS, Clients
from tests.support.docker_command import docker, paused
from tests.support.either_address import EitherAddress
from tests.support.front_door import App, FrontDoor
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack
from tests.support.waiting import eventually

EDGE_ADDRESS = "127.0.0.3"
"""Where the edge's connections come from. Those of visitors come from 127.0.0.1."""
ADDRESSES = {"web-1": "192.0.2.1", "web-2": "192.0.2.2"}
"""Of the app hosts, for the configuration; on this machine their proxies have ports."""
SERVICES = {
    "web": "health=/up status=200-299 name=web.test timeout=65",
    "shop": "health=/shop/up status=200-299 name=web.test timeout=65",
    "down": "health=/up status=200-299 name=down.test timeout=65",
}
ROUTES = {"@web.test": "web", "@web.test%shop": "shop", "@down.test": "down"}
GONE = "gone"
"""A service that runs on no host, and has a page for that."""


class Edge(FrontDoor):
    """The proxy of an edge, before those of app hosts."""

    def __init__(self, root: Path, name: str, hosts: dict[str, FrontDoor]) -> None:
        super().__init__(root, name, {}, {})
        self._hosts = hosts
        lines = [f"host {host} {ADDRESSES[host]}" for host in hosts]
        lines += [
            f"service {service} hosts={','.join(hosts)} {options}" for service, options in SERVICES.items()
        ]
        lines += [
            f"service {GONE} hosts={','.join(hosts)} health=/up status=200-299 name=gone.test timeout=65"
        ]
        lines += [f"route {key} {service}" for key, service in {**ROUTES, "@gone.test": GONE}.items()]
        self.bring("/etc/slipway/edge", "\n".join(lines) + "\n")
        self.bring(f"/etc/slipway/proxy/errors/{GONE}.0123456789abcdef.html", "<p>gone is down\n")

    def rendered(self) -> str:
        text = super().rendered()
        for host, door in self._hosts.items():
            text = text.replace(f"{ADDRESSES[host]}:80", f"127.0.0.1:{door.port} source {EDGE_ADDRESS}")
        return text.replace("inter 2s fastinter 500ms downinter 1s", "inter 500ms")


@dataclass(frozen=True)
class Lab:
    """An edge before two app hosts with the same app."""

    edge: Edge
    hosts: dict[str, FrontDoor]
    app: App


@pytest.fixture(scope="module")
def lab(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    app = App()
    hosts = {}
    for host in ("web-1", "web-2"):
        routes = {key: (service, "") for key, service in ROUTES.items()}
        door = FrontDoor(
            tmp_path_factory.mktemp(host), f"slipway-test-{host}", routes, dict.fromkeys(SERVICES, app)
        )
        door.bring("/etc/slipway/proxy/edges", f"{EDGE_ADDRESS}\n")
        door.bring("/etc/slipway/maintenance/down", "none\n")
        hosts[host] = door
    edge = Edge(tmp_path_factory.mktemp("edge"), "slipway-test-edge", hosts)
    with hosts["web-1"], hosts["web-2"], edge:
        yield Lab(edge, hosts, app)


def test_the_app_hears_of_the_true_client_and_of_nobody_else(lab: Lab) -> None:
    forged = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Proto": "https", "X-Request-Id": "forged"}
    assert lab.edge.ask("/seen", "web.test", forged)[0] == 200
    (headers,) = [headers for _, path, headers, _ in lab.app.asked if path == "/seen"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == headers["host"] == "web.test"
    assert headers["x-request-id"] != "forged"


def test_an_app_host_believes_edges_only(lab: Lab) -> None:
    door = lab.hosts["web-1"]
    request = b"GET /direct HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n"
    assert door.said(request).startswith(b"HTTP/1.1 200")
    assert door.said(b"PROXY TCP4 192.0.2.66 192.0.2.1 1234 80\r\n" + request).startswith(b"HTTP/1.1 400")
    assert door.ask("/direct", "web.test", {"X-Forwarded-For": "192.0.2.66"})[0] == 200
    seen = [headers["x-forwarded-for"] for _, path, headers, _ in lab.app.asked if path == "/direct"]
    assert seen == ["127.0.0.1", "127.0.0.1"]


def test_the_edge_asks_for_health_by_the_name_of_the_service(lab: Lab) -> None:
    def asked() -> set[tuple[str, str, str]]:
        return {(method, path, headers["host"]) for method, path, headers, _ in lab.app.asked}

    eventually(
        "both services were asked",
        lambda: {("GET", "/up", "web.test"), ("GET", "/shop/up", "web.test")} <= asked(),
    )
    # An edge's own questions are in no log.
    assert not [line for line in lab.hosts["web-1"].log() if line.get("path") == "/up"]


def test_a_check_that_only_connects_is_in_no_log(lab: Lab) -> None:
    before = len(lab.edge.log())
    assert lab.edge.said(b"", patience=0.2) == b""
    assert lab.edge.said(b"no request\r\n\r\n").startswith(b"HTTP/1.1 400")
    eventually("the log has what is no request", lambda: len(lab.edge.log()) > before)
    assert len(lab.edge.log()) == before + 1


@pytest.mark.parametrize("is_silent", [False, True], ids=["killed", "silent"])
def test_of_two_edges_one_may_die_or_fall_silent(lab: Lab, tmp_path: Path, is_silent: bool) -> None:
    tmp_path.chmod(0o755)
    with Edge(tmp_path / "edge-2", "slipway-test-edge-2", lab.hosts) as second:
        urls = [f"http://127.0.0.1:{door.port}/two" for door in (lab.edge, second)]
        with EitherAddress("web.test", *urls) as clients, contextlib.ExitStack() as meanwhile:
            clients.go_on()
            if is_silent:
                meanwhile.enter_context(paused(second.name))
            else:
                docker("kill", second.name)
            eventually("clients take the other address", lambda: clients.moves > 0)
            clients.go_on()
    assert not clients.failures, f"{clients.failures[:5]} of {clients.requests}"


def test_maintenance_is_no_illness(lab: Lab) -> None:
    before = len(lab.app.asked)

    def is_asked_again() -> bool:
        return sum(path == "/up" for _, path, *_ in lab.app.asked[before:]) > 4

    eventually("the edge asks for health again and again", is_asked_again)
    status, headers, _ = lab.edge.ask("/", "down.test")
    assert (status, headers.get("x-maintenance")) == (503, "down")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_edge_says_with_the_page_of_the_service_that_no_host_is_well(lab: Lab, method: str) -> None:
    def asked() -> tuple[int, str]:
        return lab.edge.ask("/", "gone.test", method=method)[::2]

    eventually("the edge knows of it", lambda: asked() == (503, "<p>gone is down\n"))


def test_a_host_that_is_gone_costs_no_safe_request(lab: Lab) -> None:
    gone = lab.hosts["web-2"]
    gone.__exit__(None, None, None)
    found = [lab.edge.ask(f"/safe/{number}", "web.test")[0] for number in range(40)]
    assert set(found) == {200}
    # A request that reached no host can go to another one, whatever it does.
    assert {lab.edge.ask("/", "web.test", method="POST")[0] for _ in range(10)} == {200}


def test_a_dead_app_host_behind_an_edge_costs_no_request(stack: Stack) -> None:
    def with_an_edge(settings: dict[str, Any]) -> None:
        settings["hosts"]["edge"] = {"roles": ["edge"], "slot": 9}

    old, new = greeting(stack.urls()[0]), "Hello behind an edge"
    with stack.configured(with_an_edge):
        stack.up()
        (url,) = stack.urls()
        stack.clone.greet(new)
        with Load(url) as load:
            result = stack.up()
            assert not {"edge-backends", "web-1-routes"} & result.changes.keys(), str(result)
            eventually("visitors see the new version", lambda: greeting(url) == new)
            docker("kill", stack.container("web-1"))
            eventually("the edge knows of the dead host", lambda: _ill_on(stack) == ["web-1"])
            docker("start", stack.container("web-1"))
            eventually("the host is back", lambda: _ill_on(stack) == [])
        load.check()
        assert load.greetings == {url: {old, new}}
        with Clients(url, kinds=METHODS) as clients:
            with _without_packets(stack, "web-2"):
                eventually("the edge knows of the silent host", lambda: _ill_on(stack) == ["web-2"])
            eventually("the host is heard again", lambda: _ill_on(stack) == [])
        for client in clients.clients:
            # What the host was working on cannot be asked twice.
            assert len(client.failures) <= (client.kind.method == "POST"), clients.failures
    stack.up()
    assert {greeting(each) for each in stack.urls()} == {new}
    assert stack.slip("preview", "--refresh", "--expect-no-changes").status == 0


@pytest.mark.soak
def test_an_update_finishes_on_the_hosts_that_answer_and_no_visitor_notices(stack: Stack) -> None:
    def with_two_edges(settings: dict[str, Any]) -> None:
        settings["hosts"] |= {f"edge-{slot}": {"roles": ["edge"], "slot": slot} for slot in (8, 9)}

    new = "Hello from one edge"
    dead = ("edge-9", "web-1")
    with stack.configured(with_two_edges):
        stack.up()
        urls = stack.urls()
        with EitherAddress("localhost", *urls) as clients:
            clients.go_on()
            for host in dead:
                docker("kill", stack.container(host))
            eventually("clients take the other address", lambda: clients.moves > 0)
            eventually("the other edge knows of the dead host", lambda: _ill_on(stack, "edge-8") == ["web-1"])
            stack.clone.greet(new)
            looked, updated = stack.slip("preview"), stack.slip("up")
            for result in (looked, updated):
                assert result.status == 0, str(result)
                for host in dead:
                    assert f"{host} was left out, since it does not answer" in result.output, str(result)
                    assert f"./slip forget {host} -s {stack.name}" in result.output, str(result)
            assert not {*dead, "web-web-1", "edge-9-backends"} & updated.changes.keys(), str(updated)
            assert greeting(urls[0]) == new
            clients.go_on()
            # Each gets the address that the other one had.
            for host in dead:
                docker("start", stack.container(host))
            eventually(
                "both edges know where the host is now",
                lambda: all(_ill_on(stack, edge) == [] for edge in ("edge-8", "edge-9")),
            )
            whole = stack.up()
            assert "left out" not in whole.output, str(whole)
            assert {greeting(url) for url in urls} == {new}
        assert not clients.failures, f"{clients.failures[:5]} of {clients.requests}"
        assert stack.slip("preview", "--refresh", "--expect-no-changes").status == 0
    stack.up()


@contextlib.contextmanager
def _without_packets(stack: Stack, host: str) -> Iterator[None]:
    """A network that drops all packets between the edge and a host."""
    (edge, *_) = stack.on_host(host, "getent", "ahostsv4", "edge").split()
    rules = (("raw", "PREROUTING", "-s"), ("mangle", "POSTROUTING", "-d"))

    def each(verb: str) -> None:
        for table, chain, side in rules:
            stack.on_host(host, "iptables", "-w", "-t", table, verb, chain, side, edge, "-j", "DROP")

    each("-I")
    try:
        yield
    finally:
        each("-D")


def _ill_on(stack: Stack, edge: str = "edge") -> list[str]:
    """The hosts where an edge finds a service ill; a word of its own if the edge does not say it."""
    checks = json.loads(stack.slip("verify", "--json").output)["checks"]
    found = next(
        (one for one in checks if one["check"] == "reaches the hosts behind it" and edge in one["subject"]),
        None,
    )
    if found is None:
        return ["unknown"]
    if found["passed"]:
        return []
    ill = re.search(r"ill on (.*),", found["detail"])
    return ill[1].split(", ") if ill else ["unknown"]
