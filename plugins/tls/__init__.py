"""The stand-in for pulumi-tls."""

from plugins.protocol.provider import Provider


def provider() -> Provider:
    """Return the plugin."""
    from plugins.tls.plugin import Tls

    return Tls()
