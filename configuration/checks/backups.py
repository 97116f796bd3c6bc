"""Checks of backups: that each can be made, restored and kept."""

from collections.abc import Iterator

from configuration.backup import BACKUP_PASSWORD, STATE, BackupTarget, password_name
from configuration.checks.context import Check, Checks
from configuration.problems import Location, Problem, command, path_of, suggestion, words
from configuration.services import ServiceSettings


def backups(checks: Checks) -> Iterator[Problem]:
    """Each backup is of something that can be restored, on one host, and goes to one place."""
    for name, service in checks.settings.services.items():
        if service.backup is None or not checks.is_valid("services", name):
            continue
        yield from _what(name, service)
        yield from _service(checks, name, service)
        location = ("services", name, "backup", "to")
        yield from _where(checks, service.backup.to, location, name, checks.settings.service_hosts(name))


def of_the_registry(checks: Checks) -> Iterator[Problem]:
    """The backups of the registry go to one place, and not while retention removes images."""
    registry, location = checks.settings.registry, ("registry", "backup")
    if registry.backup is None or not checks.is_valid("registry"):
        return
    if registry.retention and registry.retention.hour == registry.backup.hour:
        yield Problem(
            (*location, "hour"),
            "registry.retention removes images at this hour",
            "Set another hour.",
            registry.backup.hour,
        )
    if not registry.external:  # which refuses the setting as a whole
        hosts = checks.settings.hosts_with("registry")
        yield from _where(checks, registry.backup.to, (*location, "to"), "the registry", hosts)


def of_the_state(checks: Checks) -> Iterator[Problem]:
    """The backups of the state go to a place that is reached without the state."""
    backup, location = checks.settings.state_backup, ("stateBackup", "to")
    if backup is None or not checks.is_valid("stateBackup"):
        return
    if backup.to.host:
        yield Problem(
            (*location, "host"),
            "the keys of the hosts are in the state, and would be lost with it",
            "Set path, a directory of your machine, or s3.",
            backup.to.host,
        )
    else:
        yield from _where(checks, backup.to, location, "the state", ())
    if STATE in checks.settings.services:
        yield Problem(
            ("services", STATE), "the backups of the state have this name", "Give the service another name."
        )


def password(checks: Checks) -> Iterator[Problem]:
    """The password that encrypts each backup is set."""
    settings = checks.settings
    if BACKUP_PASSWORD in settings.secrets or not checks.is_valid("secrets", BACKUP_PASSWORD):
        return
    for name in settings.backup_targets:
        location = ("secrets", password_name(name))
        if location[1] in settings.secrets or not checks.is_valid(*location):
            continue
        yield Problem(
            location,
            "not set",
            f"{command('up', checks.stack)} makes it. Without slip: "
            f"`pulumi config set --secret --path '{path_of(location)}'`.",
        )


def _what(name: str, service: ServiceSettings) -> Iterator[Problem]:
    backup, location = service.backup, ("services", name, "backup")
    if backup is None:
        return
    if bool(backup.command) == bool(backup.volumes):
        yield Problem(
            location,
            "both a command and volumes" if backup.command else "neither a command nor volumes",
            "Set one of them: command, whose output is the backup, or volumes.",
        )
        return
    if backup.command and not backup.restore_command:
        yield Problem(
            (*location, "restoreCommand"),
            "not set",
            "Set the command that reads the backup on its standard input, such as psql -U postgres.",
        )
    for key in ("restore_command", "stop"):
        needed, missing = ("volumes", "command") if key == "restore_command" else ("command", "volumes")
        if getattr(backup, key) and getattr(backup, needed):
            written = {"restore_command": "restoreCommand"}.get(key, key)
            yield Problem(
                (*location, written), f"a backup of {needed} has none", f"Leave it out, or set {missing}."
            )
    for index, volume in enumerate(backup.volumes):
        if volume not in service.volumes:
            known = f"Volumes of {name}: {words(service.volumes)}." if service.volumes else ""
            yield Problem(
                (*location, "volumes", index),
                "not a volume of the service",
                f"{suggestion(volume, service.volumes)}{known or 'Give it volumes.'}",
                volume,
            )
    if backup.command and not service.volumes:
        yield Problem(
            location,
            "the service has no volume that it could be restored into",
            f"Set {path_of(('services', name, 'volumes'))} to where its data is.",
        )


def _service(checks: Checks, name: str, service: ServiceSettings) -> Iterator[Problem]:
    location = ("services", name, "backup")
    hosts = checks.settings.service_hosts(name)
    if len(hosts) > 1 and not checks.hosts_replaced:
        yield Problem(
            location,
            f"the service runs on {words(hosts)}, each with data of its own, and a backup is of one host's",
            f"Set {path_of(('services', name, 'hosts'))} to one host.",
        )
    if service.schedule is not None:
        yield Problem(
            location, "a job has none, since it runs and ends", "Back up the service whose data it is."
        )


def _where(
    checks: Checks, target: BackupTarget, location: Location, what: str, hosts: tuple[str, ...]
) -> Iterator[Problem]:
    settings = checks.settings
    places = [key for key in ("host", "path", "s3") if getattr(target, key)]
    if len(places) != 1:
        yield Problem(
            location,
            f"{words(places)} at once" if places else "no place is set",
            "Set one of host, path and s3.",
        )
        return
    if target.host:
        yield from _host(checks, target.host, (*location, "host"), what, hosts)
    for key, written in (("key_id", "keyId"), ("key", "key")):
        secret = getattr(target, key)
        place = (*location, written)
        if target.s3 and secret is None:
            yield Problem(place, "not set", "Set it to the name of a secret in slipway:secrets.")
        elif secret and not target.s3:
            yield Problem(place, "only backups in s3 have it", "Leave it out.", secret)
        elif secret and secret not in settings.secrets and checks.is_valid("secrets", secret):
            yield Problem(
                place,
                f"{path_of(('secrets', secret))} is not set",
                f"{suggestion(secret, settings.secrets)}Set it: {checks.set_secret(secret)}.",
                secret,
            )


def _host(
    checks: Checks, host: str, location: Location, what: str, hosts: tuple[str, ...]
) -> Iterator[Problem]:
    settings = checks.settings
    if checks.hosts_replaced:
        return
    if host not in settings.hosts:
        if checks.is_valid("hosts", host):
            yield Problem(
                location,
                "no such host",
                f"{suggestion(host, settings.hosts)}Hosts: {words(settings.hosts)}.",
                host,
            )
    elif host in hosts:
        yield Problem(
            location,
            f"{what} runs there, so both would be lost together",
            "Name another host, or set path or s3.",
            host,
        )


CHECKS: tuple[Check, ...] = (backups, of_the_registry, of_the_state, password)
