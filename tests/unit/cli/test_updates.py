"""`up`, `preview` and `down`: which Pulumi command runs, and what is said afterwards."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import console
from cli.errors import CommandError
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import LOCAL_STACK, Stack
from cli.update import diagnosis, updates
from cli.update.updates import Update

LOCAL = "config: {slipway:platform: {kind: local}}\n"
ELSEWHERE = "config: {slipway:platform: {kind: aws}}\n"
PROTECTED = "config: {slipway:protect: true}\n"

CLI = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$1" in
up|destroy|preview) cat "$MARKER" > "$SEEN" 2>/dev/null; exit "$STATUS" ;;
esac
[ "$1 $2" != "stack rm" ] || rm "$STATE"
"""


class Clone:
    """A clone with a stack `local` in a file backend, and a CLI that notes what it is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "Pulumi.yaml").write_text("name: slipway\n")
        self.state_file = root / "state" / ".pulumi" / "stacks" / "slipway" / "local.json"
        self.state_file.parent.mkdir(parents=True)
        self.write_state({})
        executable = root / "pulumi"
        executable.write_text(CLI)
        executable.chmod(0o755)
        project = Project(root)
        self.variables = {
            "PATH": os.environ["PATH"],
            "CALLS": str(root / "calls"),
            "MARKER": str(project.marker("local")),
            "SEEN": str(root / "seen"),
            "STATE": str(self.state_file),
            "STATUS": "0",
        }
        pulumi = PulumiCommand(executable, root, self.variables)
        self.stack = Stack(project, "local", Backend(f"file://{root}/state"), pulumi)
        self.configure(LOCAL)

    def configure(self, text: str) -> None:
        self.stack.config_file.write_text(text)

    def write_state(self, deployment: dict[str, Any]) -> None:
        self.state_file.write_text(json.dumps({"checkpoint": {"latest": deployment}}))

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def marker_during_update(self) -> dict[str, Any]:
        marker: dict[str, Any] = json.loads((self.root / "seen").read_text())
        return marker


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    made = Clone(tmp_path)
    monkeypatch.setattr(updates, "open_stack", lambda *_, **__: made.stack)
    return made


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_interactive", lambda: True)


def test_a_local_stack_is_updated_without_a_question(clone: Clone) -> None:
    assert updates.up(Update()) == 0
    assert clone.calls == ["up --stack local --yes --skip-preview"]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("config", "update", "expected"),
    [
        (LOCAL, Update(), "--yes --skip-preview"),
        (LOCAL, Update(preview=True), ""),
        (LOCAL, Update(preview=True, yes=True), "--yes"),
        (ELSEWHERE, Update(), ""),
        (ELSEWHERE, Update(yes=True), "--yes"),
        (ELSEWHERE, Update(yes=True, preview=False), "--yes --skip-preview"),
        (PROTECTED, Update(), ""),
        (
            LOCAL,
            Update(options=("--refresh", "--parallel", "4")),
            "--yes --skip-preview --refresh --parallel 4",
        ),
    ],
)
def test_what_pulumi_is_told(clone: Clone, config: str, update: Update, expected: str) -> None:
    clone.configure(config)
    assert updates.up(update) == 0
    assert clone.calls == [f"up --stack local {expected}".rstrip()]


@pytest.mark.parametrize("config", [ELSEWHERE, PROTECTED])
def test_other_stacks_need_a_yes_without_a_terminal(clone: Clone, config: str) -> None:
    clone.configure(config)
    with pytest.raises(CommandError, match="no terminal") as raised:
        updates.up(Update())
    assert raised.value.status == 2
    assert clone.calls == []


def test_an_update_is_marked_while_it_runs(clone: Clone) -> None:
    updates.up(Update())
    assert clone.marker_during_update["command"] == "up"
    assert clone.marker_during_update["slip"] == os.getpid()
    assert not clone.stack.project.marker("local").exists()


@pytest.mark.parametrize(("status", "expected"), [("0", 0), ("1", 1), ("4", 1), ("255", 1), ("8", 130)])
def test_the_exit_status_is_one_of_ours(clone: Clone, status: str, expected: int) -> None:
    clone.variables["STATUS"] = status
    assert updates.up(Update()) == expected
    assert updates.preview("local", ()) == expected
    assert updates.down("local", yes=True, purge=False, options=()) == expected


def test_the_update_after_a_kill_looks_at_what_is_there(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.update.recovery.recover", lambda _: True)
    updates.up(Update())
    updates.up(Update(options=("--refresh=false",)))
    updates.down("local", yes=True, purge=False, options=())
    assert clone.calls == [
        "up --stack local --yes --skip-preview --refresh",
        "up --stack local --yes --skip-preview --refresh=false",
        "destroy --stack local --yes --skip-preview --refresh",
    ]


def dead_host() -> dict[str, Any]:
    """The state of a stack whose host web-1 does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    container = "docker:index/container:Container"
    urn = f"urn:pulumi:local::slipway::{container}::web-1"
    return {
        "resources": [
            {
                "urn": "urn:pulumi:local::slipway::pulumi:pulumi:Stack::slipway-local",
                "type": "pulumi:pulumi:Stack",
                "outputs": {"hosts": {"web-1": {"address": "127.0.0.1", "enginePort": port}}},
            },
            {"urn": urn, "custom": True, "type": container},
        ]
    }


