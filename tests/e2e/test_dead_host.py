"""A host is gone for good: the commands name it and the remedy, and the other hosts go on serving."""

import json
import re
from typing import Any

from tests.support.docker_command import docker
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack

ON_WEB_1 = re.compile(r"::web-1-(setup|docker|images|routes)$|::web-1-proxy-|::web-web-1(-image|-switch)?$")
ON_YARD = re.compile(
    r"::yard-(setup|docker|images)$|::registry-(front-)?(settings|image|container|owner|answers)$|::web(-base)?-image$"
)


def _names_host_and_remedy(stack: Stack, host: str, status: int) -> None:
    for command in ("preview", "up"):
        result = stack.slip(command)
        assert result.status == status, str(result)
        assert f"{host} does not answer" in result.output, str(result)
        assert f"docker start {stack.container(host)}" in result.output, str(result)
        assert f"./slip forget {host} -s {stack.name}" in result.output, str(result)
        assert "Traceback" not in result.output, str(result)


def _forget(stack: Stack, host: str, on_host: re.Pattern[str]) -> None:
    """Forget a host, and check that the state lost the resources on that host and no others."""
    before = stack.resources()
    result = stack.slip("forget", host, "--yes")
    assert result.status == 0, str(result)
    after = stack.resources()
    gone = before.keys() - after.keys()
    assert gone == {urn for urn in before if on_host.search(urn)}
    assert after.keys() <= before.keys()
    for urn, resource in after.items():
        assert resource.get("outputs") == before[urn].get("outputs"), urn
    assert all(not gone & set(resource.get("dependencies", ())) for resource in after.values())


def test_dead_app_host_is_named_forgotten_and_made_anew(stack: Stack) -> None:
    first, second = stack.urls()
    served = greeting(second)
    with Load(second) as load:
        docker("stop", stack.container("web-1"))
        # The other app host does the same work, so the update has nothing to wait for.
        _names_host_and_remedy(stack, "web-1", 0)
        _forget(stack, "web-1", ON_WEB_1)
        result = stack.up()
        assert greeting(first) == served
    load.check()
    assert not {"web-2", "yard", "web-web-2"} & result.changes.keys(), str(result)
    assert stack.slip("preview", "--refresh", "--expect-no-changes").status == 0


def test_another_ssh_host_key_ends_an_update_at_once(stack: Stack) -> None:
    key, restart = "/etc/ssh/ssh_host_ed25519_key", "systemctl restart ssh"
    served = greeting(stack.urls()[0])

    def with_more_time(settings: dict[str, Any]) -> None:
        settings["services"]["web"]["drainTimeout"] = 7

    stack.on_host(
        "web-1",
        *("sh", "-c", f"mv {key} /root/ && ssh-keygen -q -t ed25519 -N '' -f {key} && {restart}"),
    )
    came = stack.on_host("web-1", "ssh-keygen", "-lf", key).split()[1]
    try:
        checks = json.loads(stack.slip("verify", "--json").output)["checks"]
        (failed,) = [check for check in checks if not check["passed"] and not check["skipped"]]
        assert failed["check"] == "the host answers"
        assert f"was expected, {came} came" in failed["detail"]
        with stack.configured(with_more_time):
            result = stack.slip("up", "--yes")
        assert result.status == 1, str(result)
        assert f"was expected, {came} came" in result.output, str(result)
        assert f"./slip forget web-1 -s {stack.name}" in result.output
        assert "Interrupted" not in result.output
    finally:
        stack.on_host(
            "web-1", "sh", "-c", f"rm {key}.pub && mv /root/ssh_host_ed25519_key /etc/ssh/ && {restart}"
        )
    stack.up()
    assert greeting(stack.urls()[0]) == served
    assert stack.slip("preview", "--refresh", "--expect-no-changes").status == 0


def test_app_host_that_is_gone_can_be_left_out_and_taken_back(stack: Stack) -> None:
    first, second = stack.urls()
    served = greeting(second)

    def without(settings: dict[str, Any]) -> None:
        del settings["hosts"]["web-1"]

    with Load(second) as load:
        docker("rm", "--force", stack.container("web-1"))
        _forget(stack, "web-1", ON_WEB_1)
        with stack.configured(without):
            stack.up()
            assert stack.urls() == [second]
            assert len(stack.traces()["container"]) == 2
        stack.up()
        assert greeting(first) == served
    load.check()


def test_dead_registry_host_is_made_anew_with_all_its_images(stack: Stack) -> None:
    urls, outputs = stack.urls(), stack.outputs()
    images = stack.registry().images()
    served = greeting(urls[0])
    with Load(*urls) as load:
        docker("stop", stack.container("yard"))
        _names_host_and_remedy(stack, "yard", 1)
        _forget(stack, "yard", ON_YARD)
        stack.up()
    load.check()
    assert {greeting(url) for url in urls} == {served}
    registry = stack.registry()
    assert registry.lacks(images) == set()
    # The hosts trust it as before, and still know their image by its digest.
    stack.on_host("web-1", "docker", "image", "inspect", outputs["images"]["web"])
    verified = stack.slip("verify")
    assert verified.status == 0, str(verified)
