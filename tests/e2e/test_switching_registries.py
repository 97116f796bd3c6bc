"""The registry with plain HTTP, with copies of base images and with metrics; then someone else's in its place."""

import gzip
import json
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support import small_image
from tests.support.command import Result
from tests.support.docker_command import docker
from tests.support.registry import Registry
from tests.support.registry_client import Client
from tests.support.second_registry import ACCOUNT, SecondRegistry, second_registry
from tests.support.settings import METRICS_PORT
from tests.support.stack import Stack
from tests.support.waiting import ANSWER
from well_known import REGISTRY_DATA_PATH

EVERYTHING = {"box": {"roles": ["registry", "build", "app"]}}
BASE = small_image.IMAGE
NAME, _, TAG = BASE.partition(":")


class Modes:
    """One stack, whose registry changes from one kind into another."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def configure(self, registry: dict[str, Any], hosts: dict[str, Any] | None = None) -> None:
        """Configure another registry, and with it perhaps other hosts."""
        self.stack.configure({"registry": registry, "hosts": hosts or EVERYTHING})

    def verify(self) -> dict[str, dict[str, Any]]:
        """The results of `slip verify`, by check. All of them pass."""
        result = self.stack.slip("verify", "--json")
        assert result.status == 0, str(result)
        return {check["check"]: check for check in json.loads(result.output)["checks"]}

    def run(self, *arguments: str) -> Result:
        """A command of `./slip` on this stack."""
        return self.stack.clone.start("./slip", *arguments, "--stack", self.stack.name).wait()

    def unchanged(self) -> None:
        """Check that the next update has nothing to do, and that nothing has drifted."""
        result = self.stack.slip("preview", "--refresh", "--expect-no-changes")
        assert result.status == 0, str(result)

    def base_image(self) -> str:
        """The id of the first layer of the service's image."""
        image = self.stack.outputs()["images"]["web"]
        return self._layer(image)

    def _layer(self, image: str) -> str:
        layers = self.stack.on_host(
            "box", "docker", "image", "inspect", image, "--format", "{{json .RootFS.Layers}}"
        )
        first: str = json.loads(layers)[0]
        return first

    def layer_of_copy(self) -> str:
        """The id of the first layer of the copy of the base image."""
        return self._layer(self.stack.outputs()["mirror"][BASE])


@pytest.fixture(scope="module")
def modes(one_host: Stack) -> Modes:
    return Modes(one_host)


@pytest.fixture(scope="module")
def other(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondRegistry]:
    with second_registry(tmp_path_factory.mktemp("second")) as found:
        yield found


def test_plain_http_with_a_copy_of_the_base_image_and_metrics(modes: Modes) -> None:
    modes.configure({"users": ["alice"], "insecure": True, "mirror": [BASE], "metricsPort": METRICS_PORT})
    result = modes.stack.up()
    assert "speaks plain HTTP" in result.output
    checks = modes.verify()
    assert checks["the registry speaks plain HTTP"]["warned"]
    assert "metrics and health answer" in checks
    assert "/v2/ without the CA is an x509 error" not in checks
    with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=ANSWER) as answer:
        assert b"registry_http_requests_total" in answer.read()
    # The access log shows the request, and no password.
    log = modes.run("logs", "registry", "--tail", "all")
    assert log.status == 0, str(log)
    assert '"path": "/v2/web/manifests/' in log.output
    assert modes.stack.outputs()["registryPasswords"]["alice"] not in log.output
    assert modes.base_image() == modes.layer_of_copy()
    modes.unchanged()


