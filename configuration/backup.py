"""The backups of services, of the registry and of the state: what is backed up, when, and where to."""

from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool

from configuration.base import Settings
from configuration.commands import Command
from configuration.constraints import Matching, Within, distinct
from configuration.containers import HostPath
from configuration.types import PORT_NUMBER, Label, NameOfSecret

_NAME = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
"""A part of a server's name."""
BACKUP_PASSWORD = "BACKUP_PASSWORD"  # noqa: S105 - a name
"""The secret of `slipway:secrets` that encrypted all backups of a stack in older versions.

It opens the repositories that those have begun. It is the beginning of the names of the passwords of now.
"""
REGISTRY = "registry"
"""The name of the registry's backups among those of services, none of which can be called so."""
STATE = "state"
"""The name of the state's backups. With them, no service can be called so."""


def password_name(name: str) -> str:
    """The secret of `slipway:secrets` that encrypts the backups of a service, of `REGISTRY` or of `STATE`."""
    return f"{BACKUP_PASSWORD}_{name.upper().replace('-', '_')}"


class BackupTarget(Settings):
    """Where backups are kept: at one of `host`, `path` and `s3`."""

    host: Annotated[Label | None, Field(examples=["yard"])] = None
    """Another host of the stack, which keeps them in /var/lib/slipway/backups. Default: none."""

    path: Annotated[HostPath | None, Field(examples=["/mnt/backups"])] = None
    """Directory on the service's own host, which has to be there: a file server's, for example. Default: none."""

    s3: (
        Annotated[
            str,
            Matching(
                rf"https?://{_NAME}(\.{_NAME})*(:{PORT_NUMBER})?(/(?!\.\.?(/|$))[A-Za-z0-9._-]+)+",
                "not a bucket's URL",
                "Write the server, the bucket and perhaps a folder, such as "
                "https://s3.eu-central-1.amazonaws.com/backups.",
                length=300,
            ),
            Field(examples=["https://s3.eu-central-1.amazonaws.com/backups"]),
        ]
        | None
    ) = None
    """Bucket of an object store that speaks S3, with its server, and perhaps a folder in it. Default: none."""

    key_id: Annotated[NameOfSecret | None, Field(examples=["BACKUP_KEY_ID"])] = None
    """Name of the secret in `slipway:secrets` that is the id of the access key for `s3`. Required with `s3`."""

    key: Annotated[NameOfSecret | None, Field(examples=["BACKUP_KEY"])] = None
    """Name of the secret in `slipway:secrets` that is the access key itself. Required with `s3`."""

    @property
    def secrets(self) -> dict[str, str]:
        """The names of its secrets, by setting."""
        return {key: name for key, name in (("keyId", self.key_id), ("key", self.key)) if name}


class RegistryBackupSettings(Settings):
    """Backup of the registry's images."""

    hour: Annotated[int, Within(0, 23, "an hour of the day")] = 4
    """Hour of the day, 0 to 23, at which the backup is made, by the clock of the registry's host, which is usually
    UTC. Not the one of `retention`. Default: 4."""

    keep: Annotated[int, Within(1, 3650, "a number of days")] = 14
    """How many daily backups stay, 1 to 3650: the last one of each day that has one. Of the last day, all stay.
    Default: 14."""

    to: Annotated[BackupTarget, Field(examples=[{"host": "web-1"}])]
    """Where the backups are kept. Required."""


class StateBackupSettings(Settings):
    """Backup of the stack's state, by restic on the operator's machine."""

    keep: Annotated[int, Within(1, 3650, "a number of days")] = 90
    """How many daily backups stay, 1 to 3650: the last one of each day that has one. Of the last day, all stay.
    Default: 90."""

    to: Annotated[BackupTarget, Field(examples=[{"path": "/mnt/backups"}])]
    """Where the backups are kept: `path`, a directory of the operator's machine, or `s3`. Not `host`: the keys of the
    hosts are in the state. Required."""


class BackupSettings(Settings):
    """Backup of a service: by a command whose output it is, or of volumes."""

    command: Annotated[Command, Field(examples=["pg_dumpall -U postgres"])] = None
    """Command whose output is the backup. It runs in the container that serves, as the container's user. A line runs
    by /bin/sh, a list of words without a shell. Default: none."""

    restore_command: Annotated[Command, Field(examples=["psql -U postgres"])] = None
    """Command that reads the output of `command` on its standard input and restores it, in a container of the service
    whose volumes are empty. Required with `command`."""

    volumes: Annotated[tuple[Label, ...], AfterValidator(distinct), Field(examples=[["data"]])] = ()
    """Volumes of the service that are backed up as they are on the disk. Default: none."""

    stop: StrictBool = False
    """Whether the service is stopped while its `volumes` are backed up. Without that, their files are read one after
    another while the service may write them. Default: false."""

    check: Annotated[Command, Field(examples=["psql -U postgres -tAc 'select 1 from users limit 1'"])] = None
    """Command that ends with status 0 if restored data is right. `restore` and `drill` run it in a container of the
    service that has the restored data. Default: none."""

    hour: Annotated[int, Within(0, 23, "an hour of the day")] = 3
    """Hour of the day, 0 to 23, at which the backup is made, in the service's `timeZone`. Default: 3."""

    keep: Annotated[int, Within(1, 3650, "a number of days")] = 14
    """How many daily backups stay, 1 to 3650: the last one of each day that has one. Of the last day, all stay.
    Default: 14."""

    to: Annotated[BackupTarget, Field(examples=[{"host": "yard"}])]
    """Where the backups are kept. Required."""
