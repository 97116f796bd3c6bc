"""Who may do what in the stack's own registry, as the maps of the proxy before it.

A key is an account, a colon, and the beginning of a repository's name with a $ at its end (front.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from configuration.settings import StackSettings
from well_known import guest_account

EVERYTHING = ("*",)


@dataclass(frozen=True, kw_only=True)
class Rights:
    """The rights of one account. Repositories are as in `slipway:registry.users`."""

    push: tuple[str, ...] = ()
    """The repositories that it may push to, without `mirror/*`."""
    pull: tuple[str, ...] = ()
    """The repositories that it may pull besides."""
    mirrors: bool = False
    """Whether it may write `mirror/*`."""
    is_host: bool = False
    """Whether it is a host's or a guest's: its password is random."""


def rights_of(settings: StackSettings) -> dict[str, Rights]:
    """The rights of each account.

    A host that runs services pulls their images and nothing else. The registry's host has all images anyway.
    """
    found = {
        user: Rights(push=rights.push, pull=rights.pull)
        for user in settings.registry.users
        for rights in [settings.registry.rights(user)]
    }
    for host in settings.hosts:
        account = settings.account_of(host)
        everything = host == settings.registry_host
        found[account] = Rights(
            pull=EVERYTHING if everything else settings.repositories_on(host), is_host=True
        )
    for slot in range(1, settings.review.guests + 1):
        account = guest_account(slot)
        found[account] = Rights(push=(f"{account}/*",), is_host=True)
    found[settings.hosts_account] = Rights(push=EVERYTHING, pull=EVERYTHING, mirrors=True, is_host=True)
    return dict(sorted(found.items()))


def maps(rights: Mapping[str, Rights]) -> dict[str, str]:
    """The texts of the maps, by name."""
    return {
        "accounts": _lines(f"{name} {'host' if one.is_host else 'user'}" for name, one in rights.items()),
        "push": _lines(
            f"{name}:{key} {'mirror' if one.mirrors else 'yes'}"
            for name, one in rights.items()
            for key in _keys(one.push)
        ),
        "pull": _lines(
            f"{name}:{key} yes" for name, one in rights.items() for key in _keys((*one.push, *one.pull))
        ),
    }


def _keys(repositories: Iterable[str]) -> list[str]:
    """The ends of the keys; one is enough where it means all."""
    found = {one.removesuffix("*") if one.endswith("*") else f"{one}$" for one in repositories}
    return [""] if "" in found else sorted(found)


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
