"""Orders a certificate by ACME: `python -m components.acme.order`, as Pulumi's command plugin runs it.

The request comes on standard input, as JSON with the keys of `Request`. An `Answer` goes to standard output, as JSON;
the previous one is in the environment. If the authority refuses to renew a certificate, the previous one stays. If
there is none, this ends with status 1, and the reason is on standard error.
"""

import hashlib
import ipaddress
import json
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NotRequired, TypedDict, cast

import requests
from acme import challenges, client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from components.acme.thumbprint import thumbprint

PREVIOUS = "PULUMI_COMMAND_STDOUT"
"""The environment variable with the previous answer."""
PATIENCE = timedelta(minutes=10)
"""How long the authority may take to check the names, and to sign."""
NONCE_TRIES = 12
"""How often a request is sent whose nonce the authority does not take (RFC 8555, 6.5)."""
TIMEOUT = 10
"""Seconds in which a name has to answer this machine."""
USER_AGENT = "Slipway"


class Request(TypedDict):
    """What is ordered."""

    service: str
    directory: str
    directoryCa: str
    email: str
    eab: tuple[str, str] | None
    names: list[str]
    order: int
    accountKey: str
    key: str
    dns: NotRequired[bool]
    """Whether the names are proved by records in Route 53, and not by the hosts' answers."""


class Answer(TypedDict):
    """A certificate, and how it came."""

    ordered: str
    """What it was ordered by: an order that asks for nothing else is not sent again."""
    certificate: str
    """The chain, PEM."""
    renewAfter: str
    """When a third of its time is left, in RFC 3339."""
    problem: str
    """Why the authority gave no newer one; empty if it did."""


class Refused(Exception):
    """There is no certificate; the text is a sentence with the authority's own reason."""


