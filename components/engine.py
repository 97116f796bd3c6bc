"""A host's Docker Engine: reachable over mutual TLS, trusting the registry, driven by a provider of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import firewall, script
from components.authorities import Authorities
from components.certificates import Certificate, CertificateArgs
from components.host import Host
from components.operators import authorized_keys
from components.registry_access import RegistryAccess
from configuration.address_pools import daemon_settings
from configuration.cleanup import CleanupSettings
from configuration.networks import IPNetwork
from configuration.settings import StackSettings
from well_known import IMAGE_DIGESTS, by_digest

SETUP_TIMEOUT = "10m"
"""Limit for a machine to answer SSH and for its engine to start."""
LOG_DRIVER, LOG_OPTIONS = "local", {"max-file": "5", "max-size": "10m"}
"""Logs of a container: rotated, 50 MB at most. The engines have the same default, but report the options back, so
a container without these options would show a change after a refresh."""
ENGINE_DECIDES = ["memorySwap"]
"""Inputs of a container that the engine sets itself: whether it can limit swap depends on the machine."""
LOAD_TIMEOUT = "20m"
"""Limit for loading the first images of a host."""


@dataclass(frozen=True, kw_only=True)
class DockerEngineArgs:
    """What an engine is set up with."""

    host: Host
    """The machine."""
    authorities: Authorities
    """The engine CA, and the client certificate that this program shows to the engine."""
    access: RegistryAccess
    """The registry to trust."""
    firewall: pulumi.Input[str]
    """Arguments of the host's firewall.sh."""
    images: Sequence[str]
    """Images to load first: the host pulls them, or gets them from the operator's engine."""
    cleanup: CleanupSettings
    """Which images and how much build cache stay on the host."""
    address_pools: Sequence[IPNetwork] = ()
    """Where the networks of its containers lie; by default in the engine's own pools."""
    proxy_metrics_port: int | None = None
    """Port of the loopback for the metrics of the host's proxy; None if nothing listens there."""
    private_ports: pulumi.Input[str] = ""
    """Private ports of services on other hosts, a line each: the port, and the host's address."""
    optional_images: Sequence[str] = ()
    """Images to load if the operator's engine has them. On a closed network the host may not get them otherwise."""


