"""The language in which a resource's properties are described, after Terraform's own.

Terraform's words matter, since a stack's state has to fit the official plugin: whether a property is a set or a
list decides its order, whether it is *computed* decides what a preview knows, and *force-new* properties replace
the resource.
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
    """What each item of a list or set holds; None where the items are strings."""
    single: bool = False
    """A list or set of one item at most, which Pulumi shows as that item."""
    required: bool = False
    computed: bool = False
    """The engine decides it where the program does not."""
    output: bool = False
    """The engine alone decides it: no input."""
    force_new: bool = False
    """Its change replaces the resource; of a property inside an object, the change of that one alone."""
    default: Any = None
    terraform_name: str = ""
    """Its name in Terraform, where that is not just the snake case of ours."""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    supported: bool = True
    """Whether this stand-in takes it; one that it does not take is refused, but is still part of the state."""
    same: Callable[[Any, Any], bool] | None = None
    """Whether an old and a new value mean the same, where comparing them would not tell."""

    @property
    def is_block(self) -> bool:
        """Say whether it is a block in Terraform: empty, rather than null, where nothing is given."""
        return self.fields is not None and not self.computed

    @property
    def is_collection(self) -> bool:
        """Say whether it is a list or a set."""
        return self.shape in ("list", "set")

    @property
    def zero(self) -> Any:
        """The value that Terraform does not tell from an absent one."""
        return {"string": "", "integer": 0, "boolean": False, "map": {}}.get(self.shape, [])

    @property
    def given_default(self) -> Any:
        """The default that shows among the inputs; one that equals the zero value does not."""
        return None if self.default == self.zero else self.default


Attributes = Mapping[str, Attribute]


class Schema(NamedTuple):
    """One type of resource."""

    attributes: Attributes
    """Without `id`, which every resource has."""
    version: str = ""
    """Version of its state; empty for 0, which is not written down."""
    timeouts: Mapping[str, int] | None = None
    """The time limits of its operations, seconds by `create`, `update` and so on, if its state carries them."""
    autonamed: str = ""
    """The property in which it gets a name of its own where the program gives none; empty for none."""
    name_limit: int = 0
    """How long such a name may be; 0 for any length."""
    delete_before_replace: bool = False
    """Whether an old one always goes before the new one comes, if the program does not say otherwise."""


def terraform_name(name: str, attribute: Attribute) -> str:
    """Return what Terraform calls the property that Pulumi calls `name`."""
    return attribute.terraform_name or re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def input_fields(attributes: Attributes) -> dict[str, Field]:
    """Return what `plugins.protocol.inputs.validate` needs, to check the inputs that this stand-in supports."""
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
    )


def items_of(value: Any, attribute: Attribute) -> list[Any] | None:
    """Return a list or set as Terraform has it, from Pulumi's form, where a `single` one is its item alone."""
    if value is None:
        return [] if attribute.is_block else None
    return [value] if attribute.single else list(value)


def without_defaults(value: Any) -> Any:
    """Return inputs without their lists of defaults."""
    if isinstance(value, dict):
        return {name: without_defaults(item) for name, item in value.items() if name != "__defaults"}
    return [without_defaults(item) for item in value] if isinstance(value, list) else value


def is_empty(value: Any) -> bool:
    """Say whether nothing is there: null, or a collection without items."""
    return value is None or value in ([], {})


State = Properties
"""A resource's state by Pulumi's names, but with Terraform's values: a `single` list is still a list."""
