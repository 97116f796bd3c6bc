"""`slip up`, `slip preview` and `slip down`: Pulumi's commands, with checks before and after them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from cli import console
from cli.errors import CommandError
from cli.stack.draft import drafted
from cli.stack.open import open_stack
from cli.stack.pulumi_command import CANCELLED
from cli.stack.stack import LOCAL, Stack
from cli.update import deletions, diagnosis, full_disk, recovery
from cli.update.marker import mark, unmark, warn_of_running

INTERRUPTED = 130
"""The exit status after an interrupt, as shells have it."""


@dataclass(frozen=True)
class Update:
    """The arguments of `up`."""

    stack: str = LOCAL
    yes: bool = False
    """Do not ask for confirmation."""
    preview: bool | None = None
    """Whether to preview before the update. None: preview, except for emulated stacks and unprotected stacks on the
    platform `local`."""
    options: tuple[str, ...] = ()
    """Additional arguments for Pulumi."""
    emulate: bool = False
    """Whether to update the stack's emulation on this machine."""


def up(update: Update) -> int:
    """Create or update what the configuration describes, and print the addresses. Returns the exit status."""
    stack = open_stack(update.stack, create=True, works_on_hosts=True, emulate=update.emulate)
    options = [*update.options]
    if recovery.recover(stack) and not _mentions(options, "--refresh", "-r"):
        options.append("--refresh")
    consent = _consent(stack, update)
    if not update.yes:
        deletions.ask(stack, options, pulumi_asks="--yes" not in consent)
    is_local = stack.config.platform == "local"
    from cli.update import purge as purging

    if is_local:
        purging.refuse_taken_name(stack)
    status = _run(stack, "up", [*consent, *options])
    if status == 0:
        if is_local:
            purging.mark_checked(stack)
        from cli import outputs

        outputs.summary(stack)
    return status


def _consent(stack: Stack, update: Update) -> list[str]:
    """The options that make Pulumi preview and ask for confirmation, or not.

    An emulated stack does neither, and an unprotected one on the platform `local`: a failed update can be repeated
    without harm. Other stacks do both, as Pulumi does.
    """
    config = stack.config
    harmless = bool(stack.emulates) or (config.platform == "local" and not config.is_protected)
    yes = update.yes or (harmless and update.preview is None)
    if not yes and not console.is_interactive():
        raise CommandError(
            f"updating the stack '{stack.name}' needs a confirmation, and there is no terminal to ask for it",
            "Pass --yes to update without confirmation.",
            status=2,
        )
    preview = update.preview if update.preview is not None else not harmless
    return [*(["--yes"] if yes else []), *([] if preview else ["--skip-preview"])]


def preview(name: str, options: Sequence[str], *, emulate: bool = False) -> int:
    """Show what `up` would change. Returns the exit status."""
    # An emulated stack's configuration is generated, so a preview may write it.
    stack = open_stack(
        name, create=emulate, edits=True, missing_ok=not emulate, works_on_hosts=True, emulate=emulate
    )
    warn_of_running(stack)
    with drafted(stack) as draft:
        return _run(draft, "preview", [*draft.config_option, *options])


def _run(stack: Stack, command: str, options: Sequence[str]) -> int:
    """Run a Pulumi command on the stack, and report the hosts that do not answer. Returns the exit status."""
    if command == "destroy":
        from cli.update import grace

        if grace.removes_all(options):
            grace.end_services(stack)
    watch = diagnosis.Watch(stack)
    begun = time.monotonic()
    arguments = [command, "--stack", stack.name, *options]
    if command == "preview":
        status = stack.pulumi.attach(arguments)
    else:
        mark(stack, command)
        status = stack.pulumi.attach(arguments, lambda pid: mark(stack, command, pid))
        if status >= 0:
            unmark(stack)
        if status > 0:
            recovery.explain_lock(stack, time.monotonic() - begun)
    # A successful update may have replaced a silent host, so ask again now. While a host is silent, an update that
    # changed nothing is no success.
    silent = (
        status != CANCELLED
        and bool(status or watch.found_silence())
        and diagnosis.report(stack.deployment(), stack.option)
    )
    if command == "up" and status not in (0, CANCELLED) and not silent:
        full_disk.report(stack)
    if status < 0:
        console.warn(
            f"Pulumi was killed (signal {-status}). The next `./slip up{stack.option}` cleans up after it."
        )
    return INTERRUPTED if status == CANCELLED else int(status != 0 or silent)


def _mentions(options: Sequence[str], *names: str) -> bool:
    return any(option.split("=", 1)[0] in names for option in options)


def down(name: str, *, yes: bool, purge: bool, options: Sequence[str], emulate: bool = False) -> int:
    """Remove everything that `up` made; `purge`, on the platform `local` only, also removes the registry's data.

    On AWS the data is removed in any case. Returns the exit status.
    """
    if emulate:
        return _end_emulation(name, yes=yes, options=options)
    stack = open_stack(name, missing_ok=True)
    if purge and stack.config.platform != "local":
        raise CommandError(
            f"--purge removes data on this machine, and the stack '{stack.name}' is on the platform "
            f"{stack.config.platform}",
            "Run it without --purge: on that platform `down` removes the data, too.",
            status=2,
        )
    if not yes and not console.is_interactive():
        raise CommandError(
            "removing running services needs a confirmation, and there is no terminal to ask for it",
            "Pass --yes to remove them without confirmation.",
            status=2,
        )
    from cli.update import purge as purging

    announced = purging.announce(stack, yes=yes) if purge else []
    yes = yes or purge
    if not stack.exists():
        console.say(f"The stack '{stack.name}' does not exist: no resources to remove.")
        if purge:
            purging.purge(stack, announced)
        return 0
    if recovery.recover(stack) and not _mentions(options, "--refresh", "-r"):
        options = [*options, "--refresh"]
    if stack.config.platform == "local":
        purging.remember(stack)
    consent = ["--yes", "--skip-preview"] if yes else []
    status = _run(stack, "destroy", [*consent, *options])
    if status:
        return status
    stack.project.remove_contexts(stack.name)
    if purge:
        purging.purge(stack, announced)
    elif stack.config.platform == "local":
        purging.say_what_is_kept(stack)
    return 0


def _end_emulation(name: str, *, yes: bool, options: Sequence[str]) -> int:
    """Destroy an emulated stack's resources, then remove its account with everything that is left.

    A protected stack cannot be destroyed. If it is emulated, only its account is removed.
    """
    if not yes and not console.is_interactive():
        raise CommandError(
            "removing the emulated stack with its data needs a confirmation, and there is no terminal to ask for it",
            "Pass --yes to remove it without confirmation.",
            status=2,
        )
    from cli.stack.emulation import Emulation
    from cli.stack.project import Project

    emulation = Emulation(Project.here(), name.rpartition("/")[2])
    if not emulation.exists:
        console.say(f"The emulated stack of '{emulation.source}' does not exist: nothing to remove.")
        return 0
    stack = open_stack(name, missing_ok=True, emulate=True)
    if stack.exists() and not stack.config.is_protected:
        if recovery.recover(stack) and not _mentions(options, "--refresh", "-r"):
            options = [*options, "--refresh"]
        status = _run(stack, "destroy", [*(["--yes", "--skip-preview"] if yes else []), *options])
        if status:
            return status
    elif not yes:
        console.confirm(
            f"Remove the emulated stack of {emulation.source} with all its data?",
            remedy="Pass --yes to remove it.",
        )
    emulation.end()
    stack.project.remove_contexts(stack.name)
    console.say(f"Removed the emulation of {emulation.source}: hosts, volumes and account.")
    return 0
