"""`slip up`, `slip preview` and `slip down`: Pulumi's commands, with checks before and after them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

from cli import console
from cli.errors import INTERRUPTED, CommandError
from cli.running import leftover_keys
from cli.screen.record import Record
from cli.stack.config import STATE
from cli.stack.draft import drafted
from cli.stack.open import open_stack
from cli.stack.project import Project
from cli.stack.pulumi_command import CANCELLED
from cli.stack.stack import LOCAL, Stack
from cli.update import (
    clock,
    closing,
    comparisons,
    deletions,
    diagnosis,
    full_disk,
    left_out,
    lost_hosts,
    name_servers,
    policy,
    records,
    recovery,
    renewal,
    service_data,
)
from cli.update.aftermath import Aftermath
from cli.update.announcer import Announcer
from cli.update.marker import mark, unmark, warn_of_running
from cli.update.message import with_author
from cli.update.run import run, shows_itself

if TYPE_CHECKING:
    from cli.update.plan import Plan
    from cli.update.pull_request import Wanted

CONSENT = ("--yes", "-y", "--skip-preview", "-f")
"""Options by which Pulumi does not preview, and does not ask."""


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
    verbose: bool = False
    """Whether Pulumi shows its own display, and asks for confirmation itself."""
    back: Mapping[str, int] = field(default_factory=dict)
    """The version to which each service goes back, in a rollback."""
    recovered: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """The version of each service that the state does not have and the registry has, in a rollback to it."""
    promoted: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """The version of another stack that each service gets, in a promotion."""
    release_again: tuple[str, ...] = ()
    """The services whose release command runs again if it was interrupted."""
    kept: frozenset[str] = frozenset()
    """The services that stay at what they have, whatever the tree has; or `KEEP_ALL` alone."""
    command: str = "up"
    """What hooks and webhooks are told of; empty if they are told nothing."""
    approved: str = ""
    """The hash of the plan that was approved, or its beginning, or the file with it; empty without one."""


def up(update: Update) -> int:
    """Create or update what the configuration describes, and print the addresses. Returns the exit status."""
    if update.approved:
        status, update = _approved(update)
        if status:
            return status
    stack = open_stack(update.stack, create=True, works_on_hosts=True, emulate=update.emulate)
    leftover_keys.sweep()
    if update.back:
        from cli.update import orders

        stack = orders.recovering(orders.ordered(stack, update.back), update.recovered)
    if update.promoted:
        from cli.update import orders

        stack = orders.promoting(stack, update.promoted)
    if update.kept:
        from cli.update import orders

        stack = orders.keeping(stack, update.kept)
    consent = _consent(stack, update)
    options = [*update.options]
    # Both, one after the other: the first may have removed what the second looks for.
    recovered = [recovery.recover(stack), lost_hosts.recover(stack)]
    if any(recovered) and not _mentions(options, "--refresh", "-r"):
        options.append("--refresh")
    options += left_out.options(stack, options)
    if not update.yes:
        # Only an update that deletes something pays for this preview.
        status = deletions.ask(
            stack,
            options,
            pulumi_asks="--yes" not in consent,
            preview=lambda: _preview(stack, "up", options, warned=set()),
        )
        if status:
            return status
    is_local = stack.config.has_hosts_here
    if is_local or stack.emulates:
        clock.refuse_other_clock()
    from cli.update import purge as purging

    if is_local:
        purging.refuse_taken_name(stack)
        name_servers.follow(stack)
    announcer = Announcer(stack, update.command, update.back)
    try:
        status, aftermath = _deploy(stack, update, consent, options, announcer)
    except CommandError as error:
        announcer.end(closing.FAILED, reasons=[error.message])
        raise
    except KeyboardInterrupt:
        announcer.end(INTERRUPTED, reasons=["it was interrupted"])
        raise
    if status == 0:
        records.catch_up(stack, has_changed=aftermath.has_changed)
    if status == 0 and is_local:
        purging.mark_checked(stack)
        name_servers.follow(stack)
    if status == 0:
        comparisons.remember(stack)
    if status == 0 and STATE in stack.config.backups:
        from cli.stack import state_backup

        if aftermath.has_changed or state_backup.is_behind(stack):
            state_backup.after_update(stack)
    return announcer.end(status, changed=aftermath.has_changed, reasons=aftermath.reasons)


def _deploy(
    stack: Stack,
    update: Update,
    consent: list[str],
    options: list[str],
    announcer: Announcer,
) -> tuple[int, Aftermath]:
    """Run the update, and what follows from it. Returns the exit status, and what the hosts say."""
    refreshes = _mentions(options, "--refresh", "-r")
    # After a killed update the hosts are ahead of the state, and this update takes them further.
    if _mentions(update.options, "--refresh", "-r"):
        announcer.begin()
        _repair().before_refresh(stack)
    elif lost_hosts.will_be_made(stack):
        announcer.begin()
        _repair().before_new_hosts(stack)
    if update.release_again:
        announcer.begin()
        _release().allow(stack, update.release_again)
    aftermath = Aftermath(stack)
    run_all = partial(_run_and_renew, stack, consent, options, verbose=update.verbose, begins=announcer.begin)
    status = run_all(aftermath)
    if status == 1 and not update.yes and _release().ask(stack, aftermath):
        aftermath = Aftermath(stack)
        status = run_all(aftermath)
    if status == 0 and refreshes:
        _repair().after_refresh(stack)
    elif status == 1:
        _repair().found(stack, aftermath)
        # Whoever rolls back wants to leave a version, not to return to it.
        if not update.back:
            status = _move_back(stack, aftermath, verbose=update.verbose)
    return status, aftermath


def _move_back(stack: Stack, aftermath: Aftermath, *, verbose: bool) -> int:
    from cli.update.move_back import move_back

    def run_up(ordered: Stack, options: Sequence[str], after: Aftermath) -> int:
        return _run(ordered, "up", options, after, verbose=verbose)

    return move_back(stack, aftermath, run_up)


def _approved(update: Update) -> tuple[int, Update]:
    """Compare the plan of now with the approved one, before anything is touched.

    Returns 0, or the status to end with, and the update as it goes on: by what really exists, and without a question,
    since the approval is the answer.

    Raises:
        CommandError: the plan of now is another one.

    """
    from cli.update import plan as plans

    wanted, approved = plans.approved(Project.here(), update.approved)
    looked = look(update.stack, update.options, emulate=update.emulate, plans=True, tells=False)
    if looked.plan is None or looked.status:
        return looked.status or closing.FAILED, update
    plans.require(wanted, approved, looked.plan, looked.stack.option)
    console.say(f"The plan of now is the approved one, {looked.plan.hash}.")
    options = looked.options if looked.stack.exists() else update.options
    return 0, replace(update, yes=True, preview=False, options=options)


def _run_and_renew(
    stack: Stack,
    consent: list[str],
    options: list[str],
    aftermath: Aftermath,
    *,
    verbose: bool,
    begins: Callable[[], None],
) -> int:
    """Run `pulumi up`; make certificates that are not valid now anew. Returns the exit status.

    No engine answers a client that shows or expects such a certificate. So a refresh comes after the renewal. Without a
    state file, reading the state takes a third of a second, so only do it after an update that failed.
    """

    def run_up(given: Sequence[str]) -> int:
        compared = comparisons.fewer(stack, given)
        return _run(compared, "up", given, aftermath, verbose=verbose, begins=begins)

    is_file = stack.backend.directory is not None
    if _mentions(options, "--target", "-t", "--replace", "--target-replace"):
        return run_up([*consent, *options])
    certificates = renewal.invalid(stack.deployment()) if is_file else []
    if not certificates:
        status = run_up([*consent, *options])
        if is_file or status in {0, INTERRUPTED} or not (certificates := renewal.invalid(stack.deployment())):
            return status
    console.warn(
        f"These certificates are not valid now, and this update makes them anew:\n{renewal.description(certificates)}"
    )
    first = [option for option in options if option not in {"--refresh", "-r", "--expect-no-changes"}]
    status = run_up([*consent, *first, *renewal.options(certificates)])
    return status or (run_up([*consent, *options]) if first != options else 0)


def _consent(stack: Stack, update: Update) -> list[str]:
    """The options that make Pulumi preview and ask for confirmation, or not.

    An emulated stack does neither, and an unprotected one on the platform `local`: a failed update can be repeated
    without harm. Other stacks do both, as Pulumi does.
    """
    config = stack.config
    harmless = bool(stack.emulates) or (config.platform == "local" and not config.is_protected)
    yes = update.yes or (harmless and update.preview is None)
    if not yes and not console.is_interactive():
        raise console.unconfirmed(
            f"updating the stack '{stack.name}'", f"To update without one: `./slip up --yes{stack.option}`."
        )
    preview = update.preview if update.preview is not None else not harmless
    return [*(["--yes"] if yes else []), *([] if preview else ["--skip-preview"])]


def preview(
    name: str,
    options: Sequence[str],
    *,
    emulate: bool = False,
    verbose: bool = False,
    wanted: "Wanted | None" = None,
) -> int:
    """Show what `up` would change, and leave what a pull request wants of it. Returns the exit status."""
    if wanted is None:
        return look(name, options, emulate=emulate, verbose=verbose).status
    if wanted.issue:
        return _preview_for_issue(name, options, emulate=emulate)
    from cli.update import pull_request

    forge = pull_request.Forge(wanted)
    try:
        looked = look(name, options, emulate=emulate, plans=bool(wanted.save), tells=not wanted.is_comment)
    except CommandError:
        forge.say_failed(Project.here().name, name.rpartition("/")[2])
        raise
    stack = looked.stack
    if looked.record is None:
        forge.say_failed(stack.project.name, stack.short_name)
        return looked.status
    if looked.plan:
        pull_request.save(stack, looked.plan, wanted.save)
    if wanted.is_comment:
        plan = looked.plan
        text = pull_request.comment_of(stack, looked.record, plan, looked.differences, forge.limit)
        if wanted.comment:
            console.result(text.rstrip("\n"))
        forge.post(text)
    return looked.status


def _preview_for_issue(name: str, options: Sequence[str], *, emulate: bool) -> int:
    """Compare the stack with its last update, and keep the issue about it. Returns the exit status."""
    from cli.update import pull_request
    from cli.update.drift_issue import DriftIssue

    issue = DriftIssue(Project.here().name, name.rpartition("/")[2])
    wanted = [option for option in ("--refresh", "--expect-no-changes") if not _mentions(options, option)]
    try:
        looked = look(name, [*wanted, *options], emulate=emulate)
    except CommandError:
        issue.say_failed()
        raise
    if looked.record is None:
        issue.say_failed()
    elif looked.status:
        found = (looked.stack, looked.record, None, looked.differences)
        issue.say_drift(pull_request.comment_of(*found, issue.limit))
    else:
        issue.say_well()
    return looked.status


@dataclass(frozen=True)
class Look:
    """What a preview found."""

    stack: Stack
    status: int
    """The exit status."""
    record: Record | None = None
    """What it said; None if it failed."""
    differences: tuple[str, ...] = ()
    """What differs on hosts and in the registry from what the last update made there; with `--refresh` only."""
    options: tuple[str, ...] = ()
    """Pulumi's options, as they were in force."""
    plan: "Plan | None" = None


