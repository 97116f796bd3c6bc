"""The stack's own registry: distribution v3 on one host, behind TLS and accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import haproxy, script
from components.certificates import Certificate, CertificateArgs, Lifetime
from components.engine import ENGINE_DECIDES, LOG_DRIVER, LOG_OPTIONS, DockerEngine
from components.registry.config import METRICS_PORT, SOCKET_DIRECTORY, config
from components.registry.front import PORT, configuration
from components.registry.htpasswd import htpasswd
from components.registry.retention import InUseMarkers, Retention, retention_values
from components.registry.rights import Rights, maps
from components.registry_access import OwnRegistry, RegistryAccess
from well_known import (
    OWN_DATA_SCRIPT_PATH,
    PROXY_IMAGE,
    REGISTRY_CONTAINER,
    REGISTRY_DATA_PATH,
    REGISTRY_IMAGE,
    REGISTRY_PROXY_CONTAINER,
    REGISTRY_PROXY_GROUP,
    REGISTRY_PROXY_SETTINGS_PATH,
    REGISTRY_SETTINGS_PATH,
    REGISTRY_SOCKET_PATH,
    REGISTRY_USER,
    ROLE_LABEL,
    STACK_LABEL,
    WAIT_SCRIPT_PATH,
)

MEMORY_MIB = 512
"""Memory limit of the registry's container."""
PROXY_MEMORY_MIB = 384
"""Memory limit of the container of the proxy before it: 2,000 connections, for a moment in two workers."""
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
    rights: Mapping[str, Rights]
    """What each account may do."""
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
    """A private image registry behind TLS, accounts and rights.

    distribution knows the passwords. HAProxy stands before it, for TLS and for the rights of each account; the services
    of the same host have another one.

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
                    lambda key: config(key, metrics=bool(args.metrics_port))
                ),
                "FRONT_CONFIG": configuration(
                    tls=not access.insecure, client_certificates=bool(access.clients)
                ),
                **{f"FRONT_{name.upper()}": text for name, text in maps(args.rights).items()},
                "ACCOUNTS": pulumi.Output.all(**access.passwords).apply(htpasswd),
                "CERTIFICATE": certificate.certificate_pem,
                "KEY": certificate.private_key_pem,
                "DATA_PATH": REGISTRY_DATA_PATH,
                "REGISTRY_USER": str(REGISTRY_USER),
                "FRONT_GROUP": str(REGISTRY_PROXY_GROUP),
                "SOCKET_PATH": REGISTRY_SOCKET_PATH,
                "AUTHORITY": args.own.authority.trusted_pem,
                "URL": url,
                **retention_values(args.retention),
            },
            pulumi.ResourceOptions(parent=self, depends_on=[*engine.ready, *args.trusted_by]),
        )
        container = self._container(name, args, settings)
        # What an older version's registry has written until its end is not this one's yet. No client may come sooner.
        owned = command.remote.Command(
            f"{name}-owner",
            connection=host.ssh,
            create=host.as_root(OWN_DATA_SCRIPT_PATH),
            add_previous_output_in_env=False,
            triggers=[container.id],
            opts=host.on_host(pulumi.ResourceOptions(parent=self, depends_on=[container])),
        )
        proxy = self._proxy(name, args, container, owned)
        answers = command.remote.Command(
            f"{name}-answers",
            connection=host.ssh,
            create=host.as_root(f"{WAIT_SCRIPT_PATH} {url}"),
            add_previous_output_in_env=False,
            triggers=[container.id, proxy.id],
            opts=host.on_host(pulumi.ResourceOptions(parent=self, depends_on=[container, proxy])),
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
        ports = []
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
            user=f"{REGISTRY_USER}:{REGISTRY_USER}",
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges"],
            log_driver=LOG_DRIVER,
            log_opts=LOG_OPTIONS,
            ports=ports or None,
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=REGISTRY_SETTINGS_PATH, container_path="/etc/distribution", read_only=True
                ),
                docker.ContainerVolumeArgs(host_path=REGISTRY_SOCKET_PATH, container_path=SOCKET_DIRECTORY),
                docker.ContainerVolumeArgs(host_path=REGISTRY_DATA_PATH, container_path="/var/lib/registry"),
            ],
            labels=_labels(),
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

    def _proxy(
        self, name: str, args: RegistryArgs, registry: docker.Container, owned: pulumi.Resource
    ) -> docker.Container:
        engine = args.engine
        image = docker.RemoteImage(
            f"{name}-front-image",
            name=PROXY_IMAGE,
            keep_locally=True,
            opts=engine.on_engine(pulumi.ResourceOptions(parent=self)),
        )
        return docker.Container(
            f"{name}-front-container",
            name=REGISTRY_PROXY_CONTAINER,
            image=image.image_id,
            user=f"{REGISTRY_USER}:{REGISTRY_PROXY_GROUP}",
            **haproxy.options(PROXY_MEMORY_MIB),
            ports=[docker.ContainerPortArgs(internal=PORT, external=args.port)],
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=REGISTRY_PROXY_SETTINGS_PATH,
                    container_path=haproxy.CONFIGURATION_PATH,
                    read_only=True,
                ),
                docker.ContainerVolumeArgs(
                    host_path=REGISTRY_SOCKET_PATH, container_path=SOCKET_DIRECTORY, read_only=True
                ),
            ],
            labels=_labels(),
            opts=engine.on_engine(
                pulumi.ResourceOptions(
                    parent=self,
                    # An older registry held the port itself.
                    depends_on=[registry, owned],
                    delete_before_replace=True,
                    ignore_changes=ENGINE_DECIDES,
                )
            ),
        )


def _labels() -> list[docker.ContainerLabelArgs]:
    """The labels of the registry's containers."""
    return [
        docker.ContainerLabelArgs(label=STACK_LABEL, value=pulumi.get_stack()),
        docker.ContainerLabelArgs(label=ROLE_LABEL, value="registry"),
    ]
