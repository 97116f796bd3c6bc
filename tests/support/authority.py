"""A certificate authority for tests."""

from datetime import UTC, datetime, timedelta

import trustme

HOUR = timedelta(hours=1)


class Authority:
    """A certificate authority. It is valid until the year 3000, as trustme makes it."""

    def __init__(self, name: str = "test") -> None:
        self._ca = trustme.CA(organization_name=name)
        self.pem = self._ca.cert_pem.bytes().decode()
        self.key = self._ca.private_key_pem.bytes().decode()

    def leaf(
        self, address: str = "127.0.0.1", lasts: timedelta = HOUR, begins: timedelta = -HOUR
    ) -> tuple[str, str]:
        """Certificate and key, PEM, for an address. Both times count from now. `lasts` may have passed."""
        now = datetime.now(UTC)
        # A certificate that has ended has begun before.
        not_before = min(now + begins, now + lasts - HOUR) if lasts < begins else now + begins
        made = self._ca.issue_cert(address, not_before=not_before, not_after=now + lasts)
        (certificate,) = made.cert_chain_pems
        return certificate.bytes().decode(), made.private_key_pem.bytes().decode()
