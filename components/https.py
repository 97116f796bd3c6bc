"""HTTPS of the services: who signs their certificates, and how these come to the hosts' proxies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_command as command

from components import script
from components.acme.certificates import AcmeCertificates
from components.authorities import Authorities
from components.certificates import Certificate, CertificateArgs, CertificateAuthority
from components.host import Host
from components.proxy import Proxy
from configuration.files import read_text
from configuration.settings import StackSettings
from configuration.tls import CertificateFiles


@dataclass(frozen=True)
class Https:
    """The certificates of the services with HTTPS."""

    authority: CertificateAuthority | None
    """The services CA; None if it signs nothing."""
    pairs: dict[str, pulumi.Output[str]]
    """For each service its certificate chain and its key, PEM. Secret. Those by ACME come with `order`."""
    acme: AcmeCertificates
    """The certificates by ACME."""
    setups: list[command.remote.Command] = field(default_factory=list)
    """The commands that have brought certificates to the hosts."""

    @property
    def trusted_pem(self) -> pulumi.Input[str]:
        """The certificates of the services CA to trust, PEM; empty without one."""
        return self.authority.trusted_pem if self.authority else ""

    def order(self, hosts: Mapping[str, Host], proxies: Mapping[str, Proxy]) -> None:
        """Get the certificates by ACME, which takes proxies that answer."""
        self.acme.order(hosts, proxies)
        self.pairs.update({name: found.pair_pem for name, found in self.acme.by_service.items()})

    def deliver(self, services: Sequence[str], host: Host, proxy: Proxy) -> list[pulumi.Resource]:
        """Bring the certificates of a host's services to its proxy, which takes them without a lost request.

        A certificate that no service has any more goes with the last switch.
        """
        if not services:
            return []
        setup = script.remote_command(
            f"{host.name}-certificates",
            host,
            "certificates.sh",
            {
                "CERTIFICATES": pulumi.Output.concat(
                    *(part for name in services for part in (f"service {name}\n", self.pairs[name], "\n"))
                ),
                "SERVICES_CA": self.trusted_pem,
                **({"GUEST": "yes"} if host.resource is None else {}),
            },
            pulumi.ResourceOptions(
                parent=proxy,
                depends_on=[*proxy.ready],
                # Its files go when no service needs them; the host may be down.
                retain_on_delete=True,
            ),
        )
        self.setups.append(setup)
        return [setup]


def make_https(settings: StackSettings, authorities: Authorities) -> Https:
    """The certificates of all services with HTTPS."""
    ways = {name: settings.tls(name) for name in settings.services}
    own = [name for name, way in ways.items() if way == "own"]
    authority = authorities.make_services_ca() if own else None
    pairs: dict[str, pulumi.Output[str]] = {}
    for name, way in ways.items():
        if isinstance(way, CertificateFiles):
            chain, key = read_text(Path.cwd() / way.certificate), settings.secrets[way.key].get_secret_value()
            pairs[name] = pulumi.Output.secret(f"{chain.strip()}\n{key.strip()}\n")
        elif way == "own" and authority:
            certificate = Certificate(
                f"{name}-https",
                CertificateArgs(
                    authority=authority,
                    common_name=name,
                    dns_names=list(settings.services[name].names),
                    uses=["server_auth"],
                    lifetime=authorities.lifetime,
                ),
            )
            pairs[name] = pulumi.Output.concat(certificate.certificate_pem, certificate.private_key_pem)
    return Https(authority, pairs, AcmeCertificates(settings, authorities.previous_outputs))
