"""Which image `slip update` is about."""

import pytest

from cli.errors import CommandError
from cli.update.newer_image import image_of

SERVICES = {
    "db": {"image": "postgres:16"},
    "jobs": {"from": "more"},
    "more": {"from": "db"},
    "web": {"build": {"context": "app"}},
    "a": {"from": "b"},
    "b": {"from": "a"},
}


@pytest.mark.parametrize("service", ["db", "more", "jobs"])
def test_it_is_that_of_the_service_or_of_the_one_that_it_runs_the_image_of(service: str) -> None:
    assert image_of(SERVICES, service) == "postgres:16"


@pytest.mark.parametrize(
    ("service", "wrong"),
    [
        ("web", "the image of the service web is built here"),
        ("a", "built here"),
        ("bd", "there is no service bd"),
    ],
)
def test_a_service_without_an_image_of_others_has_none(service: str, wrong: str) -> None:
    with pytest.raises(CommandError, match=wrong):
        image_of(SERVICES, service)
