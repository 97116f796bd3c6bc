"""The command stand-in against the recordings of pulumi-command, and on real shells and SSH connections."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.command.plugin import COPY, LOCAL, REMOTE, Command
from plugins.protocol.messages import (
    CheckRequest,
    CreateRequest,
    DeleteRequest,
    DiffRequest,
    Failure,
    UpdateRequest,
)
from plugins.protocol.properties import UNKNOWN, Archive, Asset, Secret, plain
from tests.plugins.conftest import Messages
from tests.plugins.replay import Call, answer, bare, differences, recorded
from tests.plugins.ssh_server import SSHServer
from tests.support.waiting import PATIENCE

URN = "urn:pulumi:dev::test::command::it"


@pytest.mark.parametrize(
    "call",
    [
        call
        for method in ("CheckConfig", "DiffConfig", "Configure", "Check", "Read")
        for call in recorded("command", method=method)
    ],
    ids=str,
)
def test_answers_exactly_as_recorded(call: Call) -> None:
    assert differences(call, answer(Command(), call)) == []


@pytest.mark.parametrize("call", recorded("command", method="Diff"), ids=str)
def test_finds_the_recorded_differences(call: Call) -> None:
    got = answer(Command(), call)
    # The official plugin's order differs from run to run.
    for diff in (got, call.response or {}):
        if "diffs" in diff:
            diff["diffs"].sort()
    assert differences(call, got) == []


@pytest.mark.parametrize(
    "call",
    recorded("command", method="Create", preview=True) + recorded("command", method="Update", preview=True),
    ids=str,
)
def test_predicts_what_was_recorded(call: Call) -> None:
    shapes = (
        {} if call.type == COPY or call.method == "Update" else {"id": f"{call.request['name']}[0-9a-f]{{8}}"}
    )
    assert differences(call, answer(Command(), call), shapes) == []


@pytest.mark.parametrize(
    "call",
    [
        call
        for method in ("Create", "Update", "Delete")
        for call in recorded("command", method=method, kind=LOCAL)
        if not call.request.get("preview")
    ],
    ids=str,
)
def test_runs_the_recorded_local_commands(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path)
    shapes = {"id": f"{call.request['name']}[0-9a-f]{{8}}"} if call.method == "Create" else {}
    assert differences(call, answer(Command(), call), {} if call.errors else shapes) == []


@pytest.mark.parametrize(
    "call",
    [
        call
        for method in ("Create", "Update", "Delete")
        for call in recorded("command", method=method, kind=REMOTE)
        if not call.request.get("preview") and call.file not in ("11-remote-engine", "08-fail-dial")
    ],
    ids=str,
)
def test_runs_the_recorded_remote_commands(call: Call, ssh_server: SSHServer) -> None:
    limit = bare(call.request["properties"]["connection"])["dialErrorLimit"]
    ours = ssh_server.connection(dialErrorLimit=limit)
    if call.file == "08-fail-auth":
        ours["privateKey"] = SSHServer().client_key
    if call.file == "08-fail-hostkey":
        ours["hostKey"] = SSHServer().host_key
    call.request["properties"]["connection"] = ours
    got = answer(Command(), call)
    if not call.response:
        assert differences(call, got) == []
        return
    assert got.get("properties", {}).pop("connection", None) == ours or call.method == "Delete"
    call.response.get("properties", {}).pop("connection", None)
    shapes = {
        "id": f"{call.request['name']}[0-9a-f]{{8}}",
        "properties.stdout": rf"(hello\ns3cret\n({socket.gethostname()}|h1))?",
    }
    assert differences(call, got, shapes) == []


def test_a_closed_port_fails_as_recorded() -> None:
    (call,) = recorded("command", method="Create", file="08-fail-dial")
    call.request["properties"]["connection"]["value"].pop("privateKey")
    assert differences(call, answer(Command(), call)) == []


def command(messages: Messages) -> Command:
    plugin = Command()
    plugin.engine = messages
    return plugin


def run(plugin: Command, kind: str, *, timeout: float = 0.0, **inputs: Any) -> dict[str, Any]:
    checked = plugin.check(CheckRequest(URN, "it", kind, {}, inputs))
    assert list(checked.failures) == []
    return plugin.create(CreateRequest(URN, "it", kind, checked.inputs, timeout=timeout)).properties


# Local commands


@pytest.mark.parametrize(
    ("logging", "shown"),
    [
        (None, ["out", "err", "end"]),
        ("stdout", ["out", "end"]),
        ("stderr", ["err"]),
        ("stdoutAndStderr", ["out", "err", "end"]),
        ("none", []),
    ],
)
def test_output_is_shown_while_the_command_runs(
    logging: str | None, shown: list[str], messages: Messages
) -> None:
    given: dict[str, Any] = {} if logging is None else {"logging": logging}
    script = "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf end"
    made = run(command(messages), LOCAL, create=script, **given)
    assert messages.lines == [("info", line, URN, True) for line in shown]
    assert (made["stdout"], made["stderr"]) == ("out\nend", "err")


def test_stdin_environment_directory_and_interpreter_are_used(tmp_path: Path, messages: Messages) -> None:
    made = run(
        command(messages),
        LOCAL,
        interpreter=["/bin/sh", "-eu", "-c"],
        create='pwd; cat; echo "$A"',
        dir=str(tmp_path),
        environment={"A": Secret("b")},
        stdin=Secret("in\n"),
    )
    assert made["stdout"] == f"{tmp_path}\nin\nb"
    assert made["stdin"] == Secret("in\n")


def test_a_command_need_not_read_its_input(messages: Messages) -> None:
    assert run(command(messages), LOCAL, create="exec true", stdin="x" * 1_000_000)["stdout"] == ""


def test_a_large_output_of_a_command_that_also_reads_much(messages: Messages) -> None:
    text = "0123456789abcdef\n" * 50_000
    made = run(command(messages), LOCAL, create="cat; cat /dev/null", stdin=text, logging="none")
    assert made["stdout"] == text.removesuffix("\n")


def test_only_one_newline_is_cut_off(messages: Messages) -> None:
    assert run(command(messages), LOCAL, create=r"printf 'a\n\n'")["stdout"] == "a\n"


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"create": "exit 4"}, 'exit status 4: running "exit 4":\n'),
        (
            {"create": 'echo "a\tb"; kill -9 $$'},
            'signal: killed: running "echo \\"a\\tb\\"; kill -9 $$":\na\tb\n',
        ),
        (
            {"create": "x", "interpreter": ["no-such-thing"]},
            'exec: "no-such-thing": executable file not found in $PATH',
        ),
        ({"create": "x", "interpreter": ["/no/sh"]}, "fork/exec /no/sh: no such file or directory"),
        ({"create": "x", "dir": "/no/dir"}, "chdir /no/dir: no such file or directory"),
    ],
)
def test_a_failed_local_command_says_why(inputs: dict[str, Any], text: str, messages: Messages) -> None:
    with pytest.raises(Failure) as raised:
        run(command(messages), LOCAL, **inputs)
    assert str(raised.value).startswith(text)


def test_the_previous_output_is_in_the_environment_unless_it_is_unwanted(messages: Messages) -> None:
    plugin = command(messages)
    olds = {"create": "x", "stdout": "old out", "stderr": Secret("old err")}
    script = 'echo "$PULUMI_COMMAND_STDOUT,${PULUMI_COMMAND_STDERR-}"'
    update = UpdateRequest(URN, "it", LOCAL, "1", olds, {"create": "x", "update": script}, {})
    assert plugin.update(update).properties["stdout"] == "old out,old err"
    unwanted = update._replace(news={"create": script, "addPreviousOutputInEnv": False})
    assert plugin.update(unwanted).properties["stdout"] == ","


def test_without_a_command_nothing_runs(messages: Messages) -> None:
    plugin = command(messages)
    made = run(plugin, LOCAL, delete="exit 7")
    assert (made["stdout"], made["stderr"]) == ("", "")
    olds = {"stdout": "kept", "stderr": ""}
    assert plugin.update(UpdateRequest(URN, "it", LOCAL, "1", olds, {}, {})).properties["stdout"] == "kept"
    with pytest.raises(Failure, match="exit status 7"):
        plugin.delete(DeleteRequest(URN, "it", LOCAL, "1", made, {}))


def test_assets_are_what_the_patterns_find(tmp_path: Path, messages: Messages) -> None:
    script = "mkdir -p a/b; echo 1 > a/x.txt; echo 2 > a/b/y.txt; echo 3 > z.log"
    made = run(
        command(messages), LOCAL, create=script, dir=str(tmp_path), assetPaths=["**.txt", "!**y.txt", "?.log"]
    )
    assert list(made["assets"]) == ["a/x.txt", "z.log"]
    assert made["assets"]["z.log"].hash == "1121cfccd5913f0a63fec40a6ffd44ea64f9dc135c66634ba001d10bcf4302a2"


def ends_early(work: Callable[[], Any]) -> str:
    """Run `work`, which would take an hour but must fail at once, and return its error."""
    begin = time.monotonic()
    with pytest.raises(Failure) as raised:
        work()
    assert time.monotonic() - begin < PATIENCE
    return str(raised.value)


def test_a_local_command_has_the_time_of_its_resource(messages: Messages) -> None:
    text = ends_early(lambda: run(command(messages), LOCAL, create="echo a; sleep 3600", timeout=0.3))
    assert text == 'not done after 0.3 s, the limit of the resource: running "echo a; sleep 3600":\na\n'


def test_cancelling_ends_a_local_command_and_what_it_started(messages: Messages, tmp_path: Path) -> None:
    plugin = command(messages)
    threading.Timer(0.3, plugin.cancel).start()
    script = "sleep 3600 & echo $! > pid; wait"
    text = ends_early(lambda: run(plugin, LOCAL, create=script, dir=str(tmp_path)))
    assert text.startswith("cancelled: running ")
    with pytest.raises(ProcessLookupError):
        wait_until_gone(int((tmp_path / "pid").read_text()))


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            raise ProcessLookupError(pid)
        time.sleep(0.02)


def test_no_command_starts_after_a_cancellation(messages: Messages) -> None:
    plugin = command(messages)
    plugin.cancelled.set()
    with pytest.raises(Failure, match="cancelled"):
        run(plugin, LOCAL, create="echo a")


# Remote commands


def test_a_remote_command_has_input_and_output(ssh_server: SSHServer, messages: Messages) -> None:
    made = run(
        command(messages),
        REMOTE,
        connection=ssh_server.connection(),
        create="cat; echo problem >&2",
        stdin=Secret("text\n"),
    )
    assert (made["stdout"], made["stderr"]) == ("text", "problem")
    assert sorted(line for _, line, _, _ in messages.lines) == ["problem", "text"]
    assert isinstance(made["connection"], Secret)
    assert made["connection"].value["privateKey"] == Secret(ssh_server.client_key)


def test_much_goes_in_and_out_of_a_remote_command(ssh_server: SSHServer, messages: Messages) -> None:
    text = "0123456789abcdef\n" * 50_000
    made = run(
        command(messages),
        REMOTE,
        connection=ssh_server.connection(),
        create="cat",
        stdin=text,
        logging="none",
    )
    assert made["stdout"] == text.removesuffix("\n")
    assert messages.lines == []


def test_the_previous_output_is_offered_to_the_host(ssh_server: SSHServer, messages: Messages) -> None:
    news = {"connection": ssh_server.connection(), "create": "true"}
    olds = {**news, "stdout": "before", "stderr": ""}
    command(messages).update(UpdateRequest(URN, "it", REMOTE, "1", olds, news, {}))
    command(messages).update(
        UpdateRequest(URN, "it", REMOTE, "1", olds, {**news, "addPreviousOutputInEnv": False}, {})
    )
    assert ssh_server.environments == [{"PULUMI_COMMAND_STDOUT": "before"}, {}]


def test_any_host_key_is_accepted_if_none_is_pinned(ssh_server: SSHServer, messages: Messages) -> None:
    connection = ssh_server.connection()
    del connection["hostKey"]
    assert run(command(messages), REMOTE, connection=connection, create="echo a")["stdout"] == "a"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_failed_dials_are_repeated_and_reported(messages: Messages) -> None:
    port = free_port()
    connection = {"host": "127.0.0.1", "port": port, "password": "x", "dialErrorLimit": 2}
    text = ends_early(lambda: run(command(messages), REMOTE, connection=connection, create="true"))
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert text == f"after 2 failed attempts: {refused}"
    assert [line for _, line, _, _ in messages.lines] == [
        f"Dial {number}/2 failed: {refused}: retrying" for number in (1, 2)
    ]


def test_endless_dialling_ends_with_the_time_of_the_resource(messages: Messages) -> None:
    connection = {"host": "127.0.0.1", "port": free_port(), "password": "x", "dialErrorLimit": -1}
    text = ends_early(
        lambda: run(command(messages), REMOTE, connection=connection, create="true", timeout=0.5)
    )
    assert "connection refused (not done after 0.5 s, the limit of the resource)" in text
    assert text.startswith("after ")


def test_endless_dialling_ends_with_a_cancellation(messages: Messages) -> None:
    plugin = command(messages)
    threading.Timer(0.3, plugin.cancel).start()
    connection = {"host": "127.0.0.1", "port": free_port(), "password": "x", "dialErrorLimit": -1}
    text = ends_early(lambda: run(plugin, REMOTE, connection=connection, create="true"))
    assert text.endswith("connection refused (cancelled)")


def test_a_host_that_only_accepts_is_given_up_after_the_dial_timeout(messages: Messages) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        connection = {
            "host": "127.0.0.1",
            "port": port,
            "password": "x",
            "dialErrorLimit": 0,
            "perDialTimeout": 1,
        }
        text = ends_early(lambda: run(command(messages), REMOTE, connection=connection, create="true"))
    assert text == f"after 0 failed attempts: dial tcp 127.0.0.1:{port}: i/o timeout"


def test_a_host_without_a_name_is_named(messages: Messages) -> None:
    connection = {"host": "no-such-host.invalid", "password": "x", "dialErrorLimit": 0}
    with pytest.raises(Failure, match=r"dial tcp: lookup no-such-host\.invalid: no such host"):
        run(command(messages), REMOTE, connection=connection, create="true")


@pytest.mark.parametrize("name", ["privateKey", "hostKey"])
def test_a_bad_key_is_named_but_not_shown(name: str, ssh_server: SSHServer, messages: Messages) -> None:
    connection = ssh_server.connection(**{name: "no-key-at-all"})
    with pytest.raises(Failure, match=rf"connection\.{name}") as raised:
        run(command(messages), REMOTE, connection=connection, create="true")
    assert "no-key-at-all" not in str(raised.value)


def test_a_remote_command_has_the_time_of_its_resource(ssh_server: SSHServer, messages: Messages) -> None:
    script = "echo begun; sleep 3600"
    text = ends_early(
        lambda: run(
            command(messages), REMOTE, connection=ssh_server.connection(), create=script, timeout=0.7
        ),
    )
    assert text == f'not done after 0.7 s, the limit of the resource: running "{script}":\nbegun\n'


def test_a_remote_command_can_be_cancelled(ssh_server: SSHServer, messages: Messages) -> None:
    plugin = command(messages)
    threading.Timer(0.5, plugin.cancel).start()
    text = ends_early(
        lambda: run(plugin, REMOTE, connection=ssh_server.connection(), create="echo begun; sleep 3600")
    )
    assert text.startswith("cancelled: running ")


def test_a_lost_connection_is_a_failure(ssh_server: SSHServer, messages: Messages) -> None:
    threading.Timer(0.5, ssh_server.drop_connections).start()
    text = ends_early(
        lambda: run(
            command(messages), REMOTE, connection=ssh_server.connection(), create="echo a; sleep 3600"
        ),
    )
    assert text.startswith(f"lost the connection to 127.0.0.1:{ssh_server.port} (")
    assert text.endswith('): running "echo a; sleep 3600":\na\n')


# Copies


def test_a_file_is_copied(ssh_server: SSHServer, messages: Messages, tmp_path: Path) -> None:
    (tmp_path / "from").write_text("content")
    (tmp_path / "dir").mkdir()
    asset = Asset(path=str(tmp_path / "from"), hash="1")
    for target, where in (("to", "to"), ("dir", "dir/from")):
        made = run(
            command(messages),
            COPY,
            connection=ssh_server.connection(),
            source=asset,
            remotePath=str(tmp_path / target),
        )
        assert (tmp_path / where).read_text() == "content"
        assert made["source"] == Asset(text="", path=str(tmp_path / "from"), uri="", hash="1")


@pytest.mark.parametrize(("ending", "where"), [("", "to/from/a/b"), ("/", "to/a/b")])
def test_a_directory_is_copied(
    ending: str, where: str, ssh_server: SSHServer, messages: Messages, tmp_path: Path
) -> None:
    (tmp_path / "from/a").mkdir(parents=True)
    (tmp_path / "from/a/b").write_text("content")
    source = Archive(path=f"{tmp_path}/from{ending}", hash="1")
    for _ in range(2):  # the directory may already exist
        run(
            command(messages),
            COPY,
            connection=ssh_server.connection(),
            source=source,
            remotePath=str(tmp_path / "to"),
        )
    assert (tmp_path / where).read_text() == "content"


def test_a_copy_that_cannot_be_made_says_why(
    ssh_server: SSHServer, messages: Messages, tmp_path: Path
) -> None:
    (tmp_path / "from").write_text("content")
    with pytest.raises(Failure, match=r"failed to copy .*/from to remote path /no/such/place: No such file"):
        run(
            command(messages),
            COPY,
            connection=ssh_server.connection(),
            source=Asset(path=str(tmp_path / "from")),
            remotePath="/no/such/place",
        )


def test_a_copy_is_made_again_only_when_its_source_or_its_place_changed(
    ssh_server: SSHServer, messages: Messages, tmp_path: Path
) -> None:
    (tmp_path / "from").write_text("content")
    olds = {
        "connection": ssh_server.connection(),
        "remotePath": str(tmp_path / "to"),
        "source": Asset(hash="1"),
    }
    news = {**olds, "source": Asset(path=str(tmp_path / "from"), hash="1"), "triggers": [1]}
    command(messages).update(UpdateRequest(URN, "it", COPY, "1", olds, news, olds))
    assert ssh_server.connections == 0
    news["source"] = Asset(path=str(tmp_path / "from"), hash="2")
    command(messages).update(UpdateRequest(URN, "it", COPY, "1", olds, news, olds))
    assert (tmp_path / "to").read_text() == "content"


# Inputs


@pytest.mark.parametrize(
    ("kind", "news", "where", "what"),
    [
        (LOCAL, {"archivePaths": ["*"]}, "archivePaths", "cannot make archives"),
        (LOCAL, {"logging": "all"}, "logging", "stdout, stderr, stdoutAndStderr, none"),
        (LOCAL, {"create": ["a"]}, "create", "has to be text, not a list"),
        (LOCAL, {"creat": "a"}, "creat", "does not support 'creat' of local:Command"),
        (REMOTE, {}, "connection", "Missing required"),
        (REMOTE, {"connection": {"port": 22}}, "connection.host", "Missing required"),
        (
            REMOTE,
            {"connection": {"host": "a"}, "environment": {"A": "b"}},
            "environment",
            "'environment' of remote",
        ),
        (REMOTE, {"connection": Secret({"host": "a", "proxy": {}})}, "connection.proxy", "connection.proxy"),
        (
            REMOTE,
            {"connection": {"host": "a", "agentSocketPath": "/s"}},
            "connection.agentSocketPath",
            "connection.agentSocketPath",
        ),
        (
            REMOTE,
            {"connection": {"host": "a", "dialErrorLimit": -2}},
            "connection.dialErrorLimit",
            "-1 or more",
        ),
        (
            COPY,
            {"connection": {"host": "a"}, "remotePath": "/a", "source": "a"},
            "source",
            "an asset or an archive",
        ),
        (
            COPY,
            {"connection": {"host": "a"}, "remotePath": "/a", "source": Asset(text="a")},
            "source",
            "with a path",
        ),
        ("command:remote:CopyFile", {}, "", "has no resource command:remote:CopyFile"),
    ],
)
def test_bad_inputs_are_refused_by_name(kind: str, news: dict[str, Any], where: str, what: str) -> None:
    failures = list(Command().check(CheckRequest(URN, "it", kind, {}, news)).failures)
    assert [failure.property for failure in failures] == [where]
    assert what in failures[0].reason


def test_a_connection_is_completed_and_hidden() -> None:
    given = {"host": "a", "privateKey": "k", "password": Secret("p")}
    checked = Command().check(CheckRequest(URN, "it", REMOTE, {}, {"connection": given}))
    assert checked.inputs["connection"] == Secret(
        {
            "dialErrorLimit": 10,
            "perDialTimeout": 15,
            "port": 22,
            "user": "root",
            "host": "a",
            "privateKey": Secret("k"),
            "password": Secret("p"),
        }
    )


def test_unknown_inputs_stay_unknown() -> None:
    news = {"connection": UNKNOWN, "create": UNKNOWN}
    checked = Command().check(CheckRequest(URN, "it", REMOTE, {}, news))
    assert list(checked.failures) == []
    assert plain(checked.inputs) == news


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"triggers": [1]}, {"triggers": [1, 2]}, {"triggers[1]": "ADD"}),
        ({"triggers": [1, 2]}, {"triggers": [1]}, {"triggers[1]": "DELETE"}),
        ({"create": "a"}, {}, {"create": "DELETE"}),
        ({}, {"create": "a"}, {"create": "ADD"}),
        ({"create": "a"}, {"create": UNKNOWN}, {"create": "UPDATE"}),
        ({"stdin": Secret("a")}, {"stdin": "a"}, {}),
        (
            {"connection": Secret({"host": "a"})},
            {"connection": Secret({"host": "b"})},
            {"connection": "UPDATE"},
        ),
    ],
)
def test_differences_have_their_paths_and_kinds(
    old: dict[str, Any], new: dict[str, Any], paths: dict[str, str]
) -> None:
    difference = Command().diff(DiffRequest(URN, "it", LOCAL, "1", {**old, "stdout": ""}, new, old))
    assert {path: change.kind for path, change in (difference.detailed or {}).items()} == paths
    assert difference.changes is bool(paths)
