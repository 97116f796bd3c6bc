"""The stack's outputs: flat keys for people, for `slip` and for other projects' `StackReference`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.acme.certificates import OUTPUT
from components.authorities import Authorities
from components.ca_rotation import reached
from components.ca_rotation import setting as generation_output
from components.engine import DockerEngine
from components.host import Host
from components.https import Https
from components.images.image import AppImage, RunImage
from components.registry.mirror import Mirror
from components.registry.registries import AnyRegistry
from components.registry_access import RegistryAccess
from components.revisions import revisions
from components.rollbacks import Rollbacks
from components.routing import Routing
from components.service import Service
from components.stored_outputs import store
from components.version_log import VersionLog
from configuration.settings import StackSettings


def export(
    settings: StackSettings,
    hosts: Mapping[str, Host],
    authorities: Authorities,
    access: RegistryAccess,
    engines: Mapping[str, DockerEngine],
    registry: AnyRegistry,
    images: Mapping[str, RunImage],
    mirror: Mirror | None,
    https: Https,
    services: Mapping[str, Service],
    rollbacks: Rollbacks,
) -> None:
    """Export the stack's outputs. Secret values have keys of their own, so that all others stay readable.

    What services run is known only after the roll-out, and it stays as it was if that fails. All other outputs are
    stored before, so that a failed roll-out leaves none of them behind: a host may be new, or a password.
    `docs/outputs.md` lists the keys for people.
    """
    built_from = revisions(
        authorities.previous_outputs,
        {
            name: build
            for image in images.values()
            if isinstance(image, AppImage)
            for name, build in image.tags.items()
        },
        kept=rollbacks.held,
    )
    # One key logs in to all hosts.
    ssh_key = next(iter(hosts.values())).ssh_private_key
    log = VersionLog(
        settings, rollbacks, images, built_from, ssh_key, authorities.previous_outputs.get("versions")
    )
    outputs: dict[str, pulumi.Input[Any]] = {
        "platform": settings.platform.kind,
        "stackProtected": settings.protect,
        "reviewGuests": settings.review.guests,
        **_registry(settings, access),
        "hosts": {name: _host(host) for name, host in hosts.items()},
        "engineEndpoints": {name: host.engine_endpoint for name, host in hosts.items()},
        "engineCaCertificate": authorities.engine.trusted_pem,
        "engineClientCertificate": authorities.operator.certificate_pem,
        "engineClientKey": authorities.operator.private_key_pem,
        "operatorCertificates": {
            name: person.certificate_pem for name, person in authorities.operators.items()
        },
        "operatorKeys": pulumi.Output.secret(
            {name: person.private_key_pem for name, person in authorities.operators.items()}
        ),
        "sshPrivateKey": ssh_key,
        "wantedImages": {name: image.reference for name, image in images.items()},
        "revisions": built_from,
        "mirror": mirror.references if mirror else {},
        "resolvers": list(next(iter(hosts.values())).resolvers),
        "servicesCaCertificate": https.trusted_pem,
        **_generations(authorities, access, engines, registry, https),
        **_services(settings, hosts),
    }
    for key, value in outputs.items():
        pulumi.export(key, value)
    pulumi.export(OUTPUT, https.acme.told)
    stored = store({**outputs, "versions": log.begun})
    for key, value in _served(settings, services, authorities.previous_outputs, stored).items():
        pulumi.export(key, value)
    served = {name: service.image for name, service in services.items()}
    early = log.stored_early(served, stored, lambda versions: store({**outputs, "versions": versions}))
    pulumi.export(
        "versions",
        log.ended(pulumi.Output.all(early, pulumi.Output.from_input(served)).apply(lambda known: known[1])),
    )


def _served(
    settings: StackSettings,
    services: Mapping[str, Service],
    before: Mapping[str, object],
    stored: pulumi.Output[None],
) -> dict[str, pulumi.Output[dict[str, str]]]:
    """What services run, and how: known once the roll-out of each has succeeded, and all other outputs are stored."""
    images = {name: service.image for name, service in services.items()}
    rolled_out = pulumi.Output.all(stored, pulumi.Output.from_input(dict(images))).apply(
        lambda known: known[1]
    )
    asked = {name: service for name, service in settings.services.items() if service.own_check is None}
    none = dict.fromkeys(settings.services, "")
    paths = none | {name: service.health_path for name, service in asked.items()}
    routings = {name: Routing.of(settings, name) for name in asked}
    domains = none | {name: routing.visited(name) for name, routing in routings.items()}
    probes = none | {name: routings[name].probe(service.health_path) for name, service in asked.items()}

    def after_roll_out(key: str, wanted: Mapping[str, str] | None = None) -> pulumi.Output[dict[str, str]]:
        return rolled_out.apply(
            lambda known: what_runs(known, known if wanted is None else wanted, before.get(key))
        )

    return {
        "images": after_roll_out("images"),
        "serviceDomains": after_roll_out("serviceDomains", domains),
        "serviceHealthPaths": after_roll_out("serviceHealthPaths", paths),
        "serviceProbePaths": after_roll_out("serviceProbePaths", probes),
    }


def what_runs(rolled_out: Mapping[str, str], wanted: Mapping[str, str], before: object) -> dict[str, str]:
    """A property of the services as they run.

    Args:
        rolled_out: the image of each service; empty for one that a targeted update left out, on some hosts or on all.
        wanted: the property that each service was to get; empty for a service without it.
        before: the stack's previous output of this property. What was left out stays as it was.
    """
    old = before if isinstance(before, Mapping) else {}
    found = {name: wanted[name] if image else old.get(name, "") for name, image in rolled_out.items()}
    return {name: value for name, value in found.items() if value}


def _registry(settings: StackSettings, access: RegistryAccess) -> dict[str, object]:
    host = access.own.host if access.own else None
    passwords: pulumi.Output[object] = pulumi.Output.secret(dict(access.passwords))
    client_keys: pulumi.Output[dict[str, pulumi.Output[str]]] = pulumi.Output.secret(
        {name: client.private_key_pem for name, client in access.clients.items()}
    )
    return {
        "registryAddress": access.address,
        "registryPublicAddress": pulumi.Output.concat(
            settings.registry.domain or host.address, f":{settings.registry_port}"
        )
        if host
        else access.public_address or access.address,
        "registryCaCertificate": "" if access.insecure else access.certificate_authority_pem,
        "registryMode": settings.registry_mode,
        "registryRetention": _retention(settings) if host else {},
        "registryBackup": _backup(settings) if host else "",
        "registryMetricsUrl": _metrics(settings, host) if host else "",
        "registryAccounts": list(settings.accounts),
        "registryHostAccounts": dict(access.hosts),
        "registryPasswords": passwords,
        "registryClientCertificates": {
            name: client.certificate_pem for name, client in access.clients.items()
        },
        "registryClientKeys": client_keys,
    }


def _retention(settings: StackSettings) -> dict[str, int]:
    rule = settings.registry.retention
    return {"keep": rule.keep, "days": rule.days} if rule else {}


def _backup(settings: StackSettings) -> str:
    backup = settings.registry.backup
    return f"{settings.registry_host} at {backup.hour:02}:00" if backup else ""


def _generations(
    authorities: Authorities,
    access: RegistryAccess,
    engines: Mapping[str, DockerEngine],
    registry: AnyRegistry,
    https: Https,
) -> dict[str, object]:
    """The generation of each CA that every client and server of it has reached."""
    setups = [engine.setup.stdin for engine in engines.values() if engine.setup]
    rotations = authorities.rotations
    return {
        generation_output("engine"): reached(rotations["engine"], authorities.engine, setups),
        generation_output("registry"): reached(
            rotations["registry"], access.authority, [*setups, *registry.applied]
        ),
        generation_output("services"): reached(
            rotations["services"], https.authority, [setup.stdin for setup in https.setups]
        ),
    }


def _services(settings: StackSettings, hosts: Mapping[str, Host]) -> dict[str, object]:
    return {
        "serviceUrls": {
            name: _urls(
                service.names,
                service.path or "",
                [hosts[host] for host in settings.doors(name)],
                https=settings.has_https(name),
            )
            if service.own_check is None
            else []
            for name, service in settings.services.items()
        },
        "serviceEndpoints": {
            name: [
                pulumi.Output.concat(hosts[host].address, f":{_port(hosts[host], settings.has_https(name))}")
                for host in on
            ]
            for name, service in settings.services.items()
            if service.own_check is None and (on := settings.doors(name))
        },
        "servicePorts": {
            name: ports for name in settings.services if (ports := _service_ports(settings, hosts, name))
        },
        "serviceHosts": {name: list(settings.service_hosts(name)) for name in settings.services},
        "serviceSchedules": {
            name: f"{service.schedule} {service.time_zone}"
            for name, service in settings.services.items()
            if service.schedule is not None
        },
        "serviceBackups": {
            name: f"{settings.service_hosts(name)[0]} at {backup.hour:02}:00 {service.time_zone}"
            for name, service in settings.services.items()
            if (backup := service.backup)
        },
        "serviceTls": {
            name: "own"
            if settings.tls(name) == "own"
            else "acme"
            if settings.acme_directory(name)
            else "given"
            for name in settings.services
            if settings.has_https(name)
        },
    }


def _service_ports(
    settings: StackSettings, hosts: Mapping[str, Host], service: str
) -> list[pulumi.Output[str]]:
    """Where a service's public ports are: on `local` on this machine."""
    is_local = settings.platform.kind == "local"
    return [
        pulumi.Output.concat(
            hosts[host].address,
            f":{settings.local_port(host, port.host) if is_local else port.host}/{port.protocol}",
        )
        for port in settings.services[service].ports.published
        for host in settings.service_hosts(service)
        if port.is_public
    ]


