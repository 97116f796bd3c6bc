"""HAProxy's container: what the services' proxy and the proxy before the registry have in common."""

from typing import Any

import pulumi_docker as docker

from components.engine import LOG_DRIVER, LOG_OPTIONS

CONFIGURATION_PATH = "/usr/local/etc/haproxy"
"""The configuration's directory in the container, as in the official image."""
MASTER_SOCKET = "127.0.0.1:9998"
"""Where HAProxy's master process takes commands: the container's own loopback, which no other container reaches.
scripts/routes.sh and scripts/registry-front.sh ask there."""


def options(memory_mib: int) -> dict[str, Any]:
    """Arguments of `docker.Container`.

    Args:
        memory_mib: the memory limit. Workers that still finish their requests after a reload count, too.
    """
    return {
        "command": ["haproxy", "-W", "-db", "-S", MASTER_SOCKET, "-f", f"{CONFIGURATION_PATH}/haproxy.cfg"],
        "restart": "always",
        # The image's own signal waits for the last request, or the last stream.
        "stop_signal": "SIGTERM",
        "read_only": True,
        "memory": memory_mib,
        # Its user is not root, and an engine lets every user of a container listen on port 80.
        "capabilities": docker.ContainerCapabilitiesArgs(drops=["ALL"]),
        "security_opts": ["no-new-privileges"],
        "log_driver": LOG_DRIVER,
        "log_opts": LOG_OPTIONS,
    }
