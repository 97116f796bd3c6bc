"""Property values as the protocol sends them, and as Python values."""

import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from plugins.protocol.properties import (
    UNKNOWN,
    UNKNOWN_STRING,
    Archive,
    Asset,
    ResourceReference,
    Secret,
    decode,
    decode_properties,
    encode,
    encode_properties,
    has_unknown,
    plain,
)

plain_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.just(UNKNOWN),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.builds(Secret, inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), plain_values))
def test_properties_survive_being_sent(properties: dict[str, Any]) -> None:
    sent = encode_properties(properties).SerializeToString()
    received = type(encode_properties({}))()
    received.ParseFromString(sent)
    assert decode_properties(received) == properties


@pytest.mark.parametrize(
    "value",
    [
        Asset(path="a", hash="b"),
        Asset(text="", path="a", uri="", hash="b"),
        Archive(assets={"a": Asset(text="x")}, hash="c"),
        ResourceReference("urn", "id", "1.0.0"),
        ResourceReference("urn", UNKNOWN),
        {},
        [],
    ],
)
def test_special_values_survive_being_sent(value: Any) -> None:
    assert decode(encode(value)) == value


def test_fields_that_are_none_are_not_sent() -> None:
    sent = json_format.MessageToDict(encode(Asset(hash="b")))
    assert sent == {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "hash": "b"}


def test_whole_numbers_are_integers() -> None:
    assert isinstance(decode(encode(3)), int)
    assert isinstance(decode(encode(3.5)), float)
    assert decode(encode(math.pi)) == math.pi


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"value": "a"}, "a"),
        ({"value": "a", "secret": True}, Secret("a")),
        ({}, UNKNOWN),
        ({"secret": True, "dependencies": ["urn"]}, Secret(UNKNOWN)),
    ],
)
def test_output_values_become_what_they_hold(fields: dict[str, Any], expected: Any) -> None:
    signature = {"4dabf18193072939515e22adb298388d": "d0e6a833031e9bbcd3f4e8bde6ca49a4"}
    assert decode(encode({**signature, **fields})) == expected


def test_every_unknown_is_one() -> None:
    for text in (UNKNOWN_STRING, "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2"):
        assert decode(encode(text)) is UNKNOWN


def test_unknown_signatures_and_values_are_refused() -> None:
    with pytest.raises(ValueError, match="signature nobody-knows"):
        decode(encode({"4dabf18193072939515e22adb298388d": "nobody-knows"}))
    with pytest.raises(TypeError, match="a set is not a property value"):
        encode({1})


def test_secrets_do_not_show_what_they_hold() -> None:
    assert "hush" not in repr({"a": Secret("hush")})
    assert plain({"a": [Secret({"b": Secret("hush")})]}) == {"a": [{"b": "hush"}]}


def test_unknowns_are_found_at_any_depth() -> None:
    assert has_unknown({"a": [1, Secret({"b": UNKNOWN})]})
    assert not has_unknown({"a": [1, Secret({"b": 2})]})
