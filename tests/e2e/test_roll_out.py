"""A code change reaches both hosts one after another, and no request fails."""

from tests.support.http_load import Load, greeting
from tests.support.stack import Stack
from tests.support.waiting import eventually


def test_code_change_rolls_over_both_hosts_without_a_failed_request(stack: Stack) -> None:
    base_before = _image(stack, "web-base-image")
    urls = stack.urls()
    old, new = stack.clone.greet("Hello from version 2"), "Hello from version 2"
    with Load(*urls) as load:
        result = stack.up()
        served = {greeting(url) for url in urls}
        eventually("the clients see the new version", lambda: all(new in load.greetings[url] for url in urls))
    load.check()
    assert served == {new}
    assert load.greetings == {url: {old, new} for url in urls}

    # Only the app's image was built. The base image is the same, and nothing else changed.
    assert base_before == _image(stack, "web-base-image")
    assert result.changes.keys() == {
        "web-image",
        *("web-web-1-image", "web-web-1", "web-web-1-switch"),
        *("web-web-2-image", "web-web-2", "web-web-2-switch"),
    }, str(result)

    # One host after another: the switch of the first host comes before the container of the second.
    began = [step.name for step in result.steps if step.operation not in {"same", "refresh"}]
    assert began.index("web-web-1-switch") < began.index("web-web-2"), began
    for host in ("web-1", "web-2"):
        assert len(stack.app_containers(host, all_=True)) == 1


def _image(stack: Stack, name: str) -> tuple[str, str]:
    (found,) = [resource for urn, resource in stack.resources().items() if urn.endswith(f"::{name}")]
    return found["outputs"]["repoDigest"], found["inputs"]["imageName"]
