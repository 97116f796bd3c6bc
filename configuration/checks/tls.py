"""Checks of HTTPS: what a service asks for fits its names, and a certificate from elsewhere can be served."""

import itertools
from collections.abc import Iterator

from configuration.base import STAND_IN
from configuration.checks.context import Check, Checks
from configuration.files import UnfitFile, read_text
from configuration.problems import UNSHOWN, Location, Problem, path_of, suggestion, words
from configuration.tls import CertificateFiles


def names(checks: Checks) -> Iterator[Problem]:
    """HTTPS has a name to vouch for, and a name has HTTPS for all of its paths, or for none."""
    settings = checks.settings
    known = [name for name in settings.services if checks.is_valid("services", name)]
    for name in known:
        service = settings.services[name]
        has_https = settings.has_https(name) if checks.is_valid("platform") else service.tls != "off"
        if service.tls not in (None, "off") and not service.names:
            yield Problem(
                ("services", name, "tls"),
                "the service has no name, which is what a certificate vouches for",
                f"Set {path_of(('services', name, 'domains'))}, or leave out tls.",
                service.tls if isinstance(service.tls, str) else UNSHOWN,
            )
        if service.hsts is not None and not has_https:
            yield Problem(
                ("services", name, "hsts"),
                "the service has no HTTPS",
                f"Set {path_of(('services', name, 'tls'))}, or leave out hsts.",
                service.hsts,
            )
    if not checks.is_valid("platform"):
        return
    for first, second in itertools.combinations(known, 2):
        shared = sorted({*settings.services[first].names} & {*settings.services[second].names})
        if shared and settings.has_https(first) != settings.has_https(second):
            yield Problem(
                ("services", second, "tls"),
                f"{words(shared)} has HTTPS for {first if settings.has_https(first) else second} only",
                f"Set the same in {path_of(('services', first, 'tls'))}.",
            )


def given(checks: Checks) -> Iterator[Problem]:
    """A certificate from elsewhere belongs to its key, is valid now, and vouches for every name of the service."""
    settings = checks.settings
    for name, service in settings.services.items():
        files = service.tls
        if not isinstance(files, CertificateFiles) or not checks.is_valid("services", name, "tls"):
            continue
        location = ("services", name, "tls")
        certificate: str | None = None
        try:
            certificate = read_text(checks.directory / files.certificate)
        except UnfitFile as error:
            yield Problem(
                (*location, "certificate"),
                str(error),
                "Name a file with the certificate and those between it and a root, PEM.",
                files.certificate,
            )
        key: str | None = None
        if files.key in settings.secrets:
            secret = settings.secrets[files.key].get_secret_value()
            key = None if secret == STAND_IN else secret
        elif checks.is_valid("secrets", files.key):
            yield Problem(
                (*location, "key"),
                f"{path_of(('secrets', files.key))} is not set",
                f"{suggestion(files.key, settings.secrets)}Set it: {checks.set_secret(files.key)} <key.pem.",
                files.key,
            )
        if certificate is not None or key is not None:
            domains = service.names if checks.is_valid("services", name) else ()
            yield from _pair(checks, location, files, certificate, key, domains)


def _pair(
    checks: Checks,
    location: Location,
    files: CertificateFiles,
    certificate: str | None,
    key: str | None,
    domains: tuple[str, ...],
) -> Iterator[Problem]:
    # Slow to import, and few stacks have such a certificate.
    from configuration import server_certificates

    chain: server_certificates.Chain | None = None
    if certificate is not None:
        try:
            chain = server_certificates.chain(certificate)
        except server_certificates.Unfit as error:
            yield Problem((*location, "certificate"), error.wrong, error.remedy, files.certificate)
    if chain is not None:
        for mistake in chain.mistakes(domains):
            yield Problem((*location, "certificate"), mistake.wrong, mistake.remedy, files.certificate)
    if key is not None:
        set_again = checks.set_secret(files.key)
        try:
            fits = chain is None or chain.fits(server_certificates.public_key(key))
        except server_certificates.Unfit as error:
            yield Problem((*location, "key"), error.wrong, f"{error.remedy} {set_again} <key.pem.", files.key)
        else:
            if not fits:
                yield Problem(
                    (*location, "key"),
                    f"{path_of(('secrets', files.key))} is not the key of the certificate in {files.certificate}",
                    f"Name the certificate that was made for this key, or set the other key: {set_again} <key.pem.",
                    files.key,
                )


CHECKS: tuple[Check, ...] = (names, given)
