"""Keys that killed runs of older versions left in the folder for temporary files: they are removed.

Those wrote an engine's client key into `slipway-XXXXXXXX/{0,1,2}.pem` (`slip logs`, `slip verify`),
`slipway-XXXXXXXX` (the stand-in plugin), and `tmp.XXXXXXXXXX/{ca,cert,key}.pem` (load-images.sh).
"""

import os
import re
import stat
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

AGE = 3600.0
"""Seconds after which nothing of a run is needed any more: an older version may be at work beside this one."""
_NAME = re.compile(r"slipway-\w{8}|tmp\.\w{10}")
_FILES = ({"0.pem", "1.pem", "2.pem"}, {"ca.pem", "cert.pem", "key.pem"})
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s*([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_LIMIT = 1 << 16


@cache
def sweep() -> None:
    """Remove what is certainly such a left-over: this user's, old enough, and with a certificate of Slipway.

    Once in a process, which may connect to many engines.
    """
    for folder in {tempfile.gettempdir(), "/dev/shm"}:  # noqa: S108 - nothing is written there
        for path in _leftovers(folder):
            _remove(path)


def _leftovers(folder: str) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if _NAME.fullmatch(entry.name) and _is_ours(Path(entry.path)):
                    yield Path(entry.path)


def _is_ours(path: Path) -> bool:
    status = path.lstat()
    if status.st_uid != os.geteuid() or time.time() - status.st_mtime < AGE:
        return False
    if stat.S_ISREG(status.st_mode):
        return _has_certificate(path)
    if not stat.S_ISDIR(status.st_mode):
        return False
    files = list(path.iterdir())
    names = {file.name for file in files}
    return bool(files) and any(names <= known for known in _FILES) and any(map(_has_certificate, files))


def _has_certificate(path: Path) -> bool:
    """Whether a file has a certificate that Slipway made. Its subject or its issuer says so."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    with path.open("rb") as file:
        text = file.read(_LIMIT).decode(errors="replace")
    for body in _CERTIFICATE.findall(text):
        with suppress(ValueError):
            if b"Slipway" in b64decode(body):
                return True
    return False


def _remove(path: Path) -> None:
    with suppress(OSError):
        if not path.is_dir():
            path.unlink()
            return
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
