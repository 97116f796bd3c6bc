"""The configuration of the user's docker command, as other programs can use it."""

import json
import os
from pathlib import Path

import pytest

from cli.running.engine import ERRORS, connected
from toolchain import docker_config, docker_socket


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file; not there yet. One helper is installed: `here`."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "docker-credential-here").touch(mode=0o755)
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker" / "config.json"


USABLE = (
    None,
    "",
    "{}",
    '{"credsStore": "here", "auths": {"a": {}}}',
    '{"credHelpers": {"a": "here"}}',
)


@pytest.mark.parametrize("content", USABLE)
def test_a_usable_configuration_is_left_as_it_is(file: Path, content: str | None) -> None:
    if content is not None:
        file.write_text(content)
    assert docker_config.replacement() is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"credsStore": "gone", "auths": {"a": {"auth": "x"}}}', {"auths": {"a": {"auth": "x"}}}),
        ('{"credHelpers": {"a": "gone", "b": "here"}}', {"credHelpers": {"b": "here"}}),
        ('{"credHelpers": []}', {"credHelpers": {}}),
        ("[]", {}),
        ('{"auths":', {}),
    ],
)
def test_what_fails_is_left_out_of_a_private_copy(
    file: Path, content: str, expected: dict[str, object]
) -> None:
    file.write_text(content)
    folder = docker_config.replacement()
    assert folder
    copy = folder / "config.json"
    assert json.loads(copy.read_text()) == expected
    assert copy.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == content
    assert docker_config.replacement() == folder
    assert docker_socket.command_environment()["DOCKER_CONFIG"] == str(folder)


@pytest.mark.parametrize("content", ["[]", '"x"', "{", '{"currentContext": []}', '{"credsStore": "gone"}'])
def test_no_engine_is_lost_by_it(file: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """Neither its address nor a client of it, whatever else is set."""
    for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION", "DOCKER_DEFAULT_PLATFORM"):
        monkeypatch.setenv(name, "/nonsense")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    file.write_text(content)
    assert docker_socket.endpoint() == docker_socket.DEFAULT
    monkeypatch.setenv("DOCKER_HOST", f"unix://{file.parent}/none.sock")
    with pytest.raises(ERRORS, match=r"Connection aborted|No such file"), connected(""):
        pass
    assert os.environ["DOCKER_CONFIG"] == str(file.parent)
    assert "DOCKER_TLS_VERIFY" not in docker_socket.command_environment()
