"""A service with a domain is shown by its own page, not by whatever the address alone leads to."""

from typing import Any

import pytest

from cli.running.place import Place, places


@pytest.mark.parametrize(
    ("place", "url", "link"),
    [
        (
            Place("web", "web-1", "127.0.0.1:8081", "", True),
            "http://127.0.0.1:8081/",
            "http://127.0.0.1:8081/",
        ),
        (
            Place("web", "web-1", "127.0.0.1:8081", "shop.test", True),
            "http://shop.test:8081/",
            "curl --resolve shop.test:8081:127.0.0.1 http://shop.test:8081/",
        ),
        (
            Place("web", "web-1", "127.0.0.1:8081", "shop.localhost", True),
            "http://shop.localhost:8081/",
            "http://shop.localhost:8081/",
        ),
        (Place("web", "web-1", "203.0.113.7:80", "shop.test"), "http://shop.test/", "http://shop.test/"),
        (
            Place("web", "web-1", "127.0.0.1:8444", "shop.test", True, tls="own"),
            "https://shop.test:8444/",
            (
                "curl --cacert <(./slip output servicesCaCertificate -s dev)"
                " --resolve shop.test:8444:127.0.0.1 https://shop.test:8444/"
            ),
        ),
        (
            Place("web", "web-1", "203.0.113.7:443", "shop.test", tls="given"),
            "https://shop.test/",
            "https://shop.test/",
        ),
        (Place("web", "web-1", "203.0.113.7:80"), "http://203.0.113.7/", "http://203.0.113.7/"),
    ],
)
def test_a_link_shows_the_service(place: Place, url: str, link: str) -> None:
    assert (place.url, place.link(" -s dev")) == (url, link)


OUTPUTS: dict[str, Any] = {
    "platform": "aws",
    "serviceHosts": {"web": ["web-1", "web-2"]},
    "serviceDomains": {"web": "shop.test"},
}


def test_the_urls_by_a_domain_are_fewer_than_the_hosts() -> None:
    outputs = {
        **OUTPUTS,
        "serviceUrls": {"web": ["http://shop.test/"]},
        "serviceEndpoints": {"web": ["203.0.113.7:80", "203.0.113.8:80"]},
    }
    assert [(place.host, place.address, place.url) for place in places(outputs)] == [
        ("web-1", "203.0.113.7:80", "http://shop.test/"),
        ("web-2", "203.0.113.8:80", "http://shop.test/"),
    ]


def test_behind_edges_a_service_answers_there() -> None:
    hosts = {name: {"roles": ["app"]} for name in ("web-1", "web-2")}
    outputs = {
        **OUTPUTS,
        "hosts": hosts | {"edge": {"roles": ["edge"]}},
        "serviceUrls": {"web": ["https://shop.test/"]},
        "serviceEndpoints": {"web": ["203.0.113.9:443"]},
        "serviceTls": {"web": "own"},
    }
    assert [(place.host, place.address, place.tls) for place in places(outputs)] == [
        ("edge", "203.0.113.9:443", "own")
    ]


def test_an_older_stack_has_the_addresses_in_its_urls() -> None:
    outputs = {**OUTPUTS, "serviceUrls": {"web": ["http://203.0.113.7/", "http://203.0.113.8:8080/"]}}
    assert [place.address for place in places(outputs)] == ["203.0.113.7:80", "203.0.113.8:8080"]
    assert [place.host for place in places({"serviceUrls": {"web": ["http://h/"]}})] == [""]
