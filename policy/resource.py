"""A resource of a plan, as a rule sees it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What Pulumi's engine puts in place of a value that is known after the update only (plugin.UnknownStringValue)."""


@dataclass(frozen=True)
class Resource:
    """One resource that a plan creates, changes or leaves as it is."""

    type: str
    """Such as `docker:index/container:Container`."""
    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """What the program asks for. A value that is not known yet is `UNKNOWN`; a secret one is `[secret]`."""
    stack: str = ""
    """The stack's name without an organization."""
    protect: bool = False
    """Whether Pulumi refuses to delete it."""
    retain: bool | None = False
    """Whether the real thing stays when the resource goes; None if that is not known, as in a policy host."""

    def get(self, *path: str) -> Any:
        """The value at a path of keys; None if it is missing or not known yet."""
        value: Any = self.inputs
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return None if value == UNKNOWN else value

    def knows(self, *keys: str) -> bool:
        """Whether these inputs are known, or left out."""
        return all(self.inputs.get(key) != UNKNOWN for key in keys)

    def entries(self, *path: str) -> Iterator[Mapping[str, Any]]:
        """The maps in the list at a path."""
        found = self.get(*path)
        for entry in found if isinstance(found, (list, tuple)) else ():
            if isinstance(entry, Mapping):
                yield entry

    @property
    def labels(self) -> dict[str, str]:
        """Of a container: its labels."""
        return {str(entry.get("label")): str(entry.get("value")) for entry in self.entries("labels")}
