"""Settings of one platform: the mark in the annotation is what the check goes by."""

from pathlib import Path

import pytest

from configuration.base import Settings, platform_of
from configuration.checks.context import Checks
from configuration.checks.platform import marked_settings
from configuration.documentation import models
from configuration.hosts import HostSettings
from configuration.services import BuildSettings, ServiceSettings
from configuration.settings import StackSettings

SETTINGS = StackSettings(
    hosts={"box": HostSettings(roles=("registry", "build", "app"))},
    services={"web": ServiceSettings(build=BuildSettings(context="app"))},
)
MODELS: dict[str, Settings] = {
    "platform": SETTINGS.platform,
    "registry": SETTINGS.registry,
    "hosts": SETTINGS.hosts["box"],
    "services": SETTINGS.services["web"],
}
MARKED = [
    (key, name, kind)
    for key, model in MODELS.items()
    for name, field in type(model).model_fields.items()
    if (kind := platform_of(field))
]


def stack(kind: str, key: str, changed: Settings) -> StackSettings:
    """SETTINGS on this kind of platform, with one model in the place of the one at `key`."""
    platform = (changed if key == "platform" else SETTINGS.platform).model_copy(update={"kind": kind})
    places = {"hosts": {"box": changed}, "services": {"web": changed}, "registry": changed}
    other = {key: places[key]} if key in places else {}
    return SETTINGS.model_copy(update={"platform": platform, **other})


def refused(settings: StackSettings) -> list[str]:
    checks = Checks(
        settings=settings, invalid_locations=(), directory=Path(), secret_keys=None, stack="STACK"
    )
    return [str(problem) for problem in marked_settings(checks)]


@pytest.mark.parametrize(("key", "name", "kind"), MARKED, ids=[f"{key}.{name}" for key, name, _ in MARKED])
def test_a_marked_setting_is_refused_on_the_other_platform_only(key: str, name: str, kind: str) -> None:
    model = MODELS[key]
    changed = model.model_copy(update={name: getattr(model, name)})
    other = {"aws": "local", "local": "aws"}[kind]
    assert refused(stack(kind, key, changed)) == []
    (line,) = refused(stack(other, key, changed))
    assert (
        f"{type(model).model_fields[name].alias}: a setting of the platform {kind}, but this stack's is"
        in line
    )
    assert line.endswith(f"Leave it out, or set slipway:platform.kind to {kind}.")


def test_both_platforms_have_settings_of_their_own() -> None:
    assert {kind for _, _, kind in MARKED} == {"aws", "local"}
    assert len(MARKED) >= 20


def test_every_mark_is_tested_above() -> None:
    marks = [name for model in models() for name, f in model.model_fields.items() if platform_of(f)]
    assert sorted(marks) == sorted(name for _, name, _ in MARKED)
