"""Which hosts of a stack do not answer, and what to do about it.

Pulumi reports the address of an engine that it cannot reach, in its plugin's words. This module names the host.
"""

import socket
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cli import console
from cli.stack import deployment
from cli.stack.deployment import Deployment
from cli.stack.stack import Stack
from cli.update import serving

PATIENCE = 3.0
"""Seconds that a host has to answer. A running host answers in milliseconds, across the world in half a second."""


@dataclass(frozen=True)
class Endpoint:
    """A port of a host that answers while the host runs."""

    host: str
    service: str
    """`engine` or `SSH`."""
    address: str
    port: int

    def __str__(self) -> str:
        """The endpoint in a message."""
        return f"{self.service} at {self.address}:{self.port}"


@dataclass(frozen=True)
class Silence:
    """A host that does not answer."""

    host: str
    reasons: tuple[str, ...]
    """The endpoints that were tried, each with the failure."""
    container: str = ""
    """The host's container, on the platform `local`."""
    answers_ssh: bool = False
    """Whether the machine runs, and only its engine does not answer."""


def endpoints(state: Deployment) -> tuple[Endpoint, ...]:
    """The endpoints of the hosts in a state, from the stack's outputs and from the hosts' Docker providers.

    Hosts that are no longer in the state do not count, nor do hosts that are marked for replacement, which are known
    to be lost.
    """
    found: dict[tuple[str, str], Endpoint] = {}
    alive = {name for name, resource in deployment.hosts(state).items() if not resource.get("taint")}
    for host, url in deployment.engine_addresses(state).items():
        if host in alive:
            parts = urlsplit(url)
            found[host, "engine"] = Endpoint(host, "engine", parts.hostname or "", parts.port or 2376)
    announced = deployment.stack_outputs(state).get("hosts")
    for host, facts in announced.items() if isinstance(announced, dict) else ():
        if host in alive and isinstance(facts, dict) and facts.get("address"):
            for service, key in (("engine", "enginePort"), ("SSH", "sshPort")):
                if (host, service) not in found and isinstance(facts.get(key), int | float):
                    found[host, service] = Endpoint(host, service, facts["address"], int(facts[key]))
    return tuple(found.values())


def failure(endpoint: Endpoint, patience: float = PATIENCE) -> str:
    """Why an endpoint does not answer, or empty if it does.

    A connection alone proves nothing: for a container, Docker's proxy accepts it. So an engine must complete a TLS
    handshake, and an SSH server must send its version. No certificate is verified, and no data is sent.
    """
    try:
        with socket.create_connection((endpoint.address, endpoint.port), timeout=patience) as connection:
            connection.settimeout(patience)
            if endpoint.service == "SSH":
                return "" if connection.recv(4) == b"SSH-" else "closes the connection"
            return _handshake(connection)
    except ConnectionRefusedError:
        return "refuses connections"
    except TimeoutError:
        return f"gives no answer within {patience:g} s"
    except OSError as error:
        return str(error.strerror or error).lower()


def _handshake(connection: socket.socket) -> str:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.wrap_socket(connection).close()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
        return "closes the connection"
    except ssl.SSLError:
        return ""  # the engine asks for a client certificate, so it runs
    return ""


def silences(state: Deployment, patience: float = PATIENCE) -> tuple[Silence, ...]:
    """The hosts of a state that do not answer. All hosts are asked at the same time."""
    return _by_host(failures(endpoints(state), patience), state)


def failures(asked: Sequence[Endpoint], patience: float = PATIENCE) -> list[tuple[Endpoint, str]]:
    """Each of the endpoints, with why it does not answer, or empty. All are asked at the same time."""
    if not asked:
        return []
    # Slow to import.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(32, len(asked))) as pool:
        reasons = pool.map(lambda endpoint: failure(endpoint, patience), asked)
        return list(zip(asked, reasons, strict=True))


def _by_host(answers: Iterable[tuple[Endpoint, str]], state: Deployment) -> tuple[Silence, ...]:
    reasons: dict[str, list[str]] = {}
    machines = set()
    for endpoint, reason in answers:
        if reason:
            reasons.setdefault(endpoint.host, []).append(f"its {endpoint} {reason}")
        elif endpoint.service == "SSH":
            machines.add(endpoint.host)
    own = deployment.hosts(state)
    return tuple(
        Silence(host, tuple(lines), _container(own.get(host, {})), host in machines)
        for host, lines in sorted(reasons.items())
    )


def _container(resource: dict[str, Any]) -> str:
    if resource.get("type") != deployment.CONTAINER_TYPE:
        return ""
    name = (resource.get("outputs") or {}).get("name")
    return name if isinstance(name, str) else ""


def advice(silence: Silence, option: str) -> str:
    """The message about a host that does not answer.

    Args:
        silence: the host.
        option: the option that names the stack on the command line, such as ` -s dev`.

    """
    if silence.answers_ssh:
        return (
            f"{silence.host} runs, but its Docker Engine does not answer: {', '.join(silence.reasons)}.\n"
            f"  `./slip repair {silence.host}{option}` starts it; then run this command again."
        )
    start = f"`docker start {silence.container}`" if silence.container else "start it"
    return (
        f"{silence.host} does not answer: {', '.join(silence.reasons)}.\n"
        f"  If it is only switched off: {start}, then run this command again.\n"
        f"  If it is lost for good: `./slip forget {silence.host}{option}`, then `./slip up{option}`, which replaces "
        "it or, if it is no longer in the configuration, leaves it out."
    )


class Watch:
    """Asks the hosts in the background while Pulumi runs, so that the command need not wait for them."""

    def __init__(self, stack: Stack) -> None:
        """Prepare to ask the hosts in the state before the update."""
        self._silent: tuple[Silence, ...] = ()
        self._thread = threading.Thread(target=self._ask, args=(stack,), daemon=True)

    def start(self) -> None:
        """Begin to ask, once the CLI runs: a thread that imports modules disturbs the fork that starts it."""
        self._thread.start()

    def _ask(self, stack: Stack) -> None:
        # Without a state file, reading the state takes a Pulumi command, which is worth it only after a failure.
        if stack.backend.directory is not None:
            with suppress(ValueError):  # the CLI is just writing it
                self._silent = silences(stack.deployment())
        serving.warm_up()
        console.warm_up()

    def found_silence(self) -> bool:
        """Whether a host did not answer when the watch began."""
        self._thread.join()
        return bool(self._silent)


def advice_on_orphans(state: Deployment, option: str) -> list[str]:
    """A message for each host that is not in the state although things on it are."""
    return [
        f"{host} was deleted outside of Pulumi, and the state still has what was on it.\n"
        f"  `./slip forget {host}{option}`, then `./slip up{option}`, which makes it again."
        for host in sorted(deployment.orphaned_hosts(state))
    ]


def report(state: Deployment, option: str) -> bool:
    """Ask the hosts of a state now, and report those that do not answer, or are gone. Returns whether any was."""
    found = [advice(silence, option) for silence in silences(state)] + advice_on_orphans(state, option)
    for text in found:
        console.warn(text)
    return bool(found)
