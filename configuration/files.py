"""Readers for untrusted files: those of a build context, and the targets of links in it.

They open regular files only: reading a FIFO would hang, and reading a device may never end. Their errors hold nothing
of a file's content, since a link may point to a private file of the operator.
"""

import os
import re
import stat
from pathlib import Path

LIMIT = 1 << 20
"""The largest size in bytes of a Dockerfile, a `.dockerignore` or a file of certificates: 1 MiB. The file of all
authorities that Debian trusts has a quarter of that, a Dockerfile has some KiB."""

PATH_LENGTH = 4095
"""The longest path in bytes: Linux's PATH_MAX without the final NUL."""

NO_CERTIFICATE, HOLDS_KEY = "holds no certificate", "holds a private key"

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----[ \t]*\n?")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")


class UnfitFile(Exception):
    """A file that must not or cannot be read; the text is the predicate of a sentence, `is not a regular file`."""


def read(path: Path, within: Path | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        within: the directory that has to hold the file after links are followed; by default any.

    Raises:
        UnfitFile: the file is elsewhere, not regular, larger than `LIMIT`, or cannot be read.
    """
    try:
        real = path.resolve(strict=True)
        if within is not None and not real.is_relative_to(within.resolve(strict=True)):
            raise UnfitFile("is a link to a file outside the context")
        # Before opening, since opening alone triggers some devices; and after, since the file may have been replaced.
        _require_regular(real.lstat())
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            _require_regular(os.fstat(descriptor))
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise UnfitFile(f"cannot be read: {error.strerror or 'it is not a file'}") from None
    except (ValueError, RuntimeError):
        # An impossible path, or a loop of links (before Python 3.13).
        raise UnfitFile("cannot be read: no file can have that path") from None
    if len(content) > LIMIT:
        raise UnfitFile(f"is larger than {LIMIT >> 20} MiB")
    return content


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnfitFile("is not a regular file")


def read_text(path: Path, within: Path | None = None) -> str:
    """The text of a regular file.

    Raises:
        UnfitFile: as for `read`, or the file is not text in UTF-8.
    """
    try:
        # The same line ends that Python's text mode makes.
        return read(path, within).decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise UnfitFile("is not text in UTF-8") from None


def ignore_file(context: Path, dockerfile: Path) -> Path | None:
    """The file with the patterns to ignore: `<dockerfile>.dockerignore`, or else `.dockerignore`, as in Docker."""
    files = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((file for file in files if _exists(file)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # such as a name that is too long


def certificates(text: str) -> str:
    """The certificates in a PEM text, and nothing else of it.

    Raises:
        UnfitFile: the text holds no certificate, or holds a private key.
    """
    if _PRIVATE_KEY.search(text):
        raise UnfitFile(HOLDS_KEY)
    rest = _CERTIFICATE.sub("", text)
    if not rest.strip():
        return text  # unchanged, since any other text would be a change on the hosts
    found = "".join(f"{block.strip()}\n" for block in _CERTIFICATE.findall(text))
    if not found:
        raise UnfitFile(NO_CERTIFICATE)
    return found
