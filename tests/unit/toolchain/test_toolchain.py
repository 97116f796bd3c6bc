"""The decisions of the toolchain, without network, compiler or engine."""

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import well_known
from dev import lint
from engine_socket import EngineUnreachable
from plugins import install
from tests.support.waiting import PATIENCE, eventually
from toolchain import (
    apt,
    cache,
    commands,
    docker_engine,
    docker_socket,
    environment,
    go,
    language_host,
    locks,
    plugins,
    pulumi_cli,
    versions,
)
from toolchain.errors import ToolError
from toolchain.report import Report, duration


@pytest.fixture(autouse=True)
def scratch_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary cache, without the developer's environment variables."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "PULUMI_HOME", "PULUMI_CREDENTIALS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(commands, "_cancelled", threading.Event())
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLIPWAY_CACHE": "/a/b"}, "/a/b"),
        ({"SLIPWAY_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/slipway"),
        ({"HOME": "/home/me"}, "/home/me/.cache/slipway"),
        ({"SLIPWAY_CACHE": "", "HOME": "/home/me"}, "/home/me/.cache/slipway"),
    ],
)
def test_cache_root(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name in ("SLIPWAY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache.root()) == expected


def test_a_failed_step_leaves_nothing(scratch_cache: Path) -> None:
    target = scratch_cache / "tool" / "program"

    def step() -> None:
        with cache.staged(target) as directory:
            (directory / "half").write_text("half")
            raise ToolError("no room")

    with pytest.raises(ToolError):
        step()
    assert list(target.parent.iterdir()) == []


def test_publish_replaces_a_directory(scratch_cache: Path) -> None:
    target = scratch_cache / "home"
    (target / "old").mkdir(parents=True)
    with cache.staged(target) as directory:
        (directory / "made" / "new").mkdir(parents=True)
        cache.publish(directory / "made", target)
    assert [path.name for path in target.iterdir()] == ["new"]


def test_sweep_removes_what_killed_runs_left(scratch_cache: Path) -> None:
    left = [
        scratch_cache / ".staged-a",
        scratch_cache / "x" / ".staged-b",
        scratch_cache / "x" / "y" / ".staged-c",
    ]
    for directory in left:
        (directory / "deep").mkdir(parents=True)
    (scratch_cache / "x" / "kept").write_text("")
    cache.sweep()
    assert not any(directory.exists() for directory in left)
    assert (scratch_cache / "x" / "kept").exists()


def test_the_lock_is_waited_for_and_outlives_its_holder_in_a_child(scratch_cache: Path) -> None:
    """A build that outlives a killed run holds the lock until the build ends."""
    script = (
        "import subprocess, sys\n"
        "from toolchain import cache\n"
        "with cache.lock('toolchain', print) as lock:\n"
        "    subprocess.Popen(['sleep', '3'], pass_fds=(lock,), stdout=subprocess.DEVNULL)\n"
        "    print('started', flush=True)\n"
        "    import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(versions.REPOSITORY)}
    result = subprocess.run([sys.executable, "-c", script], env=variables, stdout=subprocess.PIPE, text=True)
    assert (result.returncode, result.stdout) == (-9, "started\n")
    waited: list[str] = []
    with cache.lock("toolchain", waited.append):
        pass
    assert len(waited) == 1
    assert waited[0].isdigit()


def test_run_returns_the_output_and_logs_it(scratch_cache: Path) -> None:
    output = commands.run(["sh", "-c", "echo out; echo err >&2"], log="x", failure="it failed")
    assert output == "out\n"
    assert sorted((scratch_cache / "logs" / "x.log").read_text().split()) == ["err", "out"]


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (["sh", "-c", "echo no room >&2; exit 3"], {}, "the thing cannot be made: sh -c said: no room"),
        (["/no/such/program"], {}, "program cannot be started: No such file or directory"),
        (["sleep", "3600"], {"timeout": 0.2}, "sleep 3600 did not finish within 0 s"),
        (["sleep", "3600"], {"patience": 0.2}, "sleep 3600 did not finish within 0 s"),
    ],
)
def test_a_failing_program_is_one_sentence(arguments: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError) as caught:
        commands.run(arguments, log="x", failure="the thing cannot be made", **options)
    assert said in str(caught.value)
    assert str(caught.value).startswith("the thing cannot be made")


def test_patience_is_for_the_first_word_only() -> None:
    commands.run(["sh", "-c", "echo at work; sleep 3"], log="x", failure="-", patience=2)


def _runs(process_id: int) -> bool:
    """Whether the process runs. A process that has ended but has not been waited for does not."""
    try:
        os.kill(process_id, 0)
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_cancel_stops_the_program_and_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"sleep 3600 & echo $! > {child}; wait"
    caught: list[BaseException] = []

    def work() -> None:
        try:
            commands.run(["sh", "-c", script], log="x", failure="-")
        except commands.Cancelled as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not (child.exists() and child.read_text().strip()):
        time.sleep(0.01)
    commands.cancel()
    thread.join(PATIENCE)
    assert len(caught) == 1
    deadline = time.monotonic() + PATIENCE
    while _runs(int(child.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(commands.Cancelled):
        commands.run(["true"], log="x", failure="-")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def untimed(stream: io.StringIO) -> str:
    return re.sub(r"\d+\.\d s$", "(time)", stream.getvalue(), flags=re.MULTILINE)


def test_without_a_terminal_a_step_is_one_line() -> None:
    stream = io.StringIO()
    report = Report(Console(file=stream, width=40))
    with report.step("Docker Engine", "starting [it]") as step:
        step.done("started [1], a line that is longer than the console is wide")
    lines = untimed(stream).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(
        "✓ Docker Engine      started [1], a line that is longer than the console is wide  (time)"
    )


def test_a_failed_step_says_so_and_a_cancelled_one_nothing() -> None:
    stream = io.StringIO()
    report = Report(Console(file=stream))
    with pytest.raises(ToolError), report.step("Pulumi CLI", "building it"):
        raise ToolError("no")
    with pytest.raises(commands.Cancelled), report.step("Proxy image", "building it"):
        raise commands.Cancelled
    assert untimed(stream).splitlines() == ["✗ Pulumi CLI         failed: building it  (time)"]


def test_with_a_terminal_the_lines_that_stay_are_the_same() -> None:
    stream = io.StringIO()
    report = Report(Console(file=stream, force_terminal=True, width=100))
    with report.step("Pulumi CLI", "building it"), report.step("Proxy image", "pulling it"):
        eventually("both steps are shown", lambda: "pulling it" in stream.getvalue())
    text = stream.getvalue()
    assert "building it" in text
    assert text.index("Proxy image") < text.rindex("Pulumi CLI")


def test_go_modules_pin_the_versions_of_the_images_and_tools() -> None:
    assert go.pinned("pulumi", "github.com/pulumi/pulumi/pkg/v3") == versions.pulumi()
    assert go.pinned("pulumi", "github.com/pulumi/pulumi/sdk/v3") == versions.pulumi()
    assert go.pinned("pulumi-language-python", "github.com/pulumi/pulumi/sdk/v3") == versions.LANGUAGE_HOST
    assert go.pinned("registry", "github.com/distribution/distribution/v3") == well_known.REGISTRY_VERSION
    assert go.pinned("actionlint", "github.com/rhysd/actionlint") == versions.ACTIONLINT
    assert go.pinned("pebble", "github.com/letsencrypt/pebble/v2") == versions.PEBBLE


REQUIREMENTS = sorted(versions.REPOSITORY.glob("requirements*.txt"))


@pytest.mark.parametrize("requirements", REQUIREMENTS, ids=lambda path: path.name)
def test_every_required_package_is_pinned_and_locked(requirements: Path) -> None:
    lines = [line.partition("#")[0].strip() for line in requirements.read_text().splitlines()]
    required = {line for line in lines if line and not line.startswith("-r ")}
    locked = re.findall(
        r"^([\w.-]+==[\w.]+)(?: ;[^\n\\]+)? \\\n(?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+",
        locks.path(requirements).read_text(),
        re.MULTILINE,
    )
    # Every line is a package, a hash or a comment.
    assert len(locked) == len(re.findall(r"^[^#\s]", locks.path(requirements).read_text(), re.MULTILINE))
    # A lock has normalized names: PyPA's specification of name normalization.
    names = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower(): line for line in required}
    assert {f"{name}=={line.partition('==')[2]}" for name, line in names.items()} <= set(locked)


def test_the_environments_have_the_same_versions() -> None:
    versions_of: dict[str, set[str]] = {}
    for requirements in REQUIREMENTS:
        for name, version in re.findall(
            r"^([\w.-]+)==(\S+)", locks.path(requirements).read_text(), re.MULTILINE
        ):
            versions_of.setdefault(name, set()).add(version)
    # An older Python 3.11 has an older version of this one.
    assert {name for name, found in versions_of.items() if len(found) > 1} == {"pymdown-extensions"}


def test_a_lock_is_stale_once_what_its_requirements_ask_for_changes(tmp_path: Path) -> None:
    included, requirements = tmp_path / "requirements.txt", tmp_path / "requirements-dev.txt"
    included.write_text("one==1\ntwo==2\n")
    requirements.write_text("-r requirements.txt\nthree==3\n")
    assert not locks.is_current(requirements)
    locks.path(requirements).parent.mkdir()
    locks.path(requirements).write_text(locks.header(requirements))
    included.write_text("# A comment.\ntwo==2  # another\n\none==1\n")
    assert locks.is_current(requirements)
    included.write_text("one==1\ntwo==2.1\n")
    assert not locks.is_current(requirements)


def test_the_plugins_versions_are_their_sdks() -> None:
    assert versions.plugins().keys() == {"aws", "command", "docker", "tls"}
    assert versions.plugins()["docker"] == "5.1.0"


def test_without_go_the_sentence_names_both_remedies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(go, "USUAL", tmp_path / "go")
    with pytest.raises(ToolError, match=r"^registry can neither be downloaded nor built.*install Go 1\.25"):
        go.compiler("registry")


def fake_program(directory: Path, name: str, script: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_cli_on_path_is_used_if_its_version_is_right(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/bin")
    cli = fake_program(programs, "pulumi", "echo v3.0.0")
    fake_program(programs, "pulumi-language-python", "")
    assert pulumi_cli.accept_from_path() is None
    assert pulumi_cli.find() is None

    cli = fake_program(programs, "pulumi", f"echo v{versions.pulumi()}")
    assert pulumi_cli.accept_from_path() == cli
    assert pulumi_cli.find() == cli
    assert language_host.find(cli) == programs / "pulumi-language-python"

    fake_program(programs, "pulumi", "echo v9.9.9 # replaced")
    assert pulumi_cli.find() is None


def test_the_cached_cli_comes_first_and_needs_its_own_language_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    fake_program(programs, "pulumi-language-python", "")
    pulumi_cli.directory().mkdir(parents=True)
    cached = fake_program(pulumi_cli.directory(), "pulumi", "")
    assert pulumi_cli.find() == cached
    assert language_host.find(cached) is None
    beside = fake_program(pulumi_cli.directory(), "pulumi-language-python", "")
    assert language_host.find(cached) == beside


def test_the_language_host_can_have_a_launcher_that_starts_the_fork_server(tmp_path: Path) -> None:
    language_host.add_launcher()
    assert not pulumi_cli.directory().exists(), "there is no host to launch"
    pulumi_cli.directory().mkdir(parents=True)
    host = fake_program(pulumi_cli.directory(), "pulumi-language-python", 'echo "the host, $*"')
    language_host.add_launcher()
    language_host.add_launcher()
    home = tmp_path / "pulumi-home"
    home.mkdir()
    called = tmp_path / "called"

    def said(**variables: str) -> str:
        return subprocess.run(
            [host, "one", "two words"], env=variables, capture_output=True, text=True, check=True
        ).stdout

    assert said() == said(PULUMI_HOME=str(home)) == "the host, one two words\n"
    assert not called.exists()
    fake_program(home, "fork-server", f'echo not heard; echo "$1" >{called}.new; mv {called}.new {called}')
    assert said(PULUMI_HOME=str(home)) == "the host, one two words\n"
    deadline = time.monotonic() + PATIENCE
    while not called.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert called.read_text() == f"{os.getpid()}\n", "it is the fork server of what started the host"


def test_the_launcher_replaces_an_earlier_one_and_lives_beside_it() -> None:
    pulumi_cli.directory().mkdir(parents=True)
    host = fake_program(pulumi_cli.directory(), "pulumi-language-python", 'echo "the host, $*"')
    _add_earlier_launcher(host)
    language_host.add_launcher()
    assert host.read_text() == language_host.LAUNCHER
    assert subprocess.run([host, "one"], capture_output=True, text=True).stdout == "the host, one\n"
    # Clones of two versions share the cache, and each puts its own launcher there.
    _add_earlier_launcher(host)
    assert subprocess.run([host, "one"], capture_output=True, text=True).stdout == "the host, one\n"
    language_host.add_launcher()
    assert subprocess.run([host, "one"], capture_output=True, text=True).stdout == "the host, one\n"


def _add_earlier_launcher(host: Path) -> None:
    """Do what `add_launcher` did before the host's other name changed."""
    program = host.with_name("pulumi-language-python-program")
    program.unlink(missing_ok=True)
    program.hardlink_to(host)
    host.unlink()
    fake_program(host.parent, host.name, 'exec "${0%/*}/pulumi-language-python-program" "$@"')


def test_official_plugins_come_before_stand_ins() -> None:
    assert plugins.find() is None
    plugins._stand_in_home().mkdir(parents=True)
    assert plugins.find() == plugins._stand_in_home()
    assert not plugins.is_official(plugins._stand_in_home())
    plugins._official_home().mkdir(parents=True)
    assert plugins.find() == plugins._official_home()
    assert plugins.is_official(plugins._official_home())


def test_the_stand_ins_home_depends_on_all_that_is_installed() -> None:
    assert tuple(versions.REPOSITORY / name for name in install.PARTS) == plugins.STAND_INS


def test_edited_stand_ins_have_another_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plugins, "STAND_INS", (tmp_path,))
    (tmp_path / "a.py").write_text("1")
    before = plugins._stand_in_home()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("compiled")
    assert plugins._stand_in_home() == before
    (tmp_path / "a.py").write_text("2")
    assert plugins._stand_in_home() != before
    monkeypatch.setattr(plugins, "STAND_INS", (tmp_path / "a.py",))
    before = plugins._stand_in_home()
    (tmp_path / "a.py").write_text("3")
    assert plugins._stand_in_home() != before


SOURCES = "\n".join(
    [
        "http://mirror.example/debian/\ttrixie\tmain\tDebian",
        "http://mirror.example/debian/\ttrixie\tmain\tDebian",
        "http://mirror.example/debian/\ttrixie-updates\tmain\tDebian",
        "http://mirror.example/security/\ttrixie-security\tmain\tDebian",
        "https://packages.example/linux/\ttrixie\tstable\tSomebody",
        "https://packages.example/pg/\ttrixie-pgdg\tmain\tSomebody",
        "http://unfetched.example/\ttrixie\tmain\t$(ORIGIN)",
    ]
)


def test_only_debians_own_sources_go_into_the_image() -> None:
    assert apt.parse_sources(SOURCES, "trixie", "bookworm") == [
        apt.Source("http://mirror.example/debian/", "bookworm", "main"),
        apt.Source("http://mirror.example/debian/", "bookworm-updates", "main"),
        apt.Source("http://mirror.example/security/", "bookworm-security", "main"),
    ]


def test_a_file_of_mirrors_gives_its_first_address(tmp_path: Path) -> None:
    (tmp_path / "debian.list").write_text("# ours\nhttps://near.example/debian\nhttps://far.example/debian\n")
    table = f"mirror+file:{tmp_path}/debian.list/\tbookworm\tmain\tDebian"
    assert apt.parse_sources(table, "bookworm", "bookworm") == [
        apt.Source("https://near.example/debian", "bookworm", "main")
    ]


def test_the_image_gets_apts_proxy_but_no_password_and_no_file_of_this_machine() -> None:
    dump = "\n".join(
        [
            'Acquire::http::Proxy "http://proxy.example:3142";',
            'Acquire::https::Proxy "http://me:secret@proxy.example";',
            'Acquire::https::CAInfo "/opt/company/ca.pem";',
            'Acquire::http::Pipeline-Depth "0";',
            'Acquire::https "";',
            'Dir::Cache "var/cache/apt";',
        ]
    )
    assert apt.select_network_settings(dump) == (
        'Acquire::http::Proxy "http://proxy.example:3142";\nAcquire::http::Pipeline-Depth "0";\n'
    )


def test_the_engine_is_where_the_docker_command_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configuration = tmp_path / "docker"
    configuration.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(configuration))
    assert docker_socket.endpoint() == "unix:///var/run/docker.sock"
    (configuration / "config.json").write_text(json.dumps({"currentContext": "colima"}))
    # `docker context create colima` gives the directory this name.
    name = "f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16"
    context = configuration / "contexts" / "meta" / name
    context.mkdir(parents=True)
    (context / "meta.json").write_text(
        json.dumps({"Endpoints": {"docker": {"Host": "unix:///home/me/c.sock"}}})
    )
    assert docker_socket.endpoint() == "unix:///home/me/c.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert docker_socket.endpoint() == "unix:///var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert docker_socket.endpoint() == "tcp://127.0.0.1:1"


def test_an_engine_that_wants_a_certificate_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    # Variables that are left over from another engine mean nothing for the socket.
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert not docker_socket.wants_certificate()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    assert docker_socket.wants_certificate()
    monkeypatch.delenv("DOCKER_TLS_VERIFY")
    assert not docker_socket.wants_certificate()
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    assert docker_socket.wants_certificate()
    monkeypatch.delenv("DOCKER_CERT_PATH")
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "dind")
    identifier = hashlib.sha256(b"dind").hexdigest()
    (tmp_path / "contexts" / "meta" / identifier).mkdir(parents=True)
    (tmp_path / "contexts" / "meta" / identifier / "meta.json").write_text(
        json.dumps({"Endpoints": {"docker": {"Host": "tcp://docker:2376"}}})
    )
    assert not docker_socket.wants_certificate()
    (tmp_path / "contexts" / "tls" / identifier / "docker").mkdir(parents=True)
    (tmp_path / "contexts" / "tls" / identifier / "docker" / "cert.pem").write_text("")
    assert docker_socket.wants_certificate()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """A server on a Unix socket that answers each request with the next item of the first list."""
    path = tmp_path / "e.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    answers: list[bytes] = []
    requests: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                requests.append(connection.recv(4096))
                if answers:
                    connection.sendall(answers.pop(0))

    threading.Thread(target=serve, daemon=True).start()
    yield answers, requests
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_the_engine_is_asked_once_for_all_images(engine: tuple[list[bytes], list[bytes]]) -> None:
    answers, requests = engine
    body = json.dumps([{"RepoTags": ["debian:12", "mine:1"]}, {"RepoTags": None}])
    answers.append(f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}".encode())
    assert docker_socket.tags(["debian:12", "registry:3.1.1"]) == {"debian:12"}
    assert len(requests) == 1
    assert requests[0].startswith(b"GET /images/json?filters=")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 500 Internal Server Error\r\n\r\n{}"])
def test_a_broken_engine_is_unreachable(engine: tuple[list[bytes], list[bytes]], answer: bytes) -> None:
    engine[0].append(answer)
    with pytest.raises(EngineUnreachable):
        docker_socket.ping()


@pytest.mark.parametrize(
    ("host", "reason", "remedy"),
    [
        ("", "Permission denied", "sudo usermod -aG docker"),
        ("", "No such file or directory", "sudo apt-get install docker.io"),
        ("tcp://10.0.0.1:2375", "Connection refused", "unset DOCKER_HOST"),
    ],
)
def test_an_engine_that_may_not_be_installed_is_one_sentence_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, host: str, reason: str, remedy: str
) -> None:
    if host:
        monkeypatch.setenv("DOCKER_HOST", host)

    def refuse(timeout: float = 5.0) -> None:
        raise EngineUnreachable(reason)

    monkeypatch.setattr(docker_socket, "ping", refuse)
    monkeypatch.setattr(apt, "allowed", lambda: False)
    stream = io.StringIO()
    with pytest.raises(ToolError) as caught:
        docker_engine.prepare(Report(Console(file=stream)))
    sentence = str(caught.value)
    assert remedy in sentence
    assert reason in sentence
    assert "\n" not in sentence
    assert stream.getvalue() == ""


