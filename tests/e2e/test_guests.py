"""Review environments on the hosts of another stack come and go, and the services there lose no request."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.test_reviews import Reviews
from tests.support import settings
from tests.support.clone import Clone
from tests.support.docker_command import docker
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack
from tests.support.waiting import TOOLS_LIMIT, eventually

HOST = "box"
REPOSITORIES = "/var/lib/slipway/registry/docker/registry/v2/repositories"
APP = "guest-app"
"""The folder in the clone with the app of the guests, whose image no other service has."""
SHOP = "shop.test"
PORT_OFFSET = 500
"""Apart from those of other stacks of these tests, as the numbers of the pull requests are, which name stacks."""
OVER = "2026-01-01T00:00:00Z hostsOf=e2e-host slot=2"
"""The record of a guest whose time is over."""
NAMED = r"""
find / -xdev -name "*$1*" -not -path '/proc/*' -not -path '/sys/*'
find /run /etc/slipway /var/lib/slipway /var/lib/docker/volumes -name "*$1*"
grep -rl --exclude-dir=blobs --exclude-dir=journal "$1" /etc/slipway /etc/systemd /run/slipway /var/lib/slipway
docker ps --all --format '{{.Names}} {{.Labels}}' | grep "$1"
docker images --format '{{.Repository}}' | grep "/$1/"
docker volume ls --format '{{.Name}} {{.Labels}}' | grep "$1"
docker network ls --format '{{.Name}} {{.Labels}}' | grep "$1"
true
"""
"""Prints what a host has with a word in its name, in its labels or in its text."""
REACH = "timeout 3 bash -c 'exec 3<>/dev/tcp/{}/8080' && echo reached"


def _service(greets: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = settings.one_host()["services"]["web"]
    return found | {"env": {"GREETING": greets}, "memory": 64} | more


@dataclass(frozen=True)
class Guests:
    """Review environments on the hosts of a stack."""

    production: Stack
    reviews: Reviews

    def greets(self, pull_request: int) -> str:
        """What an environment's web service answers to visitors who trust its own authority."""
        outputs = self.reviews.stack(pull_request).outputs()
        where = outputs["serviceEndpoints"][f"pr-{pull_request}-web"][0]
        return greeting(f"https://{where}/", f"pr-{pull_request}.app.test", outputs["servicesCaCertificate"])

    def container(self, service: str) -> str:
        """The name of the container of a service, of whichever stack."""
        (found,) = self.production.app_containers(HOST, service=service)
        return found

    def address(self, service: str) -> str:
        """Its first address, which is behind the proxy."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        return self.production.on_host(
            HOST, "docker", "inspect", self.container(service), "--format", form
        ).split()[0]

    def reaches(self, service: str, where: str) -> bool:
        """Whether a container of a service reaches another one."""
        line = f"docker exec {self.container(service)} {REACH.format(where)} || true"
        return "reached" in self.production.on_host(HOST, "bash", "-c", line)

    def left(self, pull_request: int) -> list[str]:
        """What is there of an environment: on the host, in its engine and registry, on this machine's disk."""
        name = f"pr-{pull_request}"
        on_host = self.production.on_host(HOST, "bash", "-c", NAMED, "-", name).splitlines()
        return [*on_host, *self.reviews.left(pull_request)]

    def unused_layers(self) -> set[str]:
        """The blobs on the registry's disk that no repository has."""
        line = f"cd {REPOSITORIES}/.. && find blobs -name data && find repositories -name link | xargs tail -c 80"
        words = self.production.on_host(HOST, "bash", "-c", line).split()
        found = {word.split("/")[-2] for word in words if word.startswith("blobs/")}
        linked = re.findall(r"sha256:([0-9a-f]{64})", " ".join(words))
        assert found & set(linked)
        return found - set(linked)


@pytest.fixture(scope="module")
def guests(clone: Clone) -> Iterator[Guests]:
    """A stack of one host that takes two guests, and a template for them."""
    production, reviews = Stack(clone, "e2e-host"), Reviews(clone)
    production.remove_traces()
    configuration = settings.one_host() | {
        "platform": {"kind": "local", "portOffset": PORT_OFFSET},
        "registry": {"retention": {"keep": 3, "days": 0}},
        "review": {"guests": 2},
        "services": {"web": _service("production"), "shop": _service("shop", domain=SHOP)},
    }
    production.write_config(configuration)
    try:
        production.up(seconds=TOOLS_LIMIT)
        yield Guests(production, reviews)
    finally:
        for number in reviews.listed():
            reviews.start("close", str(number)).wait()
        Stack(clone, "review").forget()
        production.forget()


