"""The throughput of a host's proxy, compared with Debian's nginx before the same server.

HAProxy runs from its image with the configuration that a host's scripts render; no stack is needed.
"""

import base64
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import child_environment
from bench.experiments import Results, Say
from bench.measure import BenchError, free_port
from components.visitors import hashes
from tests.support.authority import Authority
from tests.support.front_door import FrontDoor
from well_known import DEBIAN_IMAGE

TARGET, FULL_TARGET = 1.0, 1 / 0.8
"""The targets: nginx's requests a second by ours, at most; and with every limit of a service switched on."""
PROGRAMS = {"nginx": "nginx-light", "h2load": "nghttp2-client"}
"""What has to be on this machine, each with its package in Debian."""
CLIENTS = 16
LEAST = 200
"""Requests of a load that says something."""
ANSWER = "x" * 1024
"""What the server behind both answers with."""
NAME, PASSWORD = "web.test", "bench-password"
PROTOCOLS = {"HTTP/1.1": ["--h1"], "HTTP/2": []}

COMMON = """\
daemon off;
master_process on;
worker_processes auto;
pid {folder}/{name}.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log {log};
  client_body_temp_path {folder}/{name}-body;
  proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-fastcgi;
  uwsgi_temp_path {folder}/{name}-uwsgi;
  scgi_temp_path {folder}/{name}-scgi;
  keepalive_requests 1000000;
{http}
}}
"""
SERVER = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "{answer}"; }}
  }}
"""
PROXY = """\
  upstream app {{ server 127.0.0.1:{behind}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    server_name {name};
    ssl_certificate {folder}/tls.pem;
    ssl_certificate_key {folder}/tls.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Request-Id $request_id;
    }}
  }}
