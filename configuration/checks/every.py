"""All checks, in the order in which their problems are reported."""

from configuration.checks import (
    acme,
    backups,
    certificates,
    containers,
    hosts,
    platform,
    ports,
    registry,
    review,
    secrets,
    service_files,
    services,
    tls,
    visitors,
)
from configuration.checks.context import Check, Checks
from configuration.problems import Problem

CHECKS: tuple[Check, ...] = (
    *platform.CHECKS,
    *hosts.CHECKS,
    *registry.CHECKS,
    *services.CHECKS,
    *containers.CHECKS,
    *ports.CHECKS,
    *tls.CHECKS,
    *acme.CHECKS,
    *visitors.CHECKS,
    *certificates.CHECKS,
    *secrets.CHECKS,
    *service_files.CHECKS,
    *backups.CHECKS,
    *review.CHECKS,
)


def problems(checks: Checks) -> list[Problem]:
    """Every mistake that any check finds."""
    return [problem for check in CHECKS for problem in check(checks)]
