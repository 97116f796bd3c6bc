"""What each child process is given of this process's environment."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import child_environment
from cli.registry import docker_command
from components.git import Repository
from toolchain import cache, commands, docker_socket, python_environment

ROOT = Path(__file__).resolve().parents[2]
STARTS = tuple(
    f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output", "getoutput")
)
PASSWORDS = {
    "PULUMI_CONFIG": '{"slipway:passwords": "{\\"hosts\\": \\"a-secret\\"}"}',
    "PULUMI_CONFIG_SECRET_KEYS": '["slipway:passwords"]',
    "PULUMI_CONFIG_PASSPHRASE": "a-secret",
    "PULUMI_CONFIG_PASSPHRASE_FILE": "/a-secret",
    "PULUMI_ACCESS_TOKEN": "a-secret",
}
CLOUDS = {
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "GOOGLE_APPLICATION_CREDENTIALS": "a-secret",
    "SSH_AUTH_SOCK": "a-secret",
    "DATABASE_URL": "a-secret",
}
GIT_CONFIG_PAIRS = ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0")
PLUGIN_SOURCES = ("PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES",)
CHILDREN = (
    "git",
    "apt-get",
    "apt-config",
    "debootstrap",
    "pip",
    "go",
    "pulumi",
    "dockerd",
    "emulation",
    "tar",
    "ps",
)


@pytest.fixture(autouse=True)
def _operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**PASSWORDS, **CLOUDS}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))


def shown_by(child: str) -> str:
    return subprocess.run(
        ["env"], env=child_environment.of(child), capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_gets_no_password(child: str) -> None:
    shown = shown_by(child)
    assert "HOME=" in shown
    assert "PATH=" in shown
    assert not [name for name in (*PASSWORDS, *CLOUDS, "a-secret") if name in shown]


def test_docker_gets_what_credential_helpers_read_and_nothing_of_pulumis() -> None:
    shown = shown_by("docker")
    assert all(name in shown for name in CLOUDS)
    assert not [name for name in PASSWORDS if name in shown]


@pytest.mark.parametrize(
    ("child", "given"),
    [
        ("git", {"GIT_CONFIG_GLOBAL", *GIT_CONFIG_PAIRS, "SUDO_UID", "LC_ALL", "XDG_CONFIG_HOME"}),
        ("pip", {"PIP_INDEX_URL", "NETRC", "https_proxy", "SSL_CERT_FILE", "LC_ALL", "XDG_CONFIG_HOME"}),
        (
            "go",
            {"GOPROXY", "CGO_CFLAGS", "NETRC", "https_proxy", "SSL_CERT_FILE", "LC_ALL", "XDG_CONFIG_HOME"},
        ),
        (
            "pulumi",
            {*PLUGIN_SOURCES, "GITHUB_TOKEN", "https_proxy", "SSL_CERT_FILE", "LC_ALL", "XDG_CONFIG_HOME"},
        ),
        ("apt-get", {"APT_CONFIG", "https_proxy", "SSL_CERT_FILE", "LC_ALL", "XDG_CONFIG_HOME"}),
        ("dockerd", {"DOCKER_HOST", "https_proxy", "SSL_CERT_FILE", "LC_ALL", "XDG_CONFIG_HOME"}),
        ("losetup", {"LC_ALL", "XDG_CONFIG_HOME"}),
    ],
)
def test_a_child_gets_what_it_uses(child: str, given: set[str]) -> None:
    names = {
        *(
            "GIT_CONFIG_GLOBAL",
            "SUDO_UID",
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_CONFIG_PARAMETERS",
        ),
        *(
            "PIP_INDEX_URL",
            "GOPROXY",
            "CGO_CFLAGS",
            "APT_CONFIG",
            "DOCKER_HOST",
            "https_proxy",
            "SSL_CERT_FILE",
        ),
        *("LC_ALL", "XDG_CONFIG_HOME", "PYTHONPATH", "LD_PRELOAD"),
        *(*GIT_CONFIG_PAIRS, *PLUGIN_SOURCES, "NETRC", "GITHUB_TOKEN", "PULUMI_BACKEND_URL"),
    }
    assert set(child_environment.of(child, dict.fromkeys(names, "x"))) == given


def test_programs_are_not_looked_for_in_the_directory_of_a_child() -> None:
    assert child_environment.of("git", {"PATH": ".:/usr/bin::bin:/bin"})["PATH"] == "/usr/bin:/bin"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, first on PATH, for programs that write down their environment."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    for name in ("git", "docker", "go", "apt-get", "debootstrap"):
        (directory / name).write_text(f"#!/bin/sh\nenv >'{tmp_path}/{name}.env'\n")
        (directory / name).chmod(0o755)
    return tmp_path


def test_every_way_to_a_child_leaves_the_passwords_out(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (programs / ".git").mkdir()
    (programs / ".git/HEAD").write_text("")
    repository = Repository.of(programs)
    assert repository
    repository.ask("status").answer()
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2376")
    docker_socket.ping()
    given = {
        "git": (programs / "git.env").read_text(),
        "docker socket": (programs / "docker.env").read_text(),
    }
    docker_command.run("info")
    given["docker command"] = (programs / "docker.env").read_text()
    for program in ("go", "apt-get", "debootstrap"):
        commands.run([programs / "programs" / program], log="x", failure="-")
        given[program] = (programs / f"{program}.env").read_text()
    code = f"import os; open('{programs}/pip.env', 'w').write(str(dict(os.environ)))"
    python_environment._run([sys.executable, "-c", code], "-")
    given["pip"] = (programs / "pip.env").read_text()
    assert cache.root().is_relative_to(programs)
    for child, shown in given.items():
        assert "HOME" in shown, child
        assert not [name for name in PASSWORDS if name in shown], child
        if "docker" not in child:
            assert "a-secret" not in shown, child


def calls() -> list[tuple[str, ast.Call]]:
    """Every start of another program in the project's own code, with its place."""
    folders = ("bench", "cli", "components", "configuration", "emulation", "plugins", "dev", "toolchain")
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTS
    ]


def test_every_start_of_a_program_says_which_environment_it_gets() -> None:
    found = calls()
    assert len(found) > 15
    assert not [place for place, call in found if "env" not in {keyword.arg for keyword in call.keywords}]
