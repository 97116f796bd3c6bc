"""The `docker` command on this machine's own engine."""

import contextlib
import subprocess
from collections.abc import Iterator

from tests.support.waiting import PATIENCE, eventually


def docker(*arguments: str, check: bool = True) -> str:
    """The standard output of a docker command. It has to succeed, unless `check` is false."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0 or not check, f"docker {' '.join(arguments)}: {result.stderr}"
    return result.stdout.strip()


@contextlib.contextmanager
def paused(container: str) -> Iterator[None]:
    """Pause a container while the block runs. To freeze a host, the kernel may need several attempts."""
    eventually(f"{container} is paused", lambda: bool(docker("pause", container)))
    try:
        yield
    finally:
        docker("unpause", container)
