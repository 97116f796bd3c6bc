"""Backups of services and of the registry: the set-up on the host of each, and on the host that keeps them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

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

STORE_USER = "slipway-backup-"
"""What the names of the users begin with that scripts/backup-store.sh makes, one for each service."""
USER_LENGTH = 32
"""Characters that the name of a user of Linux has at most (useradd(8))."""
SSH_PORT = 22
"""TCP port of the hosts' SSH servers, as the other hosts reach it."""


def make_backups(
    settings: StackSettings,
    engines: Mapping[str, DockerEngine],
    services: Mapping[str, Service],
    registry: AnyRegistry,
) -> None:
    """Sets up the backups of all services that have them, and of the registry. A stack without any gets nothing."""
    planned: list[tuple[Setup, DockerEngine, pulumi.Resource]] = []
    for name, service in settings.services.items():
        if not (backup := service.backup):
            continue
        (host,) = (engines[host] for host in settings.service_hosts(name))
        setup = Setup(
            f"{container_name(name, host.host.name)}-backup",
            name,
            host_settings(settings, name, backup),
            f"*-*-* {backup.hour:02}:00:00 {service.time_zone}",
            backup.to,
        )
        planned.append((setup, host, services[name]))
    if (of_registry := settings.registry.backup) and settings.registry_host:
        setup = Setup(
            "registry-backup",
            REGISTRY,
            registry_settings(of_registry),
            f"*-*-* {of_registry.hour:02}:00:00",
            of_registry.to,
        )
        planned.append((setup, engines[settings.registry_host], registry))
    stores = _stores([setup for setup, _, _ in planned], engines)
    for setup, host, parent in planned:
        _set_up(settings, setup, host, stores.get(setup.name), parent)


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


@dataclass(frozen=True)
class Store:
    """A host that keeps the backups of a service of another host."""

    host: Host
    key: tls.PrivateKey
    """What logs in there as the service's user, and to nothing else."""
    ready: pulumi.Resource


def _stores(setups: Sequence[Setup], engines: Mapping[str, DockerEngine]) -> dict[str, Store]:
    """Where another host keeps backups: that host by the service's name."""
    keys = {
        setup.name: tls.PrivateKey(f"{setup.resource}-key", algorithm="ED25519")
        for setup in setups
        if setup.to.host
    }
    found: dict[str, Store] = {}
    for host in sorted({setup.to.host for setup in setups if setup.to.host}):
        names = sorted(setup.name for setup in setups if setup.to.host == host)
        users = [
            pulumi.Output.concat(
                store_user(name), " ", name, " ", keys[name].public_key_openssh.apply(str.strip)
            )
            for name in names
        ]
        ready = script.remote_command(
            f"{host}-backup-store",
            engines[host].host,
            "backup-store.sh",
            {"USERS": pulumi.Output.all(*users).apply("\n".join)},
            pulumi.ResourceOptions(depends_on=[*engines[host].ready], delete_before_replace=True),
            is_undone=True,
        )
        found |= {name: Store(engines[host].host, keys[name], ready) for name in names}
    return found


def store_user(service: str) -> str:
    """The user who has a service's backups on another host. A name that would be too long has its hash there."""
    name = f"{STORE_USER}{service}"
    if len(name) <= USER_LENGTH:
        return name
    return STORE_USER + sha256(service.encode()).hexdigest()[: USER_LENGTH - len(STORE_USER)]


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
        written = pulumi.Output.concat(written, f"target={store_user(setup.name)}@", address, "\n")
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
        "keeper": backup.to.host or "",
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
        "keeper": backup.to.host or "",
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
