"""`slip drill --blank`: restores the last backups onto new hosts on this machine, and removes these."""

import shutil
import time
from collections.abc import Iterator
from typing import Any

from cli import backups, console
from cli.environments import draft, new
from cli.environments.draft import Plan, at_setting
from cli.environments.reviews.removal import files
from cli.environments.wish import Clone
from cli.errors import CommandError
from cli.settings.program import in_force
from cli.stack.config import REGISTRY, STATE, StackConfig
from cli.stack.file_lock import in_turn
from cli.stack.open import open_stack
from cli.stack.project import Project, write_private
from cli.stack.stack import Stack
from cli.update import updates
from cli.verify import verify
from stackfile.document import Location
from stackfile.edit import REMOVED, CannotEdit, Change, changed

PREFIX = "drill-"
"""What the names of the stacks begin with that are made for this."""
APART = ("passwords", "stateBackup", "hooks", "notify", "protect")
"""The settings that it does not have: passwords of the real stack, what tells others, and what forbids its removal."""
IMAGES = {"build", "image"}
"""The settings that say where a service's image comes from, but for `from`."""
NOWHERE = {"path": "/var/lib/slipway/no-backups-of-a-drill"}
"""The place of their own backups: it is on no host, so their timers write to no place of the real stack."""


def drill(stack: Stack, service: str | None) -> int:
    """Restore the last backup of a service, or of each, onto new hosts, verify these and remove them.

    Returns the exit status.

    Raises:
        CommandError: the stack is not on the platform `local`, nothing of it has backups, or the hosts cannot be made.

    """
    project, name = stack.project, f"{PREFIX}{stack.short_name}"
    if stack.config.platform != "local":
        raise CommandError(
            f"the stack '{stack.name}' is on the platform {stack.config.platform}, and --blank needs one on local",
            "`./slip drill` without --blank restores beside what runs.",
            status=2,
        )
    names = [one for one in backups.backed_up(stack) if one == (service or one) and one != STATE]
    if not names:
        raise CommandError(
            f"{f'{service} has no' if service else 'nothing of this stack has'} backups that hosts could get",
            "docs/services.md says how to set them up.",
            status=2,
        )
    begun = time.monotonic()
    path = project.config_file(name)
    if path.exists():
        console.say(f"Removing what an earlier drill has left: the stack '{name}' …")
        _remove(project, name)
    failed: list[str] = []
    try:
        _write(project, stack, name)
        console.say(f"Making new hosts: the stack '{name}' …")
        if updates.up(updates.Update(name, yes=True, command="")):
            raise CommandError(f"the new hosts could not be made, so nothing of '{stack.name}' was restored")
        made = time.monotonic()
        for one in names:
            started = time.monotonic()
            blank = open_stack(name, project=project)
            if backups.restore(blank, one, None, yes=True, source=stack):
                failed.append(one)
            else:
                console.say(f"{one} is restored, in {time.monotonic() - started:.0f} s.")
        unwell = verify.run(open_stack(name, project=project), as_json=False)
        ended = time.monotonic()
    finally:
        _remove(project, name)
    if failed:
        console.warn(f"The last backup of {', '.join(failed)} could not be restored.")
    console.say(
        f"New hosts took {made - begun:.0f} s, all else {ended - made:.0f} s: "
        f"{ended - begun:.0f} s until '{stack.name}' was back. Nothing of them is left."
    )
    return 1 if failed or unwell else 0


def _write(project: Project, stack: Stack, name: str) -> None:
    """Write the file of the stack for the drill."""
    text = draft.without_header(stack.config_file.read_text(encoding="utf-8"))
    config = StackConfig.read_text(text, project.name)
    with in_turn(project.private / "new.creation"):
        clone = Clone.here(project)
        plan = new.with_ports(
            Plan(name, stack.short_name, "local"), config, [clone.config(other) for other in clone.stacks]
        )
        try:
            made = changed(text, dict(_changes(config, plan)))
        except CannotEdit as error:
            raise CommandError(f"{stack.config_file.name} cannot be copied: {error}") from None
        if problems := in_force(project, name, made).problems:
            lines = "".join(f"\n  {problem.text}" for problem in problems)
            raise CommandError(f"{stack.config_file.name} cannot be copied:{lines}", status=2)
        header = f"# `./slip drill --blank -s {stack.short_name}` made this file, and removes it."
        write_private(project.config_file(name), f"{draft.SCHEMA_LINE}\n{header}\n{made}")


def _changes(config: StackConfig, plan: Plan) -> Iterator[tuple[Location, Change]]:
    """What its file has otherwise. It has the secrets, which the same passphrase opens, and passwords of its own."""
    yield from draft.changes(config, plan).items()
    for key in APART:
        if config.has(key):
            yield at_setting(key), REMOVED
    if "backup" in _map(config.setting(REGISTRY)):
        yield at_setting(REGISTRY, "backup", "to"), NOWHERE
    services = {name: _map(service) for name, service in _map(config.setting("services")).items()}
    # What a job does at its times, it would do twice.
    jobs = {name for name, service in services.items() if "schedule" in service}
    heirs: dict[str, str] = {}
    for name, service in services.items():
        if name in jobs:
            yield at_setting("services", name), REMOVED
            continue
        if "backup" in service:
            yield at_setting("services", name, "backup", "to"), NOWHERE
        source = service.get("from")
        for _ in jobs:
            if source in jobs and "from" in services[source]:
                source = services[source]["from"]
        if source in heirs:
            yield at_setting("services", name, "from"), heirs[source]
        elif source in jobs:
            # The first of those that take a job's image gets it, and the others take it from there.
            heirs[source] = name
            yield at_setting("services", name, "from"), REMOVED
            for key in IMAGES & services[source].keys():
                yield at_setting("services", name, key), services[source][key]
        elif source != service.get("from"):
            yield at_setting("services", name, "from"), source


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _remove(project: Project, name: str) -> None:
    """Remove the stack, its data, its state and its files."""
    if not project.config_file(name).exists():
        return
    if updates.down(name, yes=True, purge=True, options=()):
        raise CommandError(
            f"the stack '{name}' of the drill could not be removed",
            f"`./slip down --purge -s {name}` tries again.",
        )
    left = open_stack(name, project=project, missing_ok=True)
    if left.exists():
        left.remove()
    for path in files(left):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
