"""How the next update cleans up after a killed one."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.stack import processes
from cli.stack.backend import Backend
from cli.stack.deployment import CONTAINER_TYPE, NETWORK_TYPE
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.update import marker, pending_operations, recovery
from cli.update.marker import Marker, mark, unmark

CONTAINER, NETWORK = CONTAINER_TYPE, NETWORK_TYPE
PROVIDER = "urn:pulumi:local::slipway::pulumi:providers:docker::web-1-docker"
SIGNATURE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


class FakePulumi:
    """Answers `stack export`, and records all calls."""

    def __init__(self, deployment: dict[str, Any], said: str = "") -> None:
        self.deployment = deployment
        self.said = said
        self.asked: list[tuple[str, ...]] = []
        self.imported: dict[str, Any] | None = None

    def read(self, *arguments: str, stdin: str | None = None) -> str:
        self.asked.append(arguments)
        if arguments[:2] == ("stack", "import"):
            self.imported = json.loads(stdin or "")
        if arguments[0] == "stack" and arguments[1] == "--stack":
            return self.said
        return json.dumps({"version": 3, "deployment": self.deployment})

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        self.asked.append(arguments)
        return subprocess.CompletedProcess(arguments, 255, "", self.said)


def make_stack(
    root: Path, deployment: dict[str, Any] | None = None, *, url: str | None = None, said: str = ""
) -> Stack:
    """A stack in the clone's own file backend (or in the one at `url`), with this state."""
    (root / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    backend = Backend(url or f"file://{root}/state", is_own=url is None)
    deployment = deployment or {}
    if backend.directory:
        folder = backend.directory / ".pulumi" / "stacks" / "slipway"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "local.json").write_text(json.dumps({"version": 3, "checkpoint": {"latest": deployment}}))
    return Stack(Project(root), "local", backend, FakePulumi(deployment, said))  # type: ignore[arg-type]


def asked(stack: Stack) -> list[str]:
    """The commands that Pulumi was asked for, without their options."""
    commands = stack.pulumi.asked  # type: ignore[attr-defined]
    return [" ".join(word for word in command[:2] if not word.startswith("-")) for command in commands]


def lock_folder(stack: Stack) -> Path:
    assert stack.backend.directory
    return stack.backend.directory / ".pulumi" / "locks" / "organization" / "slipway" / "local"


def lock(stack: Stack, pid: int, host: str | None = None, *, since: datetime | None = None) -> None:
    folder = lock_folder(stack)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": pid,
        "username": "u",
        "hostname": host or socket.gethostname(),
        "timestamp": since.isoformat() if since else f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.678901234Z",
    }
    (folder / f"{pid}.json").write_text(json.dumps(content))
    (folder / f"{pid}.json.attrs").write_text("{}")  # the backend keeps one beside each file


def mark_as(stack: Stack, slip: int, pulumi: int, **more: Any) -> None:
    """The marker of an update on this machine."""
    Marker(slip, pulumi, socket.gethostname(), processes.now().isoformat(), "up", **more).write(stack)


@pytest.fixture(autouse=True)
def _locks_of_one_test() -> Iterator[None]:
    """A process holds the locks that it has taken until it ends."""
    yield
    for taken in marker._locks.values():
        taken.release()
    marker._locks.clear()


def test_without_leftovers_no_command_runs(tmp_path: Path) -> None:
    stack = make_stack(tmp_path)
    assert recovery.recover(stack) is False
    assert asked(stack) == []


def test_a_lock_of_a_dead_process_is_released(tmp_path: Path, dead_pid: int) -> None:
    """Only its own file goes: `pulumi cancel` would remove a lock that another update has taken meanwhile, too."""
    stack = make_stack(tmp_path)
    lock(stack, dead_pid)
    assert recovery.recover(stack) is False
    assert list(lock_folder(stack).iterdir()) == []
    assert asked(stack) == []