def look(
    name: str,
    options: Sequence[str],
    *,
    emulate: bool = False,
    verbose: bool = False,
    plans: bool = False,
    tells: bool = True,
) -> Look:
    """Preview a stack.

    Args:
        name: the stack's name.
        options: Pulumi's options.
        emulate: whether it is the stack's emulation.
        verbose: whether Pulumi shows its own display.
        plans: also make the plan, for which the state is refreshed: what changed by hand is a part of a plan.
        tells: whether to say what would happen to whom.

    """
    # An emulated stack's configuration is generated, so a preview may write it.
    stack = open_stack(
        name, create=emulate, edits=True, missing_ok=not emulate, works_on_hosts=True, emulate=emulate
    )
    warn_of_running(stack)
    if plans and stack.exists() and not _mentions(options, "--refresh", "-r"):
        options = ["--refresh", *options]
    look_at = stack.backend.directory is not None and not _mentions(options, "--target", "-t")
    certificates = renewal.invalid(stack.deployment()) if look_at else []
    if certificates and _mentions(options, "--refresh", "-r"):
        raise CommandError(
            "these certificates are not valid now, so no engine answers a refresh:\n"
            + renewal.description(certificates),
            f"`./slip up{stack.option}` makes them anew.",
        )
    if stack.exists():
        options = [*options, *left_out.options(stack, options)]
    seen: list[Record] = []
    with drafted(stack) as draft:
        status = _preview(
            draft,
            "preview",
            [*draft.config_option, *options, *renewal.options(certificates)],
            quiet=not (verbose or shows_itself(options)),
            tells=tells,
            seen=seen,
        )
    refreshed = _mentions(options, "--refresh", "-r") and stack.exists()
    differences = tuple(_repair().differences(stack)) if refreshed else ()
    if differences and not status and _mentions(options, "--expect-no-changes"):
        status = 1
    found = Look(stack, status, seen[0] if seen else None, differences, tuple(options))
    if not (plans and found.record):
        return found
    from cli.update import pull_request

    shaping = [option for option in options if option not in {"--expect-no-changes", "--refresh", "-r"}]
    return replace(found, plan=pull_request.plan_of(stack, found.record, shaping, differences))


