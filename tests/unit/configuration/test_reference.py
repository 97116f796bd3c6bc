"""The reference: the schema, the table and the page say what the models say."""

import json
import re
from typing import Any

import pytest

from configuration import reference
from configuration.base import Settings, platform_of
from configuration.constraints import Within
from configuration.documentation import documentation, models

SETTINGS = [(model, name) for model in models() for name in model.model_fields]
IDS = [f"{model.__name__}.{name}" for model, name in SETTINGS]


def test_the_schema_is_what_the_settings_say() -> None:
    assert json.loads(reference.SCHEMA.read_text(encoding="utf-8")) == reference.schema(), (
        "run `make reference`"
    )


def test_the_schema_knows_what_a_secret_looks_like_in_a_file() -> None:
    keys = reference.schema()["properties"]["config"]["properties"]
    assert keys["slipway:passwords"]["additionalProperties"]["required"] == ["secure"]


def test_every_field_of_every_model_is_a_setting() -> None:
    paths = {row.path for row in reference.rows()}
    assert {
        "slipway:hosts.HOST.roles",
        "slipway:services.SERVICE.build.base.context",
        "slipway:protect",
    } <= paths
    fields = {info.alias for model in models() for info in model.model_fields.values()}
    assert {path.rpartition(".")[2].rpartition(":")[2] for path in paths} == fields


class TestMarkdown:
    def test_every_setting_is_there_once_with_its_meaning(self) -> None:
        text = f"\n{reference.markdown()}"
        for row in reference.rows():
            key = row.path.removeprefix("slipway:")
            assert text.count(f"\n| `{key}` | ") + text.count(f"\n`{row.path}`: ") == 1, row.path
            assert row.documentation.meaning in text, row.path

    def test_each_group_has_a_heading(self) -> None:
        headings = re.findall(r"^## (.*)$", reference.markdown(), re.MULTILINE)
        groups = [
            "Platform",
            "Hosts",
            "Registry",
            "Services",
            "Proxy",
            "Acme",
            "Rollout",
            "Hooks",
            "Notify",
            "Certificates",
            "Cleanup",
            "Operators",
            "State backup",
            "Review",
        ]
        assert headings == [*groups, "Secrets and protection"]

    def test_what_is_inside_a_setting_of_one_platform_belongs_to_it_too(self) -> None:
        (line,) = [line for line in reference.markdown().splitlines() if "`platform.network.cidr`" in line]
        assert line.split(" | ")[3] == "aws"


@pytest.mark.parametrize(("model", "name"), SETTINGS, ids=IDS)
class TestDocstrings:
    """They are the only text that says unit, range and default to users, so they have to be right."""

    def test_it_names_the_default(self, model: type[Settings], name: str) -> None:
        field, said = model.model_fields[name], documentation(model, name).default
        if field.is_required():
            assert said == "required"
        elif isinstance(field.default, (bool, int, str)):
            default = json.dumps(field.default).strip('"')
            assert re.match(rf"`?{re.escape(default)}`?(?![\w.])", said), said
        else:
            assert said != "required"

    def test_it_names_the_range(self, model: type[Settings], name: str) -> None:
        for bounds in within(model.model_fields[name]):
            numbers = re.findall(r"\d+", documentation(model, name).meaning)
            assert {str(bounds.low), str(bounds.high)} <= set(numbers)

    def test_it_says_the_platform_by_the_mark_only(self, model: type[Settings], name: str) -> None:
        said = documentation(model, name)
        assert said.platform == platform_of(model.model_fields[name])
        assert not re.match(r"(only on )?`?(aws|local)`?[:,.]", said.meaning, re.IGNORECASE)
        assert said.text.startswith(f"Only on `{said.platform}`. ") == bool(said.platform)


def within(field: Any) -> list[Within]:
    """The bounds in a setting's type, wherever they are in it."""
    found = [each for each in getattr(field, "metadata", ()) if isinstance(each, Within)]
    found += [each for each in getattr(field, "__metadata__", ()) if isinstance(each, Within)]
    for inner in (getattr(field, "annotation", None), *getattr(field, "__args__", ())):
        if inner is not None and not (isinstance(inner, type) and issubclass(inner, Settings)):
            found += within(inner)
    return found


def test_the_bounds_are_found() -> None:
    assert sum(bool(within(model.model_fields[name])) for model, name in SETTINGS) >= 20
