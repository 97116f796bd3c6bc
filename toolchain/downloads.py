"""Whether this machine can reach Pulumi's downloads."""

import functools
import platform
import threading

from toolchain import versions

PATIENCE = 4.0
"""Seconds to wait for an answer: enough for a slow line, short on a network that drops the request."""


@functools.cache
def reachable() -> bool:
    """Whether the pinned CLI's archive can be downloaded. Asked once in a process.

    False if the name does not resolve, the connection hangs, or a gateway refuses it, as on closed networks.
    """
    answer: list[bool] = []
    # In a thread, since the resolver has no time limit.
    asker = threading.Thread(target=lambda: answer.append(_ask(_archive())), daemon=True)
    asker.start()
    asker.join(PATIENCE)
    return bool(answer and answer[0])


def _archive() -> str:
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(
        platform.machine().lower(), platform.machine()
    )
    name = f"pulumi-v{versions.pulumi()}-{platform.system().lower()}-{machine}.tar.gz"
    return f"https://get.pulumi.com/releases/sdk/{name}"


def _ask(url: str) -> bool:
    # Slow to import, and needed only if something is missing.
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - a constant https address
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
            return int(response.status) == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False
