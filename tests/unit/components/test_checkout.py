"""Clean checkouts of commits, for builds with `source: commit`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pulumi
import pytest

from components import checkout
from components.build_context import read_content
from components.checkout import require_commits
from configuration.services import BuildSettings
from configuration.settings import StackSettings

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / name.replace("__", "/")).write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "change")


@pytest.fixture(autouse=True)
def _once_a_process() -> Iterator[None]:
    checkout.checkout.cache_clear()
    yield
    checkout.checkout.cache_clear()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("SLIPWAY_ROLLBACK", "SLIPWAY_KEEP", "SLIPWAY_PROMOTE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pulumi.get_stack", lambda: "test")
    project = tmp_path / "project"
    (project / "app").mkdir(parents=True)
    git(project, "init", "-q")
    commit(project, app__Dockerfile="FROM scratch\n", app__server="1", **{".gitignore": "*.log\n.slipway\n"})
    (project / "app/run").write_text("#!/bin/sh\n")
    (project / "app/run").chmod(0o755)
    commit(project)
    monkeypatch.chdir(project)
    return project


def require(context: str = "app") -> None:
    services = {"web": BuildSettings(context=context, source="commit")}
    settings = mock.Mock(spec=StackSettings, build_host="yard", built_services=services)
    require_commits(settings)


def tag(context: Path) -> str:
    return read_content(context, context / "Dockerfile", {}).tag


def test_a_checkout_has_the_content_of_a_clean_working_tree(project: Path) -> None:
    require()
    found = checkout.checkout(Path("app"))
    assert found.context.is_relative_to(project / ".slipway")
    assert tag(found.context) == tag(project / "app")
    assert git(project, "status", "--porcelain") == ""


def test_attributes_for_archives_do_not_count(project: Path) -> None:
    commit(project, **{".gitattributes": "app/server export-ignore\n"})
    require()
    assert tag(checkout.checkout(Path("app")).context) == tag(project / "app")


def test_what_git_ignores_is_not_built(project: Path) -> None:
    before = tag(project / "app")
    (project / "app/some.log").write_text("of this machine")
    require()
    assert tag(checkout.checkout(Path("app")).context) == before != tag(project / "app")


def test_changed_files_of_the_context_are_refused_by_name(project: Path) -> None:
    (project / "app/server").write_text("2")
    (project / "app/new file").write_text("")
    (project / "elsewhere").write_text("no part of the context")
    with pytest.raises(pulumi.RunError) as refused:
        require()
    lines = str(refused.value).splitlines()
    assert lines[0] == "nothing was touched:"
    assert lines[1].strip() == (
        "services.web.build.source = commit: app has files that are in no commit. Commit, stash or ignore them:"
    )
    assert sorted(line.strip() for line in lines[2:]) == ["app/new file", "app/server"]


def test_an_update_that_builds_nothing_takes_changed_files(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "app/server").write_text("2")
    monkeypatch.setenv("SLIPWAY_ROLLBACK", "web=1")
    require()
    assert (checkout.checkout(Path("app")).context / "server").read_text() == "1"


def test_what_is_in_no_repository_or_no_commit_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(pulumi.RunError, match=r"\.\./plain is in no git repository"):
        require("../plain")
    (project / "new").mkdir()
    (project / "new/Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(pulumi.RunError, match=r"the last commit does not have new\. Add it to git"):
        require("new")
    git(project, "rm", "-q", "--cached", "app/Dockerfile")
    (project / "app/.gitignore").write_text("Dockerfile\n")
    commit(project)
    checkout.checkout.cache_clear()
    with pytest.raises(pulumi.RunError, match=r"the last commit does not have app/Dockerfile"):
        require()


def test_a_context_beside_the_clone_is_checked_out_of_its_own_repository(
    project: Path, tmp_path: Path
) -> None:
    own = tmp_path / "hello"
    own.mkdir()
    git(own, "init", "-q")
    commit(own, Dockerfile="FROM scratch\n")
    require("../hello")
    assert tag(checkout.checkout(Path("../hello")).context) == tag(own)


@pytest.fixture
def submodule(project: Path, tmp_path: Path) -> Path:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    commit(library, code="1")
    git(project, "submodule", "--quiet", "add", str(library), "app/library")
    commit(project)
    return project / "app/library"


def test_submodules_come_along(project: Path, submodule: Path) -> None:
    require()
    inside = checkout.checkout(Path("app")).context
    assert (inside / "library/code").read_text() == "1"


def test_changed_files_of_a_submodule_are_refused(project: Path, submodule: Path) -> None:
    (submodule / "code").write_text("2")
    with pytest.raises(pulumi.RunError, match="app/library/code"):
        require()


def test_a_submodule_that_is_not_fetched_is_named(project: Path, submodule: Path) -> None:
    git(project, "submodule", "--quiet", "deinit", "--force", "app/library")
    with pytest.raises(
        pulumi.RunError, match=r"the submodule app/library is not there: `git submodule update"
    ):
        require()


def test_pointers_of_git_lfs_are_refused(project: Path) -> None:
    commit(
        project,
        app__model="version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        **{".gitattributes": "app/model filter=lfs -text\n"},
    )
    with pytest.raises(
        pulumi.RunError, match=r"only the pointers of Git LFS for app/model: `git lfs install`"
    ):
        require()
