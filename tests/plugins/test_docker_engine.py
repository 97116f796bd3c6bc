"""The docker stand-in with a real Docker Engine, against the recordings of pulumi-docker."""

import io
import json
import re
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.docker.plugin import Docker
from plugins.protocol.messages import (
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    Failure,
    InitFailure,
    InvokeRequest,
    ReadRequest,
    UpdateRequest,
)
from tests.plugins.docker_engine import configured, docker, tiny_image
from tests.plugins.replay import Call, answer, bare, differences, recorded

pytestmark = pytest.mark.engine

CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/image:Image"
NETWORK = "docker:index/network:Network"
REMOTE_IMAGE = "docker:index/remoteImage:RemoteImage"
TAG = "docker:index/tag:Tag"
VOLUME = "docker:index/volume:Volume"

HEX = "[0-9a-f]{64}"
ADDRESS = r"\d+\.\d+\.\d+\.\d+|"
BY_CHANCE = {
    "id": HEX,
    "properties.id": HEX,
    "properties.networkDatas*.gateway": ADDRESS,
    "properties.networkDatas*.ipAddress": ADDRESS,
    "properties.networkDatas*.macAddress": "([0-9a-f:]{17})?",
    "properties.hostname": "full|[0-9a-f]{12}",
    "properties.logDriver": "[a-z-]+",
    "properties.runtime": "[a-z.]+",
}


@pytest.fixture(scope="module")
def plugin() -> Docker:
    return configured()


@pytest.fixture(scope="module")
def image(plugin: Docker) -> Iterator[str]:
    with tiny_image() as name:
        yield name


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def call(file: str, method: str, kind: str, name: str) -> Call:
    found = [each for each in recorded("docker", file=file, method=method, kind=kind) if named(each) == name]
    assert len(found) == 1
    return found[0]


def named(each: Call) -> str:
    return str(each.request["urn"]).rpartition("::")[2]


def replaced(each: Call, changes: dict[Any, Any]) -> Call:
    """The same call with values for this machine: an existing image, a free port, a new id."""

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items()}
        if isinstance(value, list):
            return [change(item) for item in value]
        return changes.get(value, value) if isinstance(value, (str, int)) else value

    return each._replace(request=change(each.request), response=change(each.response))


def forced_removal(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], capture_output=True, check=False)


@pytest.fixture
def simple(plugin: Docker, image: str) -> Iterator[CreateResponse]:
    created = plugin.create(
        CreateRequest("urn:x", "simple", CONTAINER, {**inputs(image), "name": "slipway-test-simple"})
    )
    yield created
    forced_removal("rm", "--force", "--volumes", created.id)


def inputs(image: str) -> dict[str, Any]:
    request = call("02-create", "Create", CONTAINER, "simple").request
    return {**request["properties"], "image": image}


def read(plugin: Docker, kind: str, resource_id: str, state: dict[str, Any], given: dict[str, Any]) -> Any:
    return plugin.read(ReadRequest("urn:x", "x", kind, resource_id, bare(state), given))


def test_a_plain_container_is_made_as_recorded(plugin: Docker, image: str) -> None:
    recording = replaced(call("02-create", "Create", CONTAINER, "simple"), {"registry:3": image})
    got = answer(plugin, recording)
    try:
        assert differences(recording, got, BY_CHANCE) == []
    finally:
        forced_removal("rm", "--force", "--volumes", got.get("id", ""))


