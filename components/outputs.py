"""The stack's outputs: flat keys for people, for `slip` and for other projects' `StackReference`."""

from collections.abc import Mapping

import pulumi
import pulumi_tls as tls

from components.ca_rotation import setting as generation_output
from components.certificates import Certificate, CertificateAuthority
from components.engine import RegistryTrust
from components.hosts import Host
from configuration.settings import StackSettings


def stack_outputs(
    *,
    settings: StackSettings,
    hosts: Mapping[str, Host],
    trust: RegistryTrust,
    passwords: Mapping[str, pulumi.Input[str]],
    engine_ca: CertificateAuthority,
    operator: Certificate,
    ssh_key: tls.PrivateKey,
    images: Mapping[str, pulumi.Output[str]],
    mirror: Mapping[str, pulumi.Output[str]],
    clients: Mapping[str, Certificate],
    generations: Mapping[str, pulumi.Output[int]],
) -> dict[str, object]:
    """What the stack tells. Secrets have keys of their own, so that the others stay readable.

    `README.md` has the table of keys for people.
    """
    registry_host = hosts[settings.registry_host] if settings.registry_host else None
    all_passwords: pulumi.Output[dict[str, str]] = pulumi.Output.secret(pulumi.Output.all(**passwords))
    ssh_private_key: pulumi.Output[str] = pulumi.Output.secret(ssh_key.private_key_openssh)
    client_keys: pulumi.Output[dict[str, pulumi.Output[str]]] = pulumi.Output.secret(
        {name: client.private_key_pem for name, client in clients.items()}
    )
    return {
        "platform": settings.platform.kind,
        "stackProtected": settings.protect,
        "registryAddress": trust.address,
        "registryPublicAddress": pulumi.Output.concat(
            settings.registry.domain or registry_host.address, f":{settings.registry_port}"
        )
        if registry_host
        else trust.address,
        "registryCaCertificate": "" if trust.insecure else trust.certificate_authority_pem,
        "registryMode": settings.registry_mode,
        "registryMetricsUrl": _metrics(settings, registry_host) if registry_host else "",
        "registryAccounts": list(settings.accounts),
        "registryPasswords": all_passwords,
        "registryClientCertificates": {name: client.certificate_pem for name, client in clients.items()},
        "registryClientKeys": client_keys,
        "hosts": {name: _host(host) for name, host in hosts.items()},
        "engineEndpoints": {name: host.engine_endpoint for name, host in hosts.items()},
        "engineCaCertificate": engine_ca.trusted_pem,
        "engineClientCertificate": operator.certificate_pem,
        "engineClientKey": operator.private_key_pem,
        "sshPrivateKey": ssh_private_key,
        "images": dict(images),
        "mirror": dict(mirror),
        **{generation_output(what): generation for what, generation in generations.items()},
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
