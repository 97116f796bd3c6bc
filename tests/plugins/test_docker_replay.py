"""The docker stand-in against the recordings of pulumi-docker, as far as they need no engine."""

import pytest

from plugins.docker.plugin import IMAGE, Docker
from tests.plugins.replay import Call, answer, differences, recorded

NOT_IMAGE = "docker:index/[!i]*"


def calls(method: str, kind: str = "*", preview: bool | None = None) -> list[Call]:
    return recorded("docker", method=method, kind=kind, preview=preview)


def replayed(call: Call) -> list[str]:
    return differences(call, answer(Docker(), call))


@pytest.mark.parametrize("call", calls("CheckConfig") + calls("DiffConfig"), ids=str)
def test_the_providers_configuration(call: Call) -> None:
    assert replayed(call) == []


@pytest.mark.parametrize("call", calls("Check", NOT_IMAGE), ids=str)
def test_check(call: Call) -> None:
    assert replayed(call) == []


@pytest.mark.parametrize("call", calls("Diff"), ids=str)
def test_diff(call: Call) -> None:
    assert replayed(call) == []


@pytest.mark.parametrize("call", calls("Create", preview=True) + calls("Update", preview=True), ids=str)
def test_previews(call: Call) -> None:
    assert replayed(call) == []


@pytest.mark.parametrize("call", calls("Read", IMAGE) + calls("Delete", IMAGE), ids=str)
def test_images_are_not_looked_at_again(call: Call) -> None:
    assert replayed(call) == []
