"""git and a build context that is a stranger's: nothing in it is run, and its revision is the project's own."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from components.revisions import revision_of

CONFIG = """[core]
    repositoryformatversion = 0
    bare = false
    fsmonitor = {run}
    sshCommand = {run}
    pager = {run}
    hooksPath = {hooks}
    worktree = {worktree}
[remote "origin"]
    url = https://example.com/evil.git
[diff]
    external = {run}
[diff "evil"]
    textconv = {run}
    command = {run}
[filter "evil"]
    clean = {run}
    smudge = {run}
    process = {run}
    required = true
[gpg]
    program = {run}
[log]
    showSignature = true
[pager]
    log = {run}
    status = {run}
[alias]
    log = !{run}
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Trap:
    """A project with a context, and a program that leaves a file behind where it is run."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.context = self.project / "app"
        self.context.mkdir(parents=True)
        (self.context / "Dockerfile").write_text("FROM scratch\n")
        (self.context / "server.py").write_text("1")
        (self.context / "link").symlink_to("server.py")
        git(self.project, "init", "-q")
        git(self.project, "add", ".")
        git(self.project, "commit", "-qm", "app")
        self.revision = self._sign()
        self.sprung = folder / "sprung"
        self.program = folder / "run.sh"
        self.program.write_text(f"#!/bin/sh\nenv > '{self.sprung}'\ncat\n")
        self.program.chmod(0o755)
        hooks = folder / "hooks"
        hooks.mkdir()
        for hook in ("post-index-change", "fsmonitor-watchman", "post-checkout"):
            shutil.copy(self.program, hooks / hook)

    def _sign(self) -> str:
        """Sign the last commit, so that git may verify the signature."""
        head, _, message = git(self.project, "cat-file", "commit", "HEAD").partition("\n\n")
        signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
        signed = self.project.parent / "commit"
        signed.write_text(f"{head}\n{signature}\n\n{message}\n")
        commit = git(self.project, "hash-object", "-w", "-t", "commit", str(signed))
        git(self.project, "update-ref", "HEAD", commit)
        return commit

    def config(self, worktree: Path) -> str:
        hooks = self.program.parent / "hooks"
        return CONFIG.format(run=self.program, hooks=hooks, worktree=worktree)

    def lay(self, folder: Path, worktree: Path) -> None:
        """Make a folder a repository, out of plain files that any pull request can hold."""
        for name in ("objects/info", "refs/heads"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "HEAD").write_text("ref: refs/heads/main\n")
        (folder / "config").write_text(self.config(worktree))
        (folder / "refs/heads/.keep").write_text("")
        # The objects and the index of the project itself: so that git has something to look at.
        own = self.project / ".git"
        (folder / "objects/info/alternates").write_text(f"{own / 'objects'}\n")
        (folder / "refs/heads/main").write_text(f"{self.revision}\n")
        shutil.copy(own / "index", folder / "index")

    def attributes(self) -> None:
        (self.context / ".gitattributes").write_text("* filter=evil diff=evil\n")
        (self.context / "server.py").write_text("2")


def bare(trap: Trap) -> None:
    trap.lay(trap.context, trap.project)


def bare_with_attributes(trap: Trap) -> None:
    trap.attributes()
    trap.lay(trap.context, trap.project)


def bare_project(trap: Trap) -> None:
    trap.lay(trap.project, trap.project)


def nested_directory(trap: Trap) -> None:
    trap.attributes()
    trap.lay(trap.context / ".git", trap.context)


def nested_file(trap: Trap) -> None:
    trap.attributes()
    trap.lay(trap.context / "data", trap.context)
    (trap.context / ".git").write_text("gitdir: data\n")


def nested_below(trap: Trap) -> None:
    """A clone inside the context, which the project's own repository knows as a submodule."""
    (trap.context / "lib").mkdir()
    (trap.context / "lib/a").write_text("1")
    git(trap.context / "lib", "init", "-q")
    git(trap.context / "lib", "add", ".")
    git(trap.context / "lib", "commit", "-qm", "lib")
    git(trap.project, "add", "app/lib")
    git(trap.project, "commit", "-qm", "lib")
    (trap.context / "lib/.git/config").write_text(trap.config(trap.context / "lib"))
    (trap.context / "lib/.gitattributes").write_text("* filter=evil diff=evil\n")
    (trap.context / "lib/a").write_text("2")


def modules(trap: Trap) -> None:
    """`.gitmodules` is a stranger's, too."""
    text = f'[submodule "lib"]\n\tpath = app/lib\n\turl = ext::{trap.program}\n\tignore = none\n'
    nested_below(trap)
    (trap.project / ".gitmodules").write_text(text)


