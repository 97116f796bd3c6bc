"""The throughput of the stack's registry, compared with the same program as a process of this machine."""

import http.client
import shutil
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
from bench.measure import BenchError, free_port
from bench.stack import Stack
from components.engine import LOG_DRIVER
from components.registry import front
from components.registry.config import SOCKET, SOCKET_DIRECTORY
from components.registry.htpasswd import htpasswd
from components.registry.rights import EVERYTHING, Rights, maps
from tests.support.registry import Registry
from tests.support.registry_client import Client
from tests.support.registry_load import LAYER, RegistryLoad
from well_known import PROXY_IMAGE, REGISTRY_IMAGE

TARGET = 2.0
"""The target: the stack's registry takes at most this many times the time of the bare program with TLS and accounts.
The difference is the cost of a container, its network, a published port, and the proxy before it."""
PROXY_TARGET = 1 / 0.95
"""The target of the proxy alone: at most this many times the time of the same program that speaks TLS itself."""
PROXY = "slipway-bench-registry-proxy"
"""The name of the container of the proxy alone."""

PAIRS = 3
"""How often the proxy alone is compared with the program."""

ACCOUNT = ("bench", "bench-password-0123456789")

BARE = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}}}
http:
  net: {net}
  addr: {address}
"""
TLS = """\
  tls: {{certificate: {folder}/tls.crt, key: {folder}/tls.key, minimumtls: tls1.2}}
"""
ACCOUNTS = """\
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
        alone = _measure_proxy(program, Path(folder), max(1, seconds // PAIRS), say)
    results.compare(
        "registry", "the proxy's TLS and rights / the registry's own TLS", alone[0], alone[1], PROXY_TARGET
    )
    for name, (pushes, pulls) in rates.items():
        for what, rate in (("pushed", pushes), ("pulled", pulls)):
            results.add("registry", f"{what} images, {name}", "/s", [rate], app_hosts)
            results.add("registry", f"{what}, {name}", "MB/s", [rate * LAYER / 1e6], app_hosts)
    ours = sum(rates["the stack's"])
    for name in ("bare, TLS and accounts", "bare, neither TLS nor accounts"):
        # These are rates, so the quotient is inverted: bare rate / our rate = our time / bare time.
        what = f"the stack's registry / {name}"
        results.compare("registry", what, [sum(rates[name])], [ours], TARGET if "TLS and" in name else None)


def _measure_proxy(program: Path, folder: Path, seconds: int, say: Say) -> tuple[list[float], list[float]]:
    """Pushes and pulls per second of the program that speaks TLS itself, and of the one behind the proxy, in turn."""
    alone: list[float] = []
    behind: list[float] = []
    for _ in range(PAIRS):
        with bare(program, folder, guarded=True) as client:
            alone.append(sum(_measure(client, seconds, say)))
        with proxied(program, folder) as client:
            behind.append(sum(_measure(client, seconds, say)))
    return alone, behind


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
    port = free_port()
    client = Client(f"127.0.0.1:{port}")
    config = BARE.format(data=folder / "data", net="tcp", address=client.address)
    if guarded:
        certificate = _guard(folder)
        config += TLS.format(folder=folder) + ACCOUNTS.format(folder=folder)
        client = replace(client, account=ACCOUNT, certificate_authority=certificate)
    with _running(program, folder, config) as process:
        _wait(client, process)
        yield lambda: replace(client)


@contextmanager
def proxied(program: Path, folder: Path) -> Iterator[Callable[[], Client]]:
    """Run the registry as a process behind the stack's proxy, which has this machine's network."""
    port, inside = free_port(), folder / "run"
    certificate = _guard(folder)
    client = Client(f"127.0.0.1:{port}", ACCOUNT, certificate)
    inside.mkdir(exist_ok=True)
    server = inside / Path(SOCKET).name
    server.unlink(missing_ok=True)
    settings = folder / "proxy"
    settings.mkdir(exist_ok=True)
    text = front.configuration().replace(f"bind :{front.PORT}", f"bind {client.address}")
    (settings / "haproxy.cfg").write_text(text)
    (settings / "tls.pem").write_text(certificate + (folder / "tls.key").read_text())
    for name, lines in maps({ACCOUNT[0]: Rights(push=EVERYTHING, pull=EVERYTHING)}).items():
        (settings / f"{name}.map").write_text(f"{lines}\n")
    config = BARE.format(data=folder / "data", net="unix", address=server) + ACCOUNTS.format(folder=folder)
    with _running(program, folder, config) as process:
        while not server.exists() and process.poll() is None:
            time.sleep(0.05)
        server.chmod(0o666)
        folder.chmod(0o755)
        _read(
            *("docker", "run", "--detach", "--name", PROXY, "--network", "host", "--memory", "256m"),
            *("--log-driver", LOG_DRIVER, "--volume", f"{settings}:{front.SETTINGS_PATH}:ro"),
            *("--volume", f"{inside}:{SOCKET_DIRECTORY}", PROXY_IMAGE),
            *("haproxy", "-W", "-db", "-f", f"{front.SETTINGS_PATH}/haproxy.cfg"),
        )
        try:
            _wait(client, process)
            yield lambda: replace(client)
        finally:
            _read("docker", "rm", "--force", PROXY)


def _guard(folder: Path) -> str:
    """Make a certificate and the accounts file. Returns the certificate."""
    certificate, key = _certificate()
    (folder / "tls.crt").write_text(certificate)
    (folder / "tls.key").write_text(key)
    (folder / "htpasswd").write_text(htpasswd(dict([ACCOUNT])))
    return certificate


@contextmanager
def _running(program: Path, folder: Path, config: str) -> Iterator["subprocess.Popen[bytes]"]:
    (folder / "config.yml").write_text(config)
    environment = child_environment.of("registry") | {"OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen(
        [program, "serve", folder / "config.yml"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder / "data", ignore_errors=True)


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
