"""Checks of certificates by ACME: the authority can check each name, and can be asked."""

import re
from collections.abc import Iterator

from configuration.acme import LETS_ENCRYPT
from configuration.base import STAND_IN
from configuration.checks.context import Check, Checks
from configuration.files import UnfitFile, certificates, read_text
from configuration.problems import UNSHOWN, Problem, path_of, suggestion, words
from configuration.tls import AutoSettings

EVERYBODY = "0.0.0.0/0"


def services(checks: Checks) -> Iterator[Problem]:
    """What each service with `tls: auto` asks for can be had: by an HTTP request to its names, or by their records."""
    settings = checks.settings
    for name, service in settings.services.items():
        if not checks.is_valid("services", name) or not settings.acme_directory(name):
            continue
        if not checks.is_valid("acme"):
            continue
        location = ("services", name, "tls")
        shown = service.tls if isinstance(service.tls, str) else UNSHOWN
        wildcards = [domain for domain in service.names if domain.startswith("*.")]
        if wildcards and not settings.acme.dns:
            yield Problem(
                location,
                f"{words(wildcards)} is a wildcard, which ACME vouches for only by DNS",
                f"Set {path_of(('acme', 'dns'))} = route53 if its zone is there, list the names one by one in "
                f"{path_of(('services', name, 'domains'))}, or set {{ certificate: FILE, key: SECRET }}.",
                shown,
            )
        if isinstance(service.tls, AutoSettings) and settings.acme.directory != LETS_ENCRYPT:
            yield Problem(
                location,
                f"staging is Let's Encrypt's, and {path_of(('acme', 'directory'))} is another authority",
                f"Set auto, or leave out {path_of(('acme', 'directory'))}.",
                shown,
            )
        if (
            settings.platform.kind == "aws"
            and checks.is_valid("platform")
            and not settings.acme.ca
            and not settings.acme.dns
            and EVERYBODY not in service.allowed_cidrs
        ):
            yield Problem(
                ("services", name, "allowedCidrs"),
                "keeps the ACME authority out, which asks port 80 from addresses that it does not tell",
                f"Use `allow` in place of allowedCidrs, or another {path_of(location)}.",
            )


def authority(checks: Checks) -> Iterator[Problem]:
    """The file that vouches for the directory can be read, and the external account's key is set."""
    acme = checks.settings.acme
    if not checks.is_valid("acme"):
        return
    if acme.ca is not None:
        try:
            certificates(read_text(checks.directory / acme.ca))
        except UnfitFile as error:
            yield Problem(("acme", "ca"), str(error), "Name a file with certificates, PEM.", acme.ca)
    if acme.eab is None:
        return
    location, secret = ("acme", "eab", "key"), acme.eab.key
    if secret in checks.settings.secrets:
        key = checks.settings.secrets[secret].get_secret_value()
        if key != STAND_IN and not re.fullmatch(r"[A-Za-z0-9_-]{16,}", key):
            yield Problem(
                location,
                f"{path_of(('secrets', secret))} is not base64url",
                f"Set the HMAC key as the authority shows it: {checks.set_secret(secret)}.",
                secret,
            )
    elif checks.is_valid("secrets", secret):
        yield Problem(
            location,
            f"{path_of(('secrets', secret))} is not set",
            f"{suggestion(secret, checks.settings.secrets)}Set it: {checks.set_secret(secret)}.",
            secret,
        )


CHECKS: tuple[Check, ...] = (services, authority)