def test_a_container_with_everything_lives_as_recorded(plugin: Docker, image: str) -> None:
    changes: dict[Any, Any] = {"registry:3": image, 5701: free_port()}
    network, volume, container = (
        replaced(call("02-create", "Create", kind, name), changes)
        for kind, name in ((NETWORK, "net"), (VOLUME, "vol"), (CONTAINER, "full"))
    )
    made: dict[str, Any] = {}
    try:
        made["network"] = answer(plugin, network)
        assert differences(network, made["network"], BY_CHANCE) == []
        made["volume"] = answer(plugin, volume)
        where = {"properties.mountpoint": "/.*/vol-6a3724a(/_data)?"}
        assert differences(volume, made["volume"], where) == []

        made["container"] = got = answer(plugin, container)
        assert "properties" in got, got
        got["properties"]["ports"][1]["external"] = 32768  # any free port
        if got["properties"]["memorySwap"] in (0, -1):
            got["properties"]["memorySwap"] = 512  # an engine that cannot limit swap
        assert differences(container, got, BY_CHANCE) == []

        # A second `up` restores the memory settings that the engine changed; nothing else changes.
        ours = {**changes, container.response["id"]: got["id"]} if container.response else {}
        update = replaced(call("03-unchanged", "Update", CONTAINER, "full"), ours)
        assert differences(update, answer(plugin, update), BY_CHANCE) == []

        # Someone kills the container: `mustRun` is false now, and it publishes no ports.
        docker("kill", got["id"])
        refresh = replaced(call("06-refresh", "Read", CONTAINER, "full"), changes)
        refresh.request["id"] = got["id"]
        if refresh.response:
            refresh.response["id"] = refresh.response["properties"]["id"] = got["id"]
        now = answer(plugin, refresh)
        if now["properties"]["memorySwap"] in (0, -1):
            now["properties"]["memorySwap"] = 512
        assert differences(refresh, now, BY_CHANCE) == []

        for kind, name in ((NETWORK, "net"), (VOLUME, "vol")):
            one = "network" if kind == NETWORK else "volume"
            refresh = replaced(call("06-refresh", "Read", kind, name), changes)
            refresh.request["id"] = made[one]["id"]
            if refresh.response:
                refresh.response["id"] = refresh.response["properties"]["id"] = made[one]["id"]
            assert differences(refresh, answer(plugin, refresh), where) == []
    finally:
        for kind, one in ((CONTAINER, "container"), (NETWORK, "network"), (VOLUME, "volume")):
            if "id" in made.get(one, {}):
                for _ in range(2):  # the second time the container is already gone
                    plugin.delete(
                        DeleteRequest("urn:x", "x", kind, made[one]["id"], {"removeVolumes": True}, {})
                    )
    assert read(plugin, CONTAINER, made["container"]["id"], {}, {}).id == ""
    assert read(plugin, NETWORK, made["network"]["id"], {}, {}).id == ""
    assert read(plugin, VOLUME, made["volume"]["id"], {}, {}).id == ""


def test_a_container_that_ends_at_once_is_accepted_as_recorded(plugin: Docker, image: str) -> None:
    recording = replaced(call("08-fail-exits", "Create", CONTAINER, "exits"), {"registry:3": image})
    got = answer(plugin, recording)
    try:
        # The container may or may not have an address at this moment.
        shapes = {**BY_CHANCE, "properties.networkDatas*": ".*"}
        assert recording.response is not None
        for one in (got, recording.response):
            one["properties"]["networkDatas"] = "either"
            one["properties"]["__pulumi_raw_state_delta"] = "either"
        assert differences(recording, got, shapes) == []
    finally:
        forced_removal("rm", "--force", got.get("id", ""))


