"""The throughput of the stack's registry, compared with the same program as a process of this machine."""

import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import child_environment
from bench.experiments import Results, Say
from bench.measure import BenchError
from bench.stack import Stack
from components.registry.htpasswd import htpasswd
from tests.support.registry import Registry
from tests.support.registry_client import Client
from tests.support.registry_load import LAYER, RegistryLoad
from well_known import REGISTRY_IMAGE

TARGET = 2.0
"""The target: the stack's registry takes at most this many times the time of the bare program with TLS and accounts.
The difference is the cost of a container, its network, a published port, and the proxy before it."""

ACCOUNT = ("bench", "bench-password-0123456789")

BARE = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}}}
http:
  addr: 127.0.0.1:{port}
"""

GUARDED = """\
  tls: {{certificate: {folder}/tls.crt, key: {folder}/tls.key, minimumtls: tls1.2}}
auth:
  htpasswd: {{realm: bench, path: {folder}/htpasswd}}
"""


def registry(stack: Stack, results: Results, seconds: int, app_hosts: int, say: Say) -> None:
    """Let eight clients push and sixteen pull for so many seconds, with each of three registries in turn.

    The clients run on the same machine, so every measurement includes their work.

    Raises:
        BenchError: a push or a pull failed.
    """
    rates: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="slipway-bench-registry-") as folder:
        program = _program(Path(folder))
        stack_registry = Registry.of(stack.outputs)
        with bare(program, Path(folder), guarded=False) as client:
            rates["bare, neither TLS nor accounts"] = _measure(client, seconds, say)
        rates["the stack's"] = _measure(lambda: Client.of(stack_registry), seconds, say)
        with bare(program, Path(folder), guarded=True) as client:
            rates["bare, TLS and accounts"] = _measure(client, seconds, say)
    for name, (pushes, pulls) in rates.items():
        for what, rate in (("pushed", pushes), ("pulled", pulls)):
            results.add("registry", f"{what} images, {name}", "/s", [rate], app_hosts)
            results.add("registry", f"{what}, {name}", "MB/s", [rate * LAYER / 1e6], app_hosts)
    ours = sum(rates["the stack's"])
    for name in ("bare, TLS and accounts", "bare, neither TLS nor accounts"):
        # These are rates, so the quotient is inverted: bare rate / our rate = our time / bare time.
        what = f"the stack's registry / {name}"
        results.compare("registry", what, [sum(rates[name])], [ours], TARGET if "TLS and" in name else None)


def _measure(client: Callable[[], Client], seconds: int, say: Say) -> tuple[float, float]:
    """Pushes and pulls per second."""
    with RegistryLoad(client) as load:
        time.sleep(seconds)
    if load.errors:
        raise BenchError(f"{len(load.errors)} requests failed, such as {load.errors[0]}")
    rates = len(load.pushed) / load.seconds, load.pulls / load.seconds
    say(f"registry: {rates[0]:.0f} pushes and {rates[1]:.0f} pulls per second")
    return rates


def _program(folder: Path) -> Path:
    """Copy the registry's program out of the stack's image. Returns its path."""
    container = _read("docker", "create", REGISTRY_IMAGE)
    try:
        _read("docker", "cp", f"{container}:/bin/registry", str(folder))
    finally:
        _read("docker", "rm", container)
    return folder / "registry"


@contextmanager
def bare(program: Path, folder: Path, *, guarded: bool) -> Iterator[Callable[[], Client]]:
    """Run the registry as a process, with its data in `folder`. Yields a function that makes clients."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    data = folder / "data"
    config = BARE.format(data=data, port=port)
    client = Client(f"127.0.0.1:{port}")
    if guarded:
        config += GUARDED.format(folder=folder)
        certificate, key = _certificate()
        (folder / "tls.crt").write_text(certificate)
        (folder / "tls.key").write_text(key)
        (folder / "htpasswd").write_text(htpasswd(dict([ACCOUNT])))
        client = replace(client, account=ACCOUNT, certificate_authority=certificate)
    (folder / "config.yml").write_text(config)
    environment = child_environment.of("registry") | {"OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen(
        [program, "serve", folder / "config.yml"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        _wait(client, process)
        yield lambda: replace(client)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(data, ignore_errors=True)


def _wait(client: Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.ask("GET", "/v2/").status == http.client.OK:
                return
        except OSError:
            time.sleep(0.05)
    raise BenchError("the bare registry does not start")


def _certificate() -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1 and its key, PEM. The key has the type of the stack's keys."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=12))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _read(*command: str) -> str:
    variables = child_environment.of(Path(command[0]).name)
    result = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BenchError(f"{' '.join(command)} ended with status {result.returncode}:\n{result.stderr}")
    return result.stdout.strip()
