"""From the settings to the registry: the stack's own or the external one, as `registry_access` has decided."""

from collections.abc import Mapping

from components.authorities import Authorities
from components.engine import DockerEngine
from components.registry.external import ExternalRegistry, ExternalRegistryArgs
from components.registry.own import Registry, RegistryArgs
from components.registry.retention import Retention
from components.registry.rights import rights_of
from components.registry_access import OwnRegistry, RegistryAccess
from configuration.settings import StackSettings

AnyRegistry = Registry | ExternalRegistry
"""Either kind, with the same attributes."""


def make_registry(
    settings: StackSettings,
    engines: Mapping[str, DockerEngine],
    authorities: Authorities,
    access: RegistryAccess,
) -> AnyRegistry:
    """The registry of the stack's images."""
    if access.own is None:
        # Another stack has seen to it that its hosts can log in.
        tried = [] if authorities.host_stack is not None else list(engines.values())
        return ExternalRegistry("registry", ExternalRegistryArgs(access=access, engines=tried))
    return _make_own(settings, engines, authorities, access, access.own)


def _make_own(
    settings: StackSettings,
    engines: Mapping[str, DockerEngine],
    authorities: Authorities,
    access: RegistryAccess,
    own: OwnRegistry,
) -> Registry:
    # During a CA rotation every host must trust the new CA first; with client certificates, every host must have one
    # first. Otherwise, and in a new stack, the registry does not wait for the slowest host.
    waits = authorities.rotations["registry"].predecessor or (access.clients and authorities.previous_outputs)
    rule = settings.registry.retention
    return Registry(
        "registry",
        RegistryArgs(
            engine=engines[own.host.name],
            access=access,
            own=own,
            port=settings.registry_port,
            rights=rights_of(settings),
            lifetime=authorities.lifetime,
            trusted_by=[engine.setup for engine in engines.values() if engine.setup] if waits else [],
            metrics_port=settings.registry.metrics_port,
            metrics_ip=own.host.private_ip,
            retention=Retention(
                keep=rule.keep,
                days=rule.days,
                hour=rule.hour,
                services={name: settings.service_hosts(name) for name in settings.services},
            )
            if rule
            else None,
        ),
    )