class _Network(client.ClientNetwork):
    """Sends a request again whose nonce is not taken. The library does so once, and authorities may refuse it twice."""

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(NONCE_TRIES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


def main() -> int:
    """Order what standard input asks for. Returns the exit status."""
    request: Request = json.load(sys.stdin)
    try:
        answer = answer_to(request, _previous(os.environ.get(PREVIOUS, "")))
    except Refused as error:
        print(f"slipway: {request['service']} has no certificate: {error}", file=sys.stderr)
        print("slipway: what serves now is as before", file=sys.stderr)
        return 1
    json.dump(answer, sys.stdout)
    return 0


def answer_to(
    request: Request, previous: Answer | None, order: Callable[[Request], str] | None = None
) -> Answer:
    """The certificate that is asked for: the previous one if it was ordered so, or if there is no other.

    Args:
        request: what is asked for.
        previous: the answer before.
        order: gets a chain, PEM, from the authority.

    Raises:
        Refused: there is no other, and the previous one does not serve.
    """
    ordered = _identity(request)
    is_fit = previous is not None and _serves(previous["certificate"], request)
    if previous is not None and is_fit and previous["ordered"] == ordered:
        return {**previous, "problem": ""}
    try:
        chain = (order or _order)(request)
    except Refused as error:
        if previous is None or not is_fit:
            raise
        return {**previous, "problem": str(error)}
    return {"ordered": ordered, "certificate": chain, "renewAfter": renew_after(chain), "problem": ""}


def renew_after(chain: str) -> str:
    """When a third of a certificate's time is left, in RFC 3339."""
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return (begin + (end - begin) * 2 / 3).isoformat(timespec="seconds")


def _previous(text: str) -> Answer | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return (
        cast("Answer", found)
        if isinstance(found, dict) and found.keys() >= Answer.__annotations__.keys()
        else None
    )


def _identity(request: Request) -> str:
    parts = [request["directory"], sorted(request["names"]), request["order"], _public(_key(request["key"]))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _serves(chain: str, request: Request) -> bool:
    """Whether a certificate is still valid, and is for this key and all the names."""
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        leaf.not_valid_after_utc > datetime.now(UTC)
        and _public(leaf) == _public(_key(request["key"]))
        and {*request["names"]} <= {*names.get_values_for_type(x509.DNSName)}
    )


def _key(pem: str) -> ec.EllipticCurvePrivateKey:
    return cast("ec.EllipticCurvePrivateKey", serialization.load_pem_private_key(pem.encode(), None))


def _public(of: ec.EllipticCurvePrivateKey | x509.Certificate) -> str:
    return (
        of.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def _order(request: Request) -> str:
    """Get a certificate from the authority. Returns its chain, PEM."""
    account = JWKEC(key=_key(request["accountKey"]))
    if not request["directoryCa"] and not request.get("dns"):
        # A private authority may know names that this machine does not.
        answer = thumbprint(_public(_key(request["accountKey"])))
        if wrong := [text for name in request["names"] if (text := misled(name, answer))]:
            raise Refused("; ".join(wrong))
    url = request["directory"]
    network = _Network(account, alg=ES256, user_agent=USER_AGENT)
    with _trusting(network, request["directoryCa"]):
        try:
            acme = client.ClientV2(client.ClientV2.get_directory(url, network), network)
            _log_in(acme, account, request)
            return _certificate(acme, account, request)
        except (errors.Error, JoseError, requests.RequestException, KeyError) as error:
            raise Refused(reason(error, url)) from None


@contextmanager
def _trusting(network: client.ClientNetwork, certificates: str) -> Iterator[None]:
    if not certificates:
        yield
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(certificates)
        file.flush()
        network.verify_ssl = cast("bool", file.name)  # requests takes a file, too
        yield


def _log_in(acme: client.ClientV2, key: JWK, request: Request) -> None:
    """Register the account, or find it."""
    binding = None
    if request["eab"]:
        kid, hmac_key = request["eab"]
        public = key.public_key()
        binding = messages.ExternalAccountBinding.from_data(public, kid, hmac_key, acme.directory)
    elif acme.external_account_required():
        raise Refused(f"{request['directory']} wants an external account: set slipway:acme.eab")
    account = messages.NewRegistration.from_data(
        email=request["email"] or None, external_account_binding=binding, terms_of_service_agreed=True
    )
    try:
        acme.new_account(account)
    except errors.ConflictError as known:
        acme.net.account = messages.RegistrationResource(uri=known.location, body=messages.Registration())


def _certificate(acme: client.ClientV2, key: JWK, request: Request) -> str:
    order = acme.new_order(_signing_request(request))
    kind = challenges.DNS01 if request.get("dns") else challenges.HTTP01
    asked: list[messages.ChallengeBody] = []
    texts: dict[str, list[str]] = {}
    for authorization in order.authorizations:
        if authorization.body.status == messages.STATUS_VALID:
            continue
        name = authorization.body.identifier.value
        offered = [one for one in authorization.body.challenges if isinstance(one.chall, kind)]
        if not offered:
            what = "DNS-01" if request.get("dns") else "HTTP-01"
            raise Refused(f"{request['directory']} offers no {what} challenge for {name}")
        asked.append(offered[0])
        if isinstance(offered[0].chall, challenges.DNS01):
            # A wildcard and the name without it have the same record.
            record = offered[0].chall.validation_domain_name(name)
            texts.setdefault(record, []).append(offered[0].chall.validation(key))
    with _proved(texts):
        for challenge in asked:
            acme.answer_challenge(challenge, challenge.chall.response(key))
        # The library compares it with the local time.
        deadline = datetime.now() + PATIENCE  # noqa: DTZ005
        return str(acme.poll_and_finalize(order, deadline).fullchain_pem)


@contextmanager
def _proved(texts: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Have these records, by name, for as long as the block runs."""
    if not texts:
        yield
        return
    # Slow to import, and few orders need it.
    from components.acme import route53

    try:
        with route53.records(texts):
            yield
    except route53.Refused as error:
        raise Refused(str(error)) from None


def _signing_request(request: Request) -> bytes:
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in request["names"]])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=False)
        .sign(_key(request["key"]), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def reason(error: Exception, directory: str) -> str:
    """Why an order failed, in the authority's own words where it has some."""
    match error:
        case errors.ValidationError():
            found = [
                f"{authorization.body.identifier.value}: {_words(challenge.error)}"
                for authorization in error.failed_authzrs
                for challenge in authorization.body.challenges
                if challenge.error is not None
            ]
            return f"{directory} could not check the names: {'; '.join(found)}"
        case errors.IssuanceError():
            return f"{directory} did not sign: {_words(error.error)}"
        case messages.Error():
            return f"{directory} refused the order: {_words(error)}"
        case errors.TimeoutError():
            return f"{directory} was not done after {PATIENCE // timedelta(minutes=1)} minutes"
        case requests.exceptions.SSLError():
            return f"the certificate of {directory} is not trusted: set slipway:acme.ca to a file with its authority"
        case requests.ConnectionError() | requests.Timeout():
            return f"{directory} does not answer"
        case _:
            what = error.args[0] if error.args else type(error).__name__
            said = f"HTTP {what.status_code}" if isinstance(what, requests.Response) else what
            return f"{directory} gave no answer of ACME: {said}"


def _words(error: messages.Error) -> str:
    parts = [error.detail or error.title or error.description or error.typ]
    parts += [
        f"{sub.identifier.value}: {sub.detail}" if sub.identifier else f"{sub.detail}"
        for sub in error.subproblems or ()
    ]
    return f"{', '.join(map(str, parts))} ({error.code or error.typ})"


def misled(name: str, answer: str) -> str:
    """What is wrong with where a name leads, as a sentence; empty if nothing is, or if it cannot be told from here.

    An authority refuses more orders of an account that has had some fail, so what it would refuse is told before.
    """
    try:
        found = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno not in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}:
            return ""
        return f"{name} does not resolve: make a record for it that leads to the service's hosts"
    addresses = sorted({str(entry[4][0]) for entry in found})
    # Private addresses are another view of the name than the authority's.
    if not all(ipaddress.ip_address(address).is_global for address in addresses):
        return ""
    token = secrets.token_urlsafe(32)
    with requests.Session() as session:
        session.trust_env = False
        try:
            response = session.get(f"http://{name}/.well-known/acme-challenge/{token}", timeout=TIMEOUT)
        except requests.RequestException:
            return ""  # there may be no way from here
    if response.text.strip() == f"{token}.{answer}":
        return ""
    return (
        f"{name} leads to {', '.join(addresses)}, where another server answers (HTTP {response.status_code}): let it "
        "lead to the service's hosts"
    )


if __name__ == "__main__":
    sys.exit(main())
