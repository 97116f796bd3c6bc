"""The commits of images, which are recorded beside the images."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pytest

from components.revisions import KEPT, revision_of, revisions


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    git(project, "init", "-q")
    commit(project, "1")
    monkeypatch.chdir(project)
    return project


def commit(project: Path, content: str) -> str:
    (project / "app/server.py").write_text(content)
    git(project, "add", ".")
    git(project, "commit", "-qm", content)
    return git(project, "rev-parse", "HEAD")


def test_the_revision_is_the_last_commit_that_touched_the_context(project: Path) -> None:
    app = project / "app"
    first = git(project, "rev-parse", "HEAD")
    (project / "elsewhere").write_text("1")
    git(project, "add", ".")
    git(project, "commit", "-qm", "elsewhere")
    assert revision_of(app, project) == first
    (app / "server.py").write_text("2")
    assert revision_of(app, project) == f"{first}-dirty"


def test_outside_git_there_is_no_revision(tmp_path: Path) -> None:
    assert revision_of(tmp_path, tmp_path) == ""


def test_a_shallow_clone_names_a_commit_that_has_the_content(project: Path, tmp_path: Path) -> None:
    commit(project, "2")
    (project / "elsewhere").write_text("1")
    git(project, "add", ".")
    git(project, "commit", "-qm", "elsewhere")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project}", "shallow")
    shallow = tmp_path / "shallow"
    assert revision_of(shallow / "app", shallow) == git(project, "rev-parse", "HEAD")


def recorded(previous: Mapping[str, object], tag: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def take(shown: object) -> None:
        assert isinstance(shown, list)
        found.extend((one["tag"], one["revision"]) for one in shown)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> pulumi.Output[None]:
        return revisions(previous, {"web": (tag, Path("app"))})["web"].apply(take)

    pulumi.runtime.set_mocks(NoMocks())
    run()
    return found


class NoMocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, object]]:
        raise AssertionError(args)

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, object], None]:
        raise AssertionError(args)


def test_a_new_tag_gets_the_commit(project: Path) -> None:
    head = git(project, "rev-parse", "HEAD")
    assert recorded({}, "b") == [("b", head)]
    before = {"revisions": {"web": [{"tag": "a", "revision": "0"}]}}
    assert recorded(before, "b") == [("b", head), ("a", "0")]


def test_a_known_tag_keeps_its_commit_in_every_clone(project: Path) -> None:
    before = {"revisions": {"web": [{"tag": "b", "revision": "1"}, {"tag": "a", "revision": "0"}]}}
    assert recorded(before, "a") == [("b", "1"), ("a", "0")]


def test_old_tags_are_forgotten(project: Path) -> None:
    before = {"revisions": {"web": [{"tag": str(number), "revision": ""} for number in range(KEPT)]}}
    found = recorded(before, "new")
    assert len(found) == KEPT
    assert [tag for tag, _ in found[:2]] == ["new", "0"]


@pytest.mark.parametrize("odd", [None, [], {"web": "x"}, {"web": [1]}, {"web": None}])
def test_a_record_of_another_kind_is_no_record(odd: object, project: Path) -> None:
    assert [tag for tag, _ in recorded({"revisions": odd}, "b")] == ["b"]