class DockerEngine(pulumi.ComponentResource):
    """Docker Engine on a host: set up by one idempotent script, then driven through its API."""

    host: Host
    """The machine that it runs on."""
    provider: docker.Provider
    """The provider of all resources on this engine."""
    ready: list[pulumi.Resource]
    """What work on the engine waits for."""
    setup: command.remote.Command | None
    """The host's set-up command. After it the host trusts the engine CA and the registry CA. None for another stack's
    host, which is set up."""

    def __init__(self, name: str, args: DockerEngineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:DockerEngine", name, None, opts)
        host, authorities, access = args.host, args.authorities, args.access
        certificate = Certificate(
            f"{host.name}-engine",
            CertificateArgs(
                authority=authorities.engine,
                common_name=host.name,
                dns_names=host.dns_names,
                ip_addresses=host.ip_addresses,
                uses=["server_auth"],
                lifetime=authorities.lifetime,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        setup = self.setup = script.remote_command(
            f"{host.name}-setup",
            host,
            "engine.sh",
            {
                "MACHINE_ID": host.machine_id,
                "ENGINE_CA": authorities.engine_clients_pem,
                "ENGINE_CERTIFICATE": certificate.certificate_pem,
                "ENGINE_KEY": certificate.private_key_pem,
                "VALID_FROM": certificate.valid_from,
                "REGISTRY_ADDRESS": access.address,
                "REGISTRY_HOST_ADDRESS": access.host_address,
                "REGISTRY_CA": access.certificate_authority_pem,
                "INSECURE_REGISTRY": access.address if access.insecure else "",
                "CLIENT_CERTIFICATE": access.client.certificate_pem if access.client else "",
                "CLIENT_KEY": access.client.private_key_pem if access.client else "",
                "FIREWALL": args.firewall,
                "FIREWALL_SCRIPT": script.text("firewall.sh"),
                "APART_SCRIPT": script.text("apart.sh"),
                "SSH_USER": host.ssh_user,
                "OPERATOR_KEYS": authorized_keys(authorities.operators),
                "RESOLVERS": " ".join(host.resolvers),
                "RESOLVERS_SCRIPT": script.text("resolvers.sh"),
                "SWITCH_SCRIPT": script.text("switch.sh"),
                "WAIT_SCRIPT": script.text("wait-for-registry.sh"),
                "KEEP_SCRIPT": script.text("keep.sh"),
                "HOST_IMAGES": script.assignments(
                    {
                        # As the engine shows names.
                        "REGISTRY": access.repository("").removeprefix("docker.io/"),
                        "KEEP": str(args.cleanup.keep),
                        "CACHE": str(args.cleanup.build_cache),
                    }
                ),
                "HOST_IMAGES_SCRIPT": script.text("host-images.sh"),
                **({"PRIVATE_PORTS": args.private_ports} if args.private_ports else {}),
                **({"PROXY_METRICS_PORT": str(args.proxy_metrics_port)} if args.proxy_metrics_port else {}),
                # Left out if empty, so that the engines of most stacks have the same input as before.
                **({"ADDRESS_POOLS": pools} if (pools := daemon_settings(args.address_pools)) else {}),
            },
            pulumi.ResourceOptions(
                parent=self,
                depends_on=host.ready,
                custom_timeouts=pulumi.CustomTimeouts(create=SETUP_TIMEOUT),
                # Deleting it needs no command on the host, which may be down.
                retain_on_delete=True,
            ),
        )
        self.host = host = replace(host, deleted_with=setup)
        self.provider = docker.Provider(
            f"{host.name}-docker",
            # The set-up's id makes the address unknown until the engine runs, so a first preview calls no engine.
            host=pulumi.Output.all(host.engine_endpoint, setup.id).apply(lambda known: known[0]),
            ca_material=_known_certificate(
                authorities, "engineCaCertificate", authorities.engine.trusted_pem
            ),
            cert_material=_known_certificate(
                authorities, "engineClientCertificate", authorities.operator.certificate_pem
            ),
            key_material=authorities.operator.private_key_pem,
            registry_auth=[
                docker.ProviderRegistryAuthArgs(
                    address=access.address, username=access.username, password=access.password
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[setup], deleted_with=setup),
        )
        self.ready = [self.provider]
        if args.images or args.optional_images:
            self.ready.append(self._load(host, args))
        self.register_outputs({"endpoint": host.engine_endpoint})

    def _load(self, host: Host, args: DockerEngineArgs) -> command.local.Command:
        authorities = args.authorities
        return command.local.Command(
            f"{host.name}-images",
            create="bash -s",
            stdin=script.with_values(
                "load-images.sh",
                {
                    "ENDPOINT": host.engine_endpoint,
                    "ENGINE_CA": authorities.engine.trusted_pem,
                    "CLIENT_CERTIFICATE": authorities.operator.certificate_pem,
                    "CLIENT_KEY": authorities.operator.private_key_pem,
                    "IMAGES": "\n".join(args.images),
                    "OPTIONAL_IMAGES": "\n".join(args.optional_images),
                    "BY_DIGEST": "\n".join(f"{image} {by_digest(image)}" for image in IMAGE_DIGESTS),
                },
            ),
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            triggers=[[*args.images, *args.optional_images], host.machine_id],
            opts=host.on_host(
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[self.provider],
                    additional_secret_outputs=["stdout", "stderr"],
                    # A renewed certificate loads no image again.
                    ignore_changes=["stdin"],
                    custom_timeouts=pulumi.CustomTimeouts(create=LOAD_TIMEOUT),
                )
            ),
        )

    def on_engine(self, options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """The options, completed for a resource on this engine."""
        own = pulumi.ResourceOptions(provider=self.provider, depends_on=self.ready)
        return self.host.on_host(pulumi.ResourceOptions.merge(own, options))


class OthersEngine(DockerEngine):
    """The engine of another stack's host: this stack uses it, and changes nothing of it."""

    def __init__(self, host: Host, authorities: Authorities, access: RegistryAccess) -> None:
        pulumi.ComponentResource.__init__(self, "slipway:index:OthersEngine", host.name)
        self.host, self.setup = host, None
        self.provider = docker.Provider(
            f"{host.name}-docker",
            host=host.engine_endpoint,
            ca_material=authorities.engine.trusted_pem,
            cert_material=authorities.operator.certificate_pem,
            key_material=authorities.operator.private_key_pem,
            registry_auth=[
                docker.ProviderRegistryAuthArgs(
                    address=access.address, username=access.username, password=access.password
                )
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready = [self.provider]
        self.register_outputs({"endpoint": host.engine_endpoint})


def make_engines(
    settings: StackSettings,
    hosts: Mapping[str, Host],
    authorities: Authorities,
    access: RegistryAccess,
    first_images: Mapping[str, Sequence[str]],
) -> dict[str, DockerEngine]:
    """The engine of each host, by the host's name.

    Args:
        settings: the stack's.
        hosts: the hosts, by name.
        authorities: the engine CA and the operator's client certificate.
        access: the registry to trust.
        first_images: the images that each host needs before anything can be pulled from the registry.
    """
    if authorities.host_stack is not None:
        return {name: OthersEngine(host, authorities, access) for name, host in hosts.items()}
    # The host that copies base images into the registry may get the originals from the operator's engine only.
    originals = [image.partition("@")[0] for image in settings.mirrored_images]
    return {
        name: DockerEngine(
            name,
            DockerEngineArgs(
                host=host,
                authorities=authorities,
                access=access.of_host(name),
                firewall=firewall.arguments(settings, hosts, name),
                images=first_images[name],
                cleanup=settings.cleanup,
                address_pools=settings.address_pools,
                private_ports=_elsewhere(settings, hosts, name),
                proxy_metrics_port=settings.proxy.metrics_port if settings.has_proxy(name) else None,
                optional_images=originals if name == settings.copying_host else [],
            ),
        )
        for name, host in hosts.items()
    }


def _elsewhere(settings: StackSettings, hosts: Mapping[str, Host], name: str) -> pulumi.Input[str]:
    """The private ports of services on other hosts, for a host that runs services."""
    if "app" not in settings.hosts[name].roles:
        return ""
    lines = [
        pulumi.Output.concat(str(port), " ", hosts[host].private_address)
        for port, service in sorted(settings.private_ports.items())
        for host in settings.service_hosts(service)[:1]
        if host != name
    ]
    return pulumi.Output.all(*lines).apply("\n".join) if lines else ""


def _known_certificate(
    authorities: Authorities, output: str, certificate_pem: pulumi.Output[str]
) -> pulumi.Output[str]:
    """The certificate; in a preview that would reissue it, the current one, from the stack's outputs.

    A new certificate is unknown in a preview, and a provider with an unknown input compares nothing: the preview would
    show changes everywhere. A certificate that is not valid now is no help, since a provider that cannot connect fails
    the preview.
    """
    current = authorities.previous_outputs.get(output)

    def known(certificate: object) -> pulumi.Input[str]:
        if isinstance(certificate, str):
            return certificate
        return current if isinstance(current, str) and still_valid(current) else certificate_pem

    return certificate_pem.apply(known, run_with_unknowns=True)


def still_valid(certificate_pem: str) -> bool:
    """Whether the first certificate in the text is valid now."""
    # Imported here, since it is slow and rarely needed.
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    return certificate.not_valid_before_utc <= datetime.now(UTC) < certificate.not_valid_after_utc
