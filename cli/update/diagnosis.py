"""Which hosts of a stack do not answer, and what to do about them.

Pulumi names the engine that it could not reach, in the words of its plugin. This says which host that is.
"""

import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cli import console
from cli.stack import deployment
from cli.stack.deployment import Deployment
from cli.stack.stack import Stack

PATIENCE = 3.0
"""Seconds that a host has to answer. One that is up answers within milliseconds, across the world in half a second."""


@dataclass(frozen=True)
class Endpoint:
    """A port that answers wherever a host is well."""

    host: str
    service: str
    """`engine` or `SSH`."""
    address: str
    port: int

    def __str__(self) -> str:
        """The endpoint as people read it."""
        return f"{self.service} at {self.address}:{self.port}"


@dataclass(frozen=True)
class Silence:
    """A host that does not answer."""

    host: str
    reasons: tuple[str, ...]
    """What was tried and what came of it."""
    container: str = ""
    """The container that is the host, on the platform `local`."""


def endpoints(state: Deployment) -> tuple[Endpoint, ...]:
    """Where the hosts in a state should answer, from the stack's outputs and from the hosts' Docker providers.

    Only hosts that the state still has: a host that was removed may stay silent, and one that is marked to be made anew
    is known to be gone.
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
    """Why an endpoint does not answer, or `""` if it does.

    A connection alone proves nothing: for a container, Docker's own proxy accepts it. So an engine must get through a
    TLS handshake and an SSH server must say its name. Nobody is trusted here, and nothing is sent.
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
        return ""  # it wants a client certificate: the engine is there
    return ""


def silences(state: Deployment, patience: float = PATIENCE) -> tuple[Silence, ...]:
    """The hosts of a state that do not answer, all asked at once."""
    asked = endpoints(state)
    if not asked:
        return ()
    # Slow to import: an update does so in the background (Watch).
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(32, len(asked))) as pool:
        reasons = pool.map(lambda endpoint: failure(endpoint, patience), asked)
        failed = [(endpoint, reason) for endpoint, reason in zip(asked, reasons, strict=True) if reason]
    return _by_host(failed, state)


def _by_host(failed: Iterable[tuple[Endpoint, str]], state: Deployment) -> tuple[Silence, ...]:
    reasons: dict[str, list[str]] = {}
    for endpoint, reason in failed:
        reasons.setdefault(endpoint.host, []).append(f"its {endpoint} {reason}")
    own = deployment.hosts(state)
    return tuple(
        Silence(host, tuple(lines), _container(own.get(host, {}))) for host, lines in sorted(reasons.items())
    )


def _container(resource: dict[str, Any]) -> str:
    if resource.get("type") != "docker:index/container:Container":
        return ""
    name = (resource.get("outputs") or {}).get("name")
    return name if isinstance(name, str) else ""


def advice(silence: Silence, option: str) -> str:
    """What to tell people about a silent host.

    Args:
        silence: the host.
        option: how the stack is named on the command line, such as ` -s dev`.

    """
    start = f"`docker start {silence.container}`" if silence.container else "start it"
    return (
        f"{silence.host} does not answer: {', '.join(silence.reasons)}.\n"
        f"  If it is only switched off, {start} and run this again.\n"
        f"  If it is gone for good: `./slip forget {silence.host}{option}`, then `./slip up{option}`, which makes it "
        "anew or, if the configuration no longer has it, leaves it away."
    )


class Watch:
    """Asks the hosts in the background while Pulumi runs, so that nobody waits for the answers."""

    def __init__(self, stack: Stack) -> None:
        """Begin to ask the hosts that the stack has before the update."""
        self._silent: tuple[Silence, ...] = ()
        self._thread = threading.Thread(target=self._ask, args=(stack,), daemon=True)
        self._thread.start()

    def _ask(self, stack: Stack) -> None:
        # Where the state is no file it takes a call of the CLI, which is only worth it after a failure.
        if stack.backend.directory is not None:
            self._silent = silences(stack.deployment())
        console.warm_up()

    def found_silence(self) -> bool:
        """Whether a host was silent when the watch began."""
        self._thread.join()
        return bool(self._silent)


def report(state: Deployment, option: str) -> bool:
    """Ask the hosts of a state now, and say which do not answer. Returns whether there is one."""
    found = silences(state)
    for silence in found:
        console.warn(advice(silence, option))
    return bool(found)
