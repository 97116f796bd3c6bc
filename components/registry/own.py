"""The private image registry: distribution behind TLS and accounts, its data on the host's own volume."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import script
from components.certificates import Certificate, CertificateArgs, CertificateAuthority
from components.engine import ENGINE_DECIDES, LOG_DRIVER, LOG_OPTIONS, DockerEngine
from components.host import REGISTRY_DATA_PATH
from components.registry.accounts import htpasswd
from components.registry.retention import Retention, retention_values

IMAGE = "registry:3.1.1"
"""distribution 3.1.1: releases before it have known holes (its release notes)."""
CONTAINER_PORT = 5000
"""TCP port inside the container."""
METRICS_PORT = 5001
"""TCP port of metrics and health inside the container."""
MEMORY_MIB = 512
"""Most memory that it may use."""
WAIT = "/usr/local/lib/slipway/wait-for-registry"
"""Where engine.sh installs scripts/wait-for-registry.sh."""
SETTINGS_PATH = "/etc/slipway/registry"
"""Where a registry's host keeps its configuration, accounts and certificate: root's alone."""

CONFIG = """\
version: 0.1
log:
  level: info
  accesslog:
    disabled: false
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
http:
  addr: :{port}
  secret: {secret}
  headers:
    X-Content-Type-Options: [nosniff]
{tls}  debug:
    # Health and metrics. They are published on a private address or not at all.
    addr: {metrics}
    prometheus:
      enabled: true
auth:
  htpasswd:
    realm: slipway
    path: /etc/distribution/htpasswd
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""

TLS = """\
  tls:
    certificate: /etc/distribution/tls.crt
    key: /etc/distribution/tls.key
    minimumtls: tls1.2
"""

INSECURE = (
    "slipway:registry.insecure is set: the registry speaks plain HTTP, so whoever listens on the way reads passwords "
    "and images, and can change them. Take it out for anything but trying out; the next `up` then brings TLS back."
)

CLIENTS = """\
    clientcas: [/etc/distribution/ca.crt]
    clientauth: require-and-verify-client-cert
"""
"""What asks each client for a certificate of the stack's."""


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """What a registry is made from."""

    engine: DockerEngine
    """The engine that runs it."""
    address: str
    """`host:port`, as the hosts call it."""
    port: int
    """TCP port of its host."""
    authority: CertificateAuthority
    """Signs its certificate; the authority that every host trusts."""
    client_certificates: bool = False
    """Whether it asks each client for a certificate, which the same authority has to have signed."""
    trusted_by: Sequence[pulumi.Resource] = ()
    """Whoever has to be ready before it shows another authority's certificate, or asks for one."""
    passwords: Mapping[str, pulumi.Input[str]]
    """The accounts that may come in, with their passwords. Secret."""
    validity_hours: int
    """Hours until its certificate expires."""
    early_renewal_hours: int
    """Hours before its end from which on the next `up` renews it."""
    insecure: bool = False
    """Plain HTTP instead of TLS, for trying out."""
    metrics_port: int | None = None
    """TCP port of its host for metrics and health; inside the container only when None."""
    metrics_ip: pulumi.Input[str] | None = None
    """The host's address for that port. None is all of them, for a host that has private ones only."""
    retention: Retention | None = None
    """Which images it keeps; None for all of them."""