def test_a_lock_of_a_live_update_is_respected(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    stack = make_stack(tmp_path)
    lock(stack, sleeper.pid)
    with pytest.raises(
        CommandError,
        match=rf"another update of the stack 'local' runs: process {sleeper.pid} of u on \S+, since 20\d\d",
    ) as raised:
        recovery.recover(stack)
    assert raised.value.status == 3
    assert len(stack.locks()) == 1


@pytest.mark.parametrize("marked", [True, False])
def test_a_lock_whose_number_is_another_programs_now_is_released(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], marked: bool
) -> None:
    """Of another program; or of another Pulumi CLI, which started after the lock was taken."""
    stack = make_stack(tmp_path)
    lock(stack, 1)  # process 1 is not Pulumi
    lock(stack, sleeper.pid, since=datetime.now(UTC) - timedelta(hours=1))
    if marked:
        mark_as(stack, 1, sleeper.pid, boot=processes.boot(), pulumi_start=1)
    recovery.recover(stack)
    assert stack.locks() == []


def test_a_lock_from_before_the_machines_restart_is_released(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """Although a Pulumi CLI has its process id now, and the clock says that it is older than the lock."""
    stack = make_stack(tmp_path)
    lock(stack, sleeper.pid, since=datetime.now(UTC) + timedelta(hours=1))
    mark_as(stack, sleeper.pid, sleeper.pid, boot="another start")
    recovery.recover(stack)
    assert stack.locks() == []


def test_a_lock_is_not_taken_for_stale_because_a_clock_was_adjusted(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    stack = make_stack(tmp_path)
    lock(stack, sleeper.pid, since=datetime.now(UTC) - timedelta(hours=1))
    start = processes.start_of(sleeper.pid)
    mark_as(stack, 1, sleeper.pid, boot=processes.boot(), pulumi_start=start)
    threading.Timer(0.5, sleeper.kill).start()
    begun = time.monotonic()
    recovery.recover(stack)
    assert time.monotonic() - begun > 0.4


@pytest.mark.parametrize("host", ["elsewhere", None])
def test_a_lock_of_another_clone_is_left_to_a_person(tmp_path: Path, dead_pid: int, host: str | None) -> None:
    """A shared backend: the lock of a machine elsewhere, or of one with the same name, or of another clone here."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    stack = make_stack(mine, url=f"file://{tmp_path}/shared")
    mark_as(stack, dead_pid, dead_pid)
    lock(stack, dead_pid)
    lock(stack, 4194304, host)
    name = host or socket.gethostname()
    with pytest.raises(
        CommandError, match=f"locked by another update: process 4194304 of u on {name}, since 20"
    ) as raised:
        recovery.recover(stack)
    assert "pulumi cancel -s local" in raised.value.remedy
    assert raised.value.status == 3
    assert len(stack.locks()) == 2
    assert asked(stack) == []


def test_ones_own_lock_in_a_shared_backend_is_released(tmp_path: Path, dead_pid: int) -> None:
    stack = make_stack(tmp_path, url=f"file://{tmp_path}/shared")
    lock(stack, dead_pid)
    mark_as(stack, dead_pid, dead_pid)
    recovery.recover(stack)
    assert stack.locks() == []
    assert not stack.project.marker("local").exists()


@pytest.mark.parametrize(
    ("host", "hours", "released"), [(None, 0, True), ("elsewhere", 5, False), ("elsewhere", 7, True)]
)
def test_of_a_review_environment_a_fresh_clone_releases_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str | None, hours: int, released: bool
) -> None:
    """The marker was in a clone that is gone. A lock of another machine has to be old."""
    monkeypatch.setattr(pending_operations, "ENGINE_PATIENCE", 0)
    stack = make_stack(tmp_path, url=f"file://{tmp_path}/shared")
    lock(stack, 4194304, host, since=datetime.now(UTC) - timedelta(hours=hours))
    if released:
        recovery.stop(stack)
        assert stack.locks() == []
        return
    with pytest.raises(CommandError, match="locked by another update: process 4194304 of u on elsewhere"):
        recovery.stop(stack)
    assert len(stack.locks()) == 1


def test_of_a_review_environment_a_running_update_is_respected(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    stack = make_stack(tmp_path, url=f"file://{tmp_path}/shared")
    lock(stack, sleeper.pid)
    with pytest.raises(CommandError, match="another update of the stack 'local' runs"):
        recovery.stop(stack)


def test_a_lock_that_says_nothing_is_nobodys_own(tmp_path: Path, dead_pid: int) -> None:
    stack = make_stack(tmp_path, url=f"file://{tmp_path}/shared")
    lock(stack, dead_pid)
    mark_as(stack, dead_pid, dead_pid)
    (lock_folder(stack) / "other.json").write_text("")
    with pytest.raises(CommandError, match="locked by another update"):
        recovery.recover(stack)


LOCKED = """error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete it
  s3://bucket/.pulumi/locks/x/1.json: created by ann@{host} (pid {pid}) at 2026-01-02T03:04:05Z
"""
FOREIGN = (
    "  s3://bucket/.pulumi/locks/x/2.json: created by bob@elsewhere (pid 17) at 2026-01-02T03:04:06+01:00\n"
)


def test_ones_own_lock_in_a_bucket_is_released(tmp_path: Path, dead_pid: int) -> None:
    said = LOCKED.format(host=socket.gethostname(), pid=dead_pid)
    stack = make_stack(tmp_path, url="s3://bucket", said=said)
    mark_as(stack, dead_pid, dead_pid)
    recovery.recover(stack)
    assert asked(stack) == ["stack rename", "cancel", "stack export"]


def test_another_lock_in_a_bucket_is_left_to_a_person(tmp_path: Path, dead_pid: int) -> None:
    said = LOCKED.format(host=socket.gethostname(), pid=dead_pid) + FOREIGN
    stack = make_stack(tmp_path, state(operation("creating", CONTAINER)), url="s3://bucket", said=said)
    mark_as(stack, dead_pid, dead_pid)
    with pytest.raises(CommandError, match="process 17 of bob on elsewhere, since 2026-01-02"):
        recovery.recover(stack)
    assert asked(stack) == ["stack rename"]
    assert stack.project.marker("local").exists()


def test_a_bucket_that_does_not_say_is_left_alone(tmp_path: Path, dead_pid: int) -> None:
    stack = make_stack(tmp_path, url="gs://bucket", said="error: no credentials")
    mark_as(stack, dead_pid, dead_pid)
    with pytest.raises(CommandError, match="no credentials"):
        recovery.recover(stack)
    assert asked(stack) == ["stack rename"]


def test_an_update_that_runs_in_pulumi_cloud_is_left_alone(tmp_path: Path, dead_pid: int) -> None:
    said = (
        "Current stack is local:\n    Owner: team\n"
        "    Update in progress:\n\tStarted: 1 minute ago\n\tRequested By: bob\n"
    )
    stack = make_stack(
        tmp_path, state(operation("creating", CONTAINER)), url="https://example.org", said=said
    )
    mark_as(stack, dead_pid, dead_pid)
    with pytest.raises(CommandError, match="requested by bob, started 1 minute ago"):
        recovery.recover(stack)
    assert len(asked(stack)) == 1


@pytest.mark.parametrize("shared", [False, True])
def test_only_one_of_many_updates_at_once_goes_on(tmp_path: Path, shared: bool) -> None:
    """In one clone, or in many clones with one backend."""
    code = (
        "import sys, time, pathlib; from cli.stack.backend import Backend; from cli.stack.project import Project\n"
        "from cli.stack.stack import Stack; from cli.update import marker; from cli.errors import CommandError\n"
        "project = Project(pathlib.Path(sys.argv[2])); stack = Stack(project, 'local', Backend(sys.argv[3]), None)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: marker.hold(stack)\n"
        "except CommandError as error: print(error.message); sys.exit(error.status)\n"
        "marker.mark(stack, 'up'); sys.stdin.readline(); marker.unmark(stack)"
    )
    (tmp_path / "shared").mkdir()
    url = f"file://{tmp_path}/shared" if shared else "https://example.org"
    running = []
    for number in range(8):
        root = tmp_path / (f"clone {number}" if shared else "clone")
        root.mkdir(exist_ok=True)
        (root / "Pulumi.yaml").write_text("name: slipway\n")
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code, "up", str(root), url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    losers: list[subprocess.Popen[str]] = []
    deadline = time.monotonic() + 20
    while len(losers) < 7 and time.monotonic() < deadline:
        losers = [process for process in running if process.poll() is not None]
        time.sleep(0.02)
    (winner,) = (process for process in running if process.poll() is None)
    assert [process.returncode for process in losers] == [3] * 7
    for process in losers:
        assert process.stdout
        said = process.stdout.read()
        assert f"another update of the stack 'local' runs: `./slip up`, process {winner.pid} of " in said
    folder = tmp_path / (f"clone {running.index(winner)}" if shared else "clone")
    assert (folder / ".slipway/running/local.json").exists()  # no loser has removed it
    winner.communicate("end\n")
    assert winner.returncode == 0
    for process in losers:
        assert process.stdin
        process.stdin.close()


def test_a_killed_updates_lock_is_free(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    stack = make_stack(tmp_path)
    code = (
        "import sys, time, pathlib; from cli.stack.file_lock import FileLock\n"
        "FileLock(pathlib.Path(sys.argv[1])).take('x')\n"
        "print(1, flush=True); time.sleep(60)"
    )
    path = stack.project.marker("local").with_suffix(".lock")
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    with pytest.raises(CommandError, match=f"process {process.pid} of"):
        recovery.recover(stack)
    process.kill()
    process.communicate()
    assert recovery.recover(stack) is False


def test_a_running_command_is_respected_before_it_has_a_lock(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    stack = make_stack(tmp_path)
    Marker(sleeper.pid, 0, socket.gethostname(), processes.now().isoformat(), "up").write(stack)
    with pytest.raises(CommandError, match=f"process {sleeper.pid}"):
        recovery.recover(stack)


def test_pulumi_whose_command_was_killed_is_waited_for(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], dead_pid: int
) -> None:
    stack = make_stack(tmp_path)
    host = socket.gethostname()
    Marker(dead_pid, sleeper.pid, host, processes.now().isoformat(), "up").write(stack)
    threading.Timer(0.5, sleeper.kill).start()
    started = time.monotonic()
    assert recovery.recover(stack) is False
    assert 0.4 < time.monotonic() - started < 5
    assert not stack.project.marker("local").exists()


def test_a_marker_is_private_and_holds_who_runs(tmp_path: Path) -> None:
    stack = make_stack(tmp_path)
    mark(stack, "up", 4711)
    path = stack.project.marker("local")
    written = Marker.read(stack)
    assert written
    assert (written.slip, written.pulumi, written.command) == (os.getpid(), 4711, "up")
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".slipway").stat().st_mode & 0o777 == 0o700
    unmark(stack)
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"slip": 1}'])
def test_a_marker_that_was_cut_short_counts_as_killed(tmp_path: Path, content: str) -> None:
    stack = make_stack(tmp_path, url="https://example.org")
    stack.project.marker("local").parent.mkdir(parents=True)
    stack.project.marker("local").write_text(content)
    recovery.recover(stack)
    assert asked(stack) == ["stack", "stack export"]
    assert not stack.project.marker("local").exists()


def test_another_backend_is_only_asked_after_a_kill(tmp_path: Path, dead_pid: int) -> None:
    stack = make_stack(tmp_path, url="https://example.org")
    recovery.recover(stack)
    assert asked(stack) == []
    mark_as(stack, dead_pid, dead_pid)
    recovery.recover(stack)
    assert asked(stack) == ["stack", "stack export"]


def operation(kind: str, resource_type: str, **inputs: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "resource": {
            "urn": f"urn:pulumi:local::slipway::{resource_type}::thing",
            "custom": True,
            "type": resource_type,
            "provider": f"{PROVIDER}::id",
            "inputs": inputs,
        },
    }


def state(*pending: dict[str, Any]) -> dict[str, Any]:
    secret = {**SIGNATURE, "plaintext": '"KEY"'}
    return {
        "resources": [
            {
                "urn": PROVIDER,
                "custom": True,
                "type": "pulumi:providers:docker",
                "id": "id",
                "inputs": {
                    "host": "tcp://127.0.0.1:23761",
                    "caMaterial": "CA",
                    "certMaterial": "CERT",
                    "keyMaterial": secret,
                },
            },
            {"urn": "urn:known", "custom": True, "type": CONTAINER, "id": "known"},
        ],
        "pending_operations": list(pending),
    }


class FakeEngine:
    """Containers and networks, as the engine's API lists them."""

    def __init__(self) -> None:
        ours = {"slipway.stack": "local", "slipway.project": "slipway", "slipway.state": "ours"}
        theirs = {**ours, "slipway.state": "theirs"}
        self.things: dict[str, dict[str, Any]] = {
            "orphan": {"Id": "orphan", "Names": ["/web-1a2b3c4"], "Name": "net", "Labels": ours},
            "known": {"Id": "known", "Names": ["/web-1a2b3c4"], "Name": "net", "Labels": ours},
            "longer": {"Id": "longer", "Names": ["/web-1a2b3c4-old"], "Name": "net-2", "Labels": ours},
            "another clone's": {"Id": "theirs", "Names": ["/web-1a2b3c4"], "Name": "net", "Labels": theirs},
            "foreign": {"Id": "foreign", "Names": ["/web-1a2b3c4"], "Name": "net", "Labels": None},
        }
        self.removed: list[tuple[str, dict[str, Any]]] = []

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return list(self.things.values())

    def networks(self, **_: Any) -> list[dict[str, Any]]:
        return list(self.things.values())

    def remove_container(self, identifier: str, **options: Any) -> None:
        self.removed.append((identifier, options))

    def remove_network(self, identifier: str) -> None:
        self.removed.append((identifier, {}))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    import contextlib

    fake = FakeEngine()

    @contextlib.contextmanager
    def connected(address: str, **material: Any) -> Iterator[FakeEngine]:
        assert (address, material["ca"], material["certificate"], material["key"]) == (
            "tcp://127.0.0.1:23761",
            "CA",
            "CERT",
            "KEY",
        )
        yield fake

    monkeypatch.setattr("cli.update.pending_operations.connected", connected)
    return fake


LABELS = [
    {"label": "slipway.stack", "value": "local"},
    {"label": "slipway.project", "value": "slipway"},
    {"label": "slipway.state", "value": "ours"},
]


@pytest.mark.parametrize(
    ("kind", "name", "options"), [(CONTAINER, "web-1a2b3c4", {"force": True}), (NETWORK, "net", {})]
)
def test_only_the_orphan_of_a_killed_creation_is_removed(
    tmp_path: Path, engine: FakeEngine, kind: str, name: str, options: dict[str, Any]
) -> None:
    """Not resources in the state, with another name or other labels; and never a volume."""
    stack = make_stack(tmp_path, state(operation("creating", kind, name=name, labels=LABELS)))
    assert recovery.recover(stack) is False
    assert engine.removed == [("orphan", options)]
    assert asked(stack) == ["stack export", "stack export", "stack import"]


def test_an_engine_that_is_still_making_it_is_waited_for(
    tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = engine.things.pop("orphan")
    monkeypatch.setattr("time.sleep", lambda _: engine.things.update(orphan=orphan))
    stack = make_stack(tmp_path, state(operation("creating", CONTAINER, name="web-1a2b3c4", labels=LABELS)))
    assert recovery.recover(stack) is False
    assert engine.removed == [("orphan", {"force": True})]


def test_the_state_that_is_imported_has_no_secret_in_clear_text(
    tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_operations, "ENGINE_PATIENCE", 0)
    stack = make_stack(tmp_path, state(operation("creating", CONTAINER, name="x", labels=[])))
    recovery.recover(stack)
    pulumi = stack.pulumi.asked  # type: ignore[attr-defined]
    exports = [command for command in pulumi if command[:2] == ("stack", "export")]
    assert ["--show-secrets" in command for command in exports] == [True, False]


@pytest.mark.parametrize(
    "kind",
    [
        "tls:index/privateKey:PrivateKey",
        "command:remote:Command",
        "docker:index/volume:Volume",
        "docker:index/remoteImage:RemoteImage",
        "docker:index/image:Image",
        "pulumi:providers:docker",
    ],
)
def test_what_is_simply_made_again_asks_no_engine(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = make_stack(tmp_path, state(operation("creating", kind, name="data")))
    assert recovery.recover(stack) is False
    assert asked(stack)[-1] == "stack import"
    assert capsys.readouterr().err == ""


def test_what_may_be_left_over_elsewhere_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = make_stack(tmp_path, state(operation("creating", "aws:ec2/instance:Instance")))
    assert recovery.recover(stack) is True
    assert (
        "Instance thing was being created when the last update was killed: it may exist"
        in capsys.readouterr().err
    )


def test_an_engine_that_does_not_answer_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connected(*_: Any, **__: Any) -> Any:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("cli.update.pending_operations.connected", connected)
    stack = make_stack(tmp_path, state(operation("creating", CONTAINER, name="web", labels=LABELS)))
    assert recovery.recover(stack) is True
    assert "If web exists there, remove it by hand." in capsys.readouterr().err
    assert asked(stack)[-1] == "stack import"


@pytest.mark.parametrize("kind", ["updating", "deleting", "refreshing"])
def test_an_interrupted_change_is_looked_at_again(tmp_path: Path, kind: str) -> None:
    stack = make_stack(tmp_path, state(operation(kind, CONTAINER, name="web")))
    assert recovery.recover(stack) is True
    assert asked(stack)[-1] == "stack import"


def test_an_interrupted_read_needs_nothing(tmp_path: Path) -> None:
    stack = make_stack(tmp_path, state(operation("reading", CONTAINER, name="web")))
    assert recovery.recover(stack) is False


def children(pid: int, word: str) -> list[int]:
    running = processes.everything().items()
    return [number for number, process in running if process.parent == pid and word in process.command]


def with_home(stack: Stack, home: Path) -> Stack:
    return Stack(stack.project, stack.name, stack.backend, stack.pulumi, {"PULUMI_HOME": str(home)})


def test_a_killed_updates_plugins_may_finish_before_anything_is_looked_for(
    tmp_path: Path, started: Any, engine: FakeEngine
) -> None:
    """Else a container could appear after it was looked for, and stay."""
    pending = operation("creating", CONTAINER, name="web-1a2b3c4", labels=LABELS)
    stack = with_home(make_stack(tmp_path, state(pending)), tmp_path / "home")
    plugin = started(f"{tmp_path}/home/plugins/main.py")
    threading.Timer(0.5, plugin.kill).start()
    begun = time.monotonic()
    recovery.recover(stack)
    assert 0.4 < time.monotonic() - begun < 5
    assert engine.removed == [("orphan", {"force": True})]


def test_plugins_that_stay_are_not_waited_for_forever(
    tmp_path: Path, started: Any, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PLUGINS_PATIENCE", 0.3)
    stack = with_home(
        make_stack(tmp_path, state(operation("creating", NETWORK, name="net"))), tmp_path / "home"
    )
    started(f"{tmp_path}/home/plugins/main.py")
    begun = time.monotonic()
    recovery.recover(stack)
    assert 0.3 <= time.monotonic() - begun < 5
    assert engine.removed


def test_plugins_of_a_live_pulumi_are_none_of_our_business(
    tmp_path: Path, started: Any, engine: FakeEngine
) -> None:
    home = tmp_path / "home"
    # The path is put together there, so that only the child has it on its command line.
    code = (
        "import subprocess, sys\n"
        "sleeps = 'import time; time.sleep(60)'\n"
        "subprocess.run([sys.executable, '-c', sleeps, sys.argv[2] + '/plugins/main.py'])"
    )
    live = started("pulumi up", str(home), code=code)
    deadline = time.monotonic() + 10
    while not (plugins := children(live.pid, f"{home}/")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stack = with_home(make_stack(tmp_path, state(operation("creating", NETWORK, name="net"))), home)
    begun = time.monotonic()
    recovery.recover(stack)
    assert time.monotonic() - begun < 2
    assert children(live.pid, f"{home}/") == plugins
    os.kill(plugins[0], signal.SIGKILL)
