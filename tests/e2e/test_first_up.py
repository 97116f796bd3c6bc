"""After `./slip up` in a fresh clone the sample app answers, from an image that came through the stack's registry."""

import json

import pytest

from tests.e2e.conftest import FirstUp
from tests.support.http_load import greeting
from tests.support.stack import Stack

pytestmark = pytest.mark.place("first")


def test_first_up_ends_well_and_says_where_everything_is(first_up: FirstUp) -> None:
    result = first_up.result
    assert result.status == 0, str(result)
    for fact in (
        "http://127.0.0.1:8381/",
        "http://127.0.0.1:8382/",
        "127.0.0.1:5300",
        "docker login",
        "slip verify",
    ):
        assert fact in result.output, f"{fact} is not in:\n{result.output}"


def test_both_app_hosts_serve_the_sample_app(stack: Stack) -> None:
    urls = stack.urls()
    assert len(urls) == 2
    assert {greeting(url) for url in urls} == {"Hello from Slipway"}


def test_app_hosts_run_the_image_that_they_pulled_by_digest(stack: Stack) -> None:
    reference = stack.outputs()["images"]["web"]
    assert reference.startswith("yard:5300/web@sha256:")
    for host in ("web-1", "web-2"):
        (container,) = stack.app_containers(host, all_=True)
        image = stack.on_host(host, "docker", "inspect", "--format", "{{.Image}}", container)
        digests = stack.on_host(
            host, "docker", "image", "inspect", "--format", "{{json .RepoDigests}}", image
        )
        assert reference in json.loads(digests)


def test_images_say_what_they_are_and_outputs_where_they_come_from(stack: Stack) -> None:
    revisions = stack.outputs()["revisions"]
    for service, context in (("web", "app"), ("web-base", "app/base")):
        tagged = stack.on_host("yard", "docker", "images", "--format", "{{.Repository}}:{{.Tag}}")
        (name,) = [line for line in tagged.split() if line.startswith(f"yard:5300/{service}:")]
        shown = stack.on_host(
            "yard", "docker", "image", "inspect", "--format", "{{json .Config.Labels}}", name
        )
        # Nothing of the history, which another clone may not have.
        assert json.loads(shown) == {"org.opencontainers.image.title": service}
        revision = stack.clone.git("log", "-1", "--format=%H", "--", context).strip()
        assert revisions[service][0] == {"tag": name.rpartition(":")[2], "revision": revision}


def test_hosts_are_reached_on_this_machine_only(stack: Stack) -> None:
    for host in ("yard", "web-1", "web-2"):
        published = stack.published(host)
        assert published
        assert all(address.startswith("127.0.0.1:") for address in published), published
