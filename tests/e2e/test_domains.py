"""Services pass their domains on, and a proxy that was killed gets its routes back; no request is lost."""

import base64
import http.client
import json
import socket
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import settings
from tests.support.authority import Authority
from tests.support.http_load import Load, connection_to, greeting
from tests.support.pebble import pebble
from tests.support.stack import Stack
from tests.support.waiting import ANSWER, eventually

CONFIGURATION = "/etc/slipway/proxy/haproxy.cfg"
"""The proxy's, on the host."""
HEALTH = "/up?probe=1&f[a]=1"
"""A path that curl would take for a pattern."""


def _service(greets: str, **settings_: Any) -> dict[str, Any]:
    service: dict[str, Any] = settings.one_host()["services"]["web"]
    # Names move between services by the same rules with HTTPS; `test_https…` have it.
    return service | {"env": {"GREETING": greets}, "tls": "off"} | settings_


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


def test_names_and_paths_lead_to_services(domains: Stack) -> None:
    url = _url(domains)
    blog = _service(
        "blog again",
        domains=["web.test", "www.test", "*.wild.test"],
        canonical="web.test",
        path="/blog",
        stripPath=True,
        maxBody=1,
    )
    _configure(domains, store=_service("store"), blog=blog)
    domains.up()
    # No one else has the other paths of the name.
    assert {greeting(url, "web.test"), _asked(url, "web.test", "/blogging")[2].split(",")[0]} == {"store"}
    forged = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Proto": "https", "X-Request-Id": "forged"}
    status, _, echo = _asked(url, "WEB.Test.:80", "/blog/echo?x=%2F", forged)
    lines = echo.lower().splitlines()
    assert (status, lines[0]) == (200, "get /echo?x=%2f http/1.1")
    assert {"x-forwarded-proto: http", "x-forwarded-prefix: /blog", "host: web.test.:80"} <= set(lines)
    assert [line for line in lines if line.startswith(("x-forwarded-for: ", "x-request-id: "))]
    assert "192.0.2.66" not in echo
    assert "forged" not in echo
    for name in ("www.test", "a.wild.test"):
        status, headers, _ = _asked(url, f"{name}:8480", "/blog/echo?x=1")
        assert (status, headers["Location"]) == (308, "http://web.test:8480/blog/echo?x=1")
    assert _asked(url, "a.b.wild.test", "/blog")[2].startswith("store")
    assert _asked(url, "web.test", "/blog/", {"Content-Length": str(1 << 21)})[0] == 413
    assert _asked(url, "web.test", "/blog/", {"Transfer-Encoding": "chunked"})[0] == 411
    assert _asked(url, "web.test", "/blog", {"Content-Length": "0"})[0] == 200


def test_maintenance_lasts_until_it_is_ended(domains: Stack, tmp_path: Path) -> None:
    url, page, outputs = _url(domains), tmp_path / "page.html", domains.outputs()
    page.write_text("<p>Back soon\n")
    names, path = outputs["serviceDomains"], outputs["serviceProbePaths"]["blog"]
    (other,) = outputs["serviceUrls"].keys() - {"blog"}
    with Load(url, domain=names.get(other, "")) as load:
        result = domains.slip("maintenance", "blog", "on", "--page", str(page))
        assert result.status == 0, str(result)
        assert _asked(url, names["blog"], path)[::2] == (503, "<p>Back soon\n")
    load.check()
    domains.on_host("box", "docker", "restart", "slipway-proxy")
    # Its line in the table, and nothing that fails.
    result = domains.slip("verify")
    assert (result.status, "under maintenance" in str(result)) == (0, True), str(result)
    domains.up("--expect-no-changes")
    assert _asked(url, names["blog"], path)[0] == 503
    result = domains.slip("maintenance", "blog", "off")
    assert result.status == 0, str(result)
    assert _asked(url, names["blog"], path)[0] == 200


