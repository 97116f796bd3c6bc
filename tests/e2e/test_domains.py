"""Services pass their domains on, and a proxy that was killed gets its routes back; no request is lost."""

from typing import Any

import pytest

from tests.support import settings
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack

CONFIGURATION = "/etc/slipway/proxy/haproxy.cfg"
"""The proxy's, on the host."""
HEALTH = "/up?probe=1&f[a]=1"
"""A path that curl would take for a pattern."""


def _service(greets: str, **settings_: Any) -> dict[str, Any]:
    service: dict[str, Any] = settings.one_host()["services"]["web"]
    return service | {"env": {"GREETING": greets}} | settings_


@pytest.fixture(scope="module")
def domains(one_host: Stack) -> Stack:
    """Two services with a domain each, of which each answers only for its own name, and one only its own path."""
    web = {"GREETING": "web", "NAME": "web.test"}
    blog = {"GREETING": "blog", "NAME": "blog.test", "HEALTHY_PATH": HEALTH}
    _configure(
        one_host,
        web=_service("web", domain="web.test", env=web),
        blog=_service("blog", domain="blog.test", health=HEALTH, env=blog),
    )
    one_host.up()
    return one_host


def _configure(stack: Stack, **services: dict[str, Any]) -> None:
    stack.configure(settings.one_host() | {"services": services})


def _url(stack: Stack) -> str:
    (url,) = stack.urls("blog")
    return url


def test_two_services_swap_their_domains(domains: Stack) -> None:
    url = _url(domains)
    assert (greeting(url, "web.test"), greeting(url, "blog.test")) == ("web", "blog")
    _configure(
        domains,
        web=_service("web", domain="blog.test"),
        blog=_service("blog", domain="web.test"),
    )
    with Load(url, domain="web.test") as first, Load(url, domain="blog.test") as second:
        domains.up()
        assert (greeting(url, "web.test"), greeting(url, "blog.test")) == ("blog", "web")
    first.check()
    second.check()
    for service in ("web", "blog"):
        assert len(domains.app_containers("box", all_=True, service=service)) == 1


def test_a_renamed_service_takes_the_domain_over(domains: Stack) -> None:
    url = _url(domains)
    _configure(
        domains,
        shop=_service("shop", domain="blog.test"),
        blog=_service("blog", domain="web.test"),
    )
    with Load(url, domain="blog.test") as load:
        domains.up()
        assert greeting(url, "blog.test") == "shop"
    load.check()
    assert domains.app_containers("box", all_=True, service="web") == []


def test_a_service_gives_its_domain_back_for_none(domains: Stack) -> None:
    url = _url(domains)
    _configure(domains, shop=_service("shop"), blog=_service("blog", domain="web.test"))
    with Load(url, domain="blog.test") as load:
        domains.up()
    load.check()
    assert {greeting(url, "blog.test"), greeting(url, "any.test"), greeting(url)} == {"shop"}
    assert "blog.test" not in domains.on_host("box", "cat", CONFIGURATION)


def test_a_renamed_service_without_a_domain_takes_all_other_requests_over(domains: Stack) -> None:
    url = _url(domains)
    _configure(domains, store=_service("store"), blog=_service("blog", domain="web.test"))
    with Load(url) as load:
        domains.up()
        assert greeting(url) == "store"
    load.check()
    assert greeting(url, "web.test") == "blog"


def test_the_next_switch_brings_back_a_killed_proxy_that_lost_its_routes(domains: Stack) -> None:
    url = _url(domains)
    domains.on_host("box", "sh", "-c", f"docker kill slipway-proxy && echo broken >{CONFIGURATION}")
    _configure(domains, store=_service("store"), blog=_service("blog again", domain="web.test"))
    domains.up()
    assert (greeting(url), greeting(url, "web.test")) == ("store", "blog again")


def test_a_container_ends_in_order(domains: Stack) -> None:
    events = domains.on_host(
        "box",
        "docker",
        "events",
        "--since",
        "0",
        "--until",
        "0s",
        *("--filter", "label=slipway.service=blog", "--filter", "event=die", "--filter", "event=kill"),
        *("--format", "{{.Action}} {{.Actor.Attributes.signal}} {{.Actor.Attributes.exitCode}}"),
    ).splitlines()
    assert "kill 15 <no value>" in events
    assert "kill 9 <no value>" not in events


def test_a_container_has_a_limit_of_processes_of_its_own(domains: Stack) -> None:
    (container,) = domains.app_containers("box", service="blog")
    limit = domains.on_host("box", "docker", "inspect", "--format", "{{.HostConfig.PidsLimit}}", container)
    assert limit.strip() == "4096"
