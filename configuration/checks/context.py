"""What all checks read: the settings, which of them are invalid, and what follows from both."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from configuration.problems import Location, Problem, command, path_of
from configuration.settings import StackSettings

SSH, ENGINE, HTTP, HTTPS = 22, 2376, 80, 443
"""TCP ports on a host: sshd, the Docker Engine and, on an app host, the proxy."""

K = TypeVar("K")


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What the checks of one configuration read."""

    settings: StackSettings
    """The settings without those that are invalid by themselves."""
    invalid_locations: Sequence[Location]
    """Where values were invalid and were taken out.

    A check skips what depends on such a value: the user corrects the value first, and may then find the rest right.
    """
    directory: Path
    """The project's; every path in the settings is relative to it."""
    secret_keys: frozenset[str] | None
    """The top-level keys that Pulumi keeps secret; None if that is not known."""
    stack: str
    """The stack's name, for commands in remedies."""

    def set_secret(self, *names: str) -> str:
        """The command that sets secrets. It asks for the values, which therefore get into no shell history."""
        return command(f"secret set {' '.join(names)}", self.stack)

    def is_valid(self, *location: str | int) -> bool:
        """Whether no value at, above or below this location was taken out."""
        return not any(
            invalid[: len(location)] == location or location[: len(invalid)] == invalid
            for invalid in self.invalid_locations
        )

    @property
    def on_this_machine(self) -> bool:
        """Whether hosts publish ports of this machine."""
        return self.settings.platform.kind == "local" and self.is_valid("platform", "kind")

    @property
    def roles_known(self) -> bool:
        """Whether every host has the roles that the user wrote."""
        return not any(
            invalid[:1] == ("hosts",) and (len(invalid) < 3 or invalid[2] == "roles")
            for invalid in self.invalid_locations
        )

    @property
    def hosts_replaced(self) -> bool:
        """Whether the whole of `hosts` was invalid, so that the settings have the default host."""
        return ("hosts",) in self.invalid_locations

    def placed_hosts(self) -> list[str]:
        """The hosts whose slots are known and in range."""
        return [
            name
            for name in self.settings.hosts
            if self.is_valid("hosts", name, "slot") and 0 <= self.settings.slot(name) <= 99
        ]

    def ports_within(self, host: str) -> dict[int, str]:
        """What listens on the host's own ports, by port."""
        within = {SSH: "SSH", ENGINE: "its Docker Engine"}
        if self.settings.has_proxy(host):
            within |= {HTTP: "its proxy", HTTPS: "its proxy"}
        return within


Check = Callable[[Checks], Iterator[Problem]]
"""Yields a problem for each mistake of its kind."""


def roles_path(host: str) -> str:
    """The setting that holds a host's roles."""
    return path_of(("hosts", host, "roles"))


def grouped(names: Sequence[str], key: Callable[[str], K]) -> list[tuple[K, list[str]]]:
    """The names by what the key is for each of them, in the order in which the keys appear."""
    groups: dict[K, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return list(groups.items())
