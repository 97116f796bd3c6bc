"""Which requests a proxy sends to a service, and how, in the words of scripts/switch.sh. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from configuration.services import DEFAULT_TIMEOUT_SECONDS
from configuration.settings import StackSettings


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The requests that the proxies send to a service."""

    names: Sequence[str] = ()
    """Names of hosts, or wildcards such as `*.example.com`; none for all names that no other service has."""
    path: str = ""
    """The beginning of the paths, such as `/api`; empty for all paths."""
    strip_path: bool = False
    """Whether the service gets its requests without `path`."""
    canonical: str = ""
    """The name to which the others redirect; empty if none does."""
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    """Limit for the first byte of an answer."""
    max_body_mib: int | None = None
    """Limit of a request's body; None for no limit."""
    max_connections: int | None = None
    """Requests that a container gets at the same time; None for no limit."""
    allow: Sequence[str] = ()
    """Networks of the clients that it is for; none for all."""
    has_visitors: bool = False
    """Whether it asks visitors for a password."""
    rate: tuple[int, int] | None = None
    """Requests that a client may send, in so many seconds; None for no limit."""
    has_https: bool = False
    """Whether its names have HTTPS, to which plain HTTP redirects."""
    hsts_seconds: int | None = None
    """For how long browsers are to use HTTPS only; None if they are not told."""

    @classmethod
    def of(cls, settings: StackSettings, name: str) -> "Routing":
        """The routing that a service's settings ask for."""
        service = settings.services[name]
        # An edge ends HTTPS, redirects to it, and tells browsers of it.
        ends_here = not settings.edges
        return cls(
            names=service.names,
            path=service.path or "",
            strip_path=service.strip_path,
            canonical=service.canonical or "",
            timeout_seconds=service.timeout,
            max_body_mib=service.max_body,
            max_connections=service.max_connections,
            allow=[str(network) for network in service.allow],
            has_visitors=bool(service.auth),
            rate=(limit.requests, limit.seconds) if (limit := service.rate_limit) else None,
            has_https=settings.has_https(name) and ends_here,
            hsts_seconds=service.hsts if ends_here else None,
        )

    @property
    def keys(self) -> list[str]:
        """The routes' keys, as scripts/routes.sh has them: `@NAME`, with the path behind it, % for each slash."""
        return [f"@{name}{self.path.replace('/', '%')}" for name in self.names or [""]]

    def arguments(self, https_port: int) -> list[str]:
        """What the switch is told. A default is left out, so that a stack without the option has the same command.

        Args:
            https_port: where visitors reach the host by HTTPS.
        """
        options = {
            "path": self.path,
            "strip": "yes" if self.strip_path else "",
            "canonical": self.canonical,
            "timeout": "" if self.timeout_seconds == DEFAULT_TIMEOUT_SECONDS else str(self.timeout_seconds),
            "maxBody": str(self.max_body_mib or ""),
            "maxConnections": str(self.max_connections or ""),
            "allow": ",".join(self.allow),
            "auth": "yes" if self.has_visitors else "",
            "rate": "/".join(map(str, self.rate)) if self.rate else "",
            "https": str(https_port) if self.has_https else "",
            "hsts": "" if self.hsts_seconds is None else str(self.hsts_seconds),
        }
        return [*self.names, *(f"{name}={value}" for name, value in options.items() if value)]

    def visited(self, service: str) -> str:
        """A name by which visitors reach the service; empty if every name leads to it.

        Args:
            service: the service's name, which stands for the `*` of a wildcard.
        """
        return next(iter(self.names), "").replace("*", service)

    def probe(self, health: str) -> str:
        """A path that visitors reach the service by: its health path, or the beginning of its paths.

        Args:
            health: the path of its health check, as the container gets it.
        """
        if self.strip_path:
            return self.path + health
        return health if f"{health.partition('?')[0]}/".startswith(f"{self.path}/") else self.path
