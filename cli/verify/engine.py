"""The checks of `slip verify` on the hosts' Docker Engines: they pull, and they refuse foreign clients."""

import socket
import ssl
from typing import TYPE_CHECKING, Any

from cli.running.http import PATIENCE, Account, tls_context
from cli.running.stack import Failed, RunningStack, foreign_certificate
from cli.text import first_line, short_digest
from cli.verify.found import host_of

if TYPE_CHECKING:
    from docker import APIClient

MISSING_TAG = "slipway-verify-missing"
"""A tag that no image has."""


def pulls_by_digest(running: RunningStack, subject: str) -> str:
    """A host pulls a service's image by its digest, over TLS that it trusts. The subject is `service on host`."""
    service, host = subject.rpartition(" on ")[0], host_of(subject)
    reference = running.wanted(service)
    name, _, digest = reference.partition("@")
    if not digest.startswith("sha256:"):
        raise Failed(f"{reference} has no digest")
    with running.docker(host) as engine:
        lines = _pull(engine, name, digest, running.account_of(host))
    if problem := _problem(lines):
        raise Failed(problem)
    return short_digest(digest)


def misses_absent_image(running: RunningStack, host: str) -> str:
    """A host that pulls a missing tag gets "not found", not "unauthorized"."""
    services = running.pulled_by(host)
    if not services:
        raise Failed("the host runs no service, so there is no repository to pull from")
    repository = f"{running.outputs['registryAddress']}/{running.repository(services[0])}"
    with running.docker(host) as engine:
        lines = _pull(engine, repository, MISSING_TAG, running.account_of(host))
    problem = _problem(lines)
    if not problem:
        raise Failed(f"{repository}:{MISSING_TAG} was pulled")
    if "not found" not in problem and "manifest unknown" not in problem:
        raise Failed(problem)
    return first_line(problem)


def _pull(engine: "APIClient", name: str, tag: str, account: Account) -> list[dict[str, Any]]:
    """What the engine prints while it pulls; one line with an `error` if it refuses to start."""
    from docker.errors import APIError

    try:
        user, password = account
        credentials = {"username": user, "password": password}
        return list(engine.pull(name, tag=tag, auth_config=credentials, stream=True, decode=True))
    except APIError as error:
        return [{"error": str(error.explanation or error)}]


def _problem(lines: list[dict[str, Any]]) -> str:
    return next((str(line["error"]) for line in lines if line.get("error")), "")


def refuses_without_certificate(running: RunningStack, host: str) -> str:
    """The engine refuses a client without a certificate."""
    return _refusal(running, host, tls_context(running.outputs["engineCaCertificate"]))


def refuses_foreign_certificate(running: RunningStack, host: str) -> str:
    """The engine refuses a client whose certificate comes from another authority."""
    context = tls_context(running.outputs["engineCaCertificate"], foreign_certificate())
    return _refusal(running, host, context)


def _refusal(running: RunningStack, host: str, context: ssl.SSLContext) -> str:
    """How the engine refuses a client: it must present the right certificate, then end the connection.

    In TLS 1.3 a client's handshake ends before the server verifies the client's certificate, so the refusal comes in
    place of the first response. A connection that was never accepted proves nothing.
    """
    target = running.engine_target(host)
    with socket.create_connection(target, timeout=PATIENCE) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=target[0]) as connection:
                connection.sendall(b"GET /version HTTP/1.0\r\n\r\n")
                response = connection.recv(1024)
        except ssl.SSLCertVerificationError as error:
            raise Failed(f"the engine's own certificate is not trusted: {error.verify_message}") from error
        except ssl.SSLError as error:
            # Any other error, such as that of a server that speaks plain HTTP, refuses nothing.
            reason = first_line(error.reason or str(error))
            if "ALERT" in reason or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                return reason
            raise Failed(f"it does not speak TLS: {reason}") from error
        except (ConnectionResetError, BrokenPipeError) as error:
            return first_line(str(error))
    if response:
        raise Failed(f"it answered: {first_line(response.decode(errors='replace'))}")
    return "connection closed"
