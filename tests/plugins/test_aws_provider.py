"""The aws stand-in against a table of what the official plugin does with the properties that the program sets."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.aws.plugin import KINDS, Aws
from plugins.bridge.schema import Attribute, Attributes
from plugins.protocol.messages import CheckFailure, CheckRequest
from tests.plugins.test_aws_table import asked

TABLE: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parent / "aws_provider.yaml").read_text()
)
ROWS = [(kind, path) for kind, rows in TABLE.items() for path in rows]
VALUES = [
    (kind, path, value, taken)
    for kind, rows in TABLE.items()
    for path, row in rows.items()
    for taken, values in ((True, row.get("accepts", [])), (False, row.get("refuses", [])))
    for value in values
]


def attribute(kind: str, path: str) -> Attribute:
    fields: Attributes = KINDS[kind].schema.attributes
    *outer, name = path.split(".")
    for each in outer:
        fields = fields[each].fields or {}
    return fields[name]


def value_of(written: Any) -> Any:
    """A value of the table; `50 characters` stands for a text of that length."""
    if isinstance(written, str) and written.endswith(" characters"):
        return "a" * int(written.partition(" ")[0])
    return written


def failures(kind: str, path: str, value: Any) -> list[CheckFailure]:
    """What the plugin says about this value, beside missing properties."""
    news: Any = value
    for name in reversed(path.split(".")):
        news = {name: news}
    for name in news:
        given = KINDS[kind].schema.attributes[name]
        if given.is_collection and not given.single and not isinstance(news[name], list):
            news[name] = [news[name]]
    found = Aws().check(CheckRequest("urn", "it", kind, {}, news, b"seed")).failures
    return [each for each in found if "Missing required property" not in each.reason]


def test_every_property_that_the_program_sets_is_in_the_table() -> None:
    paths, _ = asked()
    written = {(kind, path) for kind, path in ROWS}
    missing = {
        (kind, path)
        for kind, _, path in paths
        if kind in KINDS and not path.endswith("tags") and (kind, path) not in written
    }
    assert not missing


@pytest.mark.parametrize(("kind", "path"), ROWS)
def test_replacements_requirements_and_defaults_are_the_official_ones(kind: str, path: str) -> None:
    row, ours = TABLE[kind][path], attribute(kind, path)
    assert ours.force_new == (row.get("replaces") in {"always", "here only"})
    assert ours.required == row.get("required", False)
    assert ours.default == row.get("default")


@pytest.mark.parametrize(("kind", "path", "value", "taken"), VALUES)
def test_values_are_taken_and_refused_as_by_the_official_one(
    kind: str, path: str, value: Any, taken: bool
) -> None:
    said = failures(kind, path, value_of(value))
    assert (not said) == taken, said
