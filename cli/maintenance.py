"""`slip maintenance`: visitors get a page in place of a service, until that is over."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cli import console
from cli.errors import CommandError
from cli.running import switch
from cli.running.stack import running_of
from cli.stack.stack import Stack

LARGEST_PAGE = 12 * 1024
"""Bytes of a page: HAProxy has it in one buffer of 16 KiB, with the headers."""
PAGE = (
    "<!doctype html><meta charset=utf-8><title>Maintenance</title>"
    "<p>This service is under maintenance and will be back soon.\n"
)
"""The page, unless the operator has one."""


def run(stack: Stack, service: str, state: str, *, page: str, allow: Sequence[str]) -> int:
    """Put a service under maintenance on all its hosts, or end that. Returns the exit status: 1 if a host refused.

    Args:
        stack: the stack.
        service: the service's name.
        state: `on` or `off`.
        page: a file with the page that visitors get; empty for a plain one.
        allow: addresses and networks from which the service answers all the same.

    Raises:
        CommandError: an argument is wrong; nothing was changed.

    """
    text = _page(page)
    addresses = _addresses(allow)
    if state not in {"on", "off"}:
        raise CommandError(f"maintenance is neither on nor off: {state}", "Write on or off.", status=2)
    if state == "off" and (page or allow):
        raise CommandError("--page and --allow are for `on`", "Leave them out.", status=2)
    running = running_of(stack)
    hosts = switch.hosts_of(running, service, stack.name)
    failures = switch.order(running, hosts, ["--maintenance", service, state, *addresses], stdin=text)
    for failure in failures:
        console.warn(failure)
    if failures:
        return 1
    where = ", ".join(hosts)
    if state == "off":
        console.say(f"{service} answers again on {where}.")
    else:
        console.say(
            f"{service} is under maintenance on {where}. To end it: ./slip maintenance {service} off{running.option}"
        )
    return 0


def _page(file: str) -> str:
    if not file:
        return PAGE
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise CommandError(f"--page {file}: {reason}", "Name a file with HTML.", status=2) from error
    if len(text.encode()) > LARGEST_PAGE:
        raise CommandError(
            f"--page {file}: {len(text.encode())} bytes; a page has at most {LARGEST_PAGE}",
            "Link large images and styles from elsewhere.",
            status=2,
        )
    return text


def _addresses(given: Sequence[str]) -> list[str]:
    found = []
    for text in given:
        try:
            found.append(str(ipaddress.ip_network(text)))
        except ValueError as error:
            raise CommandError(
                f"--allow {text}: not an address or a network",
                "For example: --allow 198.51.100.7, or --allow 198.51.100.0/24",
                status=2,
            ) from error
    return found
