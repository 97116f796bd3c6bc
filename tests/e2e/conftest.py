"""The stacks of the end-to-end tests, all in one clone.

Bringing a stack up takes most of the time, so tests share two: one of three hosts, as a new user gets it, and one of a
single host. A test leaves a shared stack up and well; after a failed test the next one repairs it.

Tests of different stacks run beside each other; `--dist loadgroup` keeps those of one stack in one process.
"""

import contextlib
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

from tests.support import settings, small_image
from tests.support.clone import Clone
from tests.support.command import Result
from tests.support.process_watch import ProcessWatch
from tests.support.stack import Stack
from tests.support.waiting import TOOLS_LIMIT

HERE = Path(__file__).parent
TIME_LIMIT = 900
"""Seconds that one test may take, without its fixtures. It ends a test that hangs."""

SHARED_STACKS = ("first_up", "one_host_stack")
"""The fixtures of the stacks that several files share."""

_passed = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "place(where): runs `first` or `last` of all end-to-end tests")


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks of groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.timeout(TIME_LIMIT, func_only=True))
        item.add_marker(pytest.mark.xdist_group(_shared_stack(item) or item.path.name))
    items[:] = [item for item in items if item not in ours] + sorted(ours, key=_turn)


def _shared_stack(item: pytest.Item) -> str:
    """The fixture of the shared stack that a test uses; empty without one."""
    fixtures = getattr(item, "fixturenames", ())
    return next((name for name in SHARED_STACKS if name in fixtures), "")


def _turn(item: pytest.Item) -> tuple[int, int, str]:
    """The order: by the mark `place`, then by the shared stack, then by file."""
    mark = item.get_closest_marker("place")
    place = {"first": 0, "last": 2}[mark.args[0]] if mark else 1
    return place, [*SHARED_STACKS, ""].index(_shared_stack(item)), item.path.name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call":
        item.stash[_passed] = report.passed
    return report


@pytest.fixture(scope="session")
def machine() -> Iterator[None]:
    """A machine that can run hosts, with what the services are built on. One run of these tests at a time uses it."""
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
    with path.open("a+") as file:
        _lock(file, os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid()))
        small_image.make()
        yield


def _lock(file: TextIO, run: str) -> None:
    """Hold the file's lock together with the other processes of this run, or fail."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(run)
        file.flush()
    fcntl.flock(file, fcntl.LOCK_SH)
    file.seek(0)
    if file.read() != run:
        pytest.fail(f"another run of the end-to-end tests is under way on this machine ({file.name})")


@pytest.fixture(scope="session")
def clone(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A fresh clone, in which no command has run yet."""
    return Clone.make(tmp_path_factory.mktemp("slipway"))


@pytest.fixture(scope="module", autouse=True)
def _clone_as_found(request: pytest.FixtureRequest, clone: Clone) -> Iterator[None]:
    """Give the clone to the next file as this one found it. A shared stack goes on from the commit that it has."""
    before, files = clone.git("rev-parse", "HEAD").strip(), clone.untracked()
    yield
    for name in clone.untracked() - files:
        # A repository in the clone is listed as one name.
        remove = shutil.rmtree if name.endswith("/") else os.unlink
        remove(clone.root / name)
    ours = [item for item in request.session.items if item.path == request.path]
    if not any(map(_shared_stack, ours)):
        clone.git("reset", "--quiet", "--hard", before)


@dataclass(frozen=True)
class FirstUp:
    """The first `./slip up` of a fresh clone."""

    stack: Stack
    result: Result
    processes: ProcessWatch
    """The process list during the update."""


@pytest.fixture(scope="session")
def first_up(clone: Clone) -> Iterator[FirstUp]:
    """The stack of three hosts, made by the first `up` in the clone."""
    stack = Stack(clone, "e2e")
    stack.remove_traces()
    stack.write_config(settings.three_hosts())
    try:
        with ProcessWatch() as processes:
            result = stack.slip("up", seconds=TOOLS_LIMIT)
        yield FirstUp(stack, result, processes)
    finally:
        stack.take_down()


@pytest.fixture(scope="session")
def _well(first_up: FirstUp) -> dict[str, bool]:
    """Whether the stack of three hosts is as a passed test leaves it: up, by the clone's last commit."""
    return {"stack": first_up.result.status == 0}


@pytest.fixture
def stack(first_up: FirstUp, _well: dict[str, bool], request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The stack of three hosts, up and well."""
    if not _well["stack"]:
        first_up.stack.clone.git("checkout", "--quiet", "--", ".")
        first_up.stack.up("--refresh")
    _well["stack"] = False
    yield first_up.stack
    _well["stack"] = request.node.stash.get(_passed, False)


@pytest.fixture(scope="session")
def one_host_stack(clone: Clone) -> Iterator[Stack]:
    """The stack of one host, which may be down."""
    stack = Stack(clone, "e2e-one")
    stack.remove_traces()
    try:
        yield stack
    finally:
        stack.forget()


@pytest.fixture
def new_one_host(one_host_stack: Stack) -> Stack:
    """The configuration of the stack of one host, of which nothing has been made yet. A test brings it up."""
    one_host_stack.forget()
    one_host_stack.write_config(settings.one_host())
    return one_host_stack


@pytest.fixture(scope="module")
def one_host(one_host_stack: Stack) -> Stack:
    """The stack of one host with its usual configuration. A module changes that, and brings the stack up."""
    one_host_stack.clone.git("checkout", "--quiet", "--", ".")
    if one_host_stack.is_there():
        one_host_stack.configure(settings.one_host())
    else:
        one_host_stack.write_config(settings.one_host())
    return one_host_stack


@pytest.fixture
def listener() -> Iterator[Callable[[], int]]:
    """Listens on a port of 127.0.0.1 that was free, and returns the port."""
    sockets: list[socket.socket] = []

    def listen() -> int:
        sockets.append(socket.create_server(("127.0.0.1", 0)))
        port: int = sockets[-1].getsockname()[1]
        return port

    yield listen
    for opened in sockets:
        opened.close()
