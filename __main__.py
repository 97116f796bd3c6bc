"""Slipway's line: settings, certificates, hosts, engines, registry, images, services, outputs."""

import startup  # noqa: F401  # isort: skip  # the imports below profit from it

import signal

import pulumi
import pulumi_tls as tls

from components import proxy
from components.ca_rotation import authority, own_outputs, reached, takeovers
from components.certificates import Certificate, CertificateArgs
from components.engine import DockerEngine, DockerEngineArgs, EngineAccess, RegistryTrust
from components.hosts.platforms import make_hosts
from components.images.image import AppImage, AppImageArgs, images_below
from components.outputs import stack_outputs
from components.proxy import Proxy, ProxyArgs
from components.registry import own as registry
from components.registry import retention
from components.registry.external import ExternalRegistry, ExternalRegistryArgs, external_trust
from components.registry.mirror import Mirror, MirrorArgs, is_mirrored
from components.registry.own import Registry, RegistryArgs
from components.service import ServedMarks, Service, ServiceArgs
from configuration import load as configuration

if __name__ == "__main__":
    # Pulumi interrupts a program whose update has failed. Python would wait for the engine's answers, which no longer
    # come, and be killed 5 s later; those who look for the error would wait for that too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# settings: wrong ones end the program here, before anything is touched.
settings = configuration.load()
lifetime = settings.certificates
passwords = {account: pulumi.Output.secret(settings.password(account)) for account in settings.accounts}

# certificates: who may drive an engine, and which registry to trust.
before = own_outputs()
generations = takeovers(
    {"engine": lifetime.engine_ca_generation, "registry": lifetime.registry_ca_generation}, before
)
engine_ca = authority("engine", generations["engine"], lifetime.authority_validity_hours)
operator = Certificate(
    "operator",
    CertificateArgs(
        authority=engine_ca,
        common_name="operator",
        uses=["client_auth"],
        validity_hours=lifetime.validity_hours,
        early_renewal_hours=lifetime.early_renewal_hours,
    ),
)

# hosts: machines that answer SSH with a known host key, wherever the platform has them.
ssh_key = tls.PrivateKey("ssh-key", algorithm="ED25519")
hosts = make_hosts(settings, ssh_key)

# engines: from here on, everything on a host goes through its own provider.
access = EngineAccess(
    authority=engine_ca,
    operator=operator,
    validity_hours=lifetime.validity_hours,
    early_renewal_hours=lifetime.early_renewal_hours,
    before=before,
)
keeper = hosts[settings.registry_host] if settings.registry_host else None
registry_ca = (
    authority("registry", generations["registry"], lifetime.authority_validity_hours) if keeper else None
)
clients = {
    account: Certificate(
        f"{account}-registry-client",
        CertificateArgs(
            authority=registry_ca,
            common_name=account,
            uses=["client_auth"],
            validity_hours=lifetime.validity_hours,
            early_renewal_hours=lifetime.early_renewal_hours,
        ),
    )
    for account in settings.accounts
    if registry_ca and settings.registry.client_certificates
}
trust = (
    RegistryTrust(
        address=settings.registry_address,
        certificate_authority_pem=registry_ca.trusted_pem,
        host_address=keeper.private_address,
        username=settings.hosts_account,
        password=passwords[settings.hosts_account],
        insecure=settings.registry.insecure,
        client=clients.get(settings.hosts_account),
    )
    if keeper and registry_ca
    else external_trust(settings.registry.external, passwords)
)
first_images = {
    "registry": [registry.IMAGE],
    "build": [
        image
        for service in settings.services.values()
        for image in images_below(service.build)
        if not is_mirrored(image, settings.registry.mirror)
    ],
    "app": [proxy.IMAGE],
}
engines = {
    name: DockerEngine(
        name,
        DockerEngineArgs(
            host=host,
            access=access,
            registry=trust,
            images=sorted({image for role in host.roles for image in first_images[role]}),
            images_at_hand=[image.partition("@")[0] for image in settings.registry.mirror]
            if name == settings.copying_host
            else [],
        ),
    )
    for name, host in hosts.items()
}

