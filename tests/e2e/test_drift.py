"""What was changed on hosts by hand is found, and made again without a lost request."""

import json
from typing import Any

from tests.support.command import Result
from tests.support.docker_command import docker
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack
from tests.support.waiting import eventually

CHANGES = {
    "yard": (
        "rm /etc/slipway/registry-proxy/tls.pem",
        "sed -i 1d /etc/slipway/registry/htpasswd",
        "chmod 644 /etc/slipway/registry/config.yml",
    ),
    "web-1": (
        "rm -r /etc/docker/certs.d",
        "rm /usr/local/lib/slipway/switch",
        "chown 1000 /etc/docker/tls/key.pem",
    ),
    "web-2": (
        """sed -i 's/"tlsverify": true/"tlsverify": false/' /etc/docker/daemon.json""",
        "systemctl restart docker.service",
    ),
}
FOUND = {
    "yard": {
        "/etc/slipway/registry-proxy/tls.pem is missing",
        "/etc/slipway/registry/htpasswd has another content",
        "/etc/slipway/registry/config.yml has the mode 644, not 640",
    },
    "web-1": {
        "/etc/docker/certs.d/yard:5300/ca.crt is missing",
        "/usr/local/lib/slipway/switch is missing",
        "/etc/docker/tls/key.pem belongs to 1000:0, not to 0:0 (uid:gid)",
    },
    "web-2": {
        "/etc/docker/daemon.json has another content",
        "Docker Engine answers clients without a certificate (https on port 2376)",
    },
}
"""What is found of these changes."""
BLOBS = "/var/lib/slipway/registry/docker/registry/v2"


def lines(host: str, start: str = "") -> set[str]:
    return {f"{start}{host}: {text}" for text in FOUND[host]}


def repair(stack: Stack, *arguments: str, status: int = 0) -> Result:
    result = stack.slip("repair", *arguments)
    assert result.status == status, str(result)
    return result


def settled(stack: Stack) -> None:
    """Fail unless nothing differs, neither for Pulumi nor on the hosts."""
    preview = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert preview.status == 0, str(preview)
    verified = stack.slip("verify")
    assert verified.status == 0, str(verified)


def test_changes_by_hand_are_found_and_made_good(stack: Stack) -> None:
    for host, commands in CHANGES.items():
        for command in commands:
            stack.on_host(host, "sh", "-c", command)

    report: dict[str, Any] = json.loads(stack.slip("verify", "--json").output)
    failed = {
        check["subject"]: check
        for check in report["checks"]
        if check["check"] == "the host is as it was set up" and not check["passed"]
    }
    for host, texts in FOUND.items():
        assert all(text in failed[host]["detail"] for text in texts), failed
        assert failed[host]["remedy"] == f"./slip repair {host} -s {stack.name}"

    preview = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert preview.status == 1, str(preview)
    assert set().union(*map(lines, FOUND)) <= set(preview.output.splitlines()), str(preview)

    with Load(*stack.urls()) as load:
        one = repair(stack, "web-1")
        assert {f"{line}." for line in lines("web-1", "Mended ")} <= set(one.output.splitlines()), str(one)
        assert "Mended yard: " not in one.output
        rest = stack.up("--refresh")
        mended = {f"{line}." for host in ("yard", "web-2") for line in lines(host, "Mended ")}
        assert mended <= set(rest.output.splitlines()), str(rest)
        assert not rest.changes, str(rest)
    load.check()
    settled(stack)
    assert "Mended" not in repair(stack).output


def test_killed_containers_start_again_by_themselves(stack: Stack) -> None:
    url, other = stack.urls()
    served = greeting(url)
    (app,) = stack.app_containers("web-1")
    with Load(other) as load:
        stack.on_host("web-1", "docker", "kill", "slipway-proxy", app)
        stack.on_host("yard", "docker", "kill", "slipway-registry")
        eventually("the proxy and the app are back", lambda: greeting(url) == served)
        eventually("the registry is back", stack.registry().answers)
    load.check()
    assert not stack.up().changes


def test_a_stopped_engine_is_told_and_started(stack: Stack) -> None:
    url, other = stack.urls()
    served = greeting(url)
    # An engine that is stopped by hand cuts the connections to its own host.
    with Load(other) as load:
        stack.on_host("web-1", "systemctl", "stop", "docker.service")
        failed = stack.slip("up")
        assert failed.status == 1, str(failed)
        assert "web-1 runs, but its Docker Engine does not answer" in failed.output
        assert f"./slip repair web-1 -s {stack.name}" in failed.output
        assert "Mended web-1: docker.service is inactive." in repair(stack, "web-1").output
        assert greeting(url) == served
        assert not stack.up().changes
    load.check()


def test_removed_containers_are_made_again(stack: Stack) -> None:
    url, other = stack.urls()
    served = greeting(url)
    (app,) = stack.app_containers("web-1")
    with Load(other) as load:
        stack.on_host("yard", "docker", "rm", "--force", "slipway-registry")
        stack.on_host("web-1", "docker", "rm", "--force", "slipway-proxy", app)
        repair(stack)
        assert greeting(url) == served
        assert stack.registry().answers()
    load.check()
    settled(stack)


def test_missing_images_are_pushed_again(stack: Stack) -> None:
    image = str(stack.outputs()["images"]["web"]).partition("@")[2]
    links = f"{BLOBS}/repositories/web/_manifests/revisions/sha256/{image.removeprefix('sha256:')}/link"
    stack.on_host("yard", "rm", links)
    registry = stack.registry()
    assert not registry.has("web", image)
    preview = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert preview.status == 1, str(preview)
    assert f"the registry: web@{image[:19]}: its manifest is missing" in preview.output
    assert not stack.up("--refresh").changes
    assert registry.has("web", image)

    # A manifest is there still, but not what it names: one layer is cut off, another is gone.
    layers = f"cd {BLOBS}/blobs/sha256; ls -S */*/data | head -n 2"
    stack.on_host(
        "yard", "sh", "-c", f"{layers} | head -n 1 | xargs truncate -s 100; {layers} | tail -n 1 | xargs rm"
    )
    assert "blob is" in repair(stack).output
    assert "Mended" not in repair(stack).output


def test_removed_hosts_are_made_again_by_a_plain_up(stack: Stack) -> None:
    images = stack.registry().images()
    docker("rm", "--force", stack.container("yard"), stack.container("web-1"))
    result = stack.up()
    for host in ("yard", "web-1"):
        assert f"{host}: its container is gone" in result.output, str(result)
    assert stack.registry().lacks(images) == set()
    settled(stack)