def test_a_taken_port_leaves_a_container_that_says_so(plugin: Docker, image: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        changes = {"registry:3": image, 5701: port}
        recording = replaced(call("08-fail-port", "Create", CONTAINER, "port"), changes)
        request = recording.request
        with pytest.raises(InitFailure) as failed:
            plugin.create(CreateRequest(request["urn"], "port", CONTAINER, request["properties"]))
    try:
        expected = replaced(call("08-fail-exits", "Delete", CONTAINER, "port"), changes).request["properties"]
        assert str(failed.value).startswith(
            f"creating {request['urn']}: 1 error occurred:\n\t* Unable to start container: Error response from daemon: "
        )
        assert str(port) in str(failed.value)
        assert {**failed.value.properties, "id": expected["id"]} == expected
        # The next update, without a change, starts the container.
        update = UpdateRequest("urn", "port", CONTAINER, failed.value.id, expected, request["properties"], {})
        assert plugin.update(update).properties["ports"][0]["external"] == port
        assert docker("inspect", "--format", "{{.State.Running}}", failed.value.id) == "true"
    finally:
        forced_removal("rm", "--force", failed.value.id)


def test_an_absent_image_is_named_with_the_reason(plugin: Docker) -> None:
    recording = call("08-fail-noimage", "Create", CONTAINER, "noimage")
    name = f"localhost:{free_port()}/absent:1"
    (got,) = answer(plugin, replaced(recording, {"localhost:5700/absent:1": name}))["errors"]
    text = recording.errors[0].replace("localhost:5700/absent:1", name)
    start = text.partition("manifest for")[0]
    assert start.endswith("Error response from daemon: ")
    assert got.startswith(start)
    assert "connection refused" in got


def test_a_taken_name_is_reported_and_nothing_is_left(
    plugin: Docker, image: str, simple: CreateResponse
) -> None:
    with pytest.raises(Failure) as failed:
        plugin.create(
            CreateRequest("urn:x", "x", CONTAINER, {**inputs(image), "name": "slipway-test-simple"})
        )
    assert re.fullmatch(
        r"1 error occurred:\n\t\* Unable to create container: Error response from daemon: Conflict\. The container "
        rf'name "/slipway-test-simple" is already in use by container "{simple.id}"\..*\n\n',
        str(failed.value),
    )


def test_a_container_that_cannot_be_set_up_is_not_left_behind(plugin: Docker, image: str) -> None:
    given = {**inputs(image), "name": "slipway-test-half", "uploads": [{"file": "/etc/x"}]}
    with pytest.raises(
        Failure, match="one of 'content', 'content_base64', or 'source' must be set"
    ) as failed:
        plugin.create(CreateRequest("urn:x", "x", CONTAINER, given))
    assert not isinstance(failed.value, InitFailure)
    assert docker("ps", "--all", "--quiet", "--filter", "name=slipway-test-half") == ""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"tests": ["CMD", "/bin/absent"]}, "Container is unhealthy; the last health check's output: "),
        (None, "no health check"),
    ],
)
def test_what_does_not_get_healthy_fails_with_its_reason(
    plugin: Docker, image: str, given: dict[str, Any] | None, why: str
) -> None:
    check = given and {
        **given,
        "interval": "100ms",
        "retries": 1,
        "startInterval": "0s",
        "startPeriod": "0s",
        "timeout": "1s",
    }
    properties = {**inputs(image), "name": "slipway-test-ill", "wait": True, "healthcheck": check}
    with pytest.raises(InitFailure, match=re.escape(why)) as failed:
        plugin.create(CreateRequest("urn:x", "x", CONTAINER, properties))
    forced_removal("rm", "--force", failed.value.id)


def test_a_container_that_crashes_is_not_waited_for(plugin: Docker, image: str) -> None:
    properties = {
        **inputs(image),
        "name": "slipway-test-crash",
        "restart": "no",
        "command": ["ends"],
        "wait": True,
        "waitTimeout": 600,
        "healthcheck": {"tests": ["CMD", "/bin/registry", "--version"], "interval": "10s", "retries": 1},
    }
    with pytest.raises(InitFailure, match="it exited with code 0") as failed:
        plugin.create(CreateRequest("urn:x", "x", CONTAINER, properties))
    forced_removal("rm", "--force", failed.value.id)


