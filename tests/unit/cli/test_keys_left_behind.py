"""Keys are in memory, or in files without a name: whatever ends a process, it leaves none in a file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.running import leftover_keys
from cli.running.http import private_files
from cli.stack.pulumi_command import PulumiCommand
from cli.update import run as runs
from components.script import assignments
from components.script import text as script_text
from plugins.docker import endpoint
from tests.support.authority import Authority

ROOT = Path(__file__).resolve().parents[3]
SIGNALS = [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGKILL]
KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"


def holders(*folders: Path, secret: str = KEY) -> list[str]:
    """The files below these folders that hold the secret."""
    return [
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and secret in path.read_text(errors="replace")
    ]


def kill(process: subprocess.Popen[str], number: int) -> None:
    """End a process and whatever it has started, as a terminal that is closed does."""
    os.killpg(process.pid, number)
    process.wait(30)


HOLDING = {
    "a command": "from cli.running.http import private_files as held; block = held(KEY)",
    "the stand-in plugin": "from plugins.docker.endpoint import _key_file as held; block = held(KEY)",
}


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("code", HOLDING.values(), ids=HOLDING)
def test_a_process_that_is_ended_leaves_no_key(code: str, number: signal.Signals, tmp_path: Path) -> None:
    # The key comes on standard input, as everywhere.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); KEY = sys.stdin.readline()\n"
        f"{code}\nwith block as files: print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write("the-secret-key\n")
    process.stdin.flush()
    assert process.stdout.readline() == "held\n"
    kill(process, number)
    assert holders(tmp_path, secret="the-secret-key") == []
    process.stdin.close()


def test_the_files_can_be_read_again_and_again() -> None:
    with private_files(KEY, "another") as (first, second):
        assert [first.read_text(), first.read_text(), second.read_text()] == [KEY, KEY, "another"]
        assert first.is_file()  # the Docker SDK asks for that
    assert not first.exists() or KEY not in first.read_text(errors="replace")


def test_a_context_has_the_plugins_certificate() -> None:
    authority = Authority("the stack's")
    certificate, key = authority.leaf()
    context = endpoint.tls_context(endpoint.Material(authority.pem, certificate, key))
    assert len(context.get_ca_certs()) == 1


MOMENTS = {"at its first question": "image inspect", "at a pull": "pull", "while it loads": "load"}


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_loading_images_leaves_no_key(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    temporary, tools = tmp_path / "tmp", tmp_path / "bin"
    temporary.mkdir()
    tools.mkdir()
    reached = tmp_path / "reached"
    os.mkfifo(reached)
    (tools / "docker").write_text(
        "#!/bin/bash\n"
        # It reads the key twice, as a client that connects twice does.
        f'all="$*"; case $all in *"--tlskey "*) key=${{all#*--tlskey }}; key=${{key%% *}}\n'
        f'[ "$(cat "$key")" = "$(cat "$key")" ] && grep -q c2VjcmV0 "$key" || echo no key >{tmp_path}/wrong ;; esac\n'
        f'case "$*" in *tlskey*"{moment}"*) echo >{reached}; exec sleep 600 ;; esac\n'
        'case "$*" in *tlskey*inspect*) exit 1 ;; *tlskey*version*) echo amd64 ;;\n'
        '"image inspect"*here*) echo amd64 ;; "image inspect"*) exit 1 ;; esac\n'
    )
    (tools / "docker").chmod(0o755)
    values = {
        "ENDPOINT": "tcp://127.0.0.1:1",
        "ENGINE_CA": "ca",
        "CLIENT_CERTIFICATE": "certificate",
        "CLIENT_KEY": KEY,
        "IMAGES": "afar:1\nhere:1" if moment == "pull" else "here:1",
        "OPTIONAL_IMAGES": "",
    }
    process = subprocess.Popen(
        ["/bin/bash", "-s"],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={"PATH": f"{tools}:/usr/bin:/bin", "TMPDIR": str(temporary)},
    )
    assert process.stdin
    process.stdin.write(assignments(values) + script_text("load-images.sh"))
    process.stdin.close()
    reached.read_text()  # until it gets there
    kill(process, number)
    assert not (tmp_path / "wrong").exists()
    assert holders(tmp_path) == []
    assert list(temporary.iterdir()) == []


def test_a_log_of_pulumi_is_private_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = tmp_path / "pulumi"
    # glog, which writes this log, makes its file for everyone to read, as far as the umask lets it.
    cli.write_text('#!/bin/sh\numask\nprintf secret >"${TMPDIR:-/tmp}/pulumi.INFO"\n')
    cli.chmod(0o755)
    private = tmp_path / ".slipway"
    private.mkdir(mode=0o700)
    stack: Any = SimpleNamespace(
        name="local",
        project=SimpleNamespace(private=private),
        pulumi=PulumiCommand(cli, tmp_path, {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}),
    )
    for options in (["-v=9"], ["-v", "9"], ["--verbose=3"], ["-v9"], ["--logflow"]):
        runs.run(stack, "preview", options, quiet=False)
        (log,) = private.rglob("pulumi.INFO")
        assert log.stat().st_mode & 0o077 == 0
        assert all(folder.stat().st_mode & 0o077 == 0 for folder in (log.parent, log.parent.parent))
        said = capsys.readouterr().err
        assert str(log.parent) in said
        assert "clear text" in said
        log.unlink()
        log.parent.rmdir()


def old_run(folder: Path, name: str, files: tuple[str, ...], certificate: str) -> Path:
    left = folder / name
    left.mkdir(mode=0o700)
    for file, content in zip(files, ("ca", certificate, KEY), strict=True):
        (left / file).write_text(content)
    return left


def aged(*paths: Path) -> None:
    before = time.time() - 2 * leftover_keys.AGE
    for path in paths:
        os.utime(path, (before, before))


def test_what_older_runs_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    slipways, _ = Authority("Slipway local engine CA").leaf()
    others, _ = Authority("somebody else").leaf()
    python, shell = ("0.pem", "1.pem", "2.pem"), ("ca.pem", "cert.pem", "key.pem")
    gone = [
        old_run(tmp_path, "slipway-abcd1234", python, slipways),
        old_run(tmp_path, "tmp.ABCDEFGHIJ", shell, slipways),
    ]
    kept = [
        old_run(tmp_path, "tmp.KLMNOPQRST", shell, others),
        old_run(tmp_path, "certificates", shell, slipways),
        old_run(tmp_path, "tmp.0123456789", ("ca.pem", "cert.pem", "mine.txt"), slipways),
    ]
    (tmp_path / "slipway-linkedto").symlink_to(kept[1])
    plugins = tmp_path / "slipway-file1234"
    plugins.write_text(slipways + KEY)
    aged(*gone, *kept, plugins)
    young = old_run(tmp_path, "slipway-young123", python, slipways)
    leftover_keys.sweep.cache_clear()
    leftover_keys.sweep()
    assert not [path for path in (*gone, plugins) if path.exists()]
    assert all(path.exists() for path in (*kept, young, kept[1] / "key.pem"))