def test_whoever_may_push_does_not_own_the_builds(modes: Modes) -> None:
    """A copy's tag is moved to another image, then the copy is removed: builds go on with the same digest."""
    before = modes.stack.outputs()
    layer, copy = modes.layer_of_copy(), before["mirror"]
    name, _, digest = copy[BASE].partition("@")
    repository = name.partition("/")[2]

    def failures() -> set[str]:
        checks = json.loads(modes.stack.slip("verify", "--json").output)["checks"]
        return {check["check"] for check in checks if not check["passed"]}

    with Client.of(Registry.of(before)) as client:
        poisoned = client.push(repository, TAG).digest
        assert failures() == {"the copy is the image that was copied"}
        # Another password: every command that uses it runs again.
        assert modes.run("account", "rotate", before["registryAccounts"][0]).status == 0
        modes.stack.up()
        assert modes.stack.outputs()["mirror"] == copy
        assert modes.layer_of_copy() == layer
        assert modes.base_image() == layer
        mended = modes.run("repair")
        assert mended.status == 0, str(mended)
        assert f"its tag {TAG} names {poisoned[:19]}" in mended.output
        assert not failures()
    with Client.of(Registry.of(modes.stack.outputs())) as client:
        # Nobody deletes by HTTP.
        revision = f"repositories/{repository}/_manifests/revisions/{digest.replace(':', '/')}"
        modes.stack.on_host("box", "rm", "-r", f"{REGISTRY_DATA_PATH}/docker/registry/v2/{revision}")
        assert failures() == {"the copy is the image that was copied"}
        mended = modes.run("repair")
        assert mended.status == 0, str(mended)
        assert client.pull(repository, TAG) == client.pull(repository, digest) == digest
    assert not failures()
    modes.unchanged()


def test_tls_comes_in_one_up_and_the_copy_stays(modes: Modes) -> None:
    copy = modes.stack.outputs()["mirror"]
    modes.configure({"users": ["alice"], "mirror": [BASE], "metricsPort": METRICS_PORT})
    modes.stack.up()
    checks = modes.verify()
    assert "/v2/ without the CA is an x509 error" in checks
    assert "the registry speaks plain HTTP" not in checks
    known = modes.stack.on_host("box", "docker", "info", "--format", "{{json .RegistryConfig.IndexConfigs}}")
    assert modes.stack.outputs()["registryAddress"] not in known
    assert modes.stack.outputs()["mirror"] == copy
    modes.configure({"users": ["alice"], "insecure": True, "mirror": [BASE], "metricsPort": METRICS_PORT})
    modes.stack.up()
    assert "the registry speaks plain HTTP" in modes.verify()
    modes.configure({"users": ["alice"], "mirror": [BASE], "metricsPort": METRICS_PORT})
    modes.stack.up()


def _put_index(registry: SecondRegistry) -> str:
    """An image for two platforms in a registry, as small as can be. Returns the index's digest."""
    oci = "application/vnd.oci.image"
    nothing = bytes(1024)  # a tar archive of no files
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{sha256(nothing).hexdigest()}"]}
    children = []
    with Client.of(registry.registry) as client:
        for architecture in ("amd64", "arm64"):
            config = {"architecture": architecture, "os": "linux", "rootfs": rootfs}
            manifest = {
                "schemaVersion": 2,
                "mediaType": f"{oci}.manifest.v1+json",
                "config": {
                    "mediaType": f"{oci}.config.v1+json",
                    **client.push_blob("multi", json.dumps(config).encode()),
                },
                "layers": [
                    {
                        "mediaType": f"{oci}.layer.v1.tar+gzip",
                        **client.push_blob("multi", gzip.compress(nothing, mtime=0)),
                    }
                ],
            }
            platform = {"architecture": architecture, "os": "linux"}
            children.append({**client.push_manifest("multi", manifest).descriptor, "platform": platform})
        index = {"schemaVersion": 2, "mediaType": f"{oci}.index.v1+json", "manifests": children}
        return client.push_manifest("multi", index, "1").digest


def test_a_copy_has_every_platform_that_its_source_has(modes: Modes, other: SecondRegistry) -> None:
    digest = _put_index(other)
    image, folder = f"{other.address}/multi:1", f"/etc/docker/certs.d/{other.address}"
    # The host has its own reason to trust that registry.
    modes.stack.on_host("box", "mkdir", "-p", folder)
    docker("cp", str(other.folder / "ca.crt"), f"{modes.stack.container('box')}:{folder}/ca.crt")
    modes.configure({"users": ["alice"], "mirror": [BASE, image], "metricsPort": METRICS_PORT})
    with other.open_to_all():
        modes.stack.up()
    assert modes.stack.outputs()["mirror"][image].endswith(f"@{digest}")
    images = json.loads(modes.run("images", "--json").output)["images"]
    (found,) = [image for image in images if image["digest"] == digest]
    assert found["platforms"] == ["linux/amd64", "linux/arm64"]
    # The source is not asked for an image that has a copy: it refuses requests without an account by now.
    modes.unchanged()


