"""What several settings mean together, and what they mean on this disk. No Pulumi, no network."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from configuration.files import UnfitFile, ignore_file, read_text
from configuration.platform_checks import platform_problems
from configuration.problems import Location, Problem, path_of, suggestion, words

if TYPE_CHECKING:
    from configuration.settings import BaseImageSettings, Role, StackSettings

K = TypeVar("K")

SSH, ENGINE, HTTP, HTTPS = 22, 2376, 80, 443
"""Ports that a host itself answers on, or the proxy on an app host."""

TEXT_REMEDY = "Make it a file of 1 MiB at most inside the context, text in UTF-8."


class Checks:
    """The checks of one configuration.

    `holes` are the places whose values were wrong and were taken out before; whatever depends on them is
    not reported, since it may well be right once they are.
    """

    def __init__(
        self,
        settings: "StackSettings",
        holes: Sequence[Location],
        directory: Path,
        secret_keys: frozenset[str] | None,
    ) -> None:
        self.settings = settings
        self.holes = holes
        self.directory = directory
        self.secret_keys = secret_keys

    def problems(self) -> list[Problem]:
        """Every mistake found."""
        checks: tuple[Callable[[], Iterator[Problem]], ...] = (
            self.platform,
            self.roles,
            self.slots,
            self.ports,
            self.registry,
            self.services,
            self.domains,
            self.builds,
            self.certificates,
            self.passwords,
            self.service_secrets,
            self.secrecy,
        )
        return [problem for check in checks for problem in check()]

    def whole(self, *location: str | int) -> bool:
        """Whether nothing at, above or below this place was taken out."""
        return not any(
            hole[: len(location)] == location or location[: len(hole)] == hole for hole in self.holes
        )

    def platform(self) -> Iterator[Problem]:
        return platform_problems(self.settings, self.whole)

    @property
    def on_this_machine(self) -> bool:
        """Whether hosts publish ports of this machine."""
        return self.settings.platform.kind == "local" and self.whole("platform", "kind")

    @property
    def roles_known(self) -> bool:
        """Whether every host's roles are as the user wrote them."""
        return not any(hole[0] == "hosts" and (len(hole) < 3 or hole[2] == "roles") for hole in self.holes)

    def roles(self) -> Iterator[Problem]:
        needed: list[Role] = [] if self.settings.registry.external else ["registry"]
        if self.settings.services or not self.whole("services"):
            needed += ["build", "app"]
        for role in needed:
            if not self.settings.hosts_with(role) and self.roles_known:
                yield Problem(
                    ("hosts",),
                    f"no host has the role {role}",
                    f"Add {role} to the roles of one: {words(map(_roles_path, self.settings.hosts))}.",
                )
        single: tuple[Role, ...] = ("registry", "build")
        for role in single:
            if len(hosts := self.settings.hosts_with(role)) > 1:
                yield Problem(
                    ("hosts",),
                    f"{len(hosts)} hosts have the role {role}: {words(hosts)}",
                    f"Leave {role} in the roles of one of them.",
                )

    def placed_hosts(self) -> list[str]:
        """The hosts whose slots are known, and fit."""
        return [
            name
            for name in self.settings.hosts
            if self.whole("hosts", name, "slot") and 0 <= self.settings.slot(name) <= 99
        ]

    def slots(self) -> Iterator[Problem]:
        if not self.on_this_machine:
            return
        for name in self.settings.hosts:
            if self.whole("hosts", name, "slot") and self.settings.slot(name) > 99:
                yield Problem(
                    ("hosts", name, "slot"),
                    f"the number at the end of the host's name, {self.settings.slot(name)}, is no slot",
                    "Set slot to a whole number from 0 to 99 that no other host has.",
                )
        for slot, group in _grouped(self.placed_hosts(), self.settings.slot):
            if len(group) > 1:
                free = next(
                    n for n in itertools.count() if n not in map(self.settings.slot, self.settings.hosts)
                )
                yield Problem(
                    ("hosts", group[-1], "slot"),
                    f"{words(group)} have the same slot, so the same ports on 127.0.0.1",
                    f"Set a slot that is free, such as {free}.",
                    slot,
                )

    def ports(self) -> Iterator[Problem]:
        if not (self.whole("registry", "port") and self.whole("platform") and self.roles_known):
            return
        port = self.settings.registry_port
        for host in self.settings.hosts_with("registry"):
            within = self.ports_within(host)
            if port in within:
                yield Problem(
                    ("registry", "port"),
                    f"{within[port]} has that port on {host}",
                    "Set another, such as 5000.",
                    port,
                )
        for host in self.placed_hosts() if self.on_this_machine else ():
            for other, what in self.settings.published_ports(host).items():
                if other == port:
                    yield Problem(
                        ("registry", "port"),
                        f"{what} of {host} has that port on 127.0.0.1",
                        f"Set another, or slipway:hosts.{host}.slot.",
                        port,
                    )

    def ports_within(self, host: str) -> dict[int, str]:
        """What a host itself answers on, by port."""
        within = {SSH: "SSH", ENGINE: "its Docker Engine"}
        if "app" in self.settings.hosts[host].roles:
            within |= {HTTP: "its proxy", HTTPS: "its proxy"}
        return within

    def registry(self) -> Iterator[Problem]:
        from configuration.registry_checks import registry_problems

        return registry_problems(self)

    def services(self) -> Iterator[Problem]:
        for name, service in self.settings.services.items():
            for index, host in enumerate(service.hosts or ()):
                location = ("services", name, "hosts", index)
                app_hosts = self.settings.hosts_with("app")
                if host not in self.settings.hosts:
                    if self.whole("hosts", host) and not self._hosts_replaced():
                        allowed = f"Hosts with the role app: {words(app_hosts)}."
                        yield Problem(location, "no such host", suggestion(host, app_hosts) + allowed, host)
                elif "app" not in self.settings.hosts[host].roles and self.whole("hosts", host, "roles"):
                    yield Problem(
                        location,
                        "a host without the role app",
                        f"Add app to {_roles_path(host)}.",
                        host,
                    )

    def _hosts_replaced(self) -> bool:
        """Whether the hosts as a whole were wrong, so that the default one stands for them."""
        return ("hosts",) in self.holes

    def domains(self) -> Iterator[Problem]:
        known = [name for name in self.settings.services if self.whole("services", name, "domain")]
        for domain, group in _grouped(known, lambda name: self.settings.services[name].domain):
            if domain is not None and len(group) > 1:
                yield Problem(
                    ("services", group[-1], "domain"),
                    f"{words(group)} have the same domain",
                    "Give each service a domain of its own.",
                    domain,
                )
        bare = [name for name in known if self.settings.services[name].domain is None]
        for first, second in itertools.combinations(bare, 2):
            both = [
                host
                for host in self.settings.service_hosts(first)
                if host in self.settings.service_hosts(second)
            ]
            hosts_known = self.whole("services", first, "hosts") and self.whole("services", second, "hosts")
            if both and hosts_known and not self._hosts_replaced():
                yield Problem(
                    ("services", second, "domain"),
                    f"{first} and {second} both run on {words(both)}, and neither has a domain",
                    "Give one of them a domain, or other hosts.",
                )

    def builds(self) -> Iterator[Problem]:
        from configuration.settings import BASE_IMAGE_ARGUMENT

        for name, service in self.settings.services.items():
            location = ("services", name, "build")
            yield from self._context(location, service.build)
            if service.build.base is None:
                continue
            yield from self._context((*location, "base"), service.build.base)
            if BASE_IMAGE_ARGUMENT in service.build.args:
                yield Problem(
                    (*location, "args", BASE_IMAGE_ARGUMENT),
                    "reserved: the build sets it to the image of `base`",
                    "Leave it out, or leave out base.",
                )

    def _context(self, location: Location, image: "BaseImageSettings") -> Iterator[Problem]:
        if not (self.whole(*location, "context") and self.whole(*location, "dockerfile")):
            return
        context = self.directory / image.context
        dockerfile = PurePosixPath(image.dockerfile)
        try:
            is_there, is_directory = context.exists(), context.is_dir()
        except OSError as error:
            yield Problem(
                (*location, "context"),
                f"cannot be read: {error.strerror}",
                "Write a directory that you may read.",
                image.context,
            )
            return
        if not is_directory:
            yield Problem(
                (*location, "context"),
                "not a directory" if is_there else "no such directory",
                f"Write a directory with a {image.dockerfile}, relative to the project's.",
                image.context,
            )
        elif dockerfile.is_absolute() or ".." in dockerfile.parts:
            yield Problem(
                (*location, "dockerfile"),
                "outside the context",
                "Write a path inside it.",
                image.dockerfile,
            )
        elif not _is_there(context / dockerfile):
            yield Problem(
                (*location, "context"),
                f"has no {image.dockerfile}",
                f"Write a directory that has one, or set {path_of((*location, 'dockerfile'))}.",
                image.context,
            )

        else:
            yield from self._files(location, image, context)

    def _files(self, location: Location, image: "BaseImageSettings", context: Path) -> Iterator[Problem]:
        """The files that this program itself reads of a context."""
        dockerfile = context / image.dockerfile
        try:
            read_text(dockerfile, within=context)
        except UnfitFile as error:
            yield Problem((*location, "dockerfile"), str(error), TEXT_REMEDY, image.dockerfile)
        if ignoring := ignore_file(context, dockerfile):
            try:
                read_text(ignoring, within=context)
            except UnfitFile as error:
                yield Problem(
                    (*location, "context"), f"its {ignoring.name} {error}", TEXT_REMEDY, image.context
                )

    def certificates(self) -> Iterator[Problem]:
        certificates = self.settings.certificates
        if not self.whole("certificates"):
            return
        if certificates.early_renewal_hours >= certificates.validity_hours:
            yield Problem(
                ("certificates", "earlyRenewalHours"),
                f"not less than validityHours ({certificates.validity_hours})",
                "Set less, or every `up` renews every certificate.",
                certificates.early_renewal_hours,
            )
        if certificates.validity_hours > certificates.authority_validity_hours:
            yield Problem(
                ("certificates", "validityHours"),
                f"longer than authorityValidityHours ({certificates.authority_validity_hours})",
                "Set no more than that.",
                certificates.validity_hours,
            )

    def passwords(self) -> Iterator[Problem]:
        if self.settings.registry.external:
            return
        for account in self.settings.accounts:
            if account not in self.settings.passwords and self.whole("passwords", account):
                location = ("passwords", account)
                others = [name for name in self.settings.passwords if name not in self.settings.accounts]
                yield Problem(
                    location,
                    "not set",
                    f"{suggestion(account, others)}`./slip up` makes it; by hand: {_set(location)}.",
                )

    def service_secrets(self) -> Iterator[Problem]:
        for name, service in self.settings.services.items():
            for index, secret in enumerate(service.secrets):
                if secret not in self.settings.secrets and self.whole("secrets", secret):
                    yield Problem(
                        ("services", name, "secrets", index),
                        f"{path_of(('secrets', secret))} is not set",
                        f"{suggestion(secret, self.settings.secrets)}Set it: {_set(('secrets', secret))}.",
                        secret,
                    )

    def secrecy(self) -> Iterator[Problem]:
        if self.secret_keys is None:
            return
        for key, values in (("passwords", self.settings.passwords), ("secrets", self.settings.secrets)):
            if values and key not in self.secret_keys:
                yield Problem(
                    (key,),
                    "in plain text in the stack's file",
                    f"Remove it, choose new ones and set each: {_set((key, next(iter(values))))}.",
                )
        for key in sorted(self.secret_keys - {"passwords", "secrets"}):
            yield Problem(
                (key,),
                "holds a secret, which would be readable in the state",
                "Set it in slipway:secrets and name it in the secrets of the services that need it.",
            )


def _is_there(path: Path) -> bool:
    """Whether something has this path, be it a link that leads nowhere."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # reading it says what is wrong
    return True


def _roles_path(host: str) -> str:
    return path_of(("hosts", host, "roles"))


def _set(location: Location) -> str:
    """The command that sets a secret; it asks for the value, so that no shell history keeps it."""
    path = path_of(location)
    quoted = f"'{path}'" if "[" in path else path
    return f"`pulumi config set --secret --path {quoted}`"


def _grouped(names: Sequence[str], key: Callable[[str], K]) -> list[tuple[K, list[str]]]:
    groups: dict[K, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return list(groups.items())
