"""Runs the checks of `slip verify`: each as soon as the hosts that it needs have said what they run, side by side."""

import http.client
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from cli.errors import CommandError
from cli.running.stack import Failed, RunningStack
from cli.text import first_line
from cli.verify.checks import Check
from cli.verify.found import Result, Warned


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


class Schedule:
    """The checks of one run. More of them can run with each host that has spoken."""

    def __init__(
        self, checks: Sequence[Check], pool: ThreadPoolExecutor, done: Callable[[Result], None]
    ) -> None:
        """Run nothing yet.

        Args:
            checks: the checks, in the order of the results.
            pool: runs them.
            done: gets each result as it comes, one at a time.

        """
        self._checks, self._pool, self._done = checks, pool, done
        self._results: dict[tuple[Check, str], Future[Result]] = {}
        self._guard = threading.Lock()

    def go_on(self, running: RunningStack, spoken: Collection[str]) -> None:
        """Start the checks that can run now.

        Args:
            running: the stack, with the reports of the hosts that have spoken.
            spoken: these hosts; all of them if they were not asked.

        """
        for check in self._checks:
            for subject in check.subjects(running):
                if (check, subject) not in self._results and check.needs(running, subject) <= set(spoken):
                    self._results[check, subject] = self._pool.submit(self._look, check, running, subject)

    def results(self, running: RunningStack) -> list[Result]:
        """Wait for all, and return the results in the order of the checks. `running` has all reports."""
        return [
            self._results[check, subject].result()
            for check in self._checks
            for subject in check.subjects(running)
        ]

    def _look(self, check: Check, running: RunningStack, subject: str) -> Result:
        result = look(check, running, subject)
        with self._guard:
            self._done(result)
        return result
