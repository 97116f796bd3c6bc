"""Someone else's registry in the place of the stack's own: Docker Hub, a cloud's, or another Slipway stack's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pulumi

from components import script
from components.ca_rotation import outputs_of
from components.engine import DockerEngine, RegistryTrust
from configuration.registry import ExternalRegistrySettings

NEEDED = ("registryPublicAddress", "registryCaCertificate", "registryMode")
"""What another stack tells of its registry."""


def external_trust(
    external: ExternalRegistrySettings | None, passwords: Mapping[str, pulumi.Input[str]]
) -> RegistryTrust:
    """The registry as its clients see it.

    Args:
        external: what the settings say of it.
        passwords: that of the account there, by the account's name.

    Raises:
        pulumi.RunError: the other stack has none that could be used.
    """
    if external is None:
        raise pulumi.RunError(
            "slipway:hosts: no host has the role registry"
        )  # the settings' checks say so before
    server, authority = external.server, external.authority(Path.cwd())
    if external.stack:
        told = outputs_of(external.stack)
        if mistake := _mistake(told):
            raise pulumi.RunError(f"slipway:registry.external.stack = {external.stack}: {mistake}")
        server = str(told["registryPublicAddress"])
        authority = authority or str(told["registryCaCertificate"])
    return RegistryTrust(
        address=str(server),
        namespace=external.namespace or "",
        # Its name is one that everybody resolves.
        host_address="",
        certificate_authority_pem=authority,
        username=external.username,
        password=passwords[external.username],
    )


def _mistake(told: Mapping[str, object]) -> str:
    """Why a stack's registry cannot be used, and what to do; empty if it can."""
    if missing := [key for key in NEEDED if key not in told]:
        return f"it does not tell {', '.join(missing)}. See that it is a Slipway stack, and up."
    if told["registryMode"] != "own":
        return "its registry is not one of its own behind TLS. Name the stack that has it, or set server."
    if told.get("registryClientCertificates"):
        return (
            "its registry asks its clients for certificates, and this stack's hosts have none of its. "
            "Leave registry.clientCertificates out there, or use another."
        )
    host = str(told["registryPublicAddress"]).rpartition(":")[0].strip("[]")
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if here:
        return (
            f"its registry answers on {host} of the machine that it is on, where no host of this stack reaches it. "
            "Use a stack on another platform than local."
        )
    return ""


@dataclass(frozen=True, kw_only=True)
class ExternalRegistryArgs:
    """What is known of the registry."""

    trust: RegistryTrust
    """Where it is, whom to trust for it, and the account there."""
    engines: Sequence[DockerEngine]
    """Who pushes to it and pulls from it."""


class ExternalRegistry(pulumi.ComponentResource):
    """A registry that somebody else runs: nothing is made, but every host is asked whether it gets in there."""

    ready: list[pulumi.Resource]
    """What has to be there before somebody pushes or pulls."""
    trusting: list[pulumi.Output[str | None]]
    """What was handed over so that it is trusted: nothing of ours."""

    def __init__(
        self, name: str, args: ExternalRegistryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("slipway:index:ExternalRegistry", name, None, opts)
        trust = args.trust
        self.ready = [
            script.on_host(
                f"{engine.host.name}-registry-login",
                engine.host,
                "try-registry.sh",
                {
                    "HOST_NAME": engine.host.name,
                    "SERVER": trust.address,
                    "ACCOUNT": trust.username,
                    "PASSWORD": trust.password,
                    "AUTHORITY": trust.certificate_authority_pem,
                },
                pulumi.ResourceOptions(parent=self, depends_on=engine.ready),
            )
            for engine in args.engines
        ]
        self.trusting = []
        self.register_outputs({"address": trust.address})
