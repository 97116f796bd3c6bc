"""When a certificate is ordered again: an order has a number, and a higher one is another order. Pure functions."""

from collections.abc import Mapping
from datetime import datetime


def number(previous: object, now: datetime) -> int:
    """The number of a service's order in this update.

    It is the previous one, unless the certificate is due, or the authority refused to renew it. An update that fails
    later writes no outputs; the next one has the same number, which orders nothing again.

    Args:
        previous: the stack's previous output about the certificate (`output`).
        now: the time, with a zone.
    """
    if not isinstance(previous, Mapping):
        return 1
    known = int(previous.get("order") or 1)
    try:
        is_due = now >= datetime.fromisoformat(str(previous.get("renewAfter")))
    except (ValueError, TypeError):
        is_due = False
    return known + 1 if is_due or previous.get("problem") else known


def output(number: int, answer: Mapping[str, str]) -> dict[str, object]:
    """What the stack's outputs say about a certificate: the order's number, and what became of it."""
    return {"order": number, "renewAfter": answer["renewAfter"], "problem": answer["problem"]}
