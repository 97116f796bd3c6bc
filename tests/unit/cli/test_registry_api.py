"""The client of registries: pages, media types, header names, tokens, connections."""

import http.server
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cli.running.http import Response
from cli.running.registry_api import INDEX_TYPES, MANIFEST_TYPES, RegistryApi, RegistryEndpoint, next_page
from tests.support.authority import Authority
from tests.unit.cli.servers import PASSWORD, api_of, server_context, serving

CATALOGUE = "/v2/_catalog?n=100"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the stack's")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("", ""),
        ('</v2/_catalog?last=b&n=100>; rel="next"', "/v2/_catalog?last=b&n=100"),
        ("</v2/_catalog?last=b>; rel=next", "/v2/_catalog?last=b"),
        ('</v2/_catalog?last=b>;rel="next"', "/v2/_catalog?last=b"),
        ('</v2/_catalog?last=b> ; Rel = "Next"', "/v2/_catalog?last=b"),
        ('</v2/_catalog?last=b>; title="more"; rel="next"', "/v2/_catalog?last=b"),
        ('</v2/_catalog?last=b>; rel="next last"', "/v2/_catalog?last=b"),
        ('</v2/_catalog?first=a>; rel="prev", </v2/_catalog?last=b>; rel="next"', "/v2/_catalog?last=b"),
        ('</v2/_catalog?first=a>; rel="prev"', ""),
        ('</v2/_catalog?first=a>; rel="prev"; title="next"', ""),
        ("</v2/_catalog?last=b>", ""),
        ("nonsense", ""),
        # A proxy may have made an absolute URL of it; only the path counts.
        ('<https://elsewhere:5000/v2/_catalog?last=b>; rel="next"', "/v2/_catalog?last=b"),
        # Relative to the page that it came with (RFC 3986).
        ('<_catalog?last=b>; rel="next"', "/v2/_catalog?last=b"),
        ('<?last=b>; rel="next"', "/v2/_catalog?last=b"),
    ],
)
def test_the_next_page_is_read_as_rfc_8288_has_it(link: str, expected: str) -> None:
    assert next_page(link, CATALOGUE) == expected


@pytest.mark.parametrize("sent", ["Link", "link", "LINK", "lInK"])
def test_header_names_are_case_insensitive(sent: str, authority: Authority, tmp_path: Path) -> None:
    assert Response(200, "", {sent: "x"}).header("Link") == "x"
    assert Response(200, "", {sent: "x"}).header("Links") == ""

    def pages(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        if "last=" in request.path:
            return 200, '{"repositories": ["web"]}', {}
        return 200, '{"repositories": ["app"]}', {sent: '</v2/_catalog?last=app>; rel="next"'}

    with serving(pages, server_context(authority, tmp_path)) as port, api_of(port, authority) as api:
        assert list(api.repositories()) == ["app", "web"]


def test_a_digest_header_counts_whatever_its_case(authority: Authority, tmp_path: Path) -> None:
    def manifest(_: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        return 200, "{}", {"docker-content-digest": "sha256:told"}

    with serving(manifest, server_context(authority, tmp_path)) as port, api_of(port, authority) as api:
        assert api.manifest("web", "latest") == ("sha256:told", {})


def test_the_catalogue_is_read_no_further_than_needed(authority: Authority, tmp_path: Path) -> None:
    asked = []

    def pages(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        asked.append(request.path)
        number = len(asked)
        following = f'</v2/_catalog?last={number}>; rel="next"'
        return 200, json.dumps({"repositories": [f"app-{number}"]}), {"Link": following}

    with serving(pages, server_context(authority, tmp_path)) as port, api_of(port, authority) as api:
        assert "app-2" in api.repositories()
    assert len(asked) == 2


def test_manifests_are_asked_for_in_every_media_type(authority: Authority, tmp_path: Path) -> None:
    accepted = []

    def missing(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        accepted.append(request.headers["Accept"])
        return 404, "{}", {}

    with serving(missing, server_context(authority, tmp_path)) as port, api_of(port, authority) as api:
        assert api.manifest("web", "latest") is None
        assert api.blob("web", "sha256:0") == {}
    assert set(accepted[0].split(", ")) == INDEX_TYPES | MANIFEST_TYPES
    assert accepted[1] == "application/json"


def test_without_an_account_none_is_sent(authority: Authority, tmp_path: Path) -> None:
    sent = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        sent.append(request.headers["Authorization"])
        return 401, "", {"WWW-Authenticate": 'Bearer realm="https://127.0.0.1:1/token"'}

    with serving(answer, server_context(authority, tmp_path)) as port:
        endpoint = RegistryEndpoint(f"127.0.0.1:{port}", authority.pem, mode="external")
        with RegistryApi(endpoint) as api:
            assert api.ask("/v2/").status == 401
    assert sent == [None]


class ShortTokens:
    """A registry whose tokens are good for one request each."""

    def __init__(self) -> None:
        self.port = 0
        self.given = 0
        self.spent: set[str] = set()

    def __call__(self, request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        if request.path.startswith("/token"):
            self.given += 1
            return 200, json.dumps({"access_token": str(self.given)}), {}
        sent = request.headers.get("Authorization", "")
        if sent != f"Bearer {self.given}" or sent in self.spent:
            return 401, "", {"www-authenticate": f'Bearer realm="https://127.0.0.1:{self.port}/token"'}
        self.spent.add(sent)
        return 200, '{"tags": ["1"]}', {}


@pytest.fixture
def short_tokens(authority: Authority, tmp_path: Path) -> Iterator[ShortTokens]:
    registry = ShortTokens()
    with serving(registry, server_context(authority, tmp_path)) as port:
        registry.port = port
        yield registry


def test_a_token_that_has_expired_is_replaced(short_tokens: ShortTokens, authority: Authority) -> None:
    with api_of(short_tokens.port, authority, mode="external") as api:
        assert [api.tags("web") for _ in range(3)] == [["1"]] * 3
    assert short_tokens.given == 3


def test_the_stacks_own_registry_gets_no_token(short_tokens: ShortTokens, authority: Authority) -> None:
    with api_of(short_tokens.port, authority) as api:
        assert api.ask("/v2/").status == 401
    assert short_tokens.given == 0


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("[::1]:5000", ("::1", 5000)),
        ("example.org", ("example.org", 443)),
        ("docker.io", ("registry-1.docker.io", 443)),
    ],
)
def test_an_address_may_be_of_any_kind(address: str, expected: tuple[str, int]) -> None:
    assert RegistryEndpoint(address, "").target == expected


def test_the_mode_decides_which_certificates_the_client_trusts(authority: Authority) -> None:
    endpoint = RegistryEndpoint("yard:5000", authority.pem)
    assert replace(endpoint, mode="insecure").tls is None
    own, external = endpoint.tls, replace(endpoint, mode="external").tls
    assert own is not None
    assert external is not None
    assert len(own.get_ca_certs()) == 1
    assert own.verify_mode == external.verify_mode == ssl.CERT_REQUIRED
    assert own.check_hostname
    assert external.check_hostname


def test_secrets_are_not_in_the_endpoints_text(authority: Authority) -> None:
    text = repr(RegistryEndpoint("yard:5000", authority.pem, ("alice", PASSWORD), ("certificate", "the key")))
    assert PASSWORD not in text
    assert "the key" not in text
