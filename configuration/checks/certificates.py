"""Checks of certificates: their times among each other."""

from collections.abc import Iterator

from configuration.checks.context import Check, Checks
from configuration.problems import Problem


def renewal(checks: Checks) -> Iterator[Problem]:
    """A certificate is renewed after it was issued, and ends before its authority does."""
    certificates = checks.settings.certificates
    if not checks.is_valid("certificates"):
        return
    if certificates.early_renewal_hours >= certificates.validity_hours:
        yield Problem(
            ("certificates", "earlyRenewalHours"),
            f"not less than validityHours ({certificates.validity_hours})",
            "Set less, or every `up` renews every certificate.",
            certificates.early_renewal_hours,
        )
    if certificates.validity_hours > certificates.authority_validity_hours:
        yield Problem(
            ("certificates", "validityHours"),
            f"longer than authorityValidityHours ({certificates.authority_validity_hours})",
            "Set no more than that.",
            certificates.validity_hours,
        )


CHECKS: tuple[Check, ...] = (renewal,)
