"""Orders of certificates by ACME, at a Pebble that makes mistakes on purpose."""

import base64
import io
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC

from components.acme import order
from components.acme.thumbprint import thumbprint
from tests.support.authority import Authority
from tests.support.pebble import BLOCKED, EAB, Pebble, pebble, responder

ROOT = Path(__file__).parents[3]
LIMIT = 120
"""Seconds; Pebble and the library wait for each other a second at a time."""


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _public(key: ec.EllipticCurvePrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


ACCOUNT, KEY = _key(), _key()


def request(at: Pebble, *names: str, number: int = 1, **changes: Any) -> order.Request:
    asked: order.Request = {
        "service": "shop",
        "directory": at.directory,
        "directoryCa": at.ca,
        "email": "",
        "eab": None,
        "names": list(names),
        "order": number,
        "accountKey": _private(ACCOUNT),
        "key": _private(KEY),
    }
    return {**asked, **changes}  # type: ignore[typeddict-item]


def run(asked: order.Request, previous: str = "") -> subprocess.CompletedProcess[str]:
    """Run it in this process, which has read its libraries, and without their waits of a second."""
    output, errors = io.StringIO(), io.StringIO()
    sleep = time.sleep
    hurried = mock.patch("acme.client.time", SimpleNamespace(sleep=lambda seconds: sleep(min(seconds, 0.05))))
    with (
        mock.patch("sys.stdin", io.StringIO(json.dumps(asked))),
        mock.patch.dict(os.environ, {order.PREVIOUS: previous} if previous else {}),
        redirect_stdout(output),
        redirect_stderr(errors),
        hurried,
    ):
        status = order.main()
    return subprocess.CompletedProcess([], status, output.getvalue(), errors.getvalue())


def run_program(asked: order.Request, previous: str = "") -> subprocess.CompletedProcess[str]:
    """Run it as the command plugin does."""
    return subprocess.run(
        [sys.executable, "-m", "components.acme.order"],
        cwd=ROOT,
        env={**os.environ, **({order.PREVIOUS: previous} if previous else {})},
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


@pytest.fixture(scope="module")
def host() -> Iterator[int]:
    with responder(thumbprint(_public(ACCOUNT))) as port:
        yield port


@pytest.fixture(scope="module")
def authority(host: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """An authority that refuses two nonces of five."""
    with pebble(
        tmp_path_factory.mktemp("pebble"), host, variables={"PEBBLE_WFE_NONCEREJECT": "40"}
    ) as running:
        yield running


@pytest.fixture(scope="module")
def first(authority: Pebble) -> str:
    """The answer to the first order, by an account that the authority does not know yet."""
    done = run_program(request(authority, "shop.test", "www.test"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def leaf(answer: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(json.loads(answer)["certificate"].encode())[0]


def test_the_thumbprint_is_the_one_of_the_library() -> None:
    found = base64.urlsafe_b64decode(f"{thumbprint(_public(ACCOUNT))}=")
    assert found == JWKEC(key=ACCOUNT).thumbprint()


def test_one_certificate_has_all_names_although_nonces_are_refused(first: str) -> None:
    certificate = leaf(first)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(names.get_values_for_type(x509.DNSName)) == ["shop.test", "www.test"]
    assert certificate.public_key() == KEY.public_key()
    answer = json.loads(first)
    assert answer["certificate"].count("BEGIN CERTIFICATE") == 2
    assert answer["problem"] == ""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert answer["renewAfter"] == (begin + (end - begin) * 2 / 3).isoformat(timespec="seconds")
    assert "PRIVATE KEY" not in first


def test_another_order_renews_and_the_same_does_not(authority: Pebble, first: str) -> None:
    same = run(request(authority, "www.test", "shop.test", email="ops@example.com"), first)
    assert json.loads(same.stdout) == json.loads(first)
    renewed = run(request(authority, "shop.test", "www.test", number=2), first)
    assert leaf(renewed.stdout).serial_number != leaf(first).serial_number


def test_a_refused_renewal_keeps_the_certificate_and_says_why(authority: Pebble, first: str) -> None:
    answer = json.loads(first)
    refused = run(request(authority, "shop.test", number=2, directory=f"{authority.directory}/none"), first)
    kept = json.loads(refused.stdout)
    assert (refused.returncode, kept["certificate"]) == (0, answer["certificate"])
    assert kept["problem"] == f"{authority.directory}/none gave no answer of ACME: HTTP 404"
    # The next update asks again, and gets one.
    again = run(request(authority, "shop.test", number=3), refused.stdout)
    assert json.loads(again.stdout)["problem"] == ""
    assert leaf(again.stdout).serial_number != leaf(first).serial_number


def test_a_new_name_that_is_refused_fails_with_the_reason(authority: Pebble, first: str) -> None:
    refused = run_program(request(authority, "shop.test", BLOCKED), first)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("slipway: shop has no certificate: ")
    assert "refused the order: Order included an identifier" in refused.stderr
    assert "(rejectedIdentifier)" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_host_that_answers_otherwise_is_told_in_the_authoritys_words(
    tmp_path: Path,
) -> None:
    with responder("another") as port, pebble(tmp_path, port) as running:
        refused = run(request(running, "shop.test"))
    assert refused.returncode == 1
    assert f"{running.directory} could not check the names: shop.test: " in refused.stderr
    assert "(unauthorized)" in refused.stderr


def test_an_external_account_is_bound(host: int, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "externalAccountBindingRequired": True,
        "externalAccountMACKeys": {EAB[0]: EAB[1]},
    }
    with pebble(tmp_path, host, **settings) as running:
        missing = run(request(running, "shop.test"))
        wrong = run(request(running, "shop.test", eab=["kid-2", EAB[1]]))
        right = run(request(running, "shop.test", eab=list(EAB)))
    assert "wants an external account: set slipway:acme.eab" in missing.stderr
    assert "refused the order" in wrong.stderr
    assert EAB[1] not in wrong.stderr
    assert right.returncode == 0, right.stderr


def test_an_authority_that_is_not_trusted_or_not_there_is_told(authority: Pebble) -> None:
    asked = request(authority, "localhost", directoryCa="")
    assert "is not trusted: set slipway:acme.ca" in run(asked).stderr
    gone = request(authority, "shop.test", directory="https://127.0.0.1:1/dir")
    assert "https://127.0.0.1:1/dir does not answer" in run(gone).stderr


def test_a_name_that_does_not_resolve_is_told_before_anything_is_ordered(authority: Pebble) -> None:
    done = run(request(authority, "no-such-name.invalid", directoryCa=""))
    assert "no-such-name.invalid does not resolve: make a record" in done.stderr


@contextmanager
def rate_limited(folder: Path) -> Iterator[Pebble]:
    """An authority that has signed enough for this account."""
    own = Authority("acme")
    certificate, key = own.leaf("127.0.0.1")
    (folder / "both.pem").write_text(certificate + key)

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: dict[str, str], kind: str = "application/json") -> None:
            text = b"" if self.command == "HEAD" else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Replay-Nonce", base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("="))
            self.send_header("Location", f"{url}/account/1")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_HEAD(self) -> None:
            self.answer(200, {})

        def do_GET(self) -> None:
            self.answer(200, {what: f"{url}/{what}" for what in ("newNonce", "newAccount", "newOrder")})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/newAccount":
                return self.answer(201, {"status": "valid"})
            problem = {
                "type": "urn:ietf:params:acme:error:rateLimited",
                "detail": "too many certificates (5)",
            }
            return self.answer(429, problem, "application/problem+json")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"https://127.0.0.1:{server.server_port}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "both.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield Pebble(f"{url}/dir", own.pem, url)
        finally:
            server.shutdown()


def test_a_rate_limit_leaves_the_certificate_and_is_told(tmp_path: Path) -> None:
    at = "{url} refused the order: too many certificates (5) (rateLimited)"
    # Somebody else's signature under it does for this.
    certificate, key = Authority().leaf("shop.test")
    with rate_limited(tmp_path) as running:
        said = at.format(url=running.directory)
        first = run(request(running, "shop.test", key=key))
        previous = {"ordered": "1", "certificate": certificate, "renewAfter": "", "problem": ""}
        renewal = run(request(running, "shop.test", key=key), json.dumps(previous))
        other = run(request(running, "shop.test"), json.dumps(previous))
    assert first.returncode == 1
    assert first.stderr.splitlines() == [
        f"slipway: shop has no certificate: {said}",
        "slipway: what serves now is as before",
    ]
    assert json.loads(renewal.stdout) == previous | {"problem": said}
    # It is the certificate of another key.
    assert (other.returncode, other.stdout) == (1, "")