ATTACKS: dict[str, Callable[[Trap], None]] = {
    "a bare repository": bare,
    "a bare repository and attributes": bare_with_attributes,
    "a project laid out as a bare repository": bare_project,
    "a .git directory": nested_directory,
    "a .git file that leads to a folder of the context": nested_file,
    "a clone inside the context": nested_below,
    "a clone that .gitmodules names": modules,
}


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    # Nothing of whoever runs the tests: a filter of their own would be run, and may.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    made = Trap(tmp_path)
    monkeypatch.chdir(made.project)
    return made


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("key", ["", "fsmonitor", "filter", "showSignature", "external"])
def test_nothing_in_a_context_is_run(attack: Callable[[Trap], None], key: str, trap: Trap) -> None:
    attack(trap)
    if key:
        # One key alone, since git may refuse another one before it comes to this.
        for path in trap.project.rglob("config"):
            if path != trap.project / ".git/config":
                path.write_text(only(key, path.read_text()))
    revision_of(Path("app"), Path.cwd())
    revision_of(trap.context, trap.project)
    assert not trap.sprung.exists()


def only(key: str, config: str) -> str:
    kept, section = [], ""
    for line in config.splitlines():
        section = line if line.startswith("[") else section
        needed = (key, "version", "worktree", "bare", "program =")
        if line.startswith("[") or key in section or any(word in line for word in needed):
            kept.append(line)
    return "\n".join([*kept, ""])


def test_plain_files_that_look_like_a_repository_are_files(trap: Trap) -> None:
    bare(trap)
    assert revision_of(trap.context, trap.project) == f"{trap.revision}-dirty"


@pytest.mark.parametrize("attack", [nested_directory, nested_file])
def test_a_context_in_a_repository_of_its_own_has_no_revision(
    attack: Callable[[Trap], None], trap: Trap
) -> None:
    attack(trap)
    assert revision_of(trap.context, trap.project) == ""
    below = trap.context / "below"
    below.mkdir()
    assert revision_of(below, trap.project) == ""


def test_a_context_outside_the_projects_repository_has_no_revision(trap: Trap) -> None:
    elsewhere = trap.project.parent / "elsewhere"
    elsewhere.mkdir()
    trap.lay(elsewhere, trap.project)
    link = trap.project / "linked"
    link.symlink_to(elsewhere)
    for context in (elsewhere, link, Path("../elsewhere"), trap.project / ".git"):
        assert revision_of(context, trap.project) == ""
    assert not trap.sprung.exists()


def test_a_submodules_commit_counts_and_its_files_do_not(trap: Trap) -> None:
    nested_below(trap)
    head = git(trap.project, "rev-parse", "HEAD")
    assert revision_of(trap.context, trap.project) == head
    (trap.context / "lib/.git/config").write_text("")
    git(trap.context / "lib", "commit", "-qam", "more")
    assert revision_of(trap.context, trap.project) == f"{head}-dirty"


def test_a_project_below_the_top_of_its_repository(trap: Trap) -> None:
    # git would take the plain files of the project's directory for a repository if it ran there.
    bare(trap)
    inner = trap.context / "image"
    inner.mkdir()
    assert revision_of(inner, trap.context) == ""
    assert revision_of(trap.context, trap.context) == f"{trap.revision}-dirty"
    assert not trap.sprung.exists()


def test_a_name_with_wildcards_is_a_name(trap: Trap) -> None:
    context = trap.project / "a[p]p"
    context.mkdir()
    (context / "x").write_text("1")
    assert revision_of(context, trap.project) == ""
    assert revision_of(trap.context, trap.project) == trap.revision


def test_a_filter_of_the_operators_own_is_run_without_their_passwords(
    trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", '{"slipway:passwords": "a-secret"}')
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    (trap.context / ".gitattributes").write_text("server.py filter=own\n")
    git(trap.project, "config", "filter.own.clean", str(trap.program))
    (trap.context / "server.py").write_text("2")
    assert revision_of(trap.context, trap.project) == f"{trap.revision}-dirty"
    given = trap.sprung.read_text()
    assert "HOME" in given
    assert not [word for word in ("PULUMI", "AWS", "a-secret") if word in given]


def test_the_environment_of_a_hook_does_not_change_the_repository(
    trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = revision_of(trap.context, trap.project)
    other = trap.project.parent / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index.lock"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.fsmonitor'='{trap.program}'")
    assert expected == trap.revision
    assert revision_of(trap.context, trap.project) == expected
    assert not trap.sprung.exists()


def test_git_writes_nothing(trap: Trap) -> None:
    index = trap.project / ".git/index"
    os.utime(trap.context / "server.py", (1, 1))  # git would note that it has looked at it again
    before = index.read_bytes()
    revision_of(trap.context, trap.project)
    assert index.read_bytes() == before
