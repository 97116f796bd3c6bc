"""A stand-in for pulumi-docker: containers, images, networks, volumes and tags of one Docker Engine.

The official plugin consists of Terraform's docker provider behind Pulumi's bridge, and a resource `Image`. This one has
the same structure: `plugins.bridge` does what the bridge does with any schema, `tables` and `container_schema` describe
the resources, and one module for each type of resource calls the engine.
"""

from plugins.protocol.provider import Provider


def provider() -> Provider:
    """Return the plugin."""
    from plugins.docker.plugin import Docker

    return Docker()
