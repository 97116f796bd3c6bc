"""`./slip verify` runs the checks of the official guides, and its exit status says whether all pass."""

import http.client
import json
import re
import ssl
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from tests.support.authority import Authority
from tests.support.stack import Stack
from tests.support.tls import tls_context
from tests.support.waiting import ANSWER


def _verify(stack: Stack, status: int) -> dict[str, Any]:
    result = stack.slip("verify", "--json")
    assert result.status == status, str(result)
    report: dict[str, Any] = json.loads(result.output)
    return report


def test_every_check_passes_on_a_running_stack(stack: Stack) -> None:
    report = _verify(stack, 0)
    assert report["passed"]
    checks = {(check["check"], check["subject"]) for check in report["checks"] if check["passed"]}
    assert len(checks) == len(report["checks"])
    for title, number in {
        "/v2/ with CA and account": 1,
        "/v2/ without the CA": 1,
        "/v2/ without account": 1,
        "the catalogue lists": 1,
        "pulls by digest": 3,
        "a missing image": 3,
        "engine refuses no certificate": 3,
        "engine refuses a foreign CA": 3,
        "answers its health path": 2,
    }.items():
        assert sum(name.startswith(title) for name, _ in checks) == number, (title, checks)


def _ping(stack: Stack, host: str, identity: tuple[str, str] | None) -> int | None:
    """The status that a host's engine answers a client with this certificate and key; None if it refuses the client."""
    outputs = stack.outputs()
    address = urlsplit(outputs["engineEndpoints"][host]).netloc
    context = tls_context(outputs["engineCaCertificate"], identity)
    connection = http.client.HTTPSConnection(address, context=context, timeout=ANSWER)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status
    except (ssl.SSLError, ConnectionError):
        return None
    finally:
        connection.close()


def test_no_other_identity_is_let_in_at_an_engine(stack: Stack) -> None:
    outputs = stack.outputs()
    operator = outputs["engineClientCertificate"], outputs["engineClientKey"]
    # Else a refusal would prove nothing.
    assert _ping(stack, "web-1", operator) == http.client.OK

    def on_host(host: str, certificate: str, key: str) -> tuple[str, str]:
        return stack.on_host(host, "cat", certificate), stack.on_host(host, "cat", key)

    def engines_own(host: str) -> tuple[str, str]:
        return on_host(host, "/etc/docker/tls/cert.pem", "/etc/docker/tls/key.pem")

    # One file has certificate and key.
    registry = "/etc/slipway/registry-proxy/tls.pem"
    expired = Authority("another").leaf(lasts=-timedelta(hours=1))
    identities = {
        "none": None,
        "another authority's": Authority("another").leaf(),
        "an authority's of the same name": Authority("Slipway").leaf(),
        "another authority's, and expired": expired,
        # From the right authority, but for servers.
        "this engine's": engines_own("web-1"),
        "another engine's": engines_own("web-2"),
        "the registry's": on_host("yard", registry, registry),
    }
    assert {name: _ping(stack, "web-1", identity) for name, identity in identities.items()} == dict.fromkeys(
        identities
    )


def test_table_has_a_line_for_each_check(stack: Stack) -> None:
    result = stack.slip("verify")
    assert result.status == 0, str(result)
    assert len(re.findall(r"\bok\b", result.output)) >= 18, str(result)
    assert "FAILED" not in result.output


def test_a_stopped_app_fails_its_check_and_the_command(stack: Stack) -> None:
    (container,) = stack.app_containers("web-2")
    stack.on_host("web-2", "systemctl", "stop", "slipway-keep")
    stack.on_host("web-2", "docker", "stop", container)
    report = _verify(stack, 1)
    assert not report["passed"]
    failed = {(check["check"], check["subject"]) for check in report["checks"] if not check["passed"]}
    assert failed == {
        ("the container runs", "web on web-2"),
        ("serves what is wanted", "web on web-2"),
        ("answers its health path", "web on web-2"),
        # The service that would start it again was stopped, too.
        ("the host is as it was set up", "web-2"),
    }
    stack.up("--refresh")
    assert _verify(stack, 0)["passed"]
