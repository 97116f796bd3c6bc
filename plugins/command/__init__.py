"""The stand-in for pulumi-command."""

from plugins.protocol.provider import Provider


def provider() -> Provider:
    """Return the plugin."""
    from plugins.command.plugin import Command

    return Command()
