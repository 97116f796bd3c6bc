"""Reading files that a stranger may have written: those of a build context, and whatever a link of it leads to.

Only regular files are opened: a FIFO would hang, a device never ends. What is wrong with a file is said without
anything of its content, which may be the operator's own by a link.
"""

import os
import re
import stat
from pathlib import Path

LIMIT = 1 << 20
"""Bytes of a Dockerfile, a `.dockerignore` or a file of certificates at most, 1 MiB. All authorities that Debian
trusts take a quarter of it, and a Dockerfile takes some KiB."""

PATH_LENGTH = 4095
"""Bytes of a path at most: Linux's PATH_MAX without its end."""

NO_CERTIFICATE, HOLDS_KEY = "holds no certificate", "holds a private key"

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----[ \t]*\n?")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")


class UnfitFile(Exception):
    """A file that must not or cannot be used; the text says why, as in `is not a regular file`."""


def read(path: Path, within: Path | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        within: the directory that it has to be in once links are followed; by default it may be anywhere.

    Raises:
        UnfitFile: it is somewhere else, no regular file, larger than `LIMIT`, or cannot be read.
    """
    try:
        real = path.resolve(strict=True)
        if within is not None and not real.is_relative_to(within.resolve(strict=True)):
            raise UnfitFile("is a link that leads out of the context")
        # Looked at before it is opened, which alone makes some devices do something, and after.
        _require_regular(real.lstat())
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            _require_regular(os.fstat(descriptor))
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise UnfitFile(f"cannot be read: {error.strerror or 'it is no file'}") from None
    except (ValueError, RuntimeError):
        # A path that no file can have, or links that go round in circles (Python before 3.13).
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
        UnfitFile: see `read`; or it is not text in UTF-8.
    """
    try:
        # Line ends as Python's own reading of text makes them.
        return read(path, within).decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise UnfitFile("is not text in UTF-8") from None


def ignore_file(context: Path, dockerfile: Path) -> Path | None:
    """The file whose patterns a build leaves out: `<dockerfile>.dockerignore`, else `.dockerignore`, as in Docker."""
    files = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((file for file in files if _exists(file)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # a name that is too long, for one


def certificates(text: str) -> str:
    """The certificates of a PEM text, and nothing else of it.

    Raises:
        UnfitFile: there is none, or there is a private key, which must go nowhere.
    """
    if _PRIVATE_KEY.search(text):
        raise UnfitFile(HOLDS_KEY)
    rest = _CERTIFICATE.sub("", text)
    if not rest.strip():
        return text  # as it is written: another text would be a change to the hosts
    found = "".join(f"{block.strip()}\n" for block in _CERTIFICATE.findall(text))
    if not found:
        raise UnfitFile(NO_CERTIFICATE)
    return found