@pytest.mark.parametrize("status", ["0", "1"])
@pytest.mark.parametrize("command", ["up", "preview"])
def test_a_dead_host_is_named_whether_pulumi_failed_or_not(
    clone: Clone, capsys: pytest.CaptureFixture[str], status: str, command: str
) -> None:
    clone.write_state(dead_host())
    clone.variables["STATUS"] = status
    assert (updates.up(Update()) if command == "up" else updates.preview("local", ())) == 1
    said = capsys.readouterr().err
    assert "web-1 does not answer: its engine at 127.0.0.1:" in said
    assert "./slip forget web-1" in said


def test_a_host_that_the_update_made_anew_is_not_named(
    clone: Clone, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.write_state(dead_host())
    answers = iter([(diagnosis.Silence("web-1", ("refuses",)),), ()])
    monkeypatch.setattr(diagnosis, "silences", lambda *_: next(answers))
    assert updates.up(Update()) == 0
    assert "does not answer" not in capsys.readouterr().err


def test_down_asks_where_there_is_somebody_to_ask(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="no terminal"):
        updates.down("local", yes=False, purge=False, options=())
    assert clone.calls == []
    monkeypatch.setattr(console, "is_interactive", lambda: True)
    updates.down("local", yes=False, purge=False, options=("--parallel", "1"))
    assert clone.calls == ["destroy --stack local --parallel 1"]


def test_down_without_a_stack_has_nothing_to_do(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.state_file.unlink()
    assert updates.down("local", yes=True, purge=False, options=()) == 0
    assert clone.calls == []
    assert "The stack 'local' does not exist" in capsys.readouterr().err


class FakeEngine:
    """The operator's engine: volumes, containers and networks by name, with their labels."""

    def __init__(self) -> None:
        ours = {"slipway.project": "slipway", "slipway.stack": "local"}
        self.labels = {
            "slipway-local-yard": ours,
            "slipway-local-web-1": ours,
            "slipway-dev-yard": {**ours, "slipway.stack": "dev"},
            "mine": {},
        }
        self.kinds = dict.fromkeys(self.labels, "volume")
        self.labels["left"] = ours
        self.kinds["left"] = "container"
        self.removed: list[str] = []

    def _matching(self, kind: str, wanted: list[str]) -> list[dict[str, str]]:
        return [
            {"Name": name, "Id": name}
            for name, labels in self.labels.items()
            if self.kinds[name] == kind and {tuple(pair.split("=")) for pair in wanted} <= set(labels.items())
        ]

    def volumes(self, filters: dict[str, list[str]]) -> dict[str, Any]:
        return {"Volumes": self._matching("volume", filters["label"]) or None}

    def containers(self, filters: dict[str, list[str]], **_: Any) -> list[dict[str, str]]:
        return self._matching("container", filters["label"])

    def networks(self, filters: dict[str, list[str]]) -> list[dict[str, str]]:
        return self._matching("network", filters["label"])

    def remove_volume(self, name: str) -> None:
        self.removed.append(name)

    def remove_container(self, name: str, **_: Any) -> None:
        self.removed.append(name)


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()

    @contextlib.contextmanager
    def connected(*_: Any, **__: Any) -> Iterator[FakeEngine]:
        yield fake

    monkeypatch.setattr("cli.running.engine.connected", connected)
    return fake


def test_down_keeps_the_data_and_says_so(
    clone: Clone, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert updates.down("local", yes=True, purge=False, options=()) == 0
    assert engine.removed == []
    assert "Kept the data of local: slipway-local-web-1, slipway-local-yard." in capsys.readouterr().err


def test_purge_removes_this_stacks_data_alone(clone: Clone, engine: FakeEngine) -> None:
    assert updates.down("local", yes=True, purge=True, options=()) == 0
    assert engine.removed == ["left", "slipway-local-web-1", "slipway-local-yard"]
    assert [call.split(" --non")[0] for call in clone.calls] == [
        "destroy --stack local --yes --skip-preview",
        "stack rm --stack local --yes --preserve-config",
    ]
    assert clone.stack.config_file.exists()  # it is not the one that `up` makes


def test_purge_removes_a_configuration_that_up_made(clone: Clone, engine: FakeEngine) -> None:
    template = LOCAL_STACK.read_text()
    clone.configure(f"{template}  slipway:passwords: {{deploy: {{secure: v1:x}}}}\nencryptionsalt: v1:y\n")
    assert updates.down("local", yes=True, purge=True, options=()) == 0
    assert not clone.stack.config_file.exists()


def test_purge_removes_what_a_lost_state_left(clone: Clone, engine: FakeEngine) -> None:
    clone.state_file.unlink()
    assert updates.down("local", yes=True, purge=True, options=()) == 0
    assert engine.removed == ["left", "slipway-local-web-1", "slipway-local-yard"]
    assert clone.calls == []


def test_purge_keeps_the_data_if_something_is_left(clone: Clone, engine: FakeEngine) -> None:
    clone.write_state(
        {"resources": [{"urn": "u::v", "custom": True, "type": "docker:index/container:Container"}]}
    )
    with pytest.raises(CommandError, match="1 resources of the stack 'local' are left"):
        updates.down("local", yes=True, purge=True, options=("--target", "x"))
    assert engine.removed == []


def test_a_failed_down_purges_nothing(clone: Clone, engine: FakeEngine) -> None:
    clone.variables["STATUS"] = "1"
    assert updates.down("local", yes=True, purge=True, options=()) == 1
    assert engine.removed == []


def test_purge_knows_this_machine_only(clone: Clone, engine: FakeEngine) -> None:
    clone.configure(ELSEWHERE)
    with pytest.raises(CommandError, match="platform aws"):
        updates.down("local", yes=True, purge=True, options=())
    assert clone.calls == []


ATTACH = """
import sys
from pathlib import Path
from cli.stack.pulumi_command import PulumiCommand
command = PulumiCommand(Path(sys.argv[1]), Path("."), {"PATH": "/usr/bin:/bin"})
sys.exit(command.attach(["up"], lambda pid: print(f"{pid}\\n", end="", flush=True)) % 256)
"""


@pytest.fixture
def attached(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts our side of a CLI that is this shell script, in a process group of its own."""

    def start(script: str) -> subprocess.Popen[str]:
        executable = tmp_path / "pulumi"
        executable.write_text(f"#!/bin/sh\n{script}\n")
        executable.chmod(0o755)
        return subprocess.Popen(
            [sys.executable, "-c", ATTACH, str(executable)],
            cwd=Path(updates.__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


WAITS = "trap 'echo orderly; exit 3' INT\necho ready\nfor i in $(seq 100); do sleep 0.1; done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_reaches_pulumi_as_an_interrupt(
    attached: Callable[[str], subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = attached(WAITS)
    lines = [process.stdout.readline() for _ in range(2)]  # type: ignore[union-attr]
    assert "ready\n" in lines
    process.send_signal(number)
    rest, _ = process.communicate(timeout=10)
    assert rest == "orderly\n"
    assert process.returncode == 8


def test_an_interrupt_from_the_terminal_is_left_to_pulumi(
    attached: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = attached(WAITS)
    lines = [process.stdout.readline() for _ in range(2)]  # type: ignore[union-attr]
    assert "ready\n" in lines
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=10)
    assert rest == "orderly\n"
    assert process.returncode == 8


def test_a_killed_pulumi_is_no_interrupt(attached: Callable[[str], subprocess.Popen[str]]) -> None:
    process = attached("kill -KILL $$; sleep 5")
    process.communicate(timeout=10)
    assert process.returncode == 256 - signal.SIGKILL


def test_an_update_whose_pulumi_was_killed_stays_marked(
    clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone.root / "pulumi").write_text("#!/bin/sh\nkill -KILL $$\n")
    assert updates.up(Update()) == 1
    assert clone.stack.project.marker("local").exists()
    assert "cleans up after it" in capsys.readouterr().err


def test_the_failure_of_a_quiet_command_is_pulumis_own_sentence(clone: Clone) -> None:
    (clone.root / "pulumi").write_text(
        "#!/bin/sh\necho 'warning: old' >&2\necho 'error: no stack named local found' >&2\nexit 6\n"
    )
    with pytest.raises(CommandError) as raised:
        clone.stack.export(show_secrets=True)
    assert raised.value.message == "pulumi stack export: no stack named local found"


def test_silent_hosts_cost_no_time_where_all_answer(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def silences(state: Any) -> tuple[()]:
        asked.append(state)
        return ()

    monkeypatch.setattr(diagnosis, "silences", silences)
    assert updates.up(Update()) == 0
    assert len(asked) == 1  # before, in the background, and not once more at the end
