"""Staged contexts: copies that are the same in every clone, and never hold private files."""

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import staged_context
from components.staged_context import StagedContext, stage, sweep
from plugins.docker.context import digest
from well_known import STAGED_CONTEXTS_PATH

DOCKERFILE = "FROM scratch\nCOPY . /\n"


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", said.append)
    return said


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    yield
    close()


def close() -> None:
    """Let go of all copies, as the end of the process does."""
    while staged_context._IN_USE:
        os.close(staged_context._IN_USE.pop())


def clone(folder: Path, umask: int = 0o022) -> Path:
    before = os.umask(umask)
    try:
        app = folder / "app"
        (app / "lib").mkdir(parents=True)
        (app / "Dockerfile").write_text(DOCKERFILE)
        (app / "server.py").write_text("print(1)\n")
        (app / "run").write_text("#!/bin/sh\n")
        (app / "run").chmod(0o777 & ~umask)
        (app / "lib/a").write_bytes(b"a" * 3_000_000)
        (app / "link").symlink_to("lib/a")
        (app / "nowhere").symlink_to("/nowhere")
        (app / "circle").symlink_to("circle")
    finally:
        os.umask(before)
    return folder


def staged(folder: Path, monkeypatch: pytest.MonkeyPatch, **arguments: str) -> StagedContext:
    monkeypatch.chdir(folder)
    return stage("local", "web", Path("app"), Path("app/Dockerfile"), arguments)


def seen(root: Path) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            what: object = os.readlink(path)  # noqa: PTH115
        else:
            what = path.read_bytes() if path.is_file() else None
        found[path.relative_to(root).as_posix()] = (oct(status.st_mode), what)
    return found


def test_two_clones_have_one_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = clone(tmp_path / "one"), clone(tmp_path / "other", 0o077)
    (other / "app/server.py").chmod(0o660)
    os.utime(other / "app/server.py", (1, 1))
    first = staged(one, monkeypatch)
    digests = [digest(first.context, first.dockerfile)]
    contents = [seen(first.context)]
    before = os.umask(0o077)
    try:
        second = staged(other, monkeypatch)
    finally:
        os.umask(before)
    digests.append(digest(second.context, second.dockerfile))
    contents.append(seen(second.context))
    assert first == second
    assert digests[0] == digests[1]
    assert contents[0] == contents[1]
    assert contents[0]["server.py"] == ("0o100644", b"print(1)\n")
    assert contents[0]["run"][0] == "0o100755"
    assert contents[0]["lib"] == ("0o40755", None)
    assert contents[0]["nowhere"] == ("0o120777", "/nowhere")
    assert len({path.lstat().st_mtime_ns for path in second.context.rglob("*")}) == 1


def test_the_copy_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(clone(tmp_path), monkeypatch)
    assert stat.S_IMODE(Path(".slipway").stat().st_mode) == 0o700


def test_an_unchanged_context_is_not_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = staged(clone(tmp_path), monkeypatch)
    inode = first.context.stat().st_ino
    assert staged(tmp_path, monkeypatch) == first
    assert first.context.stat().st_ino == inode
    assert staged(tmp_path, monkeypatch, A="1") != first


def test_the_copy_of_a_copied_clone_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = staged(clone(tmp_path), monkeypatch)
    close()
    for path in (first.context, *first.context.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)
    assert staged(tmp_path, monkeypatch) == first
    assert stat.S_IMODE((first.context / "server.py").stat().st_mode) == 0o644


def test_old_copies_go_and_those_in_use_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = staged(clone(tmp_path), monkeypatch)
    close()
    used = staged(tmp_path, monkeypatch, A="1")
    close()
    other = os.open(used.context, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)  # another update, which is still building
    new = staged(tmp_path, monkeypatch, A="2")
    (STAGED_CONTEXTS_PATH / "local/web/.unfinished").mkdir()
    (STAGED_CONTEXTS_PATH / "local/gone/0123").mkdir(parents=True)
    sweep("local")
    assert not old.context.exists()
    assert used.context.exists()
    assert new.context.exists()
    os.close(other)
    sweep("local")
    assert [path.name for path in (STAGED_CONTEXTS_PATH / "local/web").iterdir()] == [new.tag]
    assert not (STAGED_CONTEXTS_PATH / "local/gone").exists()


def test_a_dockerfile_comes_along_though_it_is_ignored_or_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = clone(tmp_path) / "app"
    (app / ".dockerignore").write_text("*\n!server.py\n")
    found = staged(tmp_path, monkeypatch)
    assert set(seen(found.context)) == {"Dockerfile", "server.py"}
    (app / ".dockerignore").unlink()
    (app / "Dockerfile").rename(app / "real")
    (app / "Dockerfile").symlink_to("real")
    found = staged(tmp_path, monkeypatch)
    assert found.dockerfile.read_text() == DOCKERFILE
    assert not found.dockerfile.is_symlink()


def test_a_copy_has_no_private_files_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    app = clone(tmp_path) / "app"
    (app / "sub/.git").mkdir(parents=True)
    (app / "sub/.git/config").write_text("x")
    (app / "Pulumi.prod.yaml").write_text("x")
    found = staged(tmp_path, monkeypatch)
    assert not {"sub/.git", "Pulumi.prod.yaml"} & set(seen(found.context))
    (text,) = warnings
    assert text.startswith("web: the build does not get Pulumi.prod.yaml, sub/.git of its context.")
    (app / ".dockerignore").write_text("Pulumi.*\n**/.git\n")
    staged(tmp_path, monkeypatch)
    assert len(warnings) == 1


def test_special_files_are_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    app = clone(tmp_path) / "app"
    os.mkfifo(app / "fifo\n")
    monkeypatch.chdir(app)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        found = staged(tmp_path, monkeypatch)
    assert not [name for name in seen(found.context) if "fifo" in name or "socket" in name]
    assert len(warnings) == 2
    assert r"fifo\n" in warnings[0]


def test_names_need_not_be_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = clone(tmp_path) / "app"
    name = os.fsdecode(b"\xff\n")
    (app / name).write_text("x")
    found = staged(tmp_path, monkeypatch)
    assert (found.context / name).read_text() == "x"


def test_a_huge_sparse_file_stays_sparse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = clone(tmp_path) / "app"
    with (app / "huge").open("wb") as file:
        file.write(b"start")
        file.truncate(200 << 20)
    found = staged(tmp_path, monkeypatch)
    status = (found.context / "huge").stat()
    assert status.st_size == 200 << 20
    assert status.st_blocks * 512 < 10 << 20
    with (found.context / "huge").open("rb") as copy:
        assert copy.read(5) == b"start"


def test_the_tag_is_that_of_the_copied_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = clone(tmp_path) / "app"
    real = staged_context._make

    def changed_meanwhile(*arguments: Any) -> Any:
        (app / "server.py").write_text("print(2)\n")
        return real(*arguments)

    monkeypatch.setattr(staged_context, "_make", changed_meanwhile)
    found = staged(tmp_path, monkeypatch)
    monkeypatch.setattr(staged_context, "_make", real)
    assert (found.context / "server.py").read_text() == "print(2)\n"
    assert staged(tmp_path, monkeypatch) == found


def test_a_copy_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(pulumi.RunError, match="contexts/local/web: No space left"):
        staged(tmp_path, monkeypatch)
    assert list((tmp_path / STAGED_CONTEXTS_PATH / "local/web").iterdir()) == []
