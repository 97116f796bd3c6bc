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

    def leaf(self, address: str = "127.0.0.1", lasts: timedelta = HOUR) -> tuple[str, str]:
        """Certificate and key, PEM, for an address. `lasts` counts from now, and may have passed."""
        made = self._ca.issue_cert(address, not_after=datetime.now(UTC) + lasts)
        (certificate,) = made.cert_chain_pems
        return certificate.bytes().decode(), made.private_key_pem.bytes().decode()
