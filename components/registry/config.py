"""The configuration of distribution, the registry's program, as the text of its `config.yml`."""

import hashlib

CONTAINER_PORT = 5000
"""TCP port inside the container."""
METRICS_PORT = 5001
"""TCP port of metrics and health inside the container."""

# A registry restarts when this text changes, even a comment in it.
CONFIG = """\
version: 0.1
log:
  level: info
  accesslog:
    disabled: false
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
http:
  addr: :{port}
  secret: {secret}
  headers:
    X-Content-Type-Options: [nosniff]
{tls}  debug:
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

TLS = """\
  tls:
    certificate: /etc/distribution/tls.crt
    key: /etc/distribution/tls.key
    minimumtls: tls1.2
"""

CLIENTS = """\
    clientcas: [/etc/distribution/ca.crt]
    clientauth: require-and-verify-client-cert
"""
"""Requires a client certificate signed by the registry CA."""


def config(
    private_key_pem: str, *, tls: bool = True, metrics: bool = False, client_certificates: bool = False
) -> str:
    """The text of `config.yml`.

    Its secret signs the state of unfinished uploads. It is derived from the key, so that an upload survives a restart.

    Args:
        private_key_pem: the key of the registry's certificate.
        tls: whether the registry speaks TLS or plain HTTP.
        metrics: whether metrics and health are reachable from outside the container.
        client_certificates: whether the registry requires client certificates.

    """
    secret = hashlib.sha256(b"slipway upload state\0" + private_key_pem.encode()).hexdigest()
    tls_block = TLS + (CLIENTS if client_certificates else "")
    return CONFIG.format(
        port=CONTAINER_PORT,
        secret=secret,
        tls=tls_block if tls else "",
        metrics=f"{'' if metrics else '127.0.0.1'}:{METRICS_PORT}",
    )
