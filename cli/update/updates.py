"""`slip up`, `slip preview` and `slip down`: Pulumi's own commands, before and after which we look around."""

from collections.abc import Sequence
from dataclasses import dataclass

from cli import console
from cli.errors import CommandError
from cli.stack.pulumi_command import CANCELLED
from cli.stack.stack import LOCAL, Stack, open_stack
from cli.update import diagnosis, recovery

INTERRUPTED = 130
"""Exit status after an interrupt, as the shell gives it."""


@dataclass(frozen=True)
class Update:
    """What was asked of `up`."""

    stack: str = LOCAL
    yes: bool = False
    """Ask nothing."""
    preview: bool | None = None
    """Whether to preview before the update; None: where somebody is asked."""
    options: tuple[str, ...] = ()
    """What Pulumi gets on top."""
    emulate: bool = False
    """Whether the stack's emulation on this machine is meant."""


def up(update: Update) -> int:
    """Make what the configuration says, and say where it runs. Returns the exit status."""
    stack = open_stack(update.stack, create=True, works_on_hosts=True, emulate=update.emulate)
    options = [*update.options]
    if recovery.recover(stack) and not _mentions(options, "--refresh", "-r"):
        options.append("--refresh")
    consent = _consent(stack, update)
    if stack.config.platform == "local":
        from cli.update import purge as purging

        purging.refuse_confusion(stack)
    status = _run(stack, "up", [*consent, *options])
    if status == 0:
        from cli import outputs

        outputs.summary(stack)
    return status


def _consent(stack: Stack, update: Update) -> list[str]:
    """The options by which Pulumi asks, or does not.

    A stack on this machine alone asks nobody, unless it is protected, and needs no preview first: whatever goes wrong
    can be done again. Others preview and ask, as Pulumi does.
    """
    config = stack.config
    harmless = bool(stack.emulates) or (config.platform == "local" and not config.is_protected)
    yes = update.yes or (harmless and update.preview is None)
    if not yes and not console.is_interactive():
        raise CommandError(
            f"the stack '{stack.name}' asks before it changes anything, and there is no terminal to ask on",
            "Say --yes to update without a question.",
            status=2,
        )
    preview = update.preview if update.preview is not None else not harmless
    return [*(["--yes"] if yes else []), *([] if preview else ["--skip-preview"])]


def preview(name: str, options: Sequence[str], *, emulate: bool = False) -> int:
    """Show what `up` would change. Returns the exit status."""
    stack = open_stack(name, create=True, works_on_hosts=True, emulate=emulate)
    return _run(stack, "preview", options)


def _run(stack: Stack, command: str, options: Sequence[str]) -> int:
    """Run a command of Pulumi on the stack, and say which hosts do not answer."""
    watch = diagnosis.Watch(stack)
    arguments = [command, "--stack", stack.name, *options]
    if command == "preview":
        status = stack.pulumi.attach(arguments)
    else:
        recovery.mark(stack, command)
        status = stack.pulumi.attach(arguments, lambda pid: recovery.mark(stack, command, pid))
        if status >= 0:
            recovery.unmark(stack)
    # An update that went well may have made a silent host anew, so only what is still silent counts. It is no success
    # to have changed nothing while a host is gone.
    silent = (
        status != CANCELLED
        and bool(status or watch.found_silence())
        and diagnosis.report(stack.deployment(), stack.option)
    )
    if status < 0:
        console.warn(
            f"Pulumi was killed (signal {-status}). The next `./slip up{stack.option}` clears up after it."
        )
    return INTERRUPTED if status == CANCELLED else int(status != 0 or silent)


def _mentions(options: Sequence[str], *names: str) -> bool:
    return any(option.split("=", 1)[0] in names for option in options)


def down(name: str, *, yes: bool, purge: bool, options: Sequence[str], emulate: bool = False) -> int:
    """Remove all that `up` made; the registry's data too if `purge`. Returns the exit status."""
    if emulate:
        return _end_emulation(name, yes=yes, options=options)
    stack = open_stack(name, missing_ok=True)
    if purge and stack.config.platform != "local":
        raise CommandError(
            f"--purge removes data on this machine, and the stack '{stack.name}' is on the platform "
            f"{stack.config.platform}",
            "Run it without --purge, and remove the volumes there as you made them.",
            status=2,
        )
    if not yes and not console.is_interactive():
        raise CommandError(
            "this removes running services, and there is no terminal to ask on",
            "Say --yes to remove without a question.",
            status=2,
        )
    from cli.update import ownership
    from cli.update import purge as purging

    announced = purging.announce(stack, yes=yes) if purge else []
    yes = yes or purge
    if not stack.exists():
        console.say(f"There is no stack '{stack.name}', so there are no resources to remove.")
        if purge:
            purging.purge(stack, announced)
        return 0
    if recovery.recover(stack) and not _mentions(options, "--refresh", "-r"):
        options = [*options, "--refresh"]
    if stack.config.platform == "local":
        ownership.remember(stack)
    consent = ["--yes", "--skip-preview"] if yes else []
    status = _run(stack, "destroy", [*consent, *options])
    if status:
        return status
    if purge:
        purging.purge(stack, announced)
    elif stack.config.platform == "local":
        purging.say_what_is_kept(stack)
    return 0


def _end_emulation(name: str, *, yes: bool, options: Sequence[str]) -> int:
    """Remove an emulated stack as a real one is removed, then the account that it was in, with all that is left.

    What protects a stack protects a real one: an emulated one that is protected is removed with its account.
    """
    if not yes and not console.is_interactive():
        raise CommandError(
            "this removes the emulated stack with its data, and there is no terminal to ask on",
            "Say --yes to remove without a question.",
            status=2,
        )
    from cli.stack.emulation import Emulation
    from cli.stack.project import Project

    emulation = Emulation(Project.here(), name.rpartition("/")[2])
    if not emulation.exists:
        console.say(f"There is no emulated stack '{emulation.source}', so there is nothing to remove.")
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
            f"Remove the emulated stack {emulation.source}, data and all?", remedy="Say --yes to remove it."
        )
    emulation.end()
    console.say(f"The emulation of {emulation.source} is over: its hosts, volumes and account are gone.")
    return 0