class Registry(pulumi.ComponentResource):
    """A private image registry behind TLS and accounts.

    Source: distribution's deployment and configuration guides.
    """

    ready: list[pulumi.Resource]
    """What has to be there before somebody pushes or pulls."""
    trusting: list[pulumi.Output[str | None]]
    """What was handed over so that it is trusted: its configuration, accounts and certificate."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Registry", name, None, opts)
        engine, host = args.engine, args.engine.host
        url = f"{'http' if args.insecure else 'https'}://{args.address}"
        if args.insecure:
            pulumi.log.warn(INSECURE, self)
        certificate = Certificate(
            f"{name}-server",
            CertificateArgs(
                authority=args.authority,
                common_name=host.name,
                dns_names=host.dns_names,
                ip_addresses=host.ip_addresses,
                uses=["server_auth"],
                validity_hours=args.validity_hours,
                early_renewal_hours=args.early_renewal_hours,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        settings = script.on_host(
            f"{name}-settings",
            host,
            "registry.sh",
            {
                "CONFIG": certificate.private_key_pem.apply(
                    lambda key: config(
                        key,
                        tls=not args.insecure,
                        metrics=bool(args.metrics_port),
                        client_certificates=args.client_certificates,
                    )
                ),
                "ACCOUNTS": pulumi.Output.all(**args.passwords).apply(htpasswd),
                "CERTIFICATE": certificate.certificate_pem,
                "KEY": certificate.private_key_pem,
                "DATA_PATH": REGISTRY_DATA_PATH,
                "AUTHORITY": args.authority.trusted_pem,
                "URL": url,
                **retention_values(args.retention),
            },
            pulumi.ResourceOptions(parent=self, depends_on=[*engine.ready, *args.trusted_by]),
        )
        image = docker.RemoteImage(
            f"{name}-image",
            name=IMAGE,
            keep_locally=True,
            opts=engine.runs_here(pulumi.ResourceOptions(parent=self)),
        )
        container = docker.Container(
            f"{name}-container",
            name="slipway-registry",
            image=image.image_id,
            restart="always",
            envs=["OTEL_TRACES_EXPORTER=none"],
            read_only=True,
            memory=MEMORY_MIB,
            security_opts=["no-new-privileges"],
            log_driver=LOG_DRIVER,
            log_opts=LOG_OPTIONS,
            ports=[
                docker.ContainerPortArgs(internal=CONTAINER_PORT, external=args.port),
                *(
                    [
                        docker.ContainerPortArgs(
                            internal=METRICS_PORT, external=args.metrics_port, ip=args.metrics_ip
                        )
                    ]
                    if args.metrics_port
                    else []
                ),
            ],
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=SETTINGS_PATH, container_path="/etc/distribution", read_only=True
                ),
                docker.ContainerVolumeArgs(host_path=REGISTRY_DATA_PATH, container_path="/var/lib/registry"),
            ],
            labels=[
                docker.ContainerLabelArgs(label="slipway.stack", value=pulumi.get_stack()),
                docker.ContainerLabelArgs(label="slipway.role", value="registry"),
            ],
            # The name and the port are the old container's until it is gone.
            opts=engine.runs_here(
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[settings],
                    delete_before_replace=True,
                    ignore_changes=ENGINE_DECIDES,
                )
            ),
        )
        answers = command.remote.Command(
            f"{name}-answers",
            connection=host.ssh,
            create=host.as_root(f"{WAIT} {url}"),
            add_previous_output_in_env=False,
            triggers=[container.id],
            opts=host.lives_here(pulumi.ResourceOptions(parent=self, depends_on=[container])),
        )
        self.ready = [answers]
        self.trusting = [settings.stdin]
        self.register_outputs({})


def config(
    private_key_pem: str, *, tls: bool = True, metrics: bool = False, client_certificates: bool = False
) -> str:
    """The registry's `config.yml`.

    Its secret signs the state of unfinished uploads. It comes from the key, so that an upload survives a
    restart.

    Args:
        private_key_pem: the key of its certificate.
        tls: whether it answers over TLS, or over plain HTTP.
        metrics: whether metrics and health are for others than the container itself.
        client_certificates: whether it asks each client for one.

    """
    secret = hashlib.sha256(b"slipway upload state\0" + private_key_pem.encode()).hexdigest()
    asks = CLIENTS if client_certificates else ""
    return CONFIG.format(
        port=CONTAINER_PORT,
        secret=secret,
        tls=TLS + asks if tls else "",
        metrics=f"{'' if metrics else '127.0.0.1'}:{METRICS_PORT}",
    )
