"""The account's quotas against what the stack needs, before anything is made: a new account may run five vCPUs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

STANDARD_SERIES = frozenset("acdhimrtz")
"""First letters of the instance types that share one quota of vCPUs. Source: EC2's On-Demand instance quotas."""


@dataclass(frozen=True)
class Quota:
    """A quota of EC2."""

    code: str
    """Its code in Service Quotas."""
    what: str
    """What it limits, in the plural."""
    remedy: str
    """How a stack needs less of it."""


VCPUS = Quota(
    "L-1216C47A", "vCPUs of running instances", "choose fewer hosts (slipway:hosts) or types with fewer vCPUs"
)
"""Running On-Demand Standard instances (types A, C, D, H, I, M, R, T and Z)."""
ADDRESSES = Quota(
    "L-0263D0A3",
    "Elastic IPs",
    "choose fewer hosts (slipway:hosts), or set slipway:platform.connect to private",
)
"""EC2-VPC Elastic IPs."""


@dataclass(frozen=True)
class Demand:
    """What a stack needs of a quota."""

    quota: Quota
    needed: int
    """By the stack's hosts."""
    others: int
    """What else the account uses now."""
    limit: int
    """The account's quota in the region."""

    def problem(self, region: str) -> str | None:
        """What is wrong, and the remedy; None if the quota suffices."""
        wanted = self.needed + self.others
        if wanted <= self.limit:
            return None
        used = f", and {self.others} are in use" if self.others else ""
        return (
            f"slipway:hosts needs {self.needed} {self.quota.what}; the account has {self.limit} in {region}{used}. Ask "
            f"for more (aws service-quotas request-service-quota-increase --region {region} --service-code ec2 "
            f"--quota-code {self.quota.code} --desired-value {wanted}), or {self.quota.remedy}."
        )


def standard_vcpus(types: Mapping[str, str], vcpus: Mapping[str, int]) -> int:
    """The vCPUs of some instances that count towards `VCPUS`.

    Args:
        types: the instances' types, by any key.
        vcpus: the vCPUs of each type.
    """
    return sum(vcpus[kind] for kind in types.values() if kind[0] in STANDARD_SERIES)


def problems(demands: Iterator[Demand] | list[Demand], region: str) -> list[str]:
    """What is wrong with all of them."""
    return [problem for demand in demands if (problem := demand.problem(region))]
