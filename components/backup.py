"""Backups of services and of the registry: the set-up on the host of each, and on the host that keeps them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_tls as tls

from components import containers, script
from components.engine import DockerEngine
from components.host import Host
from components.registry.registries import AnyRegistry
from components.routing import Routing
from components.service import Service
from configuration.backup import REGISTRY, BackupSettings, BackupTarget, RegistryBackupSettings
from configuration.resource_names import container as container_name
from configuration.services import ServiceSettings
from configuration.settings import StackSettings
from well_known import REGISTRY_DATA_PATH

STORE_USER = "slipway-backup"
"""The user of scripts/backup-store.sh."""
SSH_PORT = 22
"""TCP port of the hosts' SSH servers, as the other hosts reach it."""


def make_backups(
    settings: StackSettings,
    engines: Mapping[str, DockerEngine],
    services: Mapping[str, Service],
    registry: AnyRegistry,
) -> None:
    """Sets up the backups of all services that have them, and of the registry. A stack without any gets nothing."""
    backed_up = {name: service.backup for name, service in settings.services.items() if service.backup}
    of_registry = settings.registry.backup
    targets = [backup.to for backup in (*backed_up.values(), of_registry) if backup]
    stores = _stores({target.host for target in targets if target.host}, engines)
    for name, backup in backed_up.items():
        service = settings.services[name]
        (host,) = (engines[host] for host in settings.service_hosts(name))
        setup = Setup(
            f"{container_name(name, host.host.name)}-backup",
            name,
            host_settings(settings, name, backup),
            f"*-*-* {backup.hour:02}:00:00 {service.time_zone}",
            backup.to,
        )
        _set_up(settings, setup, host, stores.get(backup.to.host or ""), services[name])
    if of_registry and settings.registry_host:
        setup = Setup(
            "registry-backup",
            REGISTRY,
            registry_settings(of_registry),
            f"*-*-* {of_registry.hour:02}:00:00",
            of_registry.to,
        )
        host = engines[settings.registry_host]
        _set_up(settings, setup, host, stores.get(of_registry.to.host or ""), registry)


@dataclass(frozen=True)
class Store:
    """A host that keeps backups of others."""

    host: Host
    key: tls.PrivateKey
    """What logs in there, to nothing else."""
    ready: pulumi.Resource


def _stores(names: set[str], engines: Mapping[str, DockerEngine]) -> dict[str, Store]:
    if not names:
        return {}
    key = tls.PrivateKey("backup-key", algorithm="ED25519")
    return {
        name: Store(
            engines[name].host,
            key,
            script.remote_command(
                f"{name}-backup-store",
                engines[name].host,
                "backup-store.sh",
                {"PUBLIC_KEY": key.public_key_openssh.apply(str.strip)},
                pulumi.ResourceOptions(depends_on=[*engines[name].ready], delete_before_replace=True),
                is_undone=True,
            ),
        )
        for name in sorted(names)
    }


@dataclass(frozen=True)
class Setup:
    """What one kind of backup is made by on its host."""

    resource: str
    """The name of the command."""
    name: str
    """The service's name, or `REGISTRY`."""
    written: str
    """The settings that scripts/backup.sh reads."""
    calendar: str
    """When it is made, as an event of systemd's calendar."""
    to: BackupTarget


def _set_up(
    settings: StackSettings,
    setup: Setup,
    engine: DockerEngine,
    store: Store | None,
    parent: pulumi.Resource,
) -> command.remote.Command:
    host = engine.host
    key_id, key = (
        settings.secrets[secret].get_secret_value() if secret else ""
        for secret in (setup.to.key_id, setup.to.key)
    )
    password, former_password = settings.backup_passwords(setup.name)
    written: pulumi.Input[str] = setup.written
    known_host: pulumi.Input[str] = ""
    ssh_key: pulumi.Input[str] = ""
    if store:
        address = pulumi.Output.from_input(store.host.private_address)
        written = pulumi.Output.concat(written, f"target={STORE_USER}@", address, "\n")
        known_host = pulumi.Output.concat(address, " ", store.host.ssh_host_key)
        ssh_key = store.key.private_key_openssh
    return script.remote_command(
        setup.resource,
        host,
        "backup-setup.sh",
        {
            "SERVICE": setup.name,
            "SETTINGS": written,
            "CALENDAR": setup.calendar,
            "PASSWORD": password,
            "FORMER_PASSWORD": former_password,
            "KEYS": script.assignments({"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": key})
            if setup.to.s3
            else "",
            "SSH_KEY": ssh_key,
            "KNOWN_HOST": known_host,
            "BACKUP_SCRIPT": script.text("backup.sh"),
        },
        # As with switches: what is undone is the former host's.
        pulumi.ResourceOptions(
            parent=parent,
            depends_on=[*engine.ready, *([store.ready] if store else [])],
            delete_before_replace=True,
        ),
        is_undone=True,
    )


def host_settings(settings: StackSettings, name: str, backup: BackupSettings) -> str:
    """The settings of one service's backups, as scripts/backup.sh reads them on its host; no secrets.

    Where they go to another host, its address is missing.
    """
    service, stack = settings.services[name], pulumi.get_stack()
    mounted = sorted(service.volumes)
    routing = Routing.of(settings, name) if service.own_check is None else None
    lists = {
        "mounted": mounted,
        "saved": sorted(backup.volumes) or mounted,
        "dump_words": backup.command.words if backup.command else (),
        "restore_words": backup.restore_command.words if backup.restore_command else (),
        "check_words": backup.check.words if backup.check else (),
    }
    values = {
        "repository": repository(backup.to, stack, name),
        "target": "",
        "port": str(SSH_PORT),
        "stack": stack,
        "kind": "command" if backup.command else "volumes",
        "stops": "true" if backup.stop else "false",
        "keep": str(backup.keep),
        "well": how_well(service),
        "domain": routing.visited(name) if routing else "",
        "health_timeout": str(service.health_timeout),
        "stop_grace": str(service.stop_grace),
        "own_limit": str(service.pids),
    }
    return script.assignments(values) + "".join(_list(key, words) for key, words in lists.items())


def registry_settings(backup: RegistryBackupSettings) -> str:
    """The same of the registry's backups."""
    stack = pulumi.get_stack()
    values = {
        "repository": repository(backup.to, stack, REGISTRY),
        "target": "",
        "port": str(SSH_PORT),
        "stack": stack,
        "kind": "registry",
        "stops": "false",
        "keep": str(backup.keep),
        "data": REGISTRY_DATA_PATH,
    }
    return script.assignments(values) + _list("saved", ["images"])


def repository(target: BackupTarget, stack: str, service: str) -> str:
    """The repository of a service's backups, in restic's words. Stacks can share a directory and a bucket."""
    if target.s3:
        return f"s3:{target.s3}/{stack}/{service}"
    # scripts/backup.sh says which host it is.
    return f"{target.path}/{stack}/{service}" if target.path else f"sftp:store:/data/{service}"


def how_well(service: ServiceSettings) -> str:
    """How a container of it is known to be healthy, in the words of scripts/backup.sh."""
    if service.own_check:
        return containers.checked_by(service.own_check).removeprefix("check=")
    return f"http:{service.port}:{service.health_path}"


def _list(name: str, words: Sequence[str]) -> str:
    return f"{name}=({' '.join(map(shlex.quote, words))})\n"
