"""The configuration of distribution, the registry's program, as the text of its `config.yml`.

It knows the passwords. TLS, and who may do what, are for the proxy before it (front.py).
"""

import hashlib

SOCKET_DIRECTORY = "/run/registry"
"""The directory of the registry's socket, in its container and in that of the proxy before it."""
SOCKET = f"{SOCKET_DIRECTORY}/registry.sock"
"""Where the registry listens: no network leads there."""
METRICS_PORT = 5001
"""TCP port of metrics and health inside the container."""

# A registry restarts when this text changes, even a comment in it.
CONFIG = """\
version: 0.1
log:
  # The proxy before it logs the requests. Two logs of each would cost more than the proxy does.
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    # Retention works on the folder.
    enabled: false
http:
  net: unix
  addr: {socket}
  secret: {secret}
  headers:
    X-Content-Type-Options: [nosniff]
  debug:
    # Health and metrics. They are published on a private address or not at all.
    addr: {metrics}
    prometheus:
      enabled: true
auth:
  htpasswd:
    realm: slipway
    path: /etc/distribution/htpasswd
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""


def config(private_key_pem: str, *, metrics: bool = False) -> str:
    """The text of `config.yml`.

    Its secret signs the state of unfinished uploads. It is derived from the key, so that an upload survives a restart.

    Args:
        private_key_pem: the key of the registry's certificate.
        metrics: whether metrics and health are reachable from outside the container.
    """
    secret = hashlib.sha256(b"slipway upload state\0" + private_key_pem.encode()).hexdigest()
    return CONFIG.format(
        socket=SOCKET,
        secret=secret,
        metrics=f"{'' if metrics else '127.0.0.1'}:{METRICS_PORT}",
    )
