"""Checks of a review environment: where it may be, and that it can be removed."""

from collections.abc import Iterator

from configuration.checks.context import Check, Checks
from configuration.problems import Problem


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


CHECKS: tuple[Check, ...] = (review,)