def test_a_secret_upload_reaches_the_container_with_its_mode(plugin: Docker, image: str) -> None:
    upload = {"file": "/run/secrets/key", "content": "hidden\n", "permissions": "0400"}
    created = plugin.create(
        CreateRequest(
            "urn:x", "x", CONTAINER, {**inputs(image), "name": "slipway-test-upload", "uploads": [upload]}
        )
    )
    try:
        archive = subprocess.run(
            ["docker", "cp", f"{created.id}:/run/secrets/key", "-"], capture_output=True, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            (entry,) = tar.getmembers()
            content = tar.extractfile(entry)
            assert content is not None
            assert (content.read(), entry.mode & 0o777) == (b"hidden\n", 0o400)
        assert "hidden" not in docker("inspect", created.id)
    finally:
        forced_removal("rm", "--force", created.id)


def test_a_change_in_place_reaches_the_engine(plugin: Docker, image: str, simple: CreateResponse) -> None:
    news = {**inputs(image), "name": "slipway-test-simple", "memory": 32, "memorySwap": 64, "restart": "no"}
    update = UpdateRequest("urn:x", "x", CONTAINER, simple.id, simple.properties, news, {})
    state = plugin.update(update).properties
    assert (state["memory"], state["restart"]) == (32, "no")
    host = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", simple.id))
    assert (host["Memory"], host["RestartPolicy"]["Name"]) == (32 << 20, "no")


def test_the_default_network_can_be_asked_for_as_recorded(plugin: Docker) -> None:
    (recording,) = recorded("docker", file="02-create", method="Invoke")
    assert recording.response is not None
    expected = recording.response["return"]
    got = plugin.invoke(
        InvokeRequest("docker:index/getNetwork:getNetwork", recording.request["args"])
    ).properties
    assert got.keys() == expected.keys()
    assert (got["name"], got["driver"], got["scope"], got["internal"]) == ("bridge", "bridge", "local", False)
    assert got["ipamConfigs"][0].keys() == expected["ipamConfigs"][0].keys()
    assert got["options"]["com.docker.network.bridge.default_bridge"] == "true"


def test_an_image_is_built_as_recorded(
    plugin: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "Dockerfile").write_text("FROM scratch\nARG GREETING=hi\nLABEL said=$GREETING\nCOPY hello /\n")
    (app / "hello").write_text("hello\n")
    monkeypatch.chdir(tmp_path)
    recording = replaced(
        call("02-create", "Create", IMAGE, "img-local"), {"hello-local:v1": "slipway-test-hello:v1"}
    )
    got = answer(plugin, recording)
    try:
        assert differences(recording, got, {"properties.repoDigest": f"sha256:{HEX}"}) == []
        assert docker("inspect", "--format", "{{.Id}} {{.Config.Labels.said}}", "slipway-test-hello:v1") == (
            f"{got['properties']['repoDigest']} hi"
        )
    finally:
        forced_removal("image", "rm", "slipway-test-hello:v1")


def test_a_failing_build_says_what_was_recorded(
    plugin: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "Dockerfile").write_text("FROM scratch\nCOPY absent /x\n")
    monkeypatch.chdir(tmp_path)
    recording = call("08-fail-build", "Create", IMAGE, "badbuild")
    assert differences(recording, answer(plugin, recording)) == []


def test_a_failing_push_says_what_was_recorded(
    plugin: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    monkeypatch.chdir(tmp_path)
    recording = call("08-fail-push", "Create", IMAGE, "badpush")
    got = answer(plugin, recording)
    forced_removal("image", "rm", "localhost:1/bad:1")
    shape = r".*error reading push output: Get \"http://localhost:1/v2/\": dial tcp \S+:1: connect: connection refused"
    assert differences(recording, got, {"errors[[]0]": shape}) == []


def test_a_pulled_image_and_its_tag_live_as_recorded(plugin: Docker, image: str) -> None:
    image_id = docker("inspect", "--format", "{{.Id}}", image)
    recording = call("02-create", "Create", REMOTE_IMAGE, "rem-tag")
    properties = {**recording.request["properties"], "name": image}
    # The engine has the image, so it does not pull it: no registry has it.
    created = plugin.create(CreateRequest("urn:x", "x", REMOTE_IMAGE, properties))
    assert recording.response is not None
    expected = {
        **recording.response["properties"],
        "id": image_id + image,
        "imageId": image_id,
        "name": image,
        "repoDigest": "",
    }
    assert (created.id, created.properties) == (image_id + image, expected)

    tag = CreateRequest("urn:x", "x", TAG, {"sourceImage": image_id, "targetImage": "slipway-test-tagged:x"})
    tagged = plugin.create(tag)
    try:
        assert tagged.id == f"{image_id}.slipway-test-tagged:x"
        assert docker("inspect", "--format", "{{.Id}}", "slipway-test-tagged:x") == image_id
        assert read(plugin, TAG, tagged.id, tagged.properties, {}).properties == tagged.properties
        state = {**created.properties, "name": "slipway-test-tagged:x"}
        kept = DeleteRequest("urn:x", "x", REMOTE_IMAGE, "x", {**state, "keepLocally": True}, {})
        plugin.delete(kept)
        assert read(plugin, REMOTE_IMAGE, "x", state, {}).id == f"{image_id}slipway-test-tagged:x"
        for _ in range(2):
            plugin.delete(DeleteRequest("urn:x", "x", REMOTE_IMAGE, "x", state, {}))
        assert read(plugin, REMOTE_IMAGE, "x", state, {}).id == ""
    finally:
        forced_removal("image", "rm", "slipway-test-tagged:x")
