"""The terms in which a resource's properties are described; they are Terraform's.

A stack's state must fit the official plugin, so these terms must be Terraform's: a set has another order than a list, a
preview does not know *computed* properties, and a change of a *force-new* property replaces the resource.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from plugins.protocol.inputs import Field, Kind
from plugins.protocol.properties import Properties

Shape = Literal["string", "integer", "boolean", "map", "list", "set"]

_PYTHON_TYPES: dict[Shape, Kind] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "map": dict,
    "list": list,
    "set": list,
}


class Attribute(NamedTuple):
    """One property of a resource, or of an object inside it."""

    shape: Shape = "string"
    fields: "Mapping[str, Attribute] | None" = None
    """The fields of each item of a list or set; None if the items are strings."""
    single: bool = False
    """Whether a list or set has one item at most; Pulumi shows the item itself."""
    required: bool = False
    computed: bool = False
    """Whether the engine decides the value if the program does not."""
    output: bool = False
    """Whether only the engine decides the value; it is no input."""
    force_new: bool = False
    """Whether a change replaces the resource. In an object, only this field's change counts."""
    default: Any = None
    terraform_name: str = ""
    """The name in Terraform, if it is not the name here in snake case."""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    """Of a number; of a text, the most characters."""
    pattern: str = ""
    """A regular expression that the whole text matches."""
    wrong: Callable[[Any], str | None] | None = None
    """What is wrong with a value that all other limits allow; None if nothing is."""
    supported: bool = True
    """Whether this stand-in supports it. An unsupported property is refused as an input, but is part of the state."""
    same: Callable[[Any, Any], bool] | None = None
    """Says whether an old and a new value mean the same, if `==` does not."""

    @property
    def is_block(self) -> bool:
        """Say whether it is a block in Terraform, which is empty, rather than null, if the program does not give it."""
        return self.fields is not None and not self.computed

    @property
    def is_collection(self) -> bool:
        """Say whether it is a list or a set."""
        return self.shape in ("list", "set")

    @property
    def zero(self) -> Any:
        """The value that Terraform treats like an absent one."""
        return {"string": "", "integer": 0, "boolean": False, "map": {}}.get(self.shape, [])

    @property
    def given_default(self) -> Any:
        """The default that appears among the inputs: None if it equals the zero value."""
        return None if self.default == self.zero else self.default


Attributes = Mapping[str, Attribute]


class Schema(NamedTuple):
    """One type of resource."""

    attributes: Attributes
    """Without `id`, which every resource has."""
    version: str = ""
    """The version of its state; empty for 0, which is not written."""
    timeouts: Mapping[str, int] | None = None
    """The time limits of its operations in seconds, by `create`, `update` and so on, if its state has them."""
    autonamed: str = ""
    """The property that gets a generated name if the program gives none; empty if no property does."""
    name_limit: int = 0
    """The most characters of such a name; 0 for any number."""
    delete_before_replace: bool = False
    """Whether a replacement always deletes the old resource first, unless the program says otherwise."""


def terraform_name(name: str, attribute: Attribute) -> str:
    """Return Terraform's name of the property that Pulumi calls `name`."""
    return attribute.terraform_name or re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def input_fields(attributes: Attributes) -> dict[str, Field]:
    """Return the supported inputs in the form for `plugins.protocol.inputs.validate`."""
    return {
        name: _field(attribute)
        for name, attribute in attributes.items()
        if attribute.supported and not attribute.output
    }


def _field(attribute: Attribute) -> Field:
    items = None
    if attribute.fields is not None:
        items = Field(dict, fields=input_fields(attribute.fields))
        if attribute.single:
            return items._replace(required=attribute.required)
    elif attribute.shape in ("list", "set", "map"):
        items = Field()
    return Field(
        _PYTHON_TYPES[attribute.shape],
        required=attribute.required,
        choices=attribute.choices,
        items=items,
        minimum=attribute.minimum,
        maximum=attribute.maximum,
        pattern=attribute.pattern,
        wrong=attribute.wrong,
    )


def items_of(value: Any, attribute: Attribute) -> list[Any] | None:
    """Return a list or set in Terraform's form, from Pulumi's, in which a `single` one is its item."""
    if value is None:
        return [] if attribute.is_block else None
    return [value] if attribute.single else list(value)


def without_defaults(value: Any) -> Any:
    """Return inputs without `__defaults`, at any depth."""
    if isinstance(value, dict):
        return {name: without_defaults(item) for name, item in value.items() if name != "__defaults"}
    return [without_defaults(item) for item in value] if isinstance(value, list) else value


def is_empty(value: Any) -> bool:
    """Say whether `value` is null or an empty collection."""
    return value is None or value in ([], {})


State = Properties
"""A resource's state by Pulumi's names, but with Terraform's values: a `single` list is a list."""
