"""The passphrase, private files and PATH of Pulumi commands."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from cli.errors import CommandError
from cli.stack import environment
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.project import Project, write_private


def config(text: str) -> StackConfig:
    return StackConfig(yaml.safe_load(text) or {}, "slipway")


def test_a_passphrase_is_made_once_and_kept_private(project: Project) -> None:
    backend = Backend.of(project, {})
    first = environment.passphrase_file(project, backend, config(""), {})
    assert first
    content = first.read_text()
    assert len(content) >= 40
    assert first.stat().st_mode & 0o777 == 0o600
    assert environment.passphrase_file(project, backend, config("encryptionsalt: v1:x"), {}) == first
    assert first.read_text() == content


@pytest.mark.parametrize(
    ("backend", "text", "user"),
    [
        ("file:///state", "", {"PULUMI_CONFIG_PASSPHRASE": ""}),
        ("file:///state", "", {"PULUMI_CONFIG_PASSPHRASE_FILE": "/p"}),
        ("file:///state", "secretsprovider: awskms://alias/x", {}),
        ("https://api.example.org", "", {}),
        ("", "", {}),
    ],
)
def test_no_passphrase_is_made_where_none_is_needed(
    project: Project, backend: str, text: str, user: Mapping[str, str]
) -> None:
    assert environment.passphrase_file(project, Backend(backend), config(text), user) is None
    assert not project.passphrase_file.exists()


def test_a_lost_passphrase_is_never_replaced(project: Project) -> None:
    backend = Backend.of(project, {})
    with pytest.raises(CommandError, match="encrypted with a passphrase") as raised:
        environment.passphrase_file(project, backend, config("encryptionsalt: v1:x"), {})
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in raised.value.remedy
    assert not project.passphrase_file.exists()


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_search_path_has_each_directory_once() -> None:
    from cli.stack.pulumi_command import search_path

    assert search_path("/a:/b", "/b:/c::/a") == "/a:/b:/c"
