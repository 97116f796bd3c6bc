"""docker.Image: a context's files that are not regular are not opened."""

import io
import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.docker.context import LIMIT, archive, digest, ignore_patterns, special_files
from plugins.protocol.messages import Failure


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "code.py").write_text("1")
    return tmp_path


def test_a_build_gets_files_directories_and_links_only(
    context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (context / "sub").mkdir()
    (context / "link").symlink_to("code.py")
    os.mkfifo(context / "sub/fifo")
    monkeypatch.chdir(context)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sub/socket")
        digest(context, context / "Dockerfile")
        body = io.BytesIO()
        archive(context, context / "Dockerfile", body)
        body.seek(0)
        with tarfile.open(fileobj=body) as tar:
            assert tar.getnames() == ["Dockerfile", "code.py", "link", "sub"]
        assert special_files(context, context / "Dockerfile") == ["sub/fifo", "sub/socket"]
        (context / ".dockerignore").write_text("sub\n")
        assert special_files(context, context / "Dockerfile") == []


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a FIFO": (os.mkfifo, "is not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "a directory": (Path.mkdir, "is not a regular file"),
    "too large": (lambda path: path.write_bytes(b"#" * (LIMIT + 1)), "is larger than 1 MiB"),
}


@pytest.mark.parametrize(("make", "wrong"), BAD.values(), ids=BAD)
def test_a_dockerfile_or_dockerignore_is_a_regular_file(
    make: Callable[[Path], object], wrong: str, context: Path
) -> None:
    make(context / ".dockerignore")
    with pytest.raises(Failure, match=f"dockerignore {wrong}"):
        ignore_patterns(context, context / "Dockerfile")
    (context / ".dockerignore").rename(context / "other")
    with pytest.raises(Failure, match=f"other {wrong}"):
        digest(context, context / "other")


def test_a_dockerignore_that_is_no_text_is_not_shown(context: Path) -> None:
    (context / ".dockerignore").write_bytes(b"\xffsecret")
    with pytest.raises(Failure, match=r"it is not text in UTF-8$"):
        ignore_patterns(context, context / "Dockerfile")
