"""Pulumi's property values as plain Python values, and back.

On the wire a property is a `google.protobuf.Value`. What JSON cannot express (a secret, an asset, a value that
is not known yet) is an object with a signature, or a reserved string:

====================== ====================================================================================
on the wire            in Python
====================== ====================================================================================
null, bool, string     `None`, `bool`, `str`
number                 `int` if it has no fraction, else `float`
list, object           `list`, `dict[str, Any]`
an unknown value       the object `UNKNOWN` (only in previews)
a secret               `Secret(value)`
an output value        its value, `UNKNOWN`, or a `Secret` of these; without its dependencies
an asset, an archive   `Asset`, `Archive`
a resource reference   `ResourceReference`
====================== ====================================================================================

Sources of the signatures: `sdk/go/common/resource/sig` and `sdk/go/common/resource/plugin/rpc.go` of Pulumi.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

Properties = dict[str, Any]
"""The properties of a resource, by name."""

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  # the mark of one
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE_REFERENCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT_VALUE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The form in which an unknown value is sent, whatever its type will be."""

_UNKNOWN_STRINGS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # a list
        "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
    }
)


class Unknown:
    """The type of `UNKNOWN`, a value that is known only after the preview."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


class Secret:
    """A value that the engine encrypts in its state and hides in its output."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash((Secret, repr(type(self.value))))

    def __repr__(self) -> str:
        # Without the value: a Secret may end up in a message.
        return "Secret(…)"


class Asset(NamedTuple):
    """A file, given by its text, its path or its URI; `hash` is the SHA-256 that the engine computed.

    Fields that are None are not sent. In a state, `hash` may be the only field.
    """

    text: str | None = None
    path: str | None = None
    uri: str | None = None
    hash: str | None = None


class Archive(NamedTuple):
    """Several files, given by path, by URI or one by one in `assets`. Fields that are None are not sent."""

    assets: Properties | None = None
    path: str | None = None
    uri: str | None = None
    hash: str | None = None


class ResourceReference(NamedTuple):
    """Another resource of the stack. Its `id` is `UNKNOWN` until the resource exists, and empty for a component."""

    urn: str
    id: Any = ""
    package_version: str = ""


def decode(value: Value) -> Any:
    """Return the Python value of `value`; ValueError for an unknown signature."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text in _UNKNOWN_STRINGS else text
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [decode(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _decode_object(value.struct_value)
    return None


def decode_properties(struct: Struct) -> Properties:
    """Return the properties that `struct` holds."""
    return {name: decode(value) for name, value in struct.fields.items()}


def _decode_object(struct: Struct) -> Any:
    if SIGNATURE not in struct.fields:
        return decode_properties(struct)
    signature = struct.fields[SIGNATURE].string_value
    fields = {name: decode(value) for name, value in struct.fields.items() if name != SIGNATURE}
    if signature == SECRET:
        return Secret(fields.get("value"))
    if signature == OUTPUT_VALUE:
        value = fields.get("value", UNKNOWN)
        return Secret(value) if fields.get("secret") else value
    if signature == ASSET:
        return Asset(**_only(fields, Asset._fields))
    if signature == ARCHIVE:
        return Archive(**_only(fields, Archive._fields))
    if signature == RESOURCE_REFERENCE:
        return ResourceReference(fields["urn"], fields.get("id", ""), fields.get("packageVersion", ""))
    raise ValueError(f"a property value with the unknown signature {signature}")


def _only(fields: Mapping[str, Any], names: tuple[str, ...]) -> Properties:
    return {name: fields[name] for name in names if name in fields}


def encode(value: Any, into: Value | None = None) -> Value:
    """Return `value` in the form in which it is sent (in `into`, if given); TypeError for a type that has none."""
    result = Value() if into is None else into
    if value is None:
        result.null_value = NULL_VALUE
    elif isinstance(value, bool):
        result.bool_value = value
    elif isinstance(value, str):
        result.string_value = value
    elif isinstance(value, (int, float)):
        result.number_value = value
    elif isinstance(value, Unknown):
        result.string_value = UNKNOWN_STRING
    elif isinstance(value, Secret):
        _fill(result.struct_value, {SIGNATURE: SECRET, "value": value.value})
    elif isinstance(value, Asset):
        _fill(result.struct_value, {SIGNATURE: ASSET, **_given(value._asdict())})
    elif isinstance(value, Archive):
        _fill(result.struct_value, {SIGNATURE: ARCHIVE, **_given(value._asdict())})
    elif isinstance(value, ResourceReference):
        fields = {"urn": value.urn, "id": value.id, "packageVersion": value.package_version}
        _fill(result.struct_value, {SIGNATURE: RESOURCE_REFERENCE, **fields})
    elif isinstance(value, Mapping):
        result.struct_value.SetInParent()
        _fill(result.struct_value, value)
    elif isinstance(value, (list, tuple)):
        result.list_value.SetInParent()
        for item in value:
            encode(item, result.list_value.values.add())
    else:
        raise TypeError(f"a {type(value).__name__} is not a property value")
    return result


def _given(fields: Properties) -> Properties:
    return {name: value for name, value in fields.items() if value is not None}


def encode_properties(properties: Mapping[str, Any]) -> Struct:
    """Return `properties` in the form in which they are sent."""
    struct = Struct()
    _fill(struct, properties)
    return struct


def _fill(struct: Struct, properties: Mapping[str, Any]) -> None:
    for name, value in properties.items():
        encode(value, struct.fields[name])


def plain(value: Any) -> Any:
    """Return `value` without any `Secret` around or inside it. The result may be used, but not printed."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def has_unknown(value: Any) -> bool:
    """Say whether `value` is `UNKNOWN`, or holds `UNKNOWN` at any depth."""
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, dict):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return isinstance(value, Unknown)