# registry: ours, behind TLS and accounts, or someone else's.
kept = settings.registry.retention
images_registry = (
    Registry(
        "registry",
        RegistryArgs(
            engine=engines[keeper.name],
            address=trust.address,
            port=settings.registry_port,
            authority=registry_ca,
            client_certificates=settings.registry.client_certificates,
            # While an authority takes over, every host trusts it first; one that asks for certificates, every host has
            # one. Otherwise nobody waits for the slowest host.
            trusted_by=[
                engine.setup
                for engine in engines.values()
                if generations["registry"].predecessor or (clients and before)
            ],
            passwords=passwords,
            validity_hours=lifetime.validity_hours,
            early_renewal_hours=lifetime.early_renewal_hours,
            insecure=settings.registry.insecure,
            metrics_port=settings.registry.metrics_port,
            metrics_ip=keeper.private_ip,
            retention=retention.Retention(
                keep=kept.keep,
                days=kept.days,
                hour=kept.hour,
                services={name: settings.service_hosts(name) for name in settings.services},
            )
            if kept
            else None,
        ),
    )
    if keeper and registry_ca
    else ExternalRegistry("registry", ExternalRegistryArgs(trust=trust, engines=list(engines.values())))
)

# base images: copies of others' in the registry, if the stack keeps any.
mirror = (
    Mirror(
        "mirror",
        MirrorArgs(
            images=settings.registry.mirror,
            engine=engines[settings.copying_host],
            account=trust,
            ready=images_registry.ready,
        ),
    )
    if settings.registry.mirror
    else None
)
if mirror and kept and keeper:
    retention.deployed_mark("mirror", engines[keeper.name], list(mirror.references.values()), mirror)

# images: built on the build host, pushed, known by digest.
images = {
    name: AppImage(
        name,
        AppImageArgs(
            engine=engines[settings.build_host],
            ready=[*images_registry.ready, *(mirror.ready if mirror else [])],
            account=trust,
            mirror=mirror,
            build=service.build,
            platform=service.build.platform or hosts[settings.build_host].platform,
        ),
    )
    for name, service in settings.services.items()
    if settings.build_host
}

# services: pulled by digest, one host after another, each only when it is healthy.
proxies = {
    name: Proxy(f"{name}-proxy", ProxyArgs(engine=engines[name])) for name in settings.hosts_with("app")
}
for name, service in settings.services.items():
    Service(
        name,
        ServiceArgs(
            image=images[name].reference,
            hosts=[(engines[host], proxies[host]) for host in settings.service_hosts(name)],
            port=service.port,
            health_path=service.health,
            health_timeout_seconds=service.health_timeout,
            drain_timeout_seconds=service.drain_timeout,
            memory_mib=service.memory,
            domain=service.domain,
            environment=service.env,
            secrets={key: settings.secrets[key].get_secret_value() for key in service.secrets},
            after=[retention.deployed_mark(name, engines[keeper.name], images[name].references, images[name])]
            if kept and keeper
            else [],
            marks=ServedMarks(engine=engines[keeper.name], references=images[name].references)
            if kept and keeper
            else None,
        ),
    )

# outputs: what people, `slip` and other projects use.
setups = [engine.setup.stdin for engine in engines.values()]
for key, value in stack_outputs(
    settings=settings,
    hosts=hosts,
    trust=trust,
    passwords=passwords,
    engine_ca=engine_ca,
    operator=operator,
    ssh_key=ssh_key,
    images={name: image.reference for name, image in images.items()},
    mirror=mirror.references if mirror else {},
    clients=clients,
    generations={
        "engine": reached(generations["engine"], engine_ca, setups),
        "registry": reached(generations["registry"], registry_ca, [*setups, *images_registry.trusting]),
    },
).items():
    pulumi.export(key, value)
