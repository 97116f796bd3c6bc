"""The check of `slip verify` on HTTPS: each host answers by each name, with a certificate that lasts.

A subject is `name of service on host`.
"""

import ssl
from datetime import timedelta
from urllib.parse import urlsplit

from cryptography import x509

from cli.running import certificates
from cli.running.http import get, system_tls_context, tls_context, unverified_tls_context
from cli.running.place import REFUSALS, Place
from cli.running.stack import Failed, RunningStack
from cli.verify.found import Warned, host_of
from well_known import REFUSAL_HEADER

REDIRECT = 308
"""The status by which plain HTTP leads to HTTPS: method and body stay."""


def subjects(running: RunningStack) -> list[str]:
    """Every name that has HTTPS, on each host of its service."""
    urls = running.outputs.get("serviceUrls") or {}
    return [
        f"{name} of {service} on {host}"
        for service, host in running.doors
        # A service that no proxy asks has no URL, and no place.
        if urls.get(service) and running.place(service, host).tls
        for name in dict.fromkeys(urlsplit(str(url)).hostname for url in urls[service])
    ]


def answers(running: RunningStack, subject: str) -> str:
    """A host answers by a name over HTTPS: who signed the certificate, how long it lasts, and that HTTP leads there."""
    host = host_of(subject)
    written, _, rest = subject.partition(" of ")
    service = rest.partition(" on ")[0]
    place = running.place(service, host)
    # Any name that the wildcard stands for.
    name = written.replace("*", service)
    parts = urlsplit(f"//{place.address}")
    certificate = certificates.served((parts.hostname or "", parts.port or 443), None, name)
    issuer = _common_name(certificate.issuer)
    remedy = f"./slip up{running.option}   # makes or renews it"
    if place.tls == "given":
        remedy = f"name a renewed one in slipway:services.{service}.tls, then\n./slip up{running.option}"
    left = certificates.remaining(certificate)
    if left <= timedelta() or certificates.until_valid(certificate) > timedelta():
        raise Failed(f"its certificate by {issuer}: {certificates.validity(certificate)}", remedy)
    distrust = _distrust(running, place, name)
    if distrust and place.tls == "own":
        raise Failed(f"its certificate by {issuer}: {distrust}", f"./slip repair {host}{running.option}")
    needed = running.minimum_validity
    if place.tls == "acme":
        # An authority chooses for how long it signs. With a third of that left an update renews it.
        needed = min(needed, (certificate.not_valid_after_utc - certificate.not_valid_before_utc) / 6)
        remedy = _renewal(running, service) + remedy
    if left < needed:
        raise Failed(f"its certificate by {issuer}: {certificates.validity(certificate)}", remedy)
    url = f"https://{place.address}{place.probe}"
    response = get(url, unverified_tls_context(), host=name)
    status = response.status
    reports = running.reports_behind(service, host)
    maintained = any(service in report.maintained or service in report.stopped for report in reports)
    refused = response.header(REFUSAL_HEADER) in REFUSALS
    if not (maintained or refused or place.is_well(status) or status == REDIRECT):
        raise Failed(
            f"HTTP {status} on {place.probe}", f"./slip logs {service} --host {host}{running.option}"
        )
    _redirects(running, place, name)
    found = f"HTTP {status} by {issuer}, {certificates.validity(certificate)}, HTTP redirects"
    return Warned(f"{found}; this machine does not accept it: {distrust}") if distrust else found


def _renewal(running: RunningStack, service: str) -> str:
    """Why the last order did not renew a certificate, for a remedy."""
    problem = ((running.outputs.get("acmeCertificates") or {}).get(service) or {}).get("problem")
    return f"mend why it was not renewed: {problem}\n" if problem else ""


def _distrust(running: RunningStack, place: Place, name: str) -> str:
    """Why a client refuses the certificate; empty if it does not."""
    trusted = tls_context(running.services_authority) if place.tls == "own" else system_tls_context()
    try:
        get(f"https://{place.address}{place.probe}", trusted, host=name)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return ""


def _redirects(running: RunningStack, place: Place, name: str) -> None:
    port = running.outputs["hosts"][place.host].get("httpPort")
    address = place.address.rpartition(":")[0]
    response = get(f"http://{address}:{port}{place.probe}", host=name)
    # The proxy refuses clients before it looks at anything else.
    if response.header(REFUSAL_HEADER) in REFUSALS:
        return
    if response.status != REDIRECT or not response.header("Location").startswith("https://"):
        raise Failed(f"plain HTTP does not redirect: HTTP {response.status}", f"./slip up{running.option}")


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()
