"""Every change of a stack that visitors should not notice, under a closed loop of eight clients. `make soak` runs it.

It prints a table of what became of the requests during each change.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Clients, table
from tests.support.http_load import greeting
from tests.support.pebble import Pebble, pebble
from tests.support.stack import Stack

pytestmark = pytest.mark.soak

LIMIT = 3600
"""Seconds that the whole list may take."""
NAME, SIGNED = "web.test", "shop.test"
"""The names of two services: one with a certificate of the stack's own authority, one with a certificate by ACME."""


@dataclass
class Changes:
    """Changes of one stack, and what became of the requests meanwhile."""

    stack: Stack
    authority: Pebble
    settings: dict[str, Any]
    """What the stack's file has below `config`."""
    generation: int
    """Of the services' authority, before the list."""
    rows: list[tuple[str, float, Clients]] = field(default_factory=list)

    @property
    def service(self) -> dict[str, Any]:
        """The settings of the service that visitors ask."""
        found: dict[str, Any] = self.settings["services"]["web"]
        return found

    def trusted(self, name: str) -> str:
        """The authority of a name's certificate, PEM."""
        if name == SIGNED:
            return self.authority.issuer()
        return str(self.stack.outputs()["servicesCaCertificate"])

    @contextmanager
    def under(self, what: str, name: str = NAME) -> Iterator[None]:
        """Ask a name all the time."""
        (url,) = self.stack.urls("shop" if name == SIGNED else "web")[:1]
        load = Clients(url, name, self.trusted(name))
        begun = time.monotonic()
        with load:
            yield
            seconds = time.monotonic() - begun
        self.rows.append((what, seconds, load))
        print(table(self.rows[-1:]), *load.failures[:5], sep="\n")

    def up(self, what: str, name: str = NAME) -> None:
        """Bring the stack to the settings, under load."""
        self.stack.configure(self.settings)
        with self.under(what, name):
            self.stack.up()

    def slip(self, what: str, *words: str, name: str = NAME) -> None:
        """Run a command under load."""
        with self.under(what, name):
            result = self.stack.slip(*words)
        assert result.status == 0, str(result)


def code(changes: Changes) -> None:
    new = f"Hello, {len(changes.rows)} changes later"
    changes.stack.clone.greet(new)
    changes.up("code change")
    (url,) = changes.stack.urls()[:1]
    assert greeting(url, NAME, changes.trusted(NAME)) == new


def leaf(changes: Changes) -> None:
    changes.settings["certificates"] = {
        "validityHours": 500,
        "earlyRenewalHours": 100,
        "servicesCaGeneration": changes.generation,
    }
    changes.up("certificates renewed")


def acme(changes: Changes) -> None:
    # An order that was refused is repeated by the next update.
    right = changes.settings["acme"]
    changes.settings["acme"] = right | {"directory": f"{changes.authority.directory}/none"}
    changes.up("renewal by ACME refused", SIGNED)
    changes.settings["acme"] = right
    changes.stack.configure(changes.settings)
    before = changes.stack.outputs()["acmeCertificates"]["shop"]
    changes.slip("renewed by ACME", "renew", "--yes", name=SIGNED)
    after = changes.stack.outputs()["acmeCertificates"]["shop"]
    assert (after["order"], after["problem"]) == (before["order"] + 1, "")


def names(changes: Changes) -> None:
    changes.service["domains"] = [NAME, "www.web.test"]
    changes.up("name added")


def path(changes: Changes) -> None:
    api = copy.deepcopy(changes.service) | {"from": "web", "path": "/api", "stripPath": True}
    del api["build"]
    changes.settings["services"]["api"] = api
    changes.up("path service added")
    del changes.settings["services"]["api"]
    changes.up("path service removed")


def maintenance(changes: Changes) -> None:
    changes.slip("maintenance of another on", "maintenance", "shop", "on")
    changes.slip("maintenance of another off", "maintenance", "shop", "off")


def limits(changes: Changes) -> None:
    changes.service.update(timeout=30, maxBody=5, maxConnections=100)
    changes.up("limits changed")


def authority(changes: Changes) -> None:
    changes.settings["certificates"]["servicesCaGeneration"] = changes.generation + 1
    changes.up("authority rotated")
    changes.up("old authority dropped")


LIST: Sequence[Callable[[Changes], None]] = (
    *(code, leaf, acme, names, path, maintenance, limits, authority),
)


@pytest.mark.timeout(LIMIT, func_only=True)
@pytest.mark.parametrize("has_edge", [False, True], ids=["app hosts", "edge"])
def test_no_change_costs_a_request(has_edge: bool, stack: Stack, tmp_path: Path) -> None:
    generation = _settings(stack).get("certificates", {}).get("servicesCaGeneration", 1)
    try:
        with stack.configured(lambda _: None):
            _run(stack, has_edge, generation, tmp_path)
    finally:
        # An authority has no way back.
        stack.configure({"certificates": {"servicesCaGeneration": generation + 1}})
    stack.up()


def _settings(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with stack.configured(lambda settings: found.update(copy.deepcopy(settings))):
        return found


def _run(stack: Stack, has_edge: bool, generation: int, folder: Path) -> None:
    ports = stack.outputs()["hosts"]
    # The edge's slot is 9, web-1's is 1.
    port = ports["web-1"]["httpPort"] + (8 if has_edge else 0)
    with pebble(folder, port) as asked:
        (stack.clone.root / "acme-ca.pem").write_text(asked.ca)
        found = _settings(stack)
        web = found["services"]["web"]
        shop = copy.deepcopy(web) | {"from": "web", "domains": [SIGNED], "tls": "auto", "hosts": ["web-1"]}
        del shop["build"]
        found["services"] = {"web": web | {"domains": [NAME], "tls": "own"}, "shop": shop}
        found["acme"] = {"directory": asked.directory, "ca": "acme-ca.pem"}
        if has_edge:
            found["hosts"]["edge"] = {"roles": ["edge"], "slot": 9}
        changes = Changes(stack, asked, found, generation)
        stack.configure(found)
        stack.up()
        for change in LIST:
            change(changes)
        print(table(changes.rows))
    (stack.clone.root / "acme-ca.pem").unlink()
    assert not [failure for _, _, load in changes.rows for failure in load.failures]
    verified = stack.slip("verify")
    assert verified.status == 0, str(verified)
