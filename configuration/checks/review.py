"""Checks of a review environment: where it may be, and that it can be removed."""

import re
from collections.abc import Iterator

from configuration.checks.context import Check, Checks
from configuration.problems import Problem
from well_known import GUEST_SERVICE, guest_account


def review(checks: Checks) -> Iterator[Problem]:
    """A review environment is on this machine, has a time, and nothing keeps it from being removed."""
    settings = checks.settings
    number = settings.review.pull_request
    if not checks.is_valid("review"):
        return
    if (number is None) != (settings.review.until is None):
        yield Problem(
            ("review",),
            "has one of pullRequest and until, which belong together",
            "`./slip review open` writes both. Remove them from the file of any other stack.",
        )
    if number is None:
        return
    if checks.is_valid("platform", "kind") and settings.platform.kind != "local":
        yield Problem(
            ("platform", "kind"),
            "not the platform of review environments",
            "Set local in Pulumi.review.yaml.",
            settings.platform.kind,
        )
    if settings.protect:
        yield Problem(
            ("protect",),
            "set for a review environment, which is removed with its pull request",
            "Remove protect from Pulumi.review.yaml.",
            settings.protect,
        )


def host_stack(checks: Checks) -> Iterator[Problem]:
    """A stack that has guests has what they need: a registry of its own, and app hosts that visitors reach."""
    settings, location = checks.settings, ("review", "guests")
    if not settings.review.guests or not checks.is_valid("review"):
        return
    if settings.review.hosts_of is not None:
        yield Problem(
            location,
            "set together with review.hostsOf, and a guest has no guests",
            "Leave out one of the two.",
            settings.review.guests,
        )
    registry = settings.registry
    if checks.is_valid("registry"):
        wrong = (
            (
                registry.external is not None,
                "external",
                "guests have accounts, and so need the stack's own registry",
            ),
            (
                registry.client_certificates,
                "clientCertificates",
                "guests have no certificate for the registry",
            ),
            (
                registry.retention is None,
                "retention",
                "missing: it frees the disk from the images of closed guests",
            ),
        )
        for is_wrong, key, what in wrong:
            if is_wrong:
                remedy = (
                    "Set it, such as {}."
                    if key == "retention"
                    else "Leave it out, or leave out review.guests."
                )
                yield Problem(("registry", key), what, remedy)
        reserved = {guest_account(slot) for slot in range(1, settings.review.guests + 1)}
        for user in sorted(reserved & set(registry.users)):
            yield Problem(
                ("registry", "users"), "the account of a guest (review.guests)", "Write another name.", user
            )
    if settings.edges and checks.roles_known:
        yield Problem(
            location,
            "guests have no names at edges, which stand before this stack's app hosts",
            "Leave it out, or the role edge.",
            settings.review.guests,
        )
    for name in settings.services:
        if re.fullmatch(GUEST_SERVICE, name):
            yield Problem(
                ("services", name),
                "a name that services of guests have (review.guests)",
                "Write another name.",
            )


def guest(checks: Checks) -> Iterator[Problem]:
    """A review environment on the hosts of another stack takes nothing there that is not its own."""
    settings = checks.settings
    prefix = settings.guest_prefix
    if not prefix or not checks.is_valid("review"):
        return
    own = f"{prefix.removesuffix('-')}."
    for name, service in settings.services.items():
        here = ("services", name)
        if not checks.is_valid(*here):
            continue
        if not name.startswith(prefix):
            yield Problem(here, f"a service of a guest, whose name does not begin with {prefix}", OPEN)
        if service.own_check is None and not service.names:
            yield Problem(
                here,
                "no name, so it would get the requests that no other service of the host gets",
                "Set domain, such as app.example.com; the environment gets pr-NUMBER.app.example.com.",
            )
        for other in service.names:
            if not other.removeprefix("*.").startswith(own):
                yield Problem(here, f"a name of a guest that does not begin with {own}", OPEN, other)
        for key, value in (
            ("ports", service.ports),
            ("bind", service.bind),
            ("devices", service.devices),
            ("sysctls", service.sysctls),
            ("backup", service.backup),
        ):
            if value:
                yield Problem(
                    (*here, key),
                    "a part of the host, which a guest does not get",
                    "Leave it out for reviews.",
                )
        if service.image:
            yield Problem(
                (*here, "image"),
                "a guest copies no images of others into the registry",
                f"Set build to a folder with a Dockerfile that says FROM {service.image}.",
                service.image,
            )
        if checks.settings.acme_directory(name):
            yield Problem(
                (*here, "tls"), "a guest orders no certificates by ACME", "Set own, off, or a certificate."
            )


OPEN = "Run `./slip review open`, which writes it, and edit Pulumi.review.yaml only."

CHECKS: tuple[Check, ...] = (review, host_stack, guest)
