"""`slip verify`: runs all checks at once, and prints a table of what they found."""

import http.client
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running.drift import Desired
from cli.running.stack import Failed, RunningStack
from cli.stack import deployment
from cli.stack.desired import desired
from cli.stack.stack import Stack
from cli.verify.checks import CHECKS, Check
from cli.verify.registry import Warned

AT_ONCE = 8
"""How many checks run at the same time: they mostly wait for the network."""


@dataclass(frozen=True)
class Result:
    """The result of one check on one subject."""

    check: str
    subject: str
    passed: bool
    detail: str
    """What was found."""
    seconds: float
    warned: bool = False
    """Whether the check passed with a warning."""


def look(check: Check, running: RunningStack, subject: str) -> Result:
    """Run one check. Whatever goes wrong fails this check only."""
    started = time.monotonic()
    try:
        detail, passed = check.look(running, subject), True
    except (Failed, CommandError) as failed:
        detail, passed = str(failed), False
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        detail, passed = f"{type(error).__name__}: {error}", False
    seconds = round(time.monotonic() - started, 3)
    return Result(check.title, subject, passed, str(detail), seconds, isinstance(detail, Warned))


def verify(
    outputs: Mapping[str, Any],
    checks: Iterable[Check] = CHECKS,
    minimum_validity: timedelta = timedelta(),
    desired: Iterable[Desired] = (),
) -> list[Result]:
    """Run the checks on the stack with these outputs. The results are in the order of the checks.

    Args:
        outputs: the stack's.
        checks: the checks to run.
        minimum_validity: how long each certificate must be valid at least.
        desired: what the stack's resources have made on the hosts.

    Raises:
        CommandError: the stack is not up.

    """
    running = replace(RunningStack.of(outputs, minimum_validity), desired=tuple(desired))
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
    results = verify(
        deployment.outputs_with_secrets(state), minimum_validity=minimum_validity, desired=desired(state)
    )
    show(stack.name, results, as_json=as_json)
    return 0 if all(result.passed for result in results) else 1


def show(name: str, results: Sequence[Result], *, as_json: bool) -> None:
    """Print the results as a table or as JSON."""
    failed = [result for result in results if not result.passed]
    if as_json:
        report = {"stack": name, "passed": not failed, "checks": [asdict(result) for result in results]}
        print(json.dumps(report, indent=2))
        return
    console.table(
        f"Checks of {name}",
        ("check", "where", "result", "seen"),
        [(result.check, result.subject, _verdict(result), result.detail) for result in results],
    )
    warned = sum(result.warned for result in results)
    passed = f"All {len(results)} checks passed{f', {warned} with a warning' if warned else ''}."
    console.say(f"{len(failed)} of {len(results)} checks failed." if failed else passed)


def _verdict(result: Result) -> str:
    if not result.passed:
        return "FAILED"
    return "warning" if result.warned else "ok"
