"""A host's Docker Engine: behind mutual TLS, trusting the registry, driven by a provider of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import script
from components.certificates import Certificate, CertificateArgs, CertificateAuthority
from components.hosts import Host

SETUP_TIMEOUT = "10m"
"""Longest that a machine may take to answer SSH and get its engine up."""
LOG_DRIVER, LOG_OPTIONS = "local", {"max-file": "5", "max-size": "10m"}
"""Logs of a container: rotated, 50 MB at most. The engines have the same default, but report the options back,
so a container that leaves them out would look changed after a refresh."""
ENGINE_DECIDES = ["memorySwap"]
"""Inputs of a container with a memory limit that only the engine knows: whether it can limit swap at all."""
LOAD_TIMEOUT = "20m"
"""Longest that a host's engine may take to get the images that it starts with."""


@dataclass(frozen=True, kw_only=True)
class EngineAccess:
    """Who may drive the stack's engines."""

    authority: CertificateAuthority
    """Signs the engines' certificates and their clients'."""
    operator: Certificate
    """The client certificate with which this program comes."""
    validity_hours: int
    """Hours until an engine's certificate expires."""
    early_renewal_hours: int
    """Hours before its end from which on the next `up` renews it."""
    before: Mapping[str, object] = field(default_factory=dict)
    """The stack's outputs as the last update left them: how the engines can be reached while certificates are about to
    be made."""


@dataclass(frozen=True, kw_only=True)
class RegistryTrust:
    """The registry as its clients see it: its address, the authority to trust, the account to use."""

    address: str
    """`host:port`, or `host`: the first part of every image's name. The hosts know the registry by it."""
    host_address: pulumi.Input[str]
    """Where the other hosts reach the registry's host: an IP address, or a name that they resolve already."""
    certificate_authority_pem: pulumi.Input[str]
    """Its certificate; two of them while one takes over from the other."""
    username: str
    """The account that the stack's own pulls and pushes use."""
    password: pulumi.Input[str]
    """Its password. Secret."""
    insecure: bool = False
    """Whether it speaks plain HTTP, which an engine takes from those registries only that it is told."""
    client: Certificate | None = None
    """The certificate that the hosts show it, where it asks for one."""
    namespace: str = ""
    """What comes between the address and the names of the stack's images, in someone else's registry."""

    def repository(self, name: str) -> str:
        """The whole name of one of the stack's images, without tag and digest."""
        return "/".join(part for part in (self.address, self.namespace, name) if part)


@dataclass(frozen=True, kw_only=True)
class DockerEngineArgs:
    """What an engine is set up with."""

    host: Host
    """The machine."""
    access: EngineAccess
    """Who may drive it."""
    registry: RegistryTrust
    """The registry to trust."""
    images: Sequence[str]
    """Images to have before anything else; taken from the operator's engine where the host cannot pull."""
    images_at_hand: Sequence[str] = ()
    """Images to have if the operator's engine has them: a host on a closed network may have no other way to them."""


