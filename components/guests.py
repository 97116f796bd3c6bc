"""Hosts of another stack, for a review environment that is a guest there. It makes, sets up and removes no host.

Everything that it needs to know is in that stack's outputs, which it reads at each update.
"""

from collections.abc import Mapping
from typing import Any

import pulumi

from components.certificates import Authority, ClientCertificate
from components.host import Host
from components.previous_outputs import outputs_of
from configuration.settings import StackSettings

NEEDED = ("hosts", "engineCaCertificate", "engineClientKey", "sshPrivateKey", "registryPasswords")
"""The outputs without which nothing can be done on that stack's hosts."""


class OthersAuthority(Authority):
    """Another stack's engine CA: what to trust, without the key."""

    def __init__(self, trusted_pem: str) -> None:
        self.certificate_pem = self.trusted_pem = pulumi.Output.from_input(trusted_pem)
        self.cross_pem = None


class OthersCertificate(ClientCertificate):
    """The client certificate that another stack's operator shows to the engines."""

    def __init__(self, certificate_pem: str, private_key_pem: str) -> None:
        self.certificate_pem = pulumi.Output.from_input(certificate_pem)
        self.private_key_pem = pulumi.Output.secret(private_key_pem)


def host_stack(settings: StackSettings) -> Mapping[str, Any] | None:
    """The outputs of the stack on whose hosts this one is; None if the hosts are its own.

    Raises:
        pulumi.RunError: that stack does not run.
    """
    name = settings.review.hosts_of
    if name is None or settings.review.pull_request is None:
        return None
    outputs = outputs_of(f"{pulumi.get_organization()}/{pulumi.get_project()}/{name}")
    if missing := [key for key in NEEDED if key not in outputs]:
        raise pulumi.RunError(
            f"slipway:review.hostsOf = {name}: that stack has no output {', '.join(missing)}. "
            f"Run `./slip up -s {name}` first."
        )
    return outputs


def others_authority(outputs: Mapping[str, Any]) -> Authority:
    """The engine CA of that stack."""
    return OthersAuthority(str(outputs["engineCaCertificate"]))


def others_certificate(outputs: Mapping[str, Any]) -> ClientCertificate:
    """The client certificate that the engines of that stack let in."""
    return OthersCertificate(str(outputs["engineClientCertificate"]), str(outputs["engineClientKey"]))


def others_hosts(settings: StackSettings, outputs: Mapping[str, Any]) -> dict[str, Host]:
    """The hosts of that stack which the settings name, by name.

    Raises:
        pulumi.RunError: it has no such host any more.
    """
    known: Mapping[str, Mapping[str, Any]] = outputs["hosts"]
    if gone := [name for name in settings.hosts if name not in known]:
        raise pulumi.RunError(
            f"the stack {settings.review.hosts_of} has no host {', '.join(gone)} any more. "
            f"Run `./slip review open {settings.review.pull_request}` again."
        )
    return {name: _host(name, settings, known[name], outputs) for name in settings.hosts}


def _host(name: str, settings: StackSettings, facts: Mapping[str, Any], outputs: Mapping[str, Any]) -> Host:
    return Host(
        name=name,
        roles=frozenset(settings.hosts[name].roles),
        address=str(facts["address"]),
        private_address=str(facts["privateAddress"]),
        ssh_port=int(facts["sshPort"]),
        ssh_user=str(facts["sshUser"]),
        ssh_private_key=pulumi.Output.secret(str(outputs["sshPrivateKey"])),
        ssh_host_key=str(facts["sshHostKey"]),
        engine_port=int(facts["enginePort"]),
        http_port=int(facts["httpPort"]),
        https_port=int(facts["httpsPort"]),
        platform=str(facts["enginePlatform"]),
        dns_names=[],
        ip_addresses=[],
        resource=None,
        machine_id="",
        seen_by_containers="",
    )
