"""How long certificates are valid."""

from collections.abc import Iterator

from policy.resource import Resource
from policy.rule import rule

LONGEST_LEAF, LONGEST_AUTHORITY = 19_800, 175_200
"""Hours: 825 days, beyond which Apple's systems refuse a server's certificate (support.apple.com/103769); 20 years."""


@rule("tls:index/locallySignedCert:LocallySignedCert", "tls:index/selfSignedCert:SelfSignedCert")
def certificates_end(resource: Resource) -> Iterator[str]:
    """A certificate is valid for 825 days at most, an authority's for 20 years."""
    hours = resource.get("validityPeriodHours")
    if not resource.knows("isCaCertificate"):
        return
    longest = LONGEST_AUTHORITY if resource.get("isCaCertificate") else LONGEST_LEAF
    if isinstance(hours, (int, float)) and hours > longest:
        yield f"is valid for {hours:.0f} hours; at most {longest} are allowed. Set `validityPeriodHours`."


@rule("tls:index/locallySignedCert:LocallySignedCert", level="advisory")
def certificates_are_renewed_early(resource: Resource) -> Iterator[str]:
    """A certificate is renewed before its end, so that there is time to see that it was not."""
    if not resource.knows("isCaCertificate", "earlyRenewalHours"):
        return
    if not resource.get("isCaCertificate") and (resource.get("earlyRenewalHours") or 0) <= 0:
        yield "is renewed only after its end. Set `certificates.earlyRenewalHours`."
