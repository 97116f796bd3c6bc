"""Content tags of build contexts."""

import os
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest

from components.build_context import content_tag, files
from components.images.base_images import base_images


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "server.py").write_text("print(1)\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.txt").write_text("a")
    (tmp_path / ".dockerignore").write_text("Dockerfile\n.dockerignore\n*.log\n**/cache\n")
    return tmp_path


def seen(context: Path) -> set[str]:
    return {path.relative_to(context).as_posix() for path in files(context, context / "Dockerfile")}


CHANGES = {
    "a file's content": lambda c: (c / "server.py").write_text("print(2)\n"),
    "a file's mode": lambda c: (c / "server.py").chmod(0o755),
    "a new file": lambda c: (c / "new").write_text(""),
    "a file in a folder": lambda c: (c / "lib" / "a.txt").write_text("b"),
    "a file's name": lambda c: (c / "server.py").rename(c / "main.py"),
    "a link": lambda c: (c / "link").symlink_to("server.py"),
    "the Dockerfile, though ignored": lambda c: (c / "Dockerfile").write_text("FROM scratch\n"),
    "an empty folder": lambda c: (c / "empty").mkdir(),
    "a log below the root": lambda c: (c / "lib" / "x.log").write_text("x"),
}
UNSEEN = {
    "an ignored log": lambda c: (c / "x.log").write_text("x"),
    "an ignored folder anywhere": lambda c: (
        (c / "lib" / "cache").mkdir() or (c / "lib" / "cache" / "x").write_text("x")
    ),
    "a folder of ignored files only": lambda c: (
        (c / "logs").mkdir() or (c / "logs" / "cache").mkdir() or (c / "logs" / "cache" / "x").touch()
    ),
    "a group's right to write": lambda c: (c / "server.py").chmod(0o664),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_tag_changes_with(change: Callable[[Path], object], context: Path) -> None:
    before = content_tag(context)
    change(context)
    assert content_tag(context) != before


@pytest.mark.parametrize("change", UNSEEN.values(), ids=UNSEEN)
def test_a_tag_does_not_change_with(change: Callable[[Path], object], context: Path) -> None:
    (context / "server.py").chmod(0o644)
    before = content_tag(context)
    change(context)
    assert content_tag(context) == before


def test_a_tag_changes_with_arguments_and_not_with_their_order(context: Path) -> None:
    tags = [
        content_tag(context, None, arguments) for arguments in ({"A": "1"}, {"A": "2"}, {"A": "1", "B": "1"})
    ]
    assert len({content_tag(context), *tags}) == 4
    assert content_tag(context, None, {"B": "1", "A": "1"}) == tags[2]


def test_two_arguments_are_not_one_with_the_same_text(context: Path) -> None:
    assert content_tag(context, None, {"A": "1", "B": "2"}) != content_tag(context, None, {"A": "1B2"})


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ("", {"Dockerfile", ".dockerignore", "server.py", "lib/a.txt"}),
        ("server.py", {"Dockerfile", ".dockerignore", "lib/a.txt"}),
        ("/server.py\n./lib", {"Dockerfile", ".dockerignore"}),
        ("a.txt", {"Dockerfile", ".dockerignore", "server.py", "lib/a.txt"}),
        ("**/a.txt", {"Dockerfile", ".dockerignore", "server.py"}),
        ("*\n!server.py", {"server.py"}),
        ("# lib\n\nlib", {"Dockerfile", ".dockerignore", "server.py"}),
    ],
)
def test_dockerignore(patterns: str, left: set[str], context: Path) -> None:
    (context / ".dockerignore").write_text(patterns)
    assert seen(context) == left


def test_a_dockerfiles_own_dockerignore_goes_first(context: Path) -> None:
    (context / "Dockerfile.dockerignore").write_text("**\n!lib")
    assert seen(context) == {"lib/a.txt"}


def test_the_tag_of_a_context_is_the_same_in_every_version(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "ä b.txt").write_text("a")
    (tmp_path / "link").symlink_to("ä b.txt")
    for file in ("Dockerfile", "ä b.txt"):
        (tmp_path / file).chmod(0o644)
    assert content_tag(tmp_path, None, {"A": "1"}) == "0cc3ddeaf3c2"


def test_names_need_not_be_utf_8(context: Path) -> None:
    tags = [content_tag(context)]
    for name in (b"\xff", b"\xfe"):
        Path(os.fsdecode(os.fsencode(context) + b"/" + name)).write_text("a")
        tags.append(content_tag(context))
    os.symlink(b"\xff", os.fsencode(context) + b"/link")  # noqa: PTH211  # bytes
    tags.append(content_tag(context))
    assert len(set(tags)) == 4


def refuse(monkeypatch: pytest.MonkeyPatch, of: object, function: str, name: str) -> None:
    """Let a function refuse a name. The tests may run as root, who reads every file."""
    real = getattr(of, function)

    def refused(path: object, *rest: object, **more: object) -> object:
        if str(path).endswith(f"/{name}"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(of, function, refused)


@pytest.mark.parametrize(
    ("of", "function", "name", "what"),
    [(os, "scandir", "lib", "the folder 'lib'"), (os, "open", "a.txt", "'lib/a.txt'")],
    ids=["a folder", "a file"],
)
def test_what_cannot_be_read_is_named_with_a_remedy(
    of: object, function: str, name: str, what: str, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, of, function, name)
    with pytest.raises(pulumi.RunError, match=f"{what} cannot be read: Permission denied. Give your user"):
        content_tag(context)
    with (context / ".dockerignore").open("a") as file:
        file.write("lib\n!**/*.py\n")
    content_tag(context)


def test_the_images_of_a_dockerfile_in_a_context(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM $BASE AS bin-arm64\nFROM bin-$TARGETARCH\n")
    assert base_images(tmp_path / "Dockerfile", {"BASE": "debian:12"}, "linux/arm64") == ["debian:12"]
