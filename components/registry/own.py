"""The stack's own registry: distribution v3 on one host, behind TLS and accounts."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import script
from components.certificates import Certificate, CertificateArgs, Lifetime
from components.engine import ENGINE_DECIDES, LOG_DRIVER, LOG_OPTIONS, DockerEngine
from components.registry.config import CONTAINER_PORT, METRICS_PORT, config
from components.registry.htpasswd import htpasswd
from components.registry.retention import InUseMarkers, Retention, retention_values
from components.registry_access import OwnRegistry, RegistryAccess
from well_known import (
    REGISTRY_CONTAINER,
    REGISTRY_DATA_PATH,
    REGISTRY_IMAGE,
    REGISTRY_SETTINGS_PATH,
    ROLE_LABEL,
    STACK_LABEL,
    WAIT_SCRIPT_PATH,
)

MEMORY_MIB = 512
"""Memory limit of the container."""
INSECURE = (
    "slipway:registry.insecure is set: the registry speaks plain HTTP, so anyone on the network path can read and "
    "change passwords and images. Use it for trials only; without it, the next `up` switches to TLS."
)


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """What a registry is made from."""

    engine: DockerEngine
    """The engine that runs it."""
    access: RegistryAccess
    """Its address as the hosts use it, and its accounts."""
    own: OwnRegistry
    """The CA that signs its certificate, which every host trusts."""
    port: int
    """TCP port of its host."""
    lifetime: Lifetime
    """Of its certificate."""
    trusted_by: Sequence[pulumi.Resource] = ()
    """Set-up commands that end before the registry shows a new CA's certificate or requires client certificates."""
    metrics_port: int | None = None
    """TCP port of its host for metrics and health; None keeps them inside the container."""
    metrics_ip: pulumi.Input[str] | None = None
    """The host's address for that port; None for all addresses, if the host has private ones only."""
    retention: Retention | None = None
    """Which images it keeps; None for all of them."""


class Registry(pulumi.ComponentResource):
    """A private image registry behind TLS and accounts.

    Source: distribution's deployment and configuration guides.
    """

    access: RegistryAccess
    """How its clients reach it."""
    ready: list[pulumi.Resource]
    """What pushes and pulls wait for."""
    applied: list[pulumi.Output[str | None]]
    """The texts that set it up. They contain the registry CA's certificate."""
    markers: InUseMarkers | None
    """Makes in-use markers, for retention; None if the registry keeps all images."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Registry", name, None, opts)
        engine, host, access = args.engine, args.engine.host, args.access
        url = f"{'http' if access.insecure else 'https'}://{access.address}"
        if access.insecure:
            pulumi.log.warn(INSECURE, self)
        certificate = Certificate(
            f"{name}-server",
            CertificateArgs(
                authority=args.own.authority,
                common_name=host.name,
                dns_names=host.dns_names,
                ip_addresses=host.ip_addresses,
                uses=["server_auth"],
                lifetime=args.lifetime,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        settings = script.remote_command(
            f"{name}-settings",
            host,
            "registry.sh",
            {
                "CONFIG": certificate.private_key_pem.apply(
                    lambda key: config(
                        key,
                        tls=not access.insecure,
                        metrics=bool(args.metrics_port),
                        client_certificates=bool(access.clients),
                    )
                ),
                "ACCOUNTS": pulumi.Output.all(**access.passwords).apply(htpasswd),
                "CERTIFICATE": certificate.certificate_pem,
                "KEY": certificate.private_key_pem,
                "DATA_PATH": REGISTRY_DATA_PATH,
                "AUTHORITY": args.own.authority.trusted_pem,
                "URL": url,
                **retention_values(args.retention),
            },
            pulumi.ResourceOptions(parent=self, depends_on=[*engine.ready, *args.trusted_by]),
        )
        container = self._container(name, args, settings)
        answers = command.remote.Command(
            f"{name}-answers",
            connection=host.ssh,
            create=host.as_root(f"{WAIT_SCRIPT_PATH} {url}"),
            add_previous_output_in_env=False,
            triggers=[container.id],
            opts=host.on_host(pulumi.ResourceOptions(parent=self, depends_on=[container])),
        )
        self.access = access
        self.ready = [answers]
        self.applied = [settings.stdin]
        self.markers = InUseMarkers(engine) if args.retention else None
        self.register_outputs({})

    def _container(self, name: str, args: RegistryArgs, settings: pulumi.Resource) -> docker.Container:
        engine = args.engine
        image = docker.RemoteImage(
            f"{name}-image",
            name=REGISTRY_IMAGE,
            keep_locally=True,
            opts=engine.on_engine(pulumi.ResourceOptions(parent=self)),
        )
        ports = [docker.ContainerPortArgs(internal=CONTAINER_PORT, external=args.port)]
        if args.metrics_port:
            ports.append(
                docker.ContainerPortArgs(
                    internal=METRICS_PORT, external=args.metrics_port, ip=args.metrics_ip
                )
            )
        return docker.Container(
            f"{name}-container",
            name=REGISTRY_CONTAINER,
            image=image.image_id,
            restart="always",
            envs=["OTEL_TRACES_EXPORTER=none"],
            read_only=True,
            memory=MEMORY_MIB,
            # Its files are root's, and it is root.
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges"],
            log_driver=LOG_DRIVER,
            log_opts=LOG_OPTIONS,
            ports=ports,
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=REGISTRY_SETTINGS_PATH, container_path="/etc/distribution", read_only=True
                ),
                docker.ContainerVolumeArgs(host_path=REGISTRY_DATA_PATH, container_path="/var/lib/registry"),
            ],
            labels=[
                docker.ContainerLabelArgs(label=STACK_LABEL, value=pulumi.get_stack()),
                docker.ContainerLabelArgs(label=ROLE_LABEL, value="registry"),
            ],
            opts=engine.on_engine(
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[settings],
                    # The old container holds the name and the port.
                    delete_before_replace=True,
                    ignore_changes=ENGINE_DECIDES,
                )
            ),
        )
