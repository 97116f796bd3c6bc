"""Where a stack's state is kept."""

import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.stack.backend import Backend
from cli.stack.project import Project


def credentials(project: Project, content: str) -> None:
    folder = project.root.parent / "home" / ".pulumi"
    folder.mkdir()
    (folder / "credentials.json").write_text(content)


def test_without_a_login_the_clone_keeps_its_own_state(project: Project) -> None:
    backend = Backend.of(project, {})
    assert backend == Backend(f"file://{project.root}/.slipway/state", is_own=True)
    assert backend.directory == project.root / ".slipway" / "state"
    assert (project.root / ".slipway").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "name", ["c#", "100%", "a b", "q?x", "a&b;c", 'it\'s "x"', "über", "new\nline", "%20", "~x"]
)
def test_the_clones_folder_may_have_any_name(project: Project, name: str) -> None:
    clone = project.root / name
    clone.mkdir()
    (clone / "Pulumi.yaml").write_text("name: slipway\n")
    backend = Backend.of(Project(clone), {})
    assert backend.directory == clone / ".slipway" / "state"
    assert re.fullmatch(r"file://[A-Za-z0-9/._~%-]+", backend.url), backend.url


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"PULUMI_BACKEND_URL": "s3://bucket"}, "s3://bucket"),
        ({"PULUMI_ACCESS_TOKEN": "t"}, ""),
        ({"PULUMI_BACKEND_URL": "file:///state", "PULUMI_ACCESS_TOKEN": "t"}, "file:///state"),
    ],
)
def test_the_users_own_backend_wins(project: Project, variables: Mapping[str, str], url: str) -> None:
    assert Backend.of(project, variables) == Backend(url)
    assert not (project.root / ".slipway").exists()


def test_a_login_counts(project: Project) -> None:
    credentials(project, '{"current": "https://api.example.org"}')
    assert Backend.of(project, {}).url == "https://api.example.org"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"current": ""}'])
def test_credentials_without_a_login_do_not_count(project: Project, content: str) -> None:
    credentials(project, content)
    assert Backend.of(project, {}).is_own


def test_a_backend_in_pulumi_yaml_counts(project: Project) -> None:
    (project.root / "Pulumi.yaml").write_text("name: slipway\nbackend:\n  url: gs://bucket\n")
    assert Backend.of(project, {}).url == "gs://bucket"


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("file:///a/b", Path("/a/b")),
        ("file:///with%20blank?no_tmp_dir=true", Path("/with blank")),
        ("file://~/state", Path.home() / "state"),
        ("s3://bucket/path", None),
        ("https://api.example.org", None),
        ("", None),
    ],
)
def test_a_file_backends_directory(url: str, directory: Path | None) -> None:
    assert Backend(url).directory == directory


@pytest.mark.parametrize("name", ["local.json", "local.json.gz"])
def test_the_state_is_read_straight_from_its_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / ".pulumi" / "stacks" / "slipway"
    folder.mkdir(parents=True)
    content = json.dumps({"checkpoint": {"latest": {"resources": [{"urn": "u"}]}}}).encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    backend = Backend(f"file://{tmp_path}")
    assert backend.deployment("slipway", "local") == {"resources": [{"urn": "u"}]}
    assert backend.deployment("slipway", "dev") is None


def test_attributes_that_a_killed_write_left_empty_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / ".pulumi" / "stacks" / "slipway"
    folder.mkdir(parents=True)
    for name, content in {"local.json": "{}", "local.json.attrs": "", "local.json.bak.attrs": "{}"}.items():
        (folder / name).write_text(content)
    (folder / "localhost.json.attrs").touch()  # another stack's
    Backend(f"file://{tmp_path}").mend("slipway", "local")
    assert {path.name for path in folder.iterdir()} == {
        "local.json",
        "local.json.bak.attrs",
        "localhost.json.attrs",
    }


def test_old_updates_go_from_the_clones_own_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each update everything or nothing; what Pulumi has not named, and the state itself, stays."""
    monkeypatch.setattr("cli.stack.backend.KEPT_UPDATES", 2)
    pulumi = tmp_path / ".pulumi"
    names = {
        *(
            f"history/slipway/local/local-{n}.{kind}.json"
            for n in (9, 10, 11, 12)
            for kind in ("history", "checkpoint")
        ),
        *(f"history/slipway/local/local-{n}.history.json.attrs" for n in (9, 12)),
        *(f"backups/slipway/local/local.{n}.json.gz" for n in (9, 10, 11)),
        "history/slipway/local/local-note.txt",
        "history/slipway/local-2/local-2-9.history.json",
        "stacks/slipway/local.json",
        "stacks/slipway/local.json.bak",
        "locks/organization/slipway/local/1.json",
    }

    def write() -> None:
        for name in names:
            (pulumi / name).parent.mkdir(parents=True, exist_ok=True)
            (pulumi / name).write_text("{}")

    def left() -> set[str]:
        return {str(path.relative_to(pulumi)) for path in pulumi.rglob("*") if path.is_file()}

    write()
    Backend(f"file://{tmp_path}").trim("slipway", "local")
    assert left() == names, "a backend of the user's own"
    Backend.in_directory(tmp_path).trim("slipway", "local")
    assert names - left() == {
        "history/slipway/local/local-9.history.json",
        "history/slipway/local/local-9.history.json.attrs",
        "history/slipway/local/local-9.checkpoint.json",
        "history/slipway/local/local-10.history.json",
        "history/slipway/local/local-10.checkpoint.json",
        "backups/slipway/local/local.9.json.gz",
    }
    Backend.in_directory(tmp_path / "empty").trim("slipway", "local")
