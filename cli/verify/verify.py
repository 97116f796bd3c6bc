"""`slip verify`: asks all hosts, runs all checks at once, and prints a table of what they found."""

import http.client
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running import fleet
from cli.running.drift import Desired
from cli.running.host_report import HostReport
from cli.running.stack import Failed, RunningStack
from cli.stack import deployment
from cli.stack.desired import desired
from cli.stack.stack import Stack
from cli.text import first_line
from cli.verify.checks import CHECKS, Check
from cli.verify.found import Result, Warned
from cli.verify.table import lines

AT_ONCE = 16
"""How many checks run at the same time: they mostly wait for the network."""
SILENT = 2.0
"""Seconds after which the hosts that have not answered yet are named."""


def look(check: Check, running: RunningStack, subject: str) -> Result:
    """Run one check. Whatever goes wrong fails this check only."""
    if not check.runs(running, subject):
        return Result(check.title, subject, False, "what it needs does not answer", skipped=True)
    started = time.monotonic()
    remedy = ""
    try:
        detail, passed = check.look(running, subject), True
    except Failed as failed:
        detail, passed, remedy = str(failed), False, failed.remedy
    except CommandError as failed:
        detail, passed = str(failed), False
    except TimeoutError:
        detail, passed = "no answer", False
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        detail, passed = (
            first_line(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"),
            False,
        )
    seconds = round(time.monotonic() - started, 3)
    return Result(
        check.title,
        subject,
        passed,
        str(detail),
        seconds,
        isinstance(detail, Warned),
        "" if passed else remedy or check.command(running, subject),
    )


def verify(
    outputs: Mapping[str, Any],
    checks: Iterable[Check] = CHECKS,
    minimum_validity: timedelta = timedelta(),
    reports: Mapping[str, HostReport] | None = None,
    *,
    desired: Iterable[Desired] = (),
    name: str = "local",
    option: str = "",
) -> list[Result]:
    """Run the checks on the stack with these outputs. The results are in the order of the checks.

    Args:
        outputs: the stack's.
        checks: the checks to run.
        minimum_validity: how long each certificate must be valid at least.
        reports: what the hosts said about themselves. Without it, the checks on that do not run.
        name: the stack's name without an organization.
        option: the option that names the stack on the command line.
        desired: what the stack's resources have made on the hosts.

    Raises:
        CommandError: the stack is not up.

    """
    running = RunningStack.of(outputs, minimum_validity, name=name, option=option)
    running = replace(running, reports=reports or {}, desired=tuple(desired))
    jobs = [(check, subject) for check in checks for subject in check.subjects(running)]
    # Made before the threads start: threads that import cryptography at the same time can deadlock.
    _ = running.foreign_certificate
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(lambda job: look(job[0], running, job[1]), jobs))


def run(stack: Stack, *, as_json: bool, days: float | None = None) -> int:
    """Verify a stack and print the results. Returns the exit status: 1 if a check failed.

    Args:
        stack: the stack.
        as_json: print JSON.
        days: how long each certificate must be valid at least. By default half of the time before its end in which an
            `up` renews it: a certificate with less time left was due for renewal, but no `up` has run.

    """
    half_of_renewal = timedelta(hours=stack.config.early_renewal_hours) / 2
    minimum_validity = half_of_renewal if days is None else timedelta(days=days)
    state = stack.export(show_secrets=True)["deployment"]
    outputs = deployment.outputs_with_secrets(state)
    RunningStack.of(outputs, name=stack.short_name, option=stack.option)
    with _naming_the_silent(sorted(outputs["hosts"]), aloud=not as_json) as answered:
        reports = fleet.ask(outputs, answered=answered.append)
    results = verify(
        outputs,
        minimum_validity=minimum_validity,
        reports=reports,
        # Other checks look at containers and routes.
        desired=[part for part in desired(state) if part.is_set_up],
        name=stack.short_name,
        option=stack.option,
    )
    show(stack.name, results, as_json=as_json)
    return 0 if all(result.passed for result in results) else 1


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


def show(name: str, results: Sequence[Result], *, as_json: bool) -> None:
    """Print the results as a table, the failures first, or as JSON."""
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
    console.lines(f"Checks of {name}", lines([*failed, *passed], console.width()))
    warned = sum(result.warned for result in results)
    if failed:
        more = f"; {len(skipped)} did not run, since they need what does not answer" if skipped else ""
        console.say(f"{len(failed)} of {len(results)} checks failed{more}.")
    else:
        console.say(f"All {len(results)} checks passed{f', {warned} with a warning' if warned else ''}.")
