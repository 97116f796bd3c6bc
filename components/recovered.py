"""Versions that the state does not have any more, and that a rollback has found in the registry.

`slip rollback` has read their records there (cli/update/records.py). With this update the state has them again.
"""

import re
from collections.abc import Mapping
from typing import Any

from components.order import order
from components.versions import ServiceVersions, Version, version_of
from well_known import RECOVER_VARIABLE

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def recovered(variables: Mapping[str, str]) -> dict[str, Version]:
    """The version of each service in the environment.

    Raises:
        pulumi.RunError: the variable has another form than `slip rollback` gives it.
    """
    return order(variables, RECOVER_VARIABLE, "rollback", _version)


def _version(service: str, written: Mapping[str, Any]) -> Version:
    version = version_of(written)
    if not _DIGEST.fullmatch(version["images"][service]):
        raise ValueError
    return version


def with_recovered(known: ServiceVersions | None, version: Version | None) -> ServiceVersions | None:
    """The versions of a service with one more. One that the state has counts more than one from elsewhere."""
    if (
        known is None
        or version is None
        or any(one["number"] == version["number"] for one in known["versions"])
    ):
        return known
    found = ServiceVersions(**known)
    found["versions"] = sorted([*known["versions"], version], key=lambda one: -one["number"])
    return found
