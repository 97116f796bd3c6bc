"""One clone, and one stack of three hosts for most of the tests: the first `./slip up` makes it, the end removes it."""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml

from tests.e2e.command import Result
from tests.e2e.processes import ProcessWatch
from tests.e2e.stack import REPOSITORY, Clone, Stack

HERE = Path(__file__).parent
THEMES = (
    "first_up",
    "cli_state",
    "aws_plugin",
    "configuration",
    "no_change",
    "upgrade",
    "verify",
    "accounts",
    "certificates",
    "roll_out",
    "failed_roll_out",
    "recovery",
    "dead_host",
    "killed",
    "storage",
    "registry_modes",
    "down",
    "secrets",
    "aws",
)
"""The files' order: a stack is made first, then looked at, then changed, then broken; and what was said on the way."""
TIME_LIMIT = 300
"""Seconds that one test may take, without the fixtures that it waits for: those have limits of their own."""
TOOLS_LIMIT = 3600
"""Seconds for the very first `up` on a machine where everything has to be downloaded or built."""
HEALTH_TIMEOUT = 4
"""Seconds: the sample app is up in less than one."""

_outcomes = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.timeout(TIME_LIMIT, func_only=True))
    ours.sort(key=lambda item: THEMES.index(item.path.stem.removeprefix("test_")))
    items[:] = [item for item in items if item not in ours] + ours


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call":
        item.stash[_outcomes] = report.passed
    return report


@pytest.fixture(scope="session")
def machine() -> Iterator[None]:
    """A machine on which hosts can run, for one run of these tests at a time."""
    has_engine = (
        shutil.which("docker") and not subprocess.run(["docker", "version"], capture_output=True).returncode
    )
    missing = ""
    if not Path("/proc/self").exists():
        missing = "these tests look at processes by /proc, so they need Linux"
    elif not has_engine and os.geteuid() != 0:
        missing = "no Docker Engine answers, and only root can install one"
    if missing:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    path = Path(tempfile.gettempdir()) / f"slipway-e2e-{os.getuid()}.lock"
    with path.open("w") as file:
        _lock(file)
        yield


def _lock(file: TextIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pytest.fail(f"another run of the end-to-end tests is under way on this machine ({file.name})")


@pytest.fixture(scope="session")
def clone(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A fresh clone, in which nothing has run yet."""
    return Clone.make(tmp_path_factory.mktemp("slipway"))


@dataclass(frozen=True)
class FirstUp:
    """The first `./slip up` of a fresh clone."""

    stack: Stack
    result: Result
    processes: ProcessWatch
    """What the process list showed meanwhile."""


@pytest.fixture(scope="session")
def first_up(clone: Clone) -> Iterator[FirstUp]:
    """The stack of three hosts as `slip` itself writes it, on ports that leave a developer's own stack alone."""
    stack = Stack(clone, "e2e")
    stack.remove_traces()
    stack.write_config(three_hosts())
    try:
        with ProcessWatch() as processes:
            result = stack.slip("up", seconds=TOOLS_LIMIT)
        yield FirstUp(stack, result, processes)
    finally:
        take_down(stack)


def three_hosts() -> dict[str, Any]:
    """The configuration that `slip` writes for the stack `local`, for another stack on the same machine."""
    template = yaml.safe_load((REPOSITORY / "cli/stack/local-stack.yaml").read_text())["config"]
    settings = {key.removeprefix("slipway:"): value for key, value in template.items()}
    settings["platform"]["portOffset"] = 300
    settings["services"]["web"] |= {"healthTimeout": HEALTH_TIMEOUT, "drainTimeout": HEALTH_TIMEOUT}
    return settings


def one_host_settings() -> dict[str, Any]:
    """A stack with one host that does it all, with a service that is quick to build."""
    return {
        "platform": {"kind": "local", "portOffset": 400},
        "hosts": {"box": {"roles": ["registry", "build", "app"]}},
        "services": {
            "web": {
                "build": {"context": "tests/e2e/fixtures/tiny"},
                "health": "/",
                "healthTimeout": HEALTH_TIMEOUT,
                "drainTimeout": 1,
            }
        },
    }


def take_down(stack: Stack) -> None:
    """Remove the stack as a user would, and fail if that leaves anything; remove that too."""
    try:
        result = stack.slip("down", "--purge", "--yes")
        left = {kind: names for kind, names in stack.traces().items() if names}
    finally:
        stack.remove_traces()
    assert result.status == 0, str(result)
    assert not left, f"`down --purge` left {left}"


@pytest.fixture(scope="session")
def _well(first_up: FirstUp) -> dict[str, bool]:
    """Whether the shared stack is as a passed test leaves it: up, and as the clone's last commit says."""
    return {"stack": first_up.result.status == 0}


@pytest.fixture
def stack(first_up: FirstUp, _well: dict[str, bool], request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The shared stack, up and well. A test leaves it so; after one that failed it is repaired."""
    if not _well["stack"]:
        first_up.stack.clone.git("checkout", "--quiet", "--", ".")
        first_up.stack.up("--refresh")
    _well["stack"] = False
    yield first_up.stack
    _well["stack"] = request.node.stash.get(_outcomes, False)


@pytest.fixture
def one_host(clone: Clone, machine: None) -> Iterator[Stack]:
    """The configuration of a stack with one host that does it all; a test brings it up. Removed after each test."""
    stack = Stack(clone, "e2e-one")
    stack.remove_traces()
    stack.write_config(one_host_settings())
    try:
        yield stack
    finally:
        take_down(stack)


@pytest.fixture
def listener() -> Iterator[Callable[[], int]]:
    """Makes somebody listen on a port of 127.0.0.1 that was free, and returns the port."""
    sockets: list[socket.socket] = []

    def listen() -> int:
        sockets.append(socket.create_server(("127.0.0.1", 0)))
        port: int = sockets[-1].getsockname()[1]
        return port

    yield listen
    for opened in sockets:
        opened.close()
