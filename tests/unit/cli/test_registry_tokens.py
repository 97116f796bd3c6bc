"""Registries with tokens: the password goes to the token server that they name, over TLS, and the token to them."""

import http.server
import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.running.http import Response, tls_context
from cli.running.registry_tokens import token
from cli.running.stack import Failed, RunningStack
from cli.verify import registry as checks
from tests.support.authority import Authority
from tests.unit.cli.servers import PASSWORD, api_of, outputs, server_context, serving

DIGEST = "sha256:" + "0" * 64


class TokenRegistry:
    """A registry like Docker Hub: tokens for one repository each, which an account gets for its password."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []

    def __call__(self, request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        self.asked.append(request.path)
        parts, given = urlsplit(request.path), request.headers.get("Authorization", "")
        query = parse_qs(parts.query)
        if parts.path == "/token":
            if b64decode(given.removeprefix("Basic ")).decode() != f"alice:{PASSWORD}":
                return 401, "", {}
            assert query["service"] == ["the registry"]
            return 200, json.dumps({"token": f"for {query.get('scope', ['nothing'])[0]}"}), {}
        scope = "repository:team/web:pull" if "/team/web/" in parts.path else "nothing"
        if given != f"Bearer for {scope}":
            realm = f'Bearer realm="https://127.0.0.1:{self.port}/token",service="the registry"'
            more = f',scope="{scope}"' if scope != "nothing" else ""
            return 401, "", {"WWW-Authenticate": realm + more}
        if parts.path.endswith("/tags/list"):
            return 200, json.dumps({"tags": ["1", "2"]}), {}
        if "/manifests/" in parts.path and not parts.path.endswith(DIGEST):
            return 404, "{}", {}
        return 200, "{}", {}


@pytest.fixture
def registry(authority: Authority, tmp_path: Path) -> Iterator[TokenRegistry]:
    found = TokenRegistry()
    with serving(found, server_context(authority, tmp_path)) as port:
        found.port = port
        yield found


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("somebody else's")


def external(registry: TokenRegistry, authority: Authority, **more: object) -> RunningStack:
    mode = {"registryMode": "external", "registryPublicAddress": f"127.0.0.1:{registry.port}"}
    images = {"web": f"127.0.0.1:{registry.port}/team/web@{DIGEST}"}
    return RunningStack.of(outputs(authority, **mode, images=images, **more))


def test_verify_gets_in_with_a_token(registry: TokenRegistry, authority: Authority) -> None:
    running = external(registry, authority)
    assert checks.answers_with_account(running, "registry") == "HTTP 200"
    assert checks.refuses_without_account(running, "registry") == "HTTP 401"
    assert checks.has_image(running, "web").startswith("team/web@sha256:0000")


def test_an_image_that_is_not_there_fails(registry: TokenRegistry, authority: Authority) -> None:
    gone = RunningStack.of(
        {**external(registry, authority).outputs, "images": {"web": "r/team/web@sha256:1"}}
    )
    with pytest.raises(Failed, match="HTTP 404"):
        checks.has_image(gone, "web")


def test_a_wrong_password_fails(registry: TokenRegistry, authority: Authority) -> None:
    running = external(registry, authority, registryPasswords={"alice": "another"})
    with pytest.raises(Failed, match="HTTP 401"):
        checks.answers_with_account(running, "registry")


def test_a_token_is_asked_for_once_a_repository(registry: TokenRegistry, authority: Authority) -> None:
    api = api_of(registry.port, authority, mode="external")
    assert api.tags("team/web") == ["1", "2"]
    assert api.tags("team/web") == ["1", "2"]
    assert len([path for path in registry.asked if path.startswith("/token")]) == 1


@pytest.mark.parametrize(
    "challenge",
    ["", 'Basic realm="x"', 'Bearer realm="http://127.0.0.1:1/token"', 'Bearer realm="file:///etc/passwd"'],
)
def test_the_password_goes_nowhere_else(challenge: str) -> None:
    assert token(Response(401, "", {"www-authenticate": challenge}), ("alice", PASSWORD), tls_context()) == ""
