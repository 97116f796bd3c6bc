"""Changed values in a stack's file: everything else stays as it is written."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackfile.document import Document
from stackfile.edit import REMOVED, CannotEdit, changed

ROOT = Path(__file__).parents[3]
FILES = [
    *(ROOT / f"Pulumi.{name}.yaml" for name in ("dev", "prod")),
    ROOT / "cli/stack/local-stack.yaml",
    *sorted((ROOT / "cli/environments").glob("*.yaml")),
]
TEXT = """\
# A comment at the top.
config:
    slipway:platform: {kind: local}   # behind a value

    slipway:services:
        web:
            # above a key
            port: 8080
            secrets:
              - A
              - 'B'
    slipway:certificates: &times
        validityHours: 10
    other:times: *times
    slipway:registry: '{"users": ["alice"]}'
"""


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_a_file_of_ours_keeps_every_line_but_the_changed_one(file: Path) -> None:
    text = file.read_text()
    result = changed(text, {("config", "slipway:protect"): "maybe"})
    before = [line for line in text.splitlines() if "slipway:protect" not in line]
    assert [line for line in result.splitlines() if "slipway:protect" not in line] == before
    assert "  slipway:protect: maybe" in result


@pytest.mark.parametrize(
    ("at", "value", "old", "new"),
    [
        (("slipway:services", "web", "port"), 80, "port: 8080", "port: 80"),
        (("slipway:platform", "portOffset"), 100, "{kind: local}", "{kind: local, portOffset: 100}"),
        (("slipway:platform", "kind"), "aws", "{kind: local}", "{kind: aws}"),
        (("slipway:services", "web", "port"), REMOVED, "            port: 8080\n", ""),
    ],
)
def test_only_the_value_changes(at: tuple[str, ...], value: Any, old: str, new: str) -> None:
    result = changed(TEXT, {("config", *at): value})
    if value is REMOVED:
        assert Document.parse(result.encode()).content["config"]["slipway:services"]["web"] == {
            "secrets": ["A", "B"]
        }
    else:
        # A comment behind a value stays in its column.
        assert re.sub(" +#", " #", result) == re.sub(" +#", " #", TEXT.replace(old, new))


@pytest.mark.parametrize(
    "value", ["yes", "0022", "12:30", "2026-01-01", "null", "", "a: b", "# no", "1e3", "ü"]
)
def test_a_text_stays_a_text_for_every_reader(value: str) -> None:
    result = changed(TEXT, {("config", "slipway:services", "web", "env"): {"A": value}})
    document = Document.parse(result.encode())
    assert not document.mistakes
    assert document.content["config"]["slipway:services"]["web"]["env"] == {"A": value}
    assert yaml.safe_load(result)["config"]["slipway:services"]["web"]["env"] == {"A": value}


def test_maps_on_the_way_are_made_and_an_empty_file_gets_the_first_one() -> None:
    result = changed("", {("config", "slipway:services", "web", "port"): 80})
    assert Document.parse(result.encode()).content == {"config": {"slipway:services": {"web": {"port": 80}}}}


def test_what_is_not_there_need_not_be_removed() -> None:
    assert changed(TEXT, {("config", "slipway:hosts", "box", "slot"): REMOVED}) == TEXT


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (("slipway:registry", "port"), "slipway:registry is no map in YAML"),
        (("slipway:services", "web", "port", "x"), "slipway:services.web.port is no map"),
        (("slipway:certificates", "validityHours"), "by an anchor"),
    ],
)
def test_what_would_change_something_else_is_refused(at: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CannotEdit, match=reason):
        changed(TEXT, {("config", *at): 1})
