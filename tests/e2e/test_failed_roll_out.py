"""A version that fails its health check gets no request: the old one goes on, and the next good one rolls forward."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.http_load import Load, greeting
from tests.support.stack import Stack

SHORT = 8
"""Seconds for the health check of a version that runs and never gets healthy. It needs some of them to start."""
LONG = 250
"""Seconds for the health check of a version that crashes. The update fails long before."""
SERVER = "app/server.py"
START = "    logging.basicConfig("
HEALTHY = 'status, body = "200 OK", "ok\\n"'


@dataclass(frozen=True)
class Fault:
    """A way in which a version can be bad."""

    name: str
    file: str
    old: str
    new: str
    reason: str
    """What the error says about it, as a regular expression."""
    health_timeout: int = SHORT
    remedy: str = ""
    """What the error says how to mend it."""
    logged: str = "last words"
    """What the container logged, which the error repeats."""


FAULTS = (
    Fault(
        "crash",
        SERVER,
        START,
        '    print("last words of a crash", flush=True)\n    sys.exit(7)\n' + START,
        # It is "unknown" if the engine has restarted the container before switch.sh looks.
        "crashed with exit code (7|unknown)",
        LONG,
    ),
    Fault(
        "HTTP 500",
        SERVER,
        HEALTHY,
        'status, body = "500 Internal Server Error", "no\\n"\n            print("last words", flush=True)',
        "answered HTTP 500",
    ),
    Fault(
        "refused connection",
        SERVER,
        'port=CONFIG["port"]',
        'port=CONFIG["port"] + 1',
        "refused the connection on port 8080",
        remedy="set slipway:services.web.port to 8081, or let it listen on port 8080",
        logged="Serving on http://0.0.0.0:8081",
    ),
    Fault(
        "timeout",
        SERVER,
        HEALTHY,
        'print("last words", flush=True)\n            __import__("time").sleep(600)\n            ' + HEALTHY,
        "timed out",
        remedy="let /up answer within 5 s",
    ),
)


@contextmanager
def _bad_version(stack: Stack, fault: Fault) -> Iterator[None]:
    def patience(settings: dict[str, Any]) -> None:
        settings["services"]["web"]["healthTimeout"] = fault.health_timeout

    with stack.clone.edited(fault.file, fault.old, fault.new), stack.configured(patience):
        yield


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_bad_version_fails_the_update_and_no_request(stack: Stack, fault: Fault) -> None:
    urls = stack.urls()
    old = greeting(urls[0])
    first_host, second_host = stack.app_containers("web-1"), stack.app_containers("web-2", all_=True)

    with Load(*urls) as load:
        with _bad_version(stack, fault):
            failed = stack.slip("up")
        served_after_failure = {greeting(url) for url in urls}
        second_host_after_failure = stack.app_containers("web-2", all_=True)
        running_after_failure = stack.app_containers("web-1")
        stack.clone.greet(f"Hello after a {fault.name}")
        good = stack.up()
        served_in_the_end = {greeting(url) for url in urls}
    load.check()

    # The error names host and reason, says that the previous version continues to serve, and repeats the last log
    # lines.
    assert failed.status == 1, str(failed)
    assert "web on web-1" in failed.output, str(failed)
    assert re.search(fault.reason, failed.output), str(failed)
    assert fault.logged in failed.output, str(failed)
    assert "the previous version continues to serve" in failed.output, str(failed)
    assert "Traceback" not in failed.output, str(failed)
    assert failed.seconds < LONG, str(failed)

    # The error names a remedy, and the bad version works on nothing.
    assert fault.remedy in failed.output, str(failed)
    assert running_after_failure == first_host

    # The old version went on serving on both hosts, and the second host was left alone.
    assert served_after_failure == {old}
    assert second_host_after_failure == second_host
    # The next good version rolled forward, and left one container on each host.
    assert served_in_the_end == {f"Hello after a {fault.name}"}, str(good)
    for host in ("web-1", "web-2"):
        assert len(stack.app_containers(host, all_=True)) == 1