def _metrics(settings: StackSettings, host: Host) -> pulumi.Input[str]:
    port = settings.registry.metrics_port
    where = host.address if host.private_ip is None else host.private_ip
    return pulumi.Output.concat("http://", where, f":{port}/metrics") if port else ""


def _host(host: Host) -> dict[str, object]:
    has_proxy = not host.roles.isdisjoint({"app", "edge"})
    return {
        "address": host.address,
        "privateAddress": host.private_address,
        "roles": sorted(host.roles),
        "sshPort": host.ssh_port,
        "sshUser": host.ssh_user,
        "sshHostKey": host.ssh_host_key,
        "enginePort": host.engine_port,
        "enginePlatform": host.platform,
        "httpPort": host.http_port if has_proxy else 0,
        "httpsPort": host.https_port if has_proxy else 0,
        "healthCheckId": host.health_check_id,
    }


def _urls(names: Sequence[str], path: str, hosts: Sequence[Host], *, https: bool) -> list[pulumi.Output[str]]:
    """A service's URL on each host; with names, each URL by them once: other names lead elsewhere."""
    end = path or "/"
    scheme, usual = ("https", 443) if https else ("http", 80)

    def port(host: Host) -> str:
        number = _port(host, https)
        return "" if number == usual else f":{number}"

    if not names:
        return [pulumi.Output.concat(f"{scheme}://", host.address, port(host), end) for host in hosts]
    ports = dict.fromkeys(map(port, hosts))
    return [pulumi.Output.from_input(f"{scheme}://{name}{each}{end}") for name in names for each in ports]


def _port(host: Host, https: bool) -> int:
    return host.https_port if https else host.http_port
