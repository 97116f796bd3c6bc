"""TLS clients that trust one authority only."""

import ssl
import tempfile
from pathlib import Path


def tls_context(authority: str, identity: tuple[str, str] | None = None) -> ssl.SSLContext:
    """TLS for a client that trusts this authority (PEM) and no other.

    `identity` is the certificate and the key that the client shows, PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority)
    if identity:
        # Python's ssl reads a certificate and its key from files only.
        with tempfile.TemporaryDirectory(prefix="slipway-e2e-") as folder:
            files = Path(folder, "certificate.pem"), Path(folder, "key.pem")
            for file, content in zip(files, identity, strict=True):
                file.touch(mode=0o600)
                file.write_text(content)
            context.load_cert_chain(*files)
    return context
