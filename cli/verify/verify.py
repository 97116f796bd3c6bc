"""`slip verify`: asks all hosts, runs the checks side by side, and prints a table of what they found."""

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta

from cli import console
from cli.running import fleet
from cli.running.backup import StateBackups, moment
from cli.running.drift import Desired
from cli.running.host_report import HostReport
from cli.running.stack import RunningStack, foreign_certificate
from cli.stack import deployment
from cli.stack.config import STATE
from cli.stack.deployment import Deployment
from cli.stack.desired import desired
from cli.stack.stack import Stack
from cli.verify.checks import CHECKS, Check
from cli.verify.found import Result
from cli.verify.schedule import Schedule
from cli.verify.table import Columns, lines
from fast_start import import_asyncssh

Ask = Callable[[Callable[[HostReport], None]], None]
"""Asks the hosts, and passes on each report as it comes."""
AT_ONCE = 16
"""How many checks run at the same time: they mostly wait for the network."""
SILENT = 2.0
"""Seconds after which the hosts that have not answered yet are named."""


def verify(
    running: RunningStack,
    checks: Iterable[Check] = CHECKS,
    *,
    reports: Mapping[str, HostReport] | None = None,
    ask: Ask | None = None,
    done: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Run the checks on a stack. The results are in the order of the checks.

    Args:
        running: the stack.
        checks: the checks to run.
        reports: what the hosts said about themselves, if they have been asked.
        ask: asks them, and passes on each report as it comes. Without both, the checks on reports do not run.
        done: gets each result as it comes.

    """
    running = replace(running, reports=reports or {})
    hosts = running.outputs["hosts"]
    # Made before the threads start: threads that import cryptography at the same time can deadlock.
    foreign_certificate()
    pool = ThreadPoolExecutor(max_workers=AT_ONCE)
    schedule = Schedule(list(checks), pool, done)

    def answered(report: HostReport) -> None:
        nonlocal running
        # Not in place: checks that run already look at it.
        running = replace(running, reports={**running.reports, report.host: report})
        schedule.go_on(running, running.reports)

    try:
        if ask:
            ask(answered)
        schedule.go_on(running, hosts)
        return schedule.results(running)
    finally:
        # An interrupt waits for no check.
        pool.shutdown(wait=False, cancel_futures=True)


def _running(stack: Stack, days: float | None) -> RunningStack:
    half_of_renewal = timedelta(hours=stack.config.early_renewal_hours) / 2
    minimum_validity = half_of_renewal if days is None else timedelta(days=days)
    state = _state(stack)
    running = RunningStack.of(
        deployment.outputs_with_secrets(state), minimum_validity, name=stack.short_name, option=stack.option
    )
    return replace(
        running, desired=tuple(_compared(desired(state))), state_backups=_state_backups(stack, state)
    )


def _state_backups(stack: Stack, state: Deployment) -> StateBackups | None:
    if STATE not in stack.config.backups:
        return None
    from cli.stack import state_backup

    written = (state.get("manifest") or {}).get("time")
    return StateBackups(lambda: state_backup.last(stack), moment(written) if written else None)


def _compared(parts: Iterable[Desired]) -> Iterator[Desired]:
    """What no other check looks at: those look at containers, but not at their networks, and at routes."""
    for part in parts:
        networks = part.made[1:]
        if part.is_set_up:
            yield part
        elif part.container and networks:
            yield replace(part, made=networks)


def results(stack: Stack) -> list[Result]:
    """Verify a stack, and print nothing."""
    running = _running(stack, None)

    def ask(answered: Callable[[HostReport], None]) -> None:
        threading.Thread(target=_warm_up, daemon=True).start()
        fleet.ask(running.outputs, desired=running.desired, answered=answered, sizes=True)

    return verify(running, ask=ask)


def run(stack: Stack, *, as_json: bool, days: float | None = None) -> int:
    """Verify a stack and print the results. Returns the exit status: 1 if a check failed.

    Args:
        stack: the stack.
        as_json: print JSON.
        days: how long each certificate must be valid at least. By default half of the time before its end in which an
            `up` renews it: a certificate with less time left was due for renewal, but no `up` has run.

    """
    running = _running(stack, days)
    rows = Rows(running) if not as_json and sys.stdout.isatty() else None

    def ask(answered: Callable[[HostReport], None]) -> None:
        # While hosts look at themselves. Checks that come earlier wait for it.
        threading.Thread(target=_warm_up, daemon=True).start()
        with _naming_the_silent(running.hosts, aloud=not as_json) as seen:

            def heard(report: HostReport) -> None:
                seen.append(report)
                answered(report)

            fleet.ask(running.outputs, desired=running.desired, answered=heard, sizes=True)

    if rows:
        rows.begin(stack.name)
    results = verify(running, ask=ask, done=rows.show if rows else lambda _: None)
    show(stack.name, results, as_json=as_json, only_failures=rows is not None)
    return 0 if all(result.passed for result in results) else 1


def _state(stack: Stack) -> Deployment:
    """The state with its secrets. Where the CLI reads it, this imports meanwhile what the checks need."""
    if stack.backend.directory is not None:
        # Before any thread: both import cryptography.
        import_asyncssh()
        foreign_certificate()
        return stack.deployment_with_secrets()
    with ThreadPoolExecutor(max_workers=1) as pool:
        warming = pool.submit(_warm_up)
        state: Deployment = stack.export(show_secrets=True)["deployment"]
        warming.result()
    return state


def _warm_up() -> None:
    """Import what is slow to import, one after the other."""
    import_asyncssh()
    import cli.running.engine  # noqa: F401 - the imports are the point

    console.warm_up()
    foreign_certificate()


class Rows:
    """The rows of the table on a terminal, as they come."""

    def __init__(self, running: RunningStack) -> None:
        """Choose the columns by what is known before the hosts have spoken."""
        subjects = [subject for check in CHECKS for subject in check.subjects(running)]
        self._columns = Columns(
            max(len(check.title) for check in CHECKS), max(map(len, subjects), default=0), console.width()
        )

    def begin(self, name: str) -> None:
        """Print the title."""
        console.lines(f"Checks of {name}", ())

    def show(self, result: Result) -> None:
        """Print a row, unless its check did not run."""
        if not result.skipped:
            console.rows(self._columns.lines(result))


@contextmanager
def _naming_the_silent(hosts: Sequence[str], *, aloud: bool) -> Iterator[list[HostReport]]:
    """Say which hosts have not answered, if that takes long. Yields the list for the answers.

    A program that reads the results needs no such line, so it is not `aloud` then.
    """
    answered: list[HostReport] = []

    def say() -> None:
        waiting = sorted(set(hosts) - {report.host for report in answered})
        console.say(f"Waiting for {', '.join(waiting)} …")

    timer = threading.Timer(SILENT, say)
    timer.daemon = True
    if aloud:
        timer.start()
    try:
        yield answered
    finally:
        timer.cancel()


def show(name: str, results: Sequence[Result], *, as_json: bool, only_failures: bool = False) -> None:
    """Print the results as a table, the failures first, or as JSON.

    Args:
        name: the stack's name.
        results: the results.
        as_json: print JSON.
        only_failures: whether what passed has been shown.

    """
    failed = [result for result in results if not result.passed and not result.skipped]
    skipped = [result for result in results if result.skipped]
    passed = [result for result in results if result.passed]
    if as_json:
        report = {
            "stack": name,
            "passed": len(passed) == len(results),
            "checks": [asdict(result) for result in results],
        }
        print(json.dumps(report, indent=2))
        return
    if not only_failures:
        console.lines(f"Checks of {name}", lines([*failed, *passed], console.width()))
    elif failed:
        console.lines("\nWhat failed, with the command that mends it:", lines(failed, console.width()))
    warned = sum(result.warned for result in results)
    if failed:
        more = f"; {len(skipped)} did not run, since they need what does not answer" if skipped else ""
        console.say(f"{len(failed)} of {len(results)} checks failed{more}.")
    else:
        console.say(f"All {len(results)} checks passed{f', {warned} with a warning' if warned else ''}.")
