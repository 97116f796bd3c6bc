"""How this machine asks services by HTTPS."""

import ssl

from cli.running.http import tls_context, unverified_tls_context
from cli.running.place import Place


def https_context(place: Place, authority: str) -> ssl.SSLContext:
    """The TLS settings for asking whether a service works.

    A certificate from elsewhere may be signed by an authority that this machine does not know: `slip verify` tells it.

    Args:
        place: the service on a host.
        authority: the certificates of the services CA, PEM.

    """
    return tls_context(authority) if place.tls == "own" else unverified_tls_context()