def test_a_users_login_is_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home" / ".pulumi"
    cli = tmp_path / "bin" / "pulumi"
    own = cache.root() / "pulumi-home" / "stand-ins-1"
    assert "PULUMI_CREDENTIALS_PATH" not in environment._variables(cli, own)
    home.mkdir()
    (home / "credentials.json").write_text("{}")
    assert environment._variables(cli, own)["PULUMI_CREDENTIALS_PATH"] == str(home)
    # Also in a shell that `slip env` prepared, in which PULUMI_HOME is ours.
    monkeypatch.setenv("PULUMI_HOME", str(own))
    assert environment._variables(cli, own)["PULUMI_CREDENTIALS_PATH"] == str(home)
    # And with a PULUMI_HOME that the user chose.
    other = tmp_path / "other"
    other.mkdir()
    (other / "credentials.json").write_text("{}")
    monkeypatch.setenv("PULUMI_HOME", str(other))
    assert environment._variables(cli, own)["PULUMI_CREDENTIALS_PATH"] == str(other)
    monkeypatch.setenv("PULUMI_CREDENTIALS_PATH", "/chosen")
    assert "PULUMI_CREDENTIALS_PATH" not in environment._variables(cli, own)


def test_the_environments_python_and_the_cli_come_first_on_path_and_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli = tmp_path / "bin" / "pulumi"
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", str(cli.parent)]))
    path = environment._variables(cli, tmp_path)["PATH"].split(os.pathsep)
    assert path == [os.path.dirname(sys.executable), str(cli.parent), "/usr/bin"]  # noqa: PTH120


def test_the_plugins_get_the_docker_commands_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(docker_socket, "endpoint", lambda: "unix:///home/me/c.sock")
    assert environment._variables(tmp_path / "pulumi", tmp_path)["DOCKER_HOST"] == "unix:///home/me/c.sock"


@pytest.mark.parametrize(
    ("name", "first", "expected"),
    [
        ("a.sh", "", True),
        ("slip", "#!/bin/sh\n", True),
        ("run", "#!/usr/bin/env bash\n", True),
        ("tool", "#!/usr/bin/env python3\n", False),
        ("LICENSE", "Apache\n", False),
        ("a.py", "#!/bin/sh\n", False),
        ("empty", "", False),
    ],
)
def test_shell_scripts_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, first: str, expected: bool
) -> None:
    monkeypatch.setattr(versions, "REPOSITORY", tmp_path)
    (tmp_path / name).write_text(first)
    assert lint._is_shell(Path(name)) is expected
