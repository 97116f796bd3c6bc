"""`slipway:rollout`, and `rollout` of a service: how new versions reach the hosts."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from configuration.base import Settings
from configuration.constraints import Within, mistake


class RolloutSettings(Settings):
    """How new versions reach the hosts."""

    on_failure: Literal["back", "stop"] = "back"
    """What `./slip up` does if a version fails on a host after others have it. `back`: the others go back to the last
    good version, so that all serve the same. `stop`: each host goes on with what it serves. Default: `back`."""


class _HostsAtOnce:
    """A number of hosts, or a share of them in per cent."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._check, serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 1000},
                {"type": "string", "pattern": "^([1-9][0-9]?|100)%$"},
            ]
        }

    def _check(self, value: object) -> int | str:
        remedy = "Write a whole number of hosts from 1 to 1000, or a share of them from 1% to 100%."
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= 1000:
                raise mistake("not a number of hosts", remedy)
            return value
        if isinstance(value, str) and re.fullmatch(r"\d+", value):
            raise mistake("not a number or a share of hosts", f"Write it without quotes, or as {value}%.")
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]+%", value):
            raise mistake("not a number or a share of hosts", remedy)
        if not 1 <= int(value[:-1]) <= 100:
            raise mistake("not a share of hosts", remedy)
        return f"{int(value[:-1])}%"


class BatchSettings(Settings):
    """In which batches a service's hosts get a version."""

    parallel: Annotated[int | str, _HostsAtOnce(), Field(examples=[2, "25%"])] = 1
    """How many hosts get a version at the same time, 1 to 1000, or which share of the service's hosts, `1%` to `100%`,
    rounded down to whole hosts, but at least one. If one fails, the batches after it do not begin. Default: 1; of a
    rollback without `rollout`, all."""

    canary: Annotated[int, Within(1, 1000, "a number of hosts")] | None = None
    """How many hosts get a version before all others, in a batch of their own: the first of `hosts`. 1 to 1000, and
    fewer than the service has. Default: none."""

    pause: Annotated[int, Within(0, 3600, "a time in seconds", "seconds")] = 0
    """Seconds that each new container has to stay well before the next batch begins, 0 to 3600; then its health check
    has to succeed again. Until then its host keeps the old container, so that it is back at once. A rollback has no
    pauses. Default: 0."""