def _repair() -> ModuleType:
    """The module that looks at hosts over SSH: slow to import, and an everyday update goes without it."""
    from cli.update import repair

    return repair


def _release() -> ModuleType:
    """The module that asks hosts about release commands: an everyday update goes without it."""
    from cli.update import release

    return release


def _run(
    stack: Stack,
    command: str,
    options: Sequence[str],
    aftermath: Aftermath | None = None,
    *,
    verbose: bool = False,
    begins: Callable[[], None] = lambda: None,
) -> int:
    """Run a Pulumi command on the stack, and say how it ended. Returns the exit status.

    Where Pulumi would preview and ask, this does: Pulumi without its display can do neither. Who goes on after a
    failure passes an `aftermath`, which has then asked the hosts already. `begins` is called after the consent.
    """
    quiet = not (verbose or shows_itself(options))
    if not quiet:
        begins()
        return _update(stack, command, options, aftermath, quiet=False)
    kept = [option for option in options if option not in CONSENT]
    warned: set[str] = set()
    if "--skip-preview" not in options:
        status = _preview(stack, command, kept, warned=warned)
        if status:
            return status
        if "--yes" not in options:
            question = f"Update the stack {stack.name}?" if command == "up" else "Remove all this?"
            console.confirm(question, remedy="Pass --yes.")
    begins()
    return _update(stack, command, ["--yes", "--skip-preview", *kept], aftermath, warned=warned)