def write_template(guests: Guests, greets: str) -> None:
    """A web service with a name, a volume, a secret and a network, and one beside it that has no name."""
    root = guests.production.clone.root
    shutil.copytree(root / "tests/e2e/fixtures/tiny", root / APP, dirs_exist_ok=True)
    (root / APP / "server.pl").open("a").write("# of guests\n")
    web = _service(greets, domain="app.test", networks=["back"], needs=["side"], volumes={"data": "/data"})
    web["build"] = {"context": APP}
    side = {"from": "web", "networks": ["back"], "health": {"tcp": 8080}, "memory": 64}
    Stack(guests.production.clone, "review").write_config(
        {"review": {"hostsOf": "e2e-host", "limit": 3}, "services": {"web": web, "side": side}}
    )


def kill_half_way(guests: Guests, pull_request: int) -> None:
    """Open an environment, and kill that once its first service has a container."""
    opening = guests.reviews.start("open", str(pull_request))
    side = f"pr-{pull_request}-side"
    eventually(
        "it has a container",
        lambda: bool(guests.production.app_containers(HOST, all_=True, service=side)),
        TOOLS_LIMIT,
    )
    opening.kill_everything()
    assert opening.wait().status != 0


def test_guests_come_and_go_while_the_stack_serves(guests: Guests) -> None:
    production, reviews = guests.production, guests.reviews
    write_template(guests, "review")
    (url,) = production.urls()
    with Load(url) as load:
        for opening in [reviews.start("open", str(number)) for number in (681, 682)]:
            result = opening.wait(TOOLS_LIMIT)
            assert result.status == 0, str(result)
        assert [guests.greets(number) for number in (681, 682)] == ["review", "review"]
        assert {row["hostsOf"] for row in reviews.listed().values()} == {"e2e-host"}
        assert (
            "have room for 2 review environments, which are there: 681, 682"
            in reviews.run("open", "683", status=3).output
        )

        # A guest reaches its own services by the names of the template, and nobody else's.
        assert guests.reaches("pr-681-web", "side")
        for other in ("web", "pr-682-web", "pr-682-side"):
            assert not guests.reaches("pr-681-web", guests.address(other)), other

        # Each stack's updates and timers leave the other ones alone.
        write_template(guests, "review 2")
        reviews.run("open", "681")
        shop = production.outputs()["serviceEndpoints"]["shop"][0]
        services = {
            "web": _service("production 2"),
            "shop": _service("shop", domains=[SHOP, "www.shop.test"]),
        }
        production.configure({"services": services})
        production.up()
        for line in ("host-images now", "retention now"):
            production.on_host(HOST, "bash", "-c", f"/usr/local/lib/slipway/{line}")
        assert [guests.greets(number) for number in (681, 682)] == ["review 2", "review"]
        assert greeting(f"https://{shop}/", SHOP, production.outputs()["servicesCaCertificate"]) == "shop"
        for stack in (production, reviews.stack(681)):
            checked = stack.slip("verify")
            assert checked.status == 0, str(checked)
            same = stack.slip("preview", "--", "--refresh", "--expect-no-changes")
            assert same.status == 0, str(same)
        refused = production.slip("down", "--yes")
        assert refused.status == 3
        assert "review environments are on the hosts of the stack 'e2e-host': 681, 682" in refused.output

        reviews.run("close", "681")
        assert guests.left(681) == []

        # One is killed half-way, and its state is lost.
        kill_half_way(guests, 683)
        reviews.stack(683).forget()
        for path in (production.clone.root / ".slipway/state/.pulumi/stacks/slipway").glob("pr-683*"):
            path.unlink()
        reviews.end(682, OVER)
        assert "`./slip review sweep` removes it" in str(reviews.listed()[683]["notes"])

        swept = reviews.run("sweep").output
        assert "of pull request 682" in swept
        assert "of pull request 683" in swept
        assert {number: left for number in (682, 683) if (left := guests.left(number))} == {}
        assert reviews.listed() == {}
        eventually("no layer of them is left", lambda: not guests.unused_layers(), 90)
    load.check()
    assert load.greetings[url] == {"production", "production 2"}


def test_a_guest_of_a_dead_host_goes_once_the_host_is_back(guests: Guests) -> None:
    reviews, host = guests.reviews, guests.production.container(HOST)
    write_template(guests, "review")
    kill_half_way(guests, 684)
    reviews.run("open", "684")
    assert guests.greets(684) == "review"
    # What ends all services of a host is for the stack whose host it is.
    down = reviews.stack(684).slip("down", "--yes")
    assert down.status == 0, str(down)
    assert greeting(guests.production.urls()[0]).startswith("production")
    assert not guests.production.app_containers(HOST, all_=True, service="pr-684-web")
    reviews.run("open", "684")
    reviews.end(684, OVER)
    eventually(f"{host} is paused", lambda: bool(docker("pause", host)))
    try:
        failed = reviews.run("sweep", status=1)
        assert "box does not answer" in failed.output
        assert 684 in reviews.listed()
    finally:
        docker("unpause", host)
    reviews.run("sweep")
    assert guests.left(684) == []
