"""Checks of certificates: their hours of validity and renewal against each other."""

from collections.abc import Iterator

from configuration.checks.context import Check, Checks
from configuration.problems import Problem


def renewal(checks: Checks) -> Iterator[Problem]:
    """Certificates are valid for longer than their time of renewal, and not for longer than their authority."""
    certificates = checks.settings.certificates
    if not checks.is_valid("certificates"):
        return
    if certificates.early_renewal_hours >= certificates.validity_hours:
        yield Problem(
            ("certificates", "earlyRenewalHours"),
            f"not less than validityHours ({certificates.validity_hours})",
            "Set fewer hours: otherwise each `up` renews every certificate.",
            certificates.early_renewal_hours,
        )
    if certificates.validity_hours > certificates.authority_validity_hours:
        yield Problem(
            ("certificates", "validityHours"),
            f"longer than authorityValidityHours ({certificates.authority_validity_hours})",
            "Set no more hours than that.",
            certificates.validity_hours,
        )


CHECKS: tuple[Check, ...] = (renewal,)