"""


@dataclass(frozen=True)
class Load:
    """What a load of some seconds came to."""

    rate: float
    """Requests a second."""
    p99: float
    """Milliseconds in which 99 of 100 requests were answered."""
    cpu: float
    """Microseconds of a processor that the proxy used for a request: other work of the machine changes it little."""


def proxy(results: Results, runs: int, seconds: int, say: Say) -> None:
    """Load nginx and HAProxy in turn over HTTPS with keep-alive, for so many seconds in all.

    The clients run on the same machine, so every measurement includes their work.

    Raises:
        BenchError: a program is missing, or a request failed.
    """
    missing = [package for program, package in PROGRAMS.items() if not _program(program)]
    if missing:
        raise BenchError(f"`proxy` needs programs of Debian: apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="slipway-bench-proxy-") as name, ExitStack() as running:
        folder = Path(name)
        folder.chmod(0o755)
        certificate, key = Authority().leaf(NAME)
        (folder / "tls.pem").write_text(certificate + key)
        behind, before = free_port(), free_port()
        running.enter_context(_nginx(folder, "server", SERVER.format(port=behind, answer=ANSWER), log="off"))
        config = PROXY.format(port=before, behind=behind, folder=folder, name=NAME)
        running.enter_context(_nginx(folder, "proxy", config, log=f"{folder}/access.log"))
        plain = running.enter_context(_haproxy(folder / "plain", "https=443", behind, certificate + key))
        options = (
            "https=443 hsts=300 auth=yes rate=1000000/60 allow=127.0.0.0/8 maxBody=50 maxConnections=4096"
        )
        full = running.enter_context(_haproxy(folder / "full", options, behind, certificate + key))
        account = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
        proxies = {
            "nginx": (_container("proxy"), before),
            "HAProxy": (plain.name, plain.tls_port),
            "HAProxy with every limit": (full.name, full.tls_port),
        }
        each = max(1, seconds // (runs * len(PROTOCOLS) * len(proxies)))
        for protocol, options_of_protocol in PROTOCOLS.items():
            found: dict[str, list[Load]] = {what: [] for what in proxies}
            for number in range(1, runs + 1):
                for what, (container, port) in proxies.items():
                    words = [*options_of_protocol, "-H", f"Authorization: Basic {account}"]
                    load = _load(container, port, words, each, folder)
                    found[what].append(load)
                    say(
                        f"proxy {number} of {runs}, {protocol}, {what}: {load.rate:.0f}/s, p99 {load.p99:.1f} ms, "
                        f"{load.cpu:.0f} µs of a processor each"
                    )
            _add(results, protocol, found)


def _add(results: Results, protocol: str, found: Mapping[str, list[Load]]) -> None:
    for what, loads in found.items():
        results.add("proxy", f"{protocol}, {what}", "/s", [load.rate for load in loads], 1)
        results.add("proxy", f"{protocol}, {what}, p99", "ms", [load.p99 for load in loads], 1)
        results.add(
            "proxy", f"{protocol}, {what}, processor a request", "µs", [load.cpu for load in loads], 1
        )
    nginx = [load.rate for load in found["nginx"]]
    for what, target in (("HAProxy", TARGET), ("HAProxy with every limit", FULL_TARGET)):
        # These are rates, so the quotient is inverted: nginx's rate / our rate = our time / nginx's time.
        ours = [load.rate for load in found[what]]
        results.compare("proxy", f"{protocol}, {what} / nginx", nginx, ours, target)
        # Without the engine's share, which reads HAProxy's log.
        used = [[load.cpu for load in found[name]] for name in (what, "nginx")]
        results.compare("proxy", f"{protocol}, {what} / nginx, processor a request", used[0], used[1], None)


@contextmanager
def _nginx(folder: Path, name: str, http: str, *, log: str) -> Iterator[None]:
    """This machine's nginx in a container like HAProxy's: a busy machine shares its processors out by container."""
    config = folder / f"{name}.conf"
    config.write_text(COMMON.format(folder=folder, name=name, log=log, http=http))
    container = _container(name)
    libraries = os.environ.get("LD_LIBRARY_PATH")
    _docker(
        *("run", "--detach", "--name", container, "--network", "host", "--memory", "512m"),
        *("--volume", "/:/machine:ro", "--volume", f"{folder}:/machine{folder}"),
        *(("--env", f"LD_LIBRARY_PATH={libraries}") if libraries else ()),
        *(DEBIAN_IMAGE, "chroot", "/machine", _program("nginx"), "-c", str(config), "-e", "stderr"),
    )
    try:
        ports = [int(port) for port in re.findall(r"listen 127\.0\.0\.1:(\d+)", http)]
        _wait(ports, container)
        yield
    finally:
        _docker("rm", "--force", container)


def _container(name: str) -> str:
    return f"slipway-bench-nginx-{name}"


def _wait(ports: list[int], container: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            for port in ports:
                socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise BenchError(f"nginx does not start:\n{_docker('logs', container)}")


def _docker(*words: str) -> str:
    result = subprocess.run(
        ["docker", *words],
        env=child_environment.of("docker"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise BenchError(f"docker {words[0]} ended with status {result.returncode}:\n{result.stdout}")
    return result.stdout


@contextmanager
def _haproxy(root: Path, options: str, behind: int, certificate: str) -> Iterator[FrontDoor]:
    root.mkdir()
    name = f"slipway-bench-proxy-{root.name}"
    door = FrontDoor(root, name, {f"@{NAME}": ("web", options)}, {"web": behind})
    door.bring("/etc/slipway/proxy/certificates/web.pem", certificate)
    door.bring("/etc/slipway/visitors/web", hashes("web", {"alice": PASSWORD}))
    with door:
        yield door


def _load(container: str, port: int, words: list[str], seconds: int, folder: Path) -> Load:
    """Let clients ask a proxy in a container again and again.

    Raises:
        BenchError: a request failed.
    """
    log = folder / "requests"
    command = [
        *(_program("h2load"), f"--clients={CLIENTS}", f"--connect-to=127.0.0.1:{port}"),
        *(*words, f"https://{NAME}:{port}/"),
    ]
    environment = child_environment.of("h2load")
    subprocess.run([*command, "--duration=1"], env=environment, capture_output=True, check=False)
    log.unlink(missing_ok=True)
    before = _cpu_seconds(container)
    result = subprocess.run(
        [*command, f"--duration={seconds}", f"--log-file={log}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    used = _cpu_seconds(container) - before
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", result.stdout)
    rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", result.stdout)
    if not statuses or not rate or any(int(number) for number in statuses.groups()[1:]):
        raise BenchError(f"a request failed:\n{result.stdout}{result.stderr}")
    # Each line: when it began, its status, and how long it took, in microseconds.
    took = [int(line.split()[2]) / 1000 for line in log.read_text().splitlines()]
    if len(took) < LEAST:
        raise BenchError(f"only {len(took)} requests in {seconds} s; give it more --seconds")
    return Load(float(rate[1]), statistics.quantiles(took, n=100)[98], used * 1e6 / len(took))


def _cpu_seconds(container: str) -> float:
    """What the processes of a container have used so far."""
    ticks = 0
    for line in _docker("top", container, "-o", "pid").splitlines()[1:]:
        # The program's name, in brackets, may have spaces in it.
        fields = Path(f"/proc/{line.strip()}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _program(name: str) -> str:
    """The path of a program; empty without it."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""
