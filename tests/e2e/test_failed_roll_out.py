"""A version that fails its health check serves nobody: the old one goes on, and the next good one rolls forward."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import HEALTH_TIMEOUT
from tests.e2e.load import Load, greeting
from tests.e2e.stack import Stack

LONG = 90
"""Seconds for the health check of a version that crashes: nobody waits for them."""
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
    """What the error says about it."""
    health_timeout: int = HEALTH_TIMEOUT
    logged: str = "last words"
    """What the container logged, and the error repeats."""


FAULTS = (
    Fault(
        "crash",
        SERVER,
        START,
        '    print("last words of a crash", flush=True)\n    sys.exit(7)\n' + START,
        "crashed with exit code 7",
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
        logged="Serving on http://0.0.0.0:8081",
    ),
    Fault(
        "timeout",
        SERVER,
        HEALTHY,
        'print("last words", flush=True)\n            __import__("time").sleep(600)\n            ' + HEALTHY,
        "timed out",
    ),
)


@contextmanager
def _bad_version(stack: Stack, fault: Fault) -> Iterator[None]:
    def patience(settings: dict[str, Any]) -> None:
        settings["services"]["web"]["healthTimeout"] = fault.health_timeout

    with stack.clone.edited(fault.file, fault.old, fault.new), stack.configured(patience):
        yield


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_bad_version_fails_the_update_and_nobody_notices(stack: Stack, fault: Fault) -> None:
    urls = stack.urls()
    old = greeting(urls[0])
    second_host = stack.app_containers("web-2", all_=True)

    with Load(*urls) as load:
        with _bad_version(stack, fault):
            failed = stack.slip("up")
        served_after_failure = {greeting(url) for url in urls}
        second_host_after_failure = stack.app_containers("web-2", all_=True)
        newest = stack.app_containers("web-1", all_=True)[0]
        labels = stack.on_host("web-1", "docker", "inspect", "--format", "{{json .Config.Labels}}", newest)
        stack.clone.greet(f"Hello after a {fault.name}")
        good = stack.up()
        served_in_the_end = {greeting(url) for url in urls}
    load.check()

    # The update failed, and said where, why, what the container said last, and that the old version serves on.
    assert failed.status == 1, str(failed)
    assert "web on web-1" in failed.output, str(failed)
    assert fault.reason in failed.output, str(failed)
    assert fault.logged in failed.output, str(failed)
    assert "the version before it goes on serving" in failed.output, str(failed)
    assert "Traceback" not in failed.output, str(failed)
    assert failed.seconds < LONG / 2, str(failed)

    # The old version served on both hosts, and the second host was not even asked.
    assert served_after_failure == {old}
    assert second_host_after_failure == second_host
    # What was built is the working tree as it was.
    assert json.loads(labels)["org.opencontainers.image.revision"].endswith("-dirty")

    # The next good version rolled forward, and left one container on each host.
    assert served_in_the_end == {f"Hello after a {fault.name}"}, str(good)
    for host in ("web-1", "web-2"):
        assert len(stack.app_containers(host, all_=True)) == 1
