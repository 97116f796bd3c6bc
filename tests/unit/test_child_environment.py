"""What each child process is given of this process's environment."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from requests.utils import get_environ_proxies

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
    "pushed",
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


DISTURBING = {
    *("DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CONTEXT", "DOCKER_API_VERSION"),
    *("DOCKER_DEFAULT_PLATFORM", "DOCKER_BUILDKIT", "DOCKER_CONTENT_TRUST", "DOCKER_CA_MATERIAL"),
    *(
        "BUILDX_BUILDER",
        "BUILDKIT_HOST",
        "COMPOSE_FILE",
        "SSH_AUTH_SOCK",
        "TF_LOG",
        "GRPC_VERBOSITY",
        "grpc_proxy",
    ),
    *("PULUMI_STACK", "PULUMI_PARALLEL", "PULUMI_OPTION_REFRESH", "PULUMI_PYTHON_CMD", "PULUMI_CONFIG"),
    *("PULUMI_DEBUG_PROVIDERS", "PULUMI_SKIP_CHECKPOINTS", "PULUMI_DIY_BACKEND_LEGACY_LAYOUT"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONHASHSEED"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "BASH_ENV", "ENV", "CDPATH", "IFS", "GREP_OPTIONS"),
    "BASH_FUNC_docker%%",
}
NEEDED = {
    *(
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "PULUMI_BACKEND_URL",
        "PULUMI_CONFIG_PASSPHRASE",
        "PULUMI_ACCESS_TOKEN",
    ),
    *("PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_CREDENTIALS_PATH", "PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES"),
    *(
        "AWS_PROFILE",
        "AWS_SECRET_ACCESS_KEY",
        "GOOGLE_CREDENTIALS",
        "VAULT_ADDR",
        "https_proxy",
        "SSL_CERT_FILE",
    ),
    *("PATH", "HOME", "TERM", "COLUMNS", "NO_COLOR", "LC_ALL", "TZ", "GIT_CONFIG_GLOBAL", "SLIPWAY_CACHE"),
}


def test_a_stacks_program_and_plugins_get_nothing_that_disturbs_them() -> None:
    given = child_environment.of("stack", dict.fromkeys(DISTURBING | NEEDED, "/nonsense"))
    assert set(given) == NEEDED


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("", set()),
        ("unix:///run/docker.sock", set()),
        # The plugin would use the operator's certificates for the hosts' engines, too.
        ("tcp://127.0.0.1:2376", set()),
        ("ssh://host", {"SSH_AUTH_SOCK"}),
    ],
)
def test_the_operators_engine_is_reached_as_the_operator_does(host: str, kept: set[str]) -> None:
    given = child_environment.of("stack", {**dict.fromkeys(DISTURBING, "x"), "DOCKER_HOST": host})
    assert set(given) == {"DOCKER_HOST", *kept}


@pytest.mark.parametrize("child", ["stack", "git", "docker"])
def test_a_folder_for_temporary_files_exists(child: str, tmp_path: Path) -> None:
    given = {"TMPDIR": str(tmp_path), "TMP": "/gone", "TEMP": ""}
    assert child_environment.of(child, given) == {"TMPDIR": str(tmp_path)}


def test_addresses_are_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python's requests, which the stand-in plugins use, understands it."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", ".corp.example")
    for name, value in child_environment.without_proxy("10.1.2.3").items():
        monkeypatch.setenv(name, value)
    for address in ("127.0.0.1:2376", "203.0.113.7:2376", "10.1.2.3", "a.corp.example"):
        assert get_environ_proxies(f"https://{address}/") == {}, address
    assert "https" in get_environ_proxies("https://ec2.eu-central-1.amazonaws.com/")


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
