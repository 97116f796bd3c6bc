"""Tells webhooks of an update. One that does not answer fails nothing, and no message has its address."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

PATIENCE = 10
"""Seconds for all webhooks together."""


@dataclass(frozen=True)
class Notice:
    """What one webhook gets."""

    url: str
    body: Mapping[str, Any]


def body(form: str, text: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """What is posted.

    Args:
        form: `text` for Slack and Mattermost, `teams`, or `json` for the whole record.
        text: the sentence for people.
        record: the record of the update.

    """
    if form == "json":
        return {"text": text, **record}
    if form == "teams":
        # https://learn.microsoft.com/connectors/teams: what "when a Teams webhook request is received" takes.
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.2",
            "body": [{"type": "TextBlock", "text": text, "wrap": True}],
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        return {"type": "message", "attachments": [attachment]}
    return {"text": text}


def post(notices: Sequence[Notice], patience: float = PATIENCE) -> list[str]:
    """Post them at the same time. Returns why each one failed that did; without its address.

    Args:
        notices: what to post.
        patience: seconds for all of them.

    """
    found: list[str] = ["it did not answer in time"] * len(notices)

    def work(number: int, notice: Notice) -> None:
        found[number] = _post(notice, patience)

    # A thread that hangs must not keep the command from ending.
    threads = [
        threading.Thread(target=work, args=(number, notice), daemon=True)
        for number, notice in enumerate(notices)
    ]
    end = time.monotonic() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [reason for reason in found if reason]


def _post(notice: Notice, patience: float) -> str:
    try:
        # Another address could be anybody's.
        answer = requests.post(
            notice.url, json=notice.body, timeout=patience, allow_redirects=False, stream=True
        )
        answer.close()
    except requests.Timeout:
        return "it did not answer in time"
    except requests.RequestException as error:
        # The text of the error has the address.
        return f"it cannot be reached ({type(error).__name__})"
    return "" if answer.ok and not answer.is_redirect else f"it answered HTTP {answer.status_code}"