def _preview(
    stack: Stack,
    command: str,
    options: Sequence[str],
    *,
    quiet: bool = True,
    warned: set[str] | None = None,
    tells: bool = True,
    seen: list[Record] | None = None,
) -> int:
    """Say what a command would do; `preview` alone says what `up` would do. Returns the exit status.

    Args:
        stack: the stack.
        command: Pulumi's command.
        options: Pulumi's options.
        quiet: whether Pulumi's own display is off.
        warned: gets the warnings that were shown; None if no command follows.
        tells: whether to say what would happen to whom.
        seen: gets the record of a preview that came to its end.

    """
    watch = diagnosis.Watch(stack)
    asked = ["destroy", "--preview-only"] if command == "destroy" else ["preview"]
    done = run(stack, asked[0], [*asked[1:], *options], lambda _: watch.start(), quiet=quiet, narrate=False)
    if done.status == CANCELLED:
        return INTERRUPTED
    silent = _silent(stack, done.status, watch)
    for warning in done.record.warnings if quiet else ():
        console.warn(warning.text)
        if warned is not None:
            warned.add(warning.text)
    # A preview that failed may have got to its totals all the same.
    if seen is not None and (not done.status or closing.NO_CHANGES_EXPECTED in done.stderr):
        seen.append(done.record)
    if quiet and tells and (done.status == 0 or done.record.changes):
        closing.say_plan(stack, done.record, is_last=warned is None)
    if done.status:
        return closing.say_failure(stack, done, silent, _NAMES[command])
    if command != "destroy" and policy.refuses(done.record.steps):
        return closing.FAILED
    return _warn_of(stack, silent, options)


def _update(
    stack: Stack,
    command: str,
    options: Sequence[str],
    aftermath: Aftermath | None = None,
    *,
    quiet: bool = True,
    warned: Collection[str] = (),
) -> int:
    """Run `up` or `destroy`. Returns the exit status.

    Args:
        stack: the stack.
        command: Pulumi's command.
        options: Pulumi's options.
        aftermath: what the hosts say if it fails.
        quiet: whether Pulumi's own display is off.
        warned: warnings that were shown before.

    """
    if command == "destroy":
        from cli.update import grace

        if grace.removes_all(options):
            grace.end_services(stack)
    watch, guard = diagnosis.Watch(stack), full_disk.Guard(stack)

    def started(pid: int) -> None:
        mark(stack, command, pid)
        guard.started(pid)
        watch.start()

    mark(stack, command)
    signed = with_author(options, stack.project.root)
    done = run(stack, command, signed, started, quiet=quiet, warned=warned, heard=guard.take)
    after = aftermath or Aftermath(stack)
    after.has_changed = after.has_changed or bool(done.record.changes)
    if done.status >= 0:
        unmark(stack)
        # It is a convenience: a folder that cannot be written fails no update.
        with suppress(OSError):
            stack.backend.trim(stack.project.name, stack.short_name)
    if guard.has_ended_it and done.status:
        closing.say_what_serves(after, done.record)
        full_disk.report(after, stack.option)
        return closing.FAILED
    if done.status == CANCELLED:
        console.say(f"Interrupted. `./slip {_NAMES[command]}{stack.option}` goes on from here.")
        return INTERRUPTED
    if done.status < 0:
        console.warn(
            f"Pulumi was killed (signal {-done.status}). The next `./slip up{stack.option}` cleans up after it."
        )
        return closing.FAILED
    if done.status and not done.record.steps:
        recovery.explain_lock(stack, done.seconds)
    silent = _silent(stack, done.status, watch)
    if done.status:
        status = closing.say_failure(
            stack, done, silent, _NAMES[command], serving_now=after if done.record.changes else None
        )
        after.reasons = closing.why_failed(stack, done, _NAMES[command])
        if command == "up" and done.record.failed and not silent:
            # The registry's own error does not say it.
            full_disk.report(after, stack.option)
        return status
    if command == "up":
        closing.say_what_runs(stack, done)
    elif quiet:
        closing.say_removed(done)
    return _warn_of(stack, silent, options)


