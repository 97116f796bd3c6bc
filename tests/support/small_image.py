"""The image that the tests' services are built on, much smaller than Debian's: hosts load, push and pull it again and
again.
"""

import subprocess
import sys

from tests.support.clone import REPOSITORY
from tests.support.docker_command import docker
from tests.support.waiting import TOOLS_LIMIT

IMAGE = "slipway-test/small:1"


def make() -> None:
    """Have it in this machine's own engine. It is built once a machine, from what `make tools` has installed."""
    subprocess.run(
        [sys.executable, "-m", "toolchain"],
        cwd=REPOSITORY,
        check=True,
        timeout=TOOLS_LIMIT,
        stdout=subprocess.DEVNULL,
    )
    docker("build", "--quiet", "--tag", IMAGE, str(REPOSITORY / "tests/e2e/fixtures/small"))
