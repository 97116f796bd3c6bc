"""Backups of a stack's state, by restic on the operator's machine.

They are read without the state: by the stack's file, its passphrase, and the place where they are kept. The state's
secrets are encrypted in them as in the state itself, and restic encrypts the whole once more.
"""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import child_environment
from cli import console
from cli.errors import CommandError
from cli.running.backup import moment
from cli.running.http import private_files
from cli.stack import ciphertexts, deployment, passphrase
from cli.stack.config import STATE, password_name
from cli.stack.project import write_private
from cli.stack.stack import Stack
from cli.text import size
from well_known import NAMESPACE

FILE = "state.json"
"""The file's name in a backup."""
KEEP = 90
"""The default of `stateBackup.keep`, as in `configuration/`."""
ANSWER = 30
"""Seconds in which an object store has to answer."""


@dataclass(frozen=True)
class Place:
    """Where the backups of a stack's state are kept, and what opens them."""

    repository: str
    """In restic's words."""
    password: str
    keys: Mapping[str, str]
    """Id and key for an object store; empty for a directory."""
    keep: int
    """How many daily backups stay."""

    @classmethod
    def of(cls, stack: Stack) -> "Place":
        """The place by the stack's file.

        Raises:
            CommandError: the file has none, or lacks what opens it.

        """
        config = stack.config
        if STATE not in config.backups:
            raise CommandError(
                "the state has no backups",
                f"slipway:stateBackup sets them up, and then `./slip up{stack.option}`.",
                status=2,
            )
        target = config.backups[STATE]
        base = f"s3:{target['s3']}" if target.get("s3") else target.get("path")
        if not base:
            raise CommandError(
                "slipway:stateBackup.to has neither path nor s3",
                f"Set one of them in {stack.config_file.name}.",
                status=2,
            )
        own = password_name(STATE)
        names = [own, *(str(target.get(key)) for key in ("keyId", "key") if target.get("s3"))]
        secrets = _secrets(stack, names)
        keep = config.setting("stateBackup").get("keep")
        return cls(
            f"{base}/{stack.short_name}/{STATE}",
            secrets[own],
            {"aws_access_key_id": secrets[names[1]], "aws_secret_access_key": secrets[names[2]]}
            if target.get("s3")
            else {},
            keep if isinstance(keep, int) else KEEP,
        )


def back_up(stack: Stack, *, new: bool = False) -> None:
    """Make a backup of the state now.

    Args:
        stack: the stack.
        new: whether a new repository may be begun where the former one is gone.

    Raises:
        CommandError: there is no state, or it could not be stored.

    """
    place = Place.of(stack)
    exported = stack.export()
    resources = len(deployment.resources(exported["deployment"]))
    if not resources:
        raise CommandError(
            f"the stack '{stack.name}' has no resources yet", f"`./slip up{stack.option}` makes them."
        )
    text = json.dumps(exported)
    _reach(stack, place, new=new)
    who = ("--host", stack.short_name)
    tags = f"service={STATE},{STATE}={resources},bytes={len(text)}"
    _say_why(
        _restic(place, "backup", "-q", *who, "--tag", tags, "--stdin", "--stdin-filename", FILE, data=text),
        "the state could not be backed up",
    )
    os.utime(_record(stack))
    console.say(f"The state is backed up: {resources} resources, {size(len(text))}.")
    _restic(place, "unlock", "-q")
    days = ("--keep-daily", str(place.keep), "--keep-within", "1d")
    if _restic(place, "forget", "-q", *who, "--group-by", "", *days, "--prune").returncode:
        console.warn("old backups of the state could not be removed")


def last(stack: Stack) -> datetime | None:
    """When the last backup was made; None without any.

    Raises:
        CommandError: they cannot be read.

    """
    return max((moment(one["time"]) for one in json.loads(listed(stack) or "[]") or ()), default=None)


def is_behind(stack: Stack) -> bool:
    """Whether the state was written since this clone last backed it up. False where no file says that."""
    state = stack.backend.state_file(stack.project.name, stack.short_name)
    if state is None:
        return False
    record = _record(stack)
    return not record.is_file() or record.stat().st_mtime_ns < state.stat().st_mtime_ns


def after_update(stack: Stack) -> None:
    """Make a backup after an update that has changed something. If it fails, that is said, and the update is done."""
    try:
        back_up(stack)
    except CommandError as error:
        console.warn(f"the state was not backed up: {error.message}")


def listed(stack: Stack) -> str:
    """The backups, as restic's JSON.

    Raises:
        CommandError: they cannot be read.

    """
    place = Place.of(stack)
    _reach(stack, place, begins=False)
    return _say_why(_restic(place, "snapshots", "--json"), "the backups of the state cannot be read")


def read(stack: Stack, backup: str) -> dict[str, Any]:
    """The state in a backup, as `pulumi stack export` has printed it.

    Raises:
        CommandError: it cannot be read, or another passphrase has encrypted its secrets.

    """
    text = _say_why(
        _restic(Place.of(stack), "dump", backup, f"/{FILE}"), f"the backup {backup} cannot be read"
    )
    try:
        exported: dict[str, Any] = json.loads(text)
        salts = passphrase.salts(stack.config, exported["deployment"])
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"the backup {backup} is of no state") from None
    phrase = passphrase.current(stack.project, stack.pulumi.variables)
    if not stack.config.has_secrets_provider and not all(passphrase.fits(phrase, salt) for salt in salts):
        raise CommandError(
            f"the passphrase does not open the secrets in the backup {backup}",
            "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file with the passphrase of that time.",
        )
    return exported


