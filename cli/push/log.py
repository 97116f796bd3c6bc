"""Files for what deployments print, for their owner alone."""

import os
from pathlib import Path
from typing import BinaryIO


def opened(path: Path, *, anew: bool) -> BinaryIO:
    """A log, to write at its end.

    Args:
        path: the file.
        anew: whether it begins empty. Who still writes to the one before does not write to this one.

    """
    if anew:
        path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
