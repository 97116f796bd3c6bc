"""The stack's outputs: flat keys for people, for `slip` and for other projects' `StackReference`."""

from collections.abc import Mapping

import pulumi

from components.authorities import Authorities
from components.ca_rotation import reached
from components.ca_rotation import setting as generation_output
from components.engine import DockerEngine
from components.host import Host
from components.images.image import AppImage
from components.registry.mirror import Mirror
from components.registry.registries import AnyRegistry
from components.registry_access import RegistryAccess
from components.revisions import revisions
from configuration.settings import StackSettings


def export(
    settings: StackSettings,
    hosts: Mapping[str, Host],
    authorities: Authorities,
    access: RegistryAccess,
    engines: Mapping[str, DockerEngine],
    registry: AnyRegistry,
    images: Mapping[str, AppImage],
    mirror: Mirror | None,
) -> None:
    """Export the stack's outputs. Secret values have keys of their own, so that all others stay readable.

    `docs/outputs.md` lists the keys for people.
    """
    outputs = {
        "platform": settings.platform.kind,
        "stackProtected": settings.protect,
        **_registry(settings, access),
        "hosts": {name: _host(host) for name, host in hosts.items()},
        "engineEndpoints": {name: host.engine_endpoint for name, host in hosts.items()},
        "engineCaCertificate": authorities.engine.trusted_pem,
        "engineClientCertificate": authorities.operator.certificate_pem,
        "engineClientKey": authorities.operator.private_key_pem,
        # One key logs in to all hosts.
        "sshPrivateKey": next(iter(hosts.values())).ssh_private_key,
        "images": {name: image.reference for name, image in images.items()},
        "revisions": revisions(
            authorities.previous_outputs,
            {name: build for image in images.values() for name, build in image.tags.items()},
        ),
        "mirror": mirror.references if mirror else {},
        **_generations(authorities, access, engines, registry),
        **_services(settings, hosts),
    }
    for key, value in outputs.items():
        pulumi.export(key, value)


def _registry(settings: StackSettings, access: RegistryAccess) -> dict[str, object]:
    host = access.own.host if access.own else None
    passwords: pulumi.Output[dict[str, str]] = pulumi.Output.secret(pulumi.Output.all(**access.passwords))
    client_keys: pulumi.Output[dict[str, pulumi.Output[str]]] = pulumi.Output.secret(
        {name: client.private_key_pem for name, client in access.clients.items()}
    )
    return {
        "registryAddress": access.address,
        "registryPublicAddress": pulumi.Output.concat(
            settings.registry.domain or host.address, f":{settings.registry_port}"
        )
        if host
        else access.address,
        "registryCaCertificate": "" if access.insecure else access.certificate_authority_pem,
        "registryMode": settings.registry_mode,
        "registryMetricsUrl": _metrics(settings, host) if host else "",
        "registryAccounts": list(settings.accounts),
        "registryPasswords": passwords,
        "registryClientCertificates": {
            name: client.certificate_pem for name, client in access.clients.items()
        },
        "registryClientKeys": client_keys,
    }


def _generations(
    authorities: Authorities,
    access: RegistryAccess,
    engines: Mapping[str, DockerEngine],
    registry: AnyRegistry,
) -> dict[str, object]:
    """The generation of each CA that every client and server of it has reached."""
    setups = [engine.setup.stdin for engine in engines.values()]
    rotations = authorities.rotations
    return {
        generation_output("engine"): reached(rotations["engine"], authorities.engine, setups),
        generation_output("registry"): reached(
            rotations["registry"], access.authority, [*setups, *registry.applied]
        ),
    }


def _services(settings: StackSettings, hosts: Mapping[str, Host]) -> dict[str, object]:
    return {
        "serviceUrls": {
            name: [_url(hosts[host]) for host in settings.service_hosts(name)] for name in settings.services
        },
        "serviceHosts": {name: list(settings.service_hosts(name)) for name in settings.services},
        "serviceDomains": {
            name: service.domain for name, service in settings.services.items() if service.domain
        },
        "serviceHealthPaths": {name: service.health for name, service in settings.services.items()},
    }


def _metrics(settings: StackSettings, host: Host) -> pulumi.Input[str]:
    port = settings.registry.metrics_port
    where = host.address if host.private_ip is None else host.private_ip
    return pulumi.Output.concat("http://", where, f":{port}/metrics") if port else ""


def _host(host: Host) -> dict[str, object]:
    return {
        "address": host.address,
        "privateAddress": host.private_address,
        "roles": sorted(host.roles),
        "sshPort": host.ssh_port,
        "sshUser": host.ssh_user,
        "sshHostKey": host.ssh_host_key,
        "enginePort": host.engine_port,
    }


def _url(host: Host) -> pulumi.Output[str]:
    port = "" if host.http_port == 80 else f":{host.http_port}"
    return pulumi.Output.concat("http://", host.address, port, "/")
