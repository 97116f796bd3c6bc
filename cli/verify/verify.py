"""`slip verify`: all checks at once, and a table of what they saw."""

import http.client
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from cli import console
from cli.stack.stack import Stack
from cli.verify.checks import CHECKS, Check, Failed, Running, Warned

AT_ONCE = 8
"""How many checks run at the same time: they wait for the network, mostly."""


@dataclass(frozen=True)
class Result:
    """What became of one check."""

    check: str
    subject: str
    passed: bool
    detail: str
    """What was seen."""
    seconds: float
    warned: bool = False
    """Whether it passed, but will not for long."""


def look(check: Check, running: Running, subject: str) -> Result:
    """Carry out one check. Whatever goes wrong on the way is a failure of the check, never of the others."""
    started = time.monotonic()
    try:
        detail, passed = check.look(running, subject), True
    except Failed as failed:
        detail, passed = str(failed), False
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        detail, passed = f"{type(error).__name__}: {error}", False
    seconds = round(time.monotonic() - started, 3)
    return Result(check.title, subject, passed, str(detail), seconds, isinstance(detail, Warned))


def verify(
    outputs: Mapping[str, Any], checks: Iterable[Check] = CHECKS, least: timedelta = timedelta()
) -> list[Result]:
    """Carry out the checks on the stack with these outputs, in the order of the table.

    Args:
        outputs: the stack's.
        checks: what to look at.
        least: how long each certificate has to be valid at least.

    Raises:
        CommandError: the stack is not up.

    """
    running = Running.of(outputs, least)
    jobs = [(check, subject) for check in checks for subject in check.subjects(running)]
    # Made here, which imports what several checks use: threads that import cryptography at the same time can lock each
    # other out.
    _ = running.foreign_identity
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(lambda job: look(job[0], running, job[1]), jobs))


def run(stack: Stack, *, as_json: bool, days: float | None = None) -> int:
    """Verify a stack and print the results. Returns the exit status: 1 if a check failed.

    Args:
        stack: the stack.
        as_json: for a script.
        days: how long each certificate has to be valid at least. By default half of the time in which an `up` renews
            it: one that has less was due, and there was no `up`.

    """
    least = timedelta(hours=stack.config.early_renewal_hours) / 2 if days is None else timedelta(days=days)
    results = verify(stack.outputs(), least=least)
    show(stack.name, results, as_json=as_json)
    return 0 if all(result.passed for result in results) else 1


def show(name: str, results: Sequence[Result], *, as_json: bool) -> None:
    """Print the results, as a table or for a script."""
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