class DockerEngine(pulumi.ComponentResource):
    """Docker Engine on a host: set up by one idempotent script, then driven through its API."""

    host: Host
    """The machine that it runs on."""
    provider: docker.Provider
    """Through this, resources are made on the engine."""
    ready: list[pulumi.Resource]
    """What has to be done before the engine takes work."""
    setup: command.remote.Command
    """What makes the machine a host: afterwards it trusts whom it is to trust."""

    def __init__(self, name: str, args: DockerEngineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:DockerEngine", name, None, opts)
        host, access, registry = args.host, args.access, args.registry
        certificate = Certificate(
            f"{host.name}-engine",
            CertificateArgs(
                authority=access.authority,
                common_name=host.name,
                dns_names=host.dns_names,
                ip_addresses=host.ip_addresses,
                uses=["server_auth"],
                validity_hours=access.validity_hours,
                early_renewal_hours=access.early_renewal_hours,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        setup = self.setup = script.on_host(
            f"{host.name}-setup",
            host,
            "engine.sh",
            {
                "BIRTH": host.birth,
                "ENGINE_CA": access.authority.trusted_pem,
                "ENGINE_CERTIFICATE": certificate.certificate_pem,
                "ENGINE_KEY": certificate.private_key_pem,
                "REGISTRY_ADDRESS": registry.address,
                "REGISTRY_HOST_ADDRESS": registry.host_address,
                "REGISTRY_CA": registry.certificate_authority_pem,
                "INSECURE_REGISTRY": registry.address if registry.insecure else "",
                "CLIENT_CERTIFICATE": registry.client.certificate_pem if registry.client else "",
                "CLIENT_KEY": registry.client.private_key_pem if registry.client else "",
                "SWITCH_SCRIPT": script.text("switch.sh"),
                "WAIT_SCRIPT": script.text("wait-for-registry.sh"),
            },
            pulumi.ResourceOptions(
                parent=self,
                depends_on=host.ready,
                custom_timeouts=pulumi.CustomTimeouts(create=SETUP_TIMEOUT),
                # There is nothing to undo, so nobody need be there for it.
                retain_on_delete=True,
            ),
        )
        self.host = host = replace(host, ends_with=setup)
        self.provider = docker.Provider(
            f"{host.name}-docker",
            # Through the set-up's id it is unknown until the engine is there: a first preview asks nobody.
            host=pulumi.Output.all(host.engine_endpoint, setup.id).apply(lambda known: known[0]),
            ca_material=_known(access.authority.trusted_pem, access.before.get("engineCaCertificate")),
            cert_material=_known(
                access.operator.certificate_pem, access.before.get("engineClientCertificate")
            ),
            key_material=access.operator.private_key_pem,
            registry_auth=[
                docker.ProviderRegistryAuthArgs(
                    address=registry.address, username=registry.username, password=registry.password
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[setup], deleted_with=setup),
        )
        self.ready = [self.provider]
        if args.images or args.images_at_hand:
            self.ready.append(self._load(host, args))
        self.register_outputs({"endpoint": host.engine_endpoint})

    def _load(self, host: Host, args: DockerEngineArgs) -> command.local.Command:
        access = args.access
        return command.local.Command(
            f"{host.name}-images",
            create="bash -s",
            stdin=script.with_values(
                "load-images.sh",
                {
                    "ENDPOINT": host.engine_endpoint,
                    "ENGINE_CA": access.authority.trusted_pem,
                    "CLIENT_CERTIFICATE": access.operator.certificate_pem,
                    "CLIENT_KEY": access.operator.private_key_pem,
                    "IMAGES": "\n".join(args.images),
                    "IMAGES_AT_HAND": "\n".join(args.images_at_hand),
                },
            ),
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            triggers=[[*args.images, *args.images_at_hand], host.birth],
            opts=host.lives_here(
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[self.provider],
                    additional_secret_outputs=["stdout", "stderr"],
                    # Renewed certificates are no reason to look again.
                    ignore_changes=["stdin"],
                    custom_timeouts=pulumi.CustomTimeouts(create=LOAD_TIMEOUT),
                )
            ),
        )

    def runs_here(self, options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """The options, completed for something that this engine runs."""
        own = pulumi.ResourceOptions(provider=self.provider, depends_on=self.ready)
        return self.host.lives_here(pulumi.ResourceOptions.merge(own, options))


def _known(certificate_pem: pulumi.Output[str], before: object) -> pulumi.Output[str]:
    """A certificate or, in a preview that would make it anew, the one before, by which engines still answer.

    A provider that is not wholly known can compare nothing: a preview would show changes everywhere. One that cannot
    connect fails it, though, so a certificate that has ended is no help.
    """

    def known(certificate: object) -> pulumi.Input[str]:
        if isinstance(certificate, str):
            return certificate
        return before if isinstance(before, str) and still_valid(before) else certificate_pem

    return certificate_pem.apply(known, run_with_unknowns=True)


def still_valid(certificate_pem: str) -> bool:
    """Whether a certificate, the first in the text, has not ended yet."""
    # Seldom needed, and slow to import.
    from cryptography import x509

    end: datetime = x509.load_pem_x509_certificate(certificate_pem.encode()).not_valid_after_utc
    return end > datetime.now(UTC)
