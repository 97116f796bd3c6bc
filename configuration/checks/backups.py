"""Checks of backups: that each can be made, restored and kept."""

from collections.abc import Iterator

from configuration.backup import BACKUP_PASSWORD
from configuration.checks.context import Check, Checks
from configuration.problems import Problem, command, path_of, suggestion, words
from configuration.services import ServiceSettings


def backups(checks: Checks) -> Iterator[Problem]:
    """Each backup is of something that can be restored, on one host, and goes to one place."""
    for name, service in checks.settings.services.items():
        if service.backup is None or not checks.is_valid("services", name):
            continue
        yield from _what(name, service)
        yield from _service(checks, name, service)
        yield from _where(checks, name, service)


def password(checks: Checks) -> Iterator[Problem]:
    """The password that encrypts the backups is set."""
    settings = checks.settings
    if (
        any(service.backup for service in settings.services.values())
        and BACKUP_PASSWORD not in settings.secrets
        and checks.is_valid("secrets", BACKUP_PASSWORD)
    ):
        location = ("secrets", BACKUP_PASSWORD)
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


def _where(checks: Checks, name: str, service: ServiceSettings) -> Iterator[Problem]:
    settings, backup = checks.settings, service.backup
    if backup is None:
        return
    target, location = backup.to, ("services", name, "backup", "to")
    places = [key for key in ("host", "path", "s3") if getattr(target, key)]
    if len(places) != 1:
        yield Problem(
            location,
            f"{words(places)} at once" if places else "no place is set",
            "Set one of host, path and s3.",
        )
        return
    if target.host:
        yield from _host(checks, name, target.host)
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


def _host(checks: Checks, name: str, host: str) -> Iterator[Problem]:
    settings, location = checks.settings, ("services", name, "backup", "to", "host")
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
    elif host in settings.service_hosts(name):
        yield Problem(
            location,
            f"{name} runs there, so both would be lost together",
            "Name another host, or set path or s3.",
            host,
        )


CHECKS: tuple[Check, ...] = (backups, password)