def test_someone_elses_registry_takes_over_and_says_what_is_wrong(
    modes: Modes, other: SecondRegistry, tmp_path: Path
) -> None:
    authority = modes.stack.clone.root / ".slipway/second-ca.crt"
    authority.write_text(other.ca)
    external = {"server": other.address, "namespace": "apps", "username": ACCOUNT}
    hosts = {"box": {"roles": ["build", "app"]}}

    def set_password(password: str) -> None:
        line = f"printf %s '{password}' | ./slip secret set REGISTRY_PASSWORD --stack {modes.stack.name}"
        modes.stack.clone.read("sh", "-c", line)

    modes.configure({"external": external, "mirror": [BASE]}, hosts)
    set_password("not-the-password")
    result = modes.stack.slip("up", "--yes")
    assert result.status == 1, str(result)
    assert "slipway:registry.external.certificateAuthority is not set" in result.output
    modes.configure(
        {"external": external | {"certificateAuthority": str(authority)}, "mirror": [BASE]}, hosts
    )
    result = modes.stack.slip("up", "--yes")
    assert result.status == 1, str(result)
    assert "slipway:secrets.REGISTRY_PASSWORD" in result.output
    assert "refuses the account" in result.output
    set_password(other.password)
    modes.stack.up()
    checks = modes.verify()
    assert "the registry has the image" in checks
    assert "the catalogue lists the image" not in checks
    outputs = modes.stack.outputs()
    assert outputs["images"]["web"].startswith(f"{other.address}/apps/web@sha256:")
    repository, _, digest = outputs["images"]["web"].partition("/")[2].partition("@")
    assert other.registry.has(repository, digest)
    assert not modes.stack.on_host(
        "box", "docker", "ps", "--quiet", "--all", "--filter", "label=slipway.role=registry"
    )
    modes.unchanged()


def test_everything_else_works_the_same_with_it(modes: Modes, other: SecondRegistry) -> None:
    shown = modes.run("images", "--json")
    assert shown.status == 0, str(shown)
    assert {image["repository"] for image in json.loads(shown.output)["images"]} == {
        f"apps/mirror/{NAME}",
        "apps/web",
    }
    refused = modes.run("account", "add", "bob")
    assert refused.status == 2, str(refused)
    assert "external registry" in refused.output
    login = modes.run("login")
    assert login.status == 0, str(login)
    image = modes.stack.outputs()["images"]["web"]
    try:
        docker("pull", image)
    finally:
        docker("image", "rm", image, check=False)
        assert modes.run("logout").status == 0
    assert other.password not in "".join(modes.stack.clone.printed)


def test_another_stacks_outputs_name_its_registry(modes: Modes, other: SecondRegistry) -> None:
    """A stack that consists of its outputs takes the place of another stack."""
    outputs = {
        "registryPublicAddress": other.address,
        "registryCaCertificate": other.ca,
        "registryMode": "own",
    }
    name = "e2e-other"
    urn = f"urn:pulumi:{name}::slipway::pulumi:pulumi:Stack::slipway-{name}"
    stack = {"urn": urn, "custom": False, "type": "pulumi:pulumi:Stack", "outputs": outputs}
    state = modes.stack.clone.root / ".slipway/other.json"
    state.write_text(json.dumps({"version": 3, "deployment": {"resources": [stack]}}))
    commands = (
        f"pulumi stack init --no-select {name} && pulumi stack import --force --stack {name} --file {state}"
    )
    modes.stack.clone.read(*modes.stack.in_prepared_shell(commands))
    external = {"stack": f"organization/slipway/{name}", "namespace": "apps", "username": ACCOUNT}
    modes.configure({"external": external, "mirror": [BASE]}, {"box": {"roles": ["build", "app"]}})
    result = modes.stack.up()
    assert result.changes.keys() <= {"box-setup", "box-registry-login"}, str(result)
    assert "/v2/ without the CA is an x509 error" in modes.verify()
