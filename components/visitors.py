"""What a host's proxy demands of visitors, and the pages that it shows them when a service does not answer."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pulumi

from components import script
from components.bcrypt_hash import bcrypt_hash
from components.host import Host
from components.proxy import Proxy
from configuration.files import read_text
from configuration.settings import StackSettings

COST = 8
"""bcrypt's cost, the binary logarithm of its rounds: about 20 milliseconds for each password that the proxy has not
seen lately. HAProxy answers nobody else on that thread meanwhile, so a higher cost would let strangers slow it down; it
takes ten wrong passwords a minute from a client (scripts/limits.sh)."""


def hashes(service: str, passwords: Mapping[str, str]) -> str:
    """The lines of a service's people: name and bcrypt hash. The same passwords give the same text."""
    return "".join(
        f"{name} {bcrypt_hash('slipway visitor', f'{service}/{name}', password, COST)}\n"
        for name, password in sorted(passwords.items())
    )


def deliver(settings: StackSettings, host: Host, proxy: Proxy) -> list[pulumi.Resource]:
    """Bring both to a host's proxy, which takes them without a lost request.

    What no service has any more goes with the last switch.
    """
    protected = settings.with_visitors(host.name)
    pages = settings.with_error_page(host.name)
    if not protected and not pages:
        return []
    people = "".join(
        f"service {name}\n"
        + hashes(
            name,
            {
                visitor: settings.secrets[secret].get_secret_value()
                for visitor, secret in settings.services[name].auth.items()
            },
        )
        for name in protected
    )
    texts = {
        name: read_text(Path.cwd() / page, within=Path.cwd())
        for name in pages
        if (page := settings.services[name].error_page)
    }
    return [
        script.remote_command(
            f"{host.name}-visitors",
            host,
            "visitors.sh",
            {
                "VISITORS": people,
                "PAGES": "".join(
                    f"{name} {base64.b64encode(text.encode()).decode()}\n" for name, text in texts.items()
                ),
            },
            pulumi.ResourceOptions(
                parent=proxy,
                depends_on=[*proxy.ready],
                # Its files go when no service needs them; the host may be down.
                retain_on_delete=True,
            ),
        )
    ]