def check(stack: Stack) -> None:
    """Look whether all that is kept is whole, by restic's own check.

    Raises:
        CommandError: it is damaged.

    """
    _say_why(
        _restic(Place.of(stack), "check", "-q", "--read-data"),
        "restic finds the backups of the state damaged",
    )


def restore(stack: Stack, exported: dict[str, Any]) -> None:
    """Put a state in place of the stack's, which stays as a file in .slipway/backups.

    Raises:
        CommandError: Pulumi refuses it.

    """
    if not stack.exists():
        stack.create()
    elif deployment.resources((now := stack.export())["deployment"]):
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        path = stack.project.private / "backups" / f"{stack.name}-{stamp}.json"
        write_private(path, json.dumps(now, indent=2) + "\n")
        console.say(f"The state until now is in {path.relative_to(stack.project.root)}.")
    stack.import_state(exported)


def _secrets(stack: Stack, names: list[str]) -> dict[str, str]:
    """Secrets of the stack's file in plain text; they must not leave this process."""
    known = stack.config.secrets
    if missing := [name for name in names if name not in known]:
        raise CommandError(
            f"slipway:secrets.{missing[0]} is not set",
            f"`./slip up{stack.option}` makes it."
            if missing[0] == password_name(STATE)
            else f"Set it: ./slip secret set {missing[0]}{stack.option}",
        )
    opened = ciphertexts.secrets(stack.config, stack.pulumi.variables, names)
    if opened is not None:
        return opened
    # A cloud's key has encrypted them.
    return {
        name: stack.pulumi.read(
            "config", "get", "--stack", stack.name, "--path", f"{NAMESPACE}:secrets.{name}"
        ).removesuffix("\n")
        for name in names
    }


def _reach(stack: Stack, place: Place, *, new: bool = False, begins: bool = True) -> None:
    """Find the repository, or begin one. A directory that is not mounted, or a disk that was replaced, is none."""
    what = "the place for the backups of the state"
    is_in_bucket = place.repository.startswith("s3:")
    if is_in_bucket:
        _require_answer(place.repository.removeprefix("s3:"), what)
    elif not Path(place.repository).parents[1].is_dir():
        raise CommandError(
            f"there is no directory {Path(place.repository).parents[1]}", "Mount it, or make it."
        )
    record = _record(stack)
    found = _restic(place, "cat", "config")
    if not found.returncode:
        # Its time is that of the last backup.
        if not record.is_file() or record.read_text().strip() != place.repository:
            write_private(record, f"{place.repository}\n")
            os.utime(record, (0, 0))
        return
    why = _reason(found.stderr)
    if "wrong password" in why:
        raise CommandError(
            "the backups of the state have another password",
            f"Set slipway:secrets.{password_name(STATE)} to the one that it had when they were begun.",
        )
    if "bucket does not exist" in why:
        raise CommandError(
            f"there is no bucket of this name: {place.repository.removeprefix('s3:')}",
            "Make it, or correct slipway:stateBackup.to.s3.",
        )
    was_there = record.is_file() and record.read_text().strip() == place.repository
    if not begins or (was_there and not new):
        raise CommandError(
            f"the backups of the state cannot be read: {why}",
            f"If they are lost, `./slip backup state --new{stack.option}` begins anew.",
        )
    _say_why(_restic(place, "init"), f"{what} cannot be used")
    write_private(record, f"{place.repository}\n")
    os.utime(record, (0, 0))
    console.say(f"Began the backups of the state in {place.repository.removeprefix('s3:')}.")


def _record(stack: Stack) -> Path:
    """The file that says where the backups were last found. Its time is that of this clone's last backup."""
    return stack.project.private / "state-backups" / stack.key


def _require_answer(url: str, what: str) -> None:
    """Refuse an object store that is silent: restic would wait for it without an end."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise CommandError(f"{url} is not a bucket's URL", "Correct slipway:stateBackup.to.s3.", status=2)
    try:
        urllib.request.urlopen(f"{parts.scheme}://{parts.netloc}/", timeout=ANSWER).close()  # noqa: S310 - as above
    except urllib.error.HTTPError:
        return  # it answers, and wants a key
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise CommandError(f"{what} does not answer: {reason}") from None


def _restic(place: Place, *words: str, data: str = "") -> "subprocess.CompletedProcess[str]":
    """Run restic. Password and keys are in files that no other process has by name."""
    restic = shutil.which("restic")
    if restic is None:
        raise CommandError(
            "restic is not installed on this machine",
            "Install restic 0.14 or newer: `apt-get install restic` on Debian and Ubuntu, or from "
            "https://restic.net/.",
        )
    keys = "".join(f"{name} = {value}\n" for name, value in place.keys.items())
    with private_files(f"{place.password}\n", f"[default]\n{keys}") as (password, credentials):
        descriptors = [
            int(path.name) for path in (password, credentials) if path.parent == Path("/proc/self/fd")
        ]
        variables = dict(child_environment.of("restic"))
        if place.keys:
            variables["AWS_SHARED_CREDENTIALS_FILE"] = str(credentials)
        return subprocess.run(
            [restic, "-r", place.repository, "--password-file", str(password), "--no-cache", *words],
            env=variables,
            input=data,
            pass_fds=descriptors,
            capture_output=True,
            text=True,
            check=False,
        )


def _say_why(result: "subprocess.CompletedProcess[str]", what: str) -> str:
    """What restic has printed.

    Raises:
        CommandError: it has failed; with its reason.

    """
    if result.returncode:
        raise CommandError(f"{what}: {_reason(result.stderr)}")
    return result.stdout


def _reason(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("Fatal: ")]
    return (fatal or lines[-1:] or ["it said nothing"])[0]
