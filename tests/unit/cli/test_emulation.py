"""Emulated stacks: their names, their configuration, and that they are not mistaken for real stacks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.errors import CommandError
from cli.stack import emulation
from cli.stack.emulated_config import emulated_config, missing_secrets
from cli.stack.emulation import Emulation, refuse_confusion
from cli.stack.open import open_stack
from cli.stack.project import Project
from cli.update import updates
from toolchain import docker_socket, emulator
from toolchain.errors import ToolError

REAL: dict[str, Any] = {
    "secretsprovider": "awskms://alias/team",
    "encryptedkey": "AAAA",
    "config": {
        "slipway:platform": {
            "kind": "aws",
            "region": "eu-central-1",
            "adminCidrs": ["192.0.2.0/24"],
            "connect": "private",
            "network": {"subnets": ["subnet-0123456789abcdef0"], "default": False},
            "endpoint": "http://elsewhere",
        },
        "slipway:services": {"web": {"secrets": ["TOKEN"], "port": 8080}},
        "slipway:passwords": {"hosts": {"secure": "real"}},
        "slipway:secrets": {"TOKEN": {"secure": "real"}},
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv(emulation.MARK, raising=False)
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(REAL))
    return Project(tmp_path)


def test_the_copy_has_nothing_that_only_the_real_account_knows() -> None:
    before = json.dumps(REAL)
    content = emulated_config(REAL, {}, "slipway")
    assert content == {
        "config": {
            "slipway:platform": {
                "kind": "aws",
                "region": "eu-central-1",
                "adminCidrs": ["127.0.0.1/32"],
                "network": {"default": False},
            },
            "slipway:services": {"web": {"secrets": ["TOKEN"], "port": 8080}},
        }
    }
    assert json.dumps(REAL) == before


def test_an_emulated_stack_keeps_its_own_secrets() -> None:
    own = {
        "encryptionsalt": "v1:own",
        "config": {"slipway:passwords": {"hosts": {"secure": "own"}}, "slipway:platform": {"kind": "old"}},
    }
    content = emulated_config(REAL, own, "slipway")
    assert content["encryptionsalt"] == "v1:own"
    assert content["config"]["slipway:passwords"] == {"hosts": {"secure": "own"}}
    assert content["config"]["slipway:platform"]["kind"] == "aws"
    assert "real" not in json.dumps(content)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, []),
        ({"slipway:services": "no map"}, []),
        ({"slipway:services": {"a": {"secrets": ["X", "Y"]}, "b": {"secrets": ["X"]}, "c": {}}}, ["X", "Y"]),
        ({"slipway:services": {"a": {"secrets": ["X"]}}, "slipway:secrets": {"X": {"secure": "s"}}}, []),
    ],
)
def test_secrets_that_services_ask_for_are_made_up(config: dict[str, Any], wanted: list[str]) -> None:
    assert list(missing_secrets({"config": config}, "slipway")) == wanted


def test_the_configuration_follows_the_real_one(project: Project) -> None:
    emulated = Emulation(project, "dev")
    emulated.write_config()
    path = project.root / "Pulumi.dev-emulated.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(path.read_text()) == emulated_config(REAL, {}, "slipway")
    written = path.stat().st_mtime_ns
    emulated.write_config()
    assert path.stat().st_mtime_ns == written, "the same again is not written again"
    assert project.stacks == ["dev"], "it is named by the real one's name"
    assert not emulated.exists, "an emulation begins with its first process, not with its configuration"


def test_only_aws_is_emulated(project: Project) -> None:
    (project.root / "Pulumi.dev.yaml").write_text("config:\n  slipway:platform: { kind: local }\n")
    with pytest.raises(CommandError) as refused:
        Emulation(project, "dev").write_config()
    assert refused.value.message == "--emulate is for stacks on the platform aws, and 'dev' is on local"
    assert refused.value.status == 2
    assert not (project.root / "Pulumi.dev-emulated.yaml").exists()


def test_its_state_is_no_other_stacks(project: Project) -> None:
    emulated = Emulation(project, "dev")
    assert emulated.stack == "dev-emulated"
    assert emulated.backend.directory == project.root / ".slipway/emulation/dev/state"
    assert emulated.backend.is_own


def test_an_emulated_stack_is_named_by_the_option_only(project: Project) -> None:
    with pytest.raises(CommandError) as refused:
        open_stack("dev-emulated", project=project)
    assert "emulated stack of 'dev'" in refused.value.message
    assert refused.value.remedy == "Use: -s dev --emulate"


def test_a_prepared_shell_touches_no_real_stack(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(emulation.MARK, "dev")
    with pytest.raises(CommandError) as refused:
        open_stack("dev", project=project, create=True)
    assert "prepared for the emulated stack of 'dev'" in refused.value.message
    refuse_confusion("dev", {})


def test_commands_that_make_nothing_need_an_emulation(project: Project) -> None:
    with pytest.raises(CommandError) as refused:
        open_stack("dev", project=project, emulate=True)
    assert refused.value.message == "the emulated stack of 'dev' does not exist yet"
    assert refused.value.remedy == "`./slip up -s dev --emulate` makes it."


def test_nothing_is_started_to_end_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Project, "here", lambda: project)
    assert updates.down("dev", yes=True, purge=False, options=(), emulate=True) == 0
    assert not (project.private / "emulation").exists()


def test_a_process_that_ended_does_not_run(project: Project) -> None:
    emulated = Emulation(project, "dev")
    assert emulated.running() is None
    emulated.directory.mkdir(parents=True)
    ended = subprocess.Popen(["true"])
    ended.wait()
    announced = {"pid": ended.pid, "endpoint": "http://x", "key": "k", "version": "1", "network": "127.77.0"}
    (emulated.directory / "daemon.json").write_text(json.dumps(announced))
    assert emulated.running() is None
    # A process id that is another process's by now.
    (emulated.directory / "daemon.json").write_text(json.dumps({**announced, "pid": os.getppid()}))
    assert emulated.running() is None


def test_nothing_of_the_users_aws_settings_is_used(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    emulated = Emulation(project, "dev")
    emulated.write_config()
    daemon = emulation.Daemon(1, "http://127.77.0.1:4566", "AKIAKEY", "1", "127.77.0")
    variables = emulated.variables(daemon)
    assert variables["AWS_ENDPOINT_URL"] == "http://127.77.0.1:4566"
    assert variables["AWS_ACCESS_KEY_ID"] == "AKIAKEY"
    assert variables["AWS_SESSION_TOKEN"] == ""
    assert "region = eu-central-1" in Path(variables["AWS_CONFIG_FILE"]).read_text()
    assert variables["NO_PROXY"] == variables["no_proxy"]
    assert variables["NO_PROXY"].startswith("example.org,127.77.0.1,")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        path = Path(variables[name])
        assert path.is_relative_to(emulated.directory)
        assert path.stat().st_mode & 0o777 == 0o600
        assert variables["AWS_PROFILE"] in path.read_text()


def test_a_lost_account_takes_the_state_along(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    emulated = Emulation(project, "dev")
    (emulated.directory / "state").mkdir(parents=True)
    (emulated.directory / "account").touch()
    emulated._forget_lost_account()
    assert (emulated.directory / "state").exists()
    (emulated.directory / "account").unlink()
    emulated._forget_lost_account()
    assert not (emulated.directory / "state").exists()
    assert "starting over" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("user", "system", "endpoint", "said"),
    [
        (0, "darwin", docker_socket.DEFAULT, "needs Linux"),
        (1000, "linux", docker_socket.DEFAULT, "needs root"),
        (0, "linux", "tcp://10.0.0.1:2376", "the one in use is tcp://10.0.0.1:2376"),
    ],
)
def test_a_machine_that_cannot_emulate_is_refused(
    user: int, system: str, endpoint: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setenv("DOCKER_HOST", endpoint)
    with pytest.raises(ToolError, match=said):
        emulator.check()


def test_the_emulation_is_known_by_its_sources(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = emulation._version(tmp_path, {"image": "x"})
    assert first == emulation._version(tmp_path, {"image": "x"})
    assert first != emulation._version(tmp_path, {"image": "y"})
    (tmp_path / "a.py").write_text("2")
    assert first != emulation._version(tmp_path, {"image": "x"})
