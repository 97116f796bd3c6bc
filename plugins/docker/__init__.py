"""A stand-in for pulumi-docker: containers, images, networks, volumes and tags of one Docker Engine.

The official plugin is Terraform's docker provider behind Pulumi's bridge, plus a resource `Image` of its own.
So is this one, in small: `plugins.bridge` does what the bridge does with any schema, `tables` and
`container_schema` say what a resource has, and one module a resource asks the engine.  README.md of `plugins`
says what is refused.
"""

from plugins.protocol.provider import Provider


def provider() -> Provider:
    """Return the plugin."""
    from plugins.docker.plugin import Docker

    return Docker()
