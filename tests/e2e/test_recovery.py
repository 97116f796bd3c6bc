"""A refresh brings a removed container back; after a restart everything comes back by itself."""

from tests.support.docker_command import docker
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack
from tests.support.waiting import eventually


def test_refresh_brings_a_removed_app_container_back(stack: Stack) -> None:
    _, url = stack.urls()
    before = greeting(url)
    (container,) = stack.app_containers("web-2")
    stack.on_host("web-2", "docker", "rm", "--force", container)
    result = stack.up("--refresh")
    assert greeting(url) == before
    assert "web-web-2" in result.changes, str(result)
    assert "web-web-1" not in result.changes, str(result)


def test_registry_proxy_and_app_survive_a_restart_of_their_hosts(stack: Stack) -> None:
    registry, urls = stack.registry(), stack.urls()
    images, served = registry.images(), greeting(urls[0])
    with Load(urls[1]) as load:
        docker("restart", stack.container("yard"), stack.container("web-1"))
        eventually("the registry answers", registry.answers)
        eventually("the app answers", lambda: greeting(urls[0]) == served)
    load.check()
    assert registry.images() == images
    preview = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert preview.status == 0, str(preview)


def test_registry_proxy_and_app_survive_a_restart_of_the_engines(stack: Stack) -> None:
    registry, urls = stack.registry(), stack.urls()
    images, served = registry.images(), greeting(urls[0])
    for host in ("yard", "web-1"):
        stack.on_host(host, "systemctl", "restart", "docker.service")
    eventually("the registry answers", registry.answers)
    eventually("the app answers", lambda: greeting(urls[0]) == served)
    assert registry.images() == images
    preview = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert preview.status == 0, str(preview)
