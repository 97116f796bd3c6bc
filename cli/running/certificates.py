"""How long the stack's certificates last: what `slip verify` says of each, and when it is too little.

Importing this takes a tenth of a second.
"""

import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from cli.verify.checks import Running

PATIENCE = 10
"""Seconds that a server may take to show its certificate."""


def read(pem: str) -> list[x509.Certificate]:
    """The certificates in a PEM text, in its order.

    Raises:
        ValueError: it has none.

    """
    return x509.load_pem_x509_certificates(pem.encode())


def shown(target: tuple[str, int], context: ssl.SSLContext) -> x509.Certificate:
    """The certificate that a server shows, whether it is to be trusted or not: one that has ended is told as such.

    Args:
        target: address and port.
        context: TLS, with the client's own certificate where the server asks for one.

    Raises:
        OSError: it shows none.

    """
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(target, timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=target[0]) as connection,
    ):
        certificate = connection.getpeercert(binary_form=True)
    if not certificate:
        raise ConnectionError("the server shows no certificate")
    return x509.load_der_x509_certificate(certificate)


def left(certificate: x509.Certificate) -> timedelta:
    """How long a certificate is still valid; negative once it has ended."""
    return certificate.not_valid_after_utc - datetime.now(UTC)


def told(certificate: x509.Certificate) -> str:
    """`364 days left, until 2027-11-21`."""
    return f"{_span(left(certificate))}, until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _span(time: timedelta) -> str:
    if time < timedelta():
        return f"ended {_number(-time)} ago"
    return f"{_number(time)} left"


def _number(time: timedelta) -> str:
    """Days, or hours where there are few: a certificate of hours is what somebody tries renewal with."""
    count, what = (
        (time.days, "day") if time >= timedelta(days=3) else (int(time / timedelta(hours=1)), "hour")
    )
    return f"{count} {what}{'' if count == 1 else 's'}"


def inspect(running: "Running", subject: str) -> str:
    """How long one of the stack's certificates lasts, in words.

    Args:
        running: the stack.
        subject: one of `subjects`.

    Raises:
        Failed: not long enough.
        OSError: its server does not show it.

    """
    from cli.verify.checks import Failed

    what, _, whose = subject.partition(" of ")
    remedy = "`./slip up` renews it within slipway:certificates.earlyRenewalHours of its end"
    note = ""
    if what.endswith("CA"):
        kind = what.removesuffix(" CA")
        certificate, *before = read(running.outputs[f"{kind}CaCertificate"])
        remedy = f"raise slipway:certificates.{kind}CaGeneration by one, and run `./slip up` twice"
        if before:
            note = (
                f"; takes over from the one before, which the next `./slip up` drops{_PEOPLE.get(kind, '')}"
            )
    elif what == "operator":
        (certificate, *_) = read(running.outputs["engineClientCertificate"])
    elif what == "account":
        (certificate, *_) = read(running.outputs["registryClientCertificates"][whose])
    else:
        certificate = _served(running, whose)
    if left(certificate) < running.least:
        raise Failed(f"{told(certificate)}; {remedy}")
    return told(certificate) + note


_PEOPLE = {"registry": ": people have to `./slip login` again before that"}


def subjects(running: "Running") -> list[str]:
    """The stack's certificates: its authorities', and those that its servers and their clients show."""
    engines = [f"engine of {host}" for host in running.hosts]
    # Someone else's authority and certificate are theirs to renew.
    ours = running.outputs.get("registryCaCertificate") and running.mode != "external"
    registry = ["registry CA", "registry"] if ours else []
    accounts = [f"account of {name}" for name in running.outputs.get("registryClientCertificates") or ()]
    return [*registry, *accounts, "engine CA", *engines, "operator"]


def _served(running: "Running", host: str) -> x509.Certificate:
    from cli.verify.checks import trusting

    if not host:
        return shown(running.registry, trusting(identity=running.identity))
    operator = (running.outputs["engineClientCertificate"], running.outputs["engineClientKey"])
    return shown(running.engine(host), trusting(identity=operator))
