"""`slipway:hooks` and `slipway:notify`: what runs, and who is told, when a version is deployed. For `slip` only."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from configuration.base import Settings
from configuration.commands import Command
from configuration.constraints import Within, distinct, mistake, not_empty
from configuration.containers import FROM_SECRET_SCHEMA, FromSecret
from configuration.types import VARIABLE_PATTERN

_URL = r"https?://[^\s/?#@]+([/?#]\S*)?"
HIDDEN = "…"
"""What is shown of an address: who knows it can write there."""


def _address(value: object) -> str | FromSecret:
    if isinstance(value, dict) and value.keys() == {"secret"} and isinstance(value["secret"], str):
        if not re.fullmatch(VARIABLE_PATTERN, value["secret"]):
            raise mistake(
                "not a secret's name", "Write { secret: SECRET }, with a name from slipway:secrets.", HIDDEN
            )
        return FromSecret(value["secret"])
    if isinstance(value, str) and re.fullmatch(_URL, value):
        return value
    raise mistake(
        "not an address",
        "Write a URL that begins with https:// or http://, or { secret: SECRET } with a name from slipway:secrets.",
        HIDDEN,
    )


def _shown(value: object) -> object:
    return {"secret": value.secret} if isinstance(value, FromSecret) else HIDDEN


Address = Annotated[
    Any,
    PlainValidator(_address),
    PlainSerializer(_shown),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_URL}$"},
                FROM_SECRET_SCHEMA,
            ]
        }
    ),
]


class HooksSettings(Settings):
    """Commands on the operator's machine, around an update by `slip`."""

    before: Annotated[Command, Field(examples=["bin/may-deploy", ["bin/may-deploy", "--strict"]])] = None
    """Command that runs before an update touches anything. If it fails, the update does not begin. Default: none."""

    after: Annotated[Command, Field(examples=["bin/smoke-test"])] = None
    """Command that runs after an update that succeeded. If it fails, so does `./slip up`; the version stays. Default:
    none."""

    failed: Annotated[Command, Field(examples=["bin/page-somebody"])] = None
    """Command that runs after an update that failed, and after the way back to the last good version. Default: none."""

    time_limit: Annotated[int, Within(1, 3600, "a time in seconds", "seconds")] = 300
    """Seconds that each of them may take, 1 to 3600; then it is ended, and has failed. Default: 300."""


class NoticeSettings(Settings):
    """Whom to tell of an update, by a webhook."""

    url: Annotated[Address, Field(examples=[{"secret": "SLACK_URL"}, "https://chat.example.com/hooks/x"])]
    """Address that gets the notice, by HTTP POST; `{ secret: NAME }` for one of `slipway:secrets`, since who knows the
    address of a webhook can write there. Never shown. Required."""

    on: Annotated[
        tuple[Literal["done", "failed"], ...],
        AfterValidator(distinct),
        AfterValidator(not_empty("done, failed or both")),
        Field(examples=[["failed"]]),
    ] = ("done", "failed")
    """What to tell: `done`, an update that changed something and succeeded; `failed`, one that failed. Default:
    both."""

    format: Literal["text", "teams", "json"] = "text"
    """Shape of the JSON: `text` is `{"text": …}`, for Slack and Mattermost; `teams` is a message with an adaptive card,
    for a workflow of Microsoft Teams; `json` is the whole record, as hooks get it, with `text`. Default: `text`."""
