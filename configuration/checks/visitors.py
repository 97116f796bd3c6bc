"""Checks of whom the proxy lets in: each password is set and fits, and each page for errors can be sent."""

import re
from collections.abc import Iterator

from configuration.base import STAND_IN
from configuration.checks.context import Check, Checks
from configuration.files import UnfitFile, read_text
from configuration.private_files import is_private
from configuration.problems import Location, Problem, path_of, suggestion
from configuration.types import PASSWORD_MAX
from configuration.visitors import LARGEST_PAGE, PASSWORD_PATTERN, SHORTEST_PASSWORD


def passwords(checks: Checks) -> Iterator[Problem]:
    """Each person's password is a secret that browsers and bcrypt can take."""
    settings = checks.settings
    for name, service in settings.services.items():
        if not checks.is_valid("services", name, "auth"):
            continue
        for visitor, secret in service.auth.items():
            location: Location = ("services", name, "auth", visitor)
            if secret in settings.secrets:
                wrong = _mistake(settings.secrets[secret].get_secret_value())
                if wrong:
                    yield Problem(
                        location,
                        f"{path_of(('secrets', secret))} {wrong}",
                        f"Set another one: {checks.set_secret(secret)}.",
                        secret,
                    )
            elif checks.is_valid("secrets", secret):
                yield Problem(
                    location,
                    f"{path_of(('secrets', secret))} is not set",
                    f"{suggestion(secret, settings.secrets)}Set it: {checks.set_secret(secret)}.",
                    secret,
                )


def _mistake(password: str) -> str:
    """What is wrong with a password, as a predicate; empty if nothing is."""
    if password == STAND_IN:
        return ""
    if not re.fullmatch(PASSWORD_PATTERN, password):
        return "has a line break or a character outside ASCII, which browsers encode differently"
    if len(password) < SHORTEST_PASSWORD:
        return f"is shorter than {SHORTEST_PASSWORD} characters"
    return f"is longer than {PASSWORD_MAX} characters" if len(password) > PASSWORD_MAX else ""


def pages(checks: Checks) -> Iterator[Problem]:
    """Each page for errors is a text that HAProxy has room for."""
    for name, service in checks.settings.services.items():
        if not service.error_page or not checks.is_valid("services", name, "errorPage"):
            continue
        page = checks.directory / service.error_page
        try:
            # Everybody gets to see it, so a link must not lead to a file of the operator.
            size = len(read_text(page, within=checks.directory).encode())
            wrong = "" if size <= LARGEST_PAGE else f"has {size} bytes"
            if is_private(page.resolve(), checks.directory.resolve()):
                wrong = "one of the files that Pulumi, Slipway and git keep to themselves"
        except UnfitFile as error:
            wrong = str(error).replace("is a link to a file outside the context", "is outside the project")
        if wrong:
            yield Problem(
                ("services", name, "errorPage"),
                wrong,
                f"Name a file with HTML in UTF-8, {LARGEST_PAGE} bytes at most; link large images and styles from "
                "elsewhere.",
                service.error_page,
            )


CHECKS: tuple[Check, ...] = (passwords, pages)