def _asked(
    url: str, name: str, path: str, headers: dict[str, str] | None = None, authority: str = ""
) -> tuple[int, http.client.HTTPMessage, str]:
    connection = connection_to(url, name, authority)
    try:
        connection.putrequest("GET", path, skip_host=True)
        for key, value in {"Host": name, **(headers or {})}.items():
            connection.putheader(key, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


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


@pytest.fixture(scope="module")
def https(domains: Stack) -> Stack:
    """The same stack with HTTPS."""
    _with_https(domains, "store")
    domains.up()
    return domains


class TestHttps:
    """Names with HTTPS, on the same stack: first plain, so that it moves over."""

    def test_each_name_answers_by_its_own_certificate(self, https: Stack, tmp_path: Path) -> None:
        authority = _authority(https)
        (url,), (plain,) = https.urls("store"), https.urls("plain")
        assert https.outputs()["serviceUrls"]["store"][0] == url.replace("127.0.0.1", "store.test")
        assert greeting(url, "store.test", authority) == "store"
        assert greeting(url, "a.wild.test", authority) == "wild"
        assert greeting(plain) == "plain"
        status, headers, _ = _asked(plain, "www.test", "/a?b=%2F")
        assert (status, headers["Location"]) == (308, url.replace("127.0.0.1", "store.test") + "a?b=%2F")
        status, headers, echo = _asked(url, "store.test", "/echo", {"X-Forwarded-Proto": "http"}, authority)
        assert (status, headers["Strict-Transport-Security"]) == (200, "max-age=300")
        assert "x-forwarded-proto: https" in echo.lower().splitlines()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            greeting(url, "nobody.test", authority)
        (tmp_path / "ca.pem").write_text(authority)
        port = urlsplit(url).port
        curl = subprocess.run(
            [
                *("curl", "--silent", "--noproxy", "*", "--cacert", tmp_path / "ca.pem", "--http2"),
                *(
                    "--resolve",
                    f"store.test:{port}:127.0.0.1",
                    "--write-out",
                    "\n%{http_version} %{http_code}",
                ),
                f"https://store.test:{port}/",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=ANSWER,
        )
        assert curl.stdout.splitlines()[-1] == "2 200"

    def test_a_renewal_a_rotation_and_a_new_version_lose_no_request(self, https: Stack) -> None:
        authority = _authority(https)
        (url,) = https.urls("store")
        before = _served(url, "store.test")
        _with_https(https, "store again", {"validityHours": 500, "earlyRenewalHours": 100})
        with (
            Load(url, domain="store.test", authority=authority) as first,
            Load(url, domain="a.wild.test", authority=authority) as second,
        ):
            https.up()
            renewed = _served(url, "store.test")
            assert renewed != before
            assert greeting(url, "store.test", authority) == "store again"
            rotation = {"validityHours": 500, "earlyRenewalHours": 100, "servicesCaGeneration": 2}
            _with_https(https, "store again", rotation)
            https.up()
            # The clients trust the old authority only.
            assert _served(url, "store.test") != renewed
        first.check()
        second.check()
        both = _authority(https)
        with Load(url, domain="store.test", authority=both) as third:
            https.up()
        third.check()
        assert greeting(url, "store.test", _authority(https)) == "store again"
        assert both.startswith(_authority(https))
        with pytest.raises(ssl.SSLError):
            greeting(url, "store.test", authority)

    def test_a_certificate_from_elsewhere_is_exchanged(self, https: Stack) -> None:
        own = _authority(https)
        other = Authority()
        (url,) = https.urls("store")
        certificate, key = other.leaf("store.test", timedelta(days=90))
        (https.clone.root / "store.pem").write_text(certificate + other.pem)
        _with_https(
            https, "store again", domains=["store.test"], tls={"certificate": "store.pem", "key": "STORE_KEY"}
        )
        refused = https.slip("up", "--yes")
        assert "slipway:secrets.STORE_KEY is not set" in refused.output
        (https.clone.root / "store.key").write_text(key)
        https.clone.read("bash", "-c", f"./slip secret set --stack {https.name} STORE_KEY <store.key")
        with Load(url, domain="a.wild.test", authority=own) as load:
            https.up()
        load.check()
        assert greeting(url, "store.test", other.pem) == "store again"
        assert key.splitlines()[1] not in https.export()
        _with_https(https, "store again")
        https.up()
        assert greeting(url, "store.test", own) == "store again"

    def test_a_certificate_by_acme_is_renewed_without_a_lost_request(
        self, https: Stack, tmp_path: Path
    ) -> None:
        own = _authority(https)
        (url,) = https.urls("store")
        with https.configured(lambda _: None):
            with pebble(tmp_path, https.outputs()["hosts"]["box"]["httpPort"]) as authority:
                (https.clone.root / "acme-ca.pem").write_text(authority.ca)
                acme = {"directory": authority.directory, "ca": "acme-ca.pem"}
                auto: dict[str, Any] = {"domains": ["store.test", "www.test"], "tls": "auto"}
                _with_https(https, "store again", acme=acme, **auto)
                with Load(url, domain="a.wild.test", authority=own) as other:
                    https.up()
                other.check()
                issuer, first = authority.issuer(), _served(url, "store.test")
                assert greeting(url, "store.test", issuer) == "store again"
                assert _served(url, "www.test") == first
                https.up("--expect-no-changes")
                # An authority that refuses to renew it costs nothing; the next one that is asked does.
                _with_https(
                    https, "store again", acme=acme | {"directory": f"{authority.directory}/none"}, **auto
                )
                refused = https.up()
                assert "store keeps the certificate that it has" in refused.output
                assert _served(url, "store.test") == first
                _with_https(https, "store again", acme=acme, **auto)
                with Load(url, domain="store.test", authority=issuer) as load:
                    renewed = https.slip("renew", "--yes")
                    assert renewed.status == 0, str(renewed)
                    assert _served(url, "store.test") != first
                load.check()
                assert https.outputs()["acmeCertificates"]["store"]["problem"] == ""
            verified = https.slip("verify")
            assert (verified.status, "by Pebble" in verified.output) == (0, True), str(verified)
        (https.clone.root / "acme-ca.pem").unlink()
        https.up()
        assert greeting(url, "store.test", own) == "store again"
        assert "acme-thumbprint" not in https.on_host("box", "ls", "/etc/slipway/proxy")

    def test_a_password_comes_and_goes_without_a_lost_request(self, https: Stack) -> None:
        password, authority = "a long word for the shop", _authority(https)
        (url,) = https.urls("store")
        (https.clone.root / "sorry.html").write_text("<p>Sorry\n")
        (https.clone.root / "word").write_text(password)
        https.clone.read("bash", "-c", f"./slip secret set --stack {https.name} STORE_WORD <word")
        _with_https(https, "store again", auth={"alice": "STORE_WORD"}, errorPage="sorry.html")
        right = {"Authorization": f"Basic {base64.b64encode(f'alice:{password}'.encode()).decode()}"}
        with Load(url, domain="a.wild.test", authority=authority) as load:
            result = https.up()
        load.check()
        assert "asks for a password" in result.output
        assert _asked(url, "store.test", "/", authority=authority)[0] == 401
        assert _asked(url, "store.test", "/", {"Authorization": "Basic eDp5"}, authority)[0] == 401
        status, _, echo = _asked(url, "store.test", "/echo", right, authority)
        assert (status, "x-forwarded-user: alice" in echo.lower(), "authorization" in echo.lower()) == (
            200,
            True,
            False,
        )
        # Neither in the state nor on the host; and the configuration, which has its hash, is the proxy's alone.
        assert password not in https.export()
        assert https.on_host("box", "stat", "-c", "%a %u:%g", CONFIGURATION).split() == ["640", "0:99"]
        listed = https.on_host("box", "cat", CONFIGURATION, "/etc/slipway/visitors/store")
        assert ("alice $2b$08$" in listed, password in listed) == (True, False)
        https.up("--expect-no-changes")
        verified = https.slip("verify")
        assert (verified.status, "asks for a password" in verified.output) == (0, True), str(verified)
        (container,) = https.app_containers("box", service="store")
        # Else it would be started again.
        https.on_host("box", "systemctl", "stop", "slipway-keep")
        https.on_host("box", "docker", "kill", container)
        status, _, page = _asked(url, "store.test", "/", right, authority)
        assert (status, page) == (503, "<p>Sorry\n")
        https.on_host("box", "systemctl", "start", "slipway-keep")
        _with_https(https, "store again")
        https.up("--refresh")
        assert greeting(url, "store.test", authority) == "store again"
        left = https.on_host("box", "sh", "-c", "ls /etc/slipway/visitors /etc/slipway/proxy/errors")
        assert "store" not in left

    def test_the_log_and_the_metrics_say_what_was_answered(self, https: Stack) -> None:
        (url,) = https.urls("plain")
        assert _asked(url, "www.test", "/told")[0] == 308
        found = https.slip("logs", "proxy", "--status", "308", "--tail", "all")
        entries = [json.loads(line) for line in found.output.splitlines() if line.startswith("{")]
        assert {entry["status"] for entry in entries} == {308}
        assert "/told" in {entry["path"] for entry in entries}
        metrics = https.on_host("box", "curl", "--silent", "--fail", "http://127.0.0.1:9101/metrics")
        assert 'haproxy_frontend_http_responses_total{proxy="http",code="3xx"}' in metrics

    def test_a_lost_certificate_is_told_and_mended(self, https: Stack) -> None:
        file = "/etc/slipway/certificates/store.pem"
        assert https.on_host("box", "stat", "-c", "%a %U", file).split() == ["600", "root"]
        assert https.slip("verify").status == 0
        https.on_host("box", "rm", file, "/etc/slipway/proxy/certificates/store.pem")
        told = https.slip("verify")
        assert told.status == 1
        assert f"{file} is missing" in told.output
        https.on_host("box", "docker", "restart", "slipway-proxy")
        (url,) = https.urls("store")
        eventually("the other name", lambda: greeting(url, "a.wild.test", _authority(https)) == "wild")
        assert https.slip("repair").status == 0
        assert greeting(url, "store.test", _authority(https)) == "store again"
        after = https.slip("verify")
        assert after.status == 0, str(after)


def _with_https(
    stack: Stack,
    greets: str,
    certificates: dict[str, int] | None = None,
    acme: dict[str, str] | None = None,
    **more: Any,
) -> None:
    services = {
        "store": _service(
            greets, domains=["store.test", "www.test"], canonical="store.test", tls="own", hsts=300
        ),
        "wild": _service("wild", domains=["*.wild.test"], tls="own"),
        "plain": _service("plain"),
    }
    services["store"] |= more
    stack.configure(
        settings.one_host()
        | {"services": services, "proxy": {"metricsPort": 9101}}
        | ({"certificates": certificates} if certificates else {})
        | ({"acme": acme} if acme else {})
    )


def _authority(stack: Stack) -> str:
    return str(stack.outputs()["servicesCaCertificate"])


def _served(url: str, name: str) -> bytes:
    """The certificate that is served for a name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    with (
        socket.create_connection(address, ANSWER) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""