_NAMES = {"preview": "preview", "up": "up", "destroy": "down"}
"""What `slip` calls Pulumi's commands."""


def _silent(stack: Stack, status: int, watch: diagnosis.Watch) -> tuple[diagnosis.Silence, ...]:
    """The hosts that do not answer now. A successful update may have replaced one that was silent before."""
    return diagnosis.silences(stack.deployment()) if status or watch.found_silence() else ()


def _warn_of(stack: Stack, silent: Sequence[diagnosis.Silence], options: Sequence[str]) -> int:
    """Report silent hosts. Returns the status.

    An update that changed nothing is no success while there are any, but for those that it was to leave out.
    """
    spared = left_out.among(silent, options, stack.deployment()) if silent else ()
    for silence in silent:
        said = left_out.advice if silence in spared else diagnosis.advice
        console.warn(said(silence, stack.option))
    return closing.FAILED if len(spared) < len(silent) else 0


def _mentions(options: Sequence[str], *names: str) -> bool:
    return any(option.split("=", 1)[0] in names for option in options)


def down(
    name: str,
    *,
    yes: bool,
    purge: bool,
    options: Sequence[str],
    emulate: bool = False,
    verbose: bool = False,
) -> int:
    """Remove everything that `up` made; `purge`, on the platform `local` only, also removes the registry's data.

    On AWS the data is removed in any case. Returns the exit status.
    """
    if emulate:
        return _end_emulation(name, yes=yes, options=options, verbose=verbose)
    stack = open_stack(name, missing_ok=True)
    if purge and stack.config.platform != "local":
        raise CommandError(
            f"--purge removes data on this machine, and the stack '{stack.name}' is on the platform "
            f"{stack.config.platform}",
            "Run it without --purge: on that platform `down` removes the data, too.",
            status=2,
        )
    if not yes and not console.is_interactive():
        raise console.unconfirmed(
            "removing running services", f"To remove them without one: `./slip down --yes{stack.option}`."
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
    lost = service_data.volumes(stack.deployment())
    if text := service_data.named(lost, sorted(lost)):
        console.warn(f"This removes {text}, with their hosts.")
    consent = ["--yes", "--skip-preview"] if yes else []
    status = _run(stack, "destroy", [*consent, *options], verbose=verbose)
    if status:
        return status
    stack.project.remove_contexts(stack.name)
    if purge:
        purging.purge(stack, announced)
    elif stack.config.platform == "local":
        purging.say_what_is_kept(stack)
    return 0


def _end_emulation(name: str, *, yes: bool, options: Sequence[str], verbose: bool) -> int:
    """Destroy an emulated stack's resources, then remove its account with everything that is left.

    A protected stack cannot be destroyed. If it is emulated, only its account is removed.
    """
    if not yes and not console.is_interactive():
        raise console.unconfirmed(
            "removing the emulated stack with its data", "Pass --yes to remove it without one."
        )
    from cli.stack.emulation import Emulation

    emulation = Emulation(Project.here(), name.rpartition("/")[2])
    if not emulation.exists:
        console.say(f"The emulated stack of '{emulation.source}' does not exist: nothing to remove.")
        return 0
    stack = open_stack(name, missing_ok=True, emulate=True)
    if stack.exists() and not stack.config.is_protected:
        if recovery.recover(stack) and not _mentions(options, "--refresh", "-r"):
            options = [*options, "--refresh"]
        consent = ["--yes", "--skip-preview"] if yes else []
        status = _run(stack, "destroy", [*consent, *options], verbose=verbose)
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
