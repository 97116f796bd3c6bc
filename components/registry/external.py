"""An external registry in place of the stack's own: Docker Hub, a cloud's, or another Slipway stack's."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import script
from components.engine import DockerEngine
from components.registry.retention import InUseMarkers
from components.registry_access import RegistryAccess


@dataclass(frozen=True, kw_only=True)
class ExternalRegistryArgs:
    """What is known of the registry."""

    access: RegistryAccess
    """Its address, the CA to trust, and the account."""
    engines: Sequence[DockerEngine]
    """The engines that push to it and pull from it."""


class ExternalRegistry(pulumi.ComponentResource):
    """A registry outside the stack. Slipway makes nothing in it, but checks that every host can log in to it."""

    access: RegistryAccess
    """How its clients reach it."""
    ready: list[pulumi.Resource]
    """What pushes and pulls wait for."""
    applied: list[pulumi.Output[str | None]]
    """The texts that set it up: none, since Slipway does not set it up."""
    markers: InUseMarkers | None
    """None: Slipway removes no image of an external registry."""

    def __init__(
        self, name: str, args: ExternalRegistryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("slipway:index:ExternalRegistry", name, None, opts)
        access = args.access
        self.access, self.applied, self.markers = access, [], None
        self.ready = [
            script.remote_command(
                f"{engine.host.name}-registry-login",
                engine.host,
                "try-registry.sh",
                {
                    "HOST_NAME": engine.host.name,
                    "SERVER": access.address,
                    "ACCOUNT": access.username,
                    "PASSWORD": access.password,
                    "AUTHORITY": access.certificate_authority_pem,
                },
                pulumi.ResourceOptions(parent=self, depends_on=engine.ready),
            )
            for engine in args.engines
        ]
        self.register_outputs({"address": access.address})
