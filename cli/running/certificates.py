"""How long the stack's certificates are valid: what `slip verify` prints for each, and when one fails.

Importing this takes a tenth of a second.
"""

import socket
import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509

from cli.running.http import PATIENCE, ClientCertificate, tls_context
from cli.running.stack import Failed, RunningStack


def read(pem: str) -> list[x509.Certificate]:
    """The certificates in a PEM text, in its order.

    Raises:
        ValueError: it has none.

    """
    return x509.load_pem_x509_certificates(pem.encode())


def served(
    target: tuple[str, int], certificate: ClientCertificate | None, name: str = ""
) -> x509.Certificate:
    """The certificate that a server presents, valid or not: an expired one is to be reported, too.

    Args:
        target: address and port.
        certificate: the client's own certificate, where the server asks for one.
        name: the name that the client comes by; by default the address.

    Raises:
        OSError: the server presents none.

    """
    context = tls_context(certificate=certificate)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(target, timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=name or target[0]) as connection,
    ):
        found = connection.getpeercert(binary_form=True)
    if not found:
        raise ConnectionError("the server presents no certificate")
    return x509.load_der_x509_certificate(found)


def remaining(certificate: x509.Certificate) -> timedelta:
    """How long a certificate is still valid; negative for an expired one."""
    return certificate.not_valid_after_utc - datetime.now(UTC)


def until_valid(certificate: x509.Certificate) -> timedelta:
    """How long it takes until a certificate is valid; negative for one whose validity has begun."""
    return certificate.not_valid_before_utc - datetime.now(UTC)


def validity(certificate: x509.Certificate) -> str:
    """`364 days left, until 2027-11-21 10:00 UTC`."""
    if until_valid(certificate) > timedelta():
        begin = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return f"not yet valid: it begins in {_number(until_valid(certificate))}, {begin}"
    return f"{_span(remaining(certificate))}, until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _span(time: timedelta) -> str:
    if time < timedelta():
        return f"expired {_number(-time)} ago"
    return f"{_number(time)} left"


def _number(time: timedelta) -> str:
    """Days, or hours below three days: certificates of some hours are for trying out the renewal."""
    count, what = (
        (time.days, "day") if time >= timedelta(days=3) else (int(time / timedelta(hours=1)), "hour")
    )
    return f"{count} {what}{'' if count == 1 else 's'}"


def inspect(running: RunningStack, subject: str) -> str:
    """How long one of the stack's certificates is valid, in words.

    Args:
        running: the stack.
        subject: one of `subjects`.

    Raises:
        Failed: it is not valid yet, or not as long as `running.minimum_validity`.
        OSError: its server does not present it.

    """
    what, _, whose = subject.partition(" of ")
    remedy = f"./slip up{running.option}   # renews it in the last slipway:certificates.earlyRenewalHours"
    note = ""
    if what.endswith("CA"):
        kind = what.removesuffix(" CA")
        certificate, *previous = read(running.outputs[f"{kind}CaCertificate"])
        remedy = (
            f"raise slipway:certificates.{kind}CaGeneration by one, then twice:\n./slip up{running.option}"
        )
        if previous:
            note = f"; replaces the previous CA, which the next `./slip up` drops{_BEFORE_DROP.get(kind, '')}"
    elif what == "operator":
        (certificate, *_) = read(running.operator_certificate[0])
    elif what == "account":
        (certificate, *_) = read(running.outputs["registryClientCertificates"][whose])
    elif what == "engine":
        certificate = served(running.engine_target(whose), running.operator_certificate)
    else:
        certificate = served(running.registry_endpoint.target, running.client_certificate)
    if until_valid(certificate) > timedelta() or remaining(certificate) <= timedelta():
        raise Failed(validity(certificate), f"./slip up{running.option}   # makes it anew")
    if remaining(certificate) < running.minimum_validity:
        raise Failed(validity(certificate), remedy)
    return validity(certificate) + note


_BEFORE_DROP = {
    "registry": ": people have to `./slip login` again before that",
    "services": ": `./slip trust` on each machine has to come before that",
}


def subjects(running: RunningStack) -> list[str]:
    """The stack's certificates: those of its authorities, its servers and its clients."""
    engines = [f"engine of {host}" for host in running.hosts]
    # The owner of an external registry renews its authority and certificate.
    is_own = running.outputs.get("registryCaCertificate") and running.registry_mode != "external"
    registry = ["registry CA", "registry"] if is_own else []
    accounts = [f"account of {name}" for name in running.outputs.get("registryClientCertificates") or ()]
    services = ["services CA"] if running.services_authority else []
    return [*registry, *accounts, *services, "engine CA", *engines, "operator"]
