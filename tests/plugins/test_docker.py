"""The docker stand-in's inputs, differences and requests, as far as they need neither recordings nor an engine."""

import io
import tarfile
from typing import Any

import pytest

from plugins.bridge.naming import autoname
from plugins.bridge.state import plan
from plugins.docker.container_config import change, creation, upload_archive
from plugins.docker.container_schema import CONTAINER, nanoseconds
from plugins.docker.container_state import _duration
from plugins.docker.plugin import IMAGE, Docker
from plugins.protocol.messages import Autonaming, CheckRequest, DiffRequest, Failure, InvokeRequest
from plugins.protocol.properties import UNKNOWN
from tests.plugins.docker_engine import Listener
from tests.plugins.replay import recorded

CONTAINER_TYPE = "docker:index/container:Container"


def check(kind: str, news: dict[str, Any], **more: Any) -> Any:
    plugin = Docker()
    plugin.engine = Listener()
    return plugin.check(CheckRequest("urn", "name", kind, {}, news, **more))


# Inputs


@pytest.mark.parametrize(
    ("news", "where"),
    [
        ({"image": "a", "attach": True}, "attach"),
        ({"image": "a", "gpus": "all"}, "gpus"),
        ({"image": "a", "mounts": []}, "mounts"),
        ({"image": "a", "pidsLimit": 5}, "pidsLimit"),
        (
            {"image": "a", "networksAdvanced": [{"name": "n", "gwPriority": 1}]},
            "networksAdvanced[0].gwPriority",
        ),
        ({"image": "a", "ports": [{"external": 1}]}, "ports[0].internal"),
        ({"image": "a", "ports": [{"internal": 1, "protocol": "icmp"}]}, "ports[0].protocol"),
        ({"image": "a", "restart": "sometimes"}, "restart"),
        ({"image": "a", "memory": -1}, "memory"),
        ({"image": "a", "command": "sleep"}, "command"),
        ({"image": "a", "healthcheck": {"interval": "1s"}}, "healthcheck.tests"),
        ({}, "image"),
    ],
)
def test_what_a_container_cannot_be_given_is_refused_by_name(news: dict[str, Any], where: str) -> None:
    checked = check(CONTAINER_TYPE, news)
    assert [failure.property for failure in checked.failures] == [where]
    assert where in checked.failures[0].reason


def test_a_resource_type_and_a_function_that_are_missing_are_refused_by_name() -> None:
    with pytest.raises(Failure, match="docker:index/service:Service"):
        check("docker:index/service:Service", {})
    with pytest.raises(Failure, match="docker:index/getRegistryImage:getRegistryImage"):
        Docker().invoke(InvokeRequest("docker:index/getRegistryImage:getRegistryImage", {}))


def test_names_without_a_seed_differ_and_have_seven_digits() -> None:
    names = {autoname("web", b"") for _ in range(20)}
    assert len(names) == 20
    assert all(len(name) == len("web-") + 7 for name in names)


@pytest.mark.parametrize(
    ("autonaming", "name"),
    [(Autonaming("mine", "ENFORCE"), "mine"), (Autonaming("mine", "PROPOSE"), "mine")],
)
def test_the_stacks_own_naming_is_followed(autonaming: Autonaming, name: str) -> None:
    checked = check(CONTAINER_TYPE, {"image": "a"}, autonaming=autonaming)
    assert checked.inputs["name"] == name
    assert "name" in checked.inputs["__defaults"]


def test_without_naming_a_name_is_asked_for() -> None:
    checked = check(CONTAINER_TYPE, {"image": "a"}, autonaming=Autonaming("", "DISABLE"))
    assert "name" in {failure.property for failure in checked.failures}


def test_unknown_inputs_pass() -> None:
    checked = check(CONTAINER_TYPE, {"image": UNKNOWN, "ports": UNKNOWN, "envs": [UNKNOWN]})
    assert not checked.failures
    assert checked.inputs["ports"] is UNKNOWN


# Differences


def container_state(**changes: Any) -> dict[str, Any]:
    (full,) = (
        call
        for call in recorded("docker", file="02-create", method="Create", kind=CONTAINER_TYPE)
        if call.request["name"] == "full"
    )
    assert full.response is not None
    return {**full.response["properties"], "memorySwap": 0, **changes}


def container_inputs(**changes: Any) -> dict[str, Any]:
    (full,) = (
        call
        for call in recorded("docker", file="02-create", method="Create", kind=CONTAINER_TYPE)
        if call.request["name"] == "full"
    )
    return {**full.request["properties"], **changes}


@pytest.mark.parametrize(
    ("changes", "detailed"),
    [
        ({}, {}),
        ({"memory": 512}, {"memory": "UPDATE"}),
        ({"image": "other"}, {"image": "UPDATE_REPLACE"}),
        ({"image": UNKNOWN}, {"image": "UPDATE_REPLACE"}),
        ({"command": ["serve", "x", "y"]}, {"command[1]": "UPDATE_REPLACE", "command[2]": "ADD_REPLACE"}),
        ({"command": None}, {}),
        ({"user": ""}, {}),
        ({"user": "root"}, {"user": "UPDATE_REPLACE"}),
        ({"dns": None}, {"dns": "DELETE_REPLACE"}),
        ({"tmpfs": {"/run": "size=1m", "/tmp": ""}}, {'tmpfs["/run"]': "UPDATE", 'tmpfs["/tmp"]': "ADD"}),
        ({"logOpts": {"max-size": "5m"}}, {'logOpts["max-file"]': "DELETE_REPLACE"}),
        (
            {"capabilities": {"adds": ["CAP_NET_ADMIN", "CAP_CHOWN"], "drops": ["ALL"]}},
            {"capabilities.adds[1]": "ADD_REPLACE"},
        ),
        (
            {"healthcheck": {"tests": ["CMD", "x"], "interval": "2000ms", "retries": 3}},
            {
                "healthcheck.startPeriod": "UPDATE",
                "healthcheck.tests[1]": "UPDATE",
                "healthcheck.tests[2]": "DELETE",
                "healthcheck.timeout": "UPDATE",
            },
        ),
        ({"ports": [{"internal": 5001}, {"external": 5701, "internal": 5000, "ip": "127.0.0.1"}]}, {}),
        (
            {"ports": [{"internal": 5001}, {"external": 5702, "internal": 5000, "ip": "127.0.0.1"}]},
            {
                "ports[0].internal": "UPDATE_REPLACE",
                "ports[0].ip": "UPDATE_REPLACE",
                "ports[1].external": "UPDATE_REPLACE",
                "ports[1].internal": "UPDATE_REPLACE",
                "ports[1].ip": "UPDATE_REPLACE",
            },
        ),
        (
            {"networksAdvanced": [{"name": "other"}]},
            {
                "networksAdvanced[0].aliases": "DELETE_REPLACE",
                "networksAdvanced[0].ipv4Address": "DELETE_REPLACE",
                "networksAdvanced[0].name": "UPDATE_REPLACE",
            },
        ),
    ],
)
def test_each_change_is_named_with_its_path(changes: dict[str, Any], detailed: dict[str, str]) -> None:
    diff = DiffRequest(
        "urn", "full", CONTAINER_TYPE, "id", container_state(), container_inputs(**changes), {}
    )
    difference = Docker().diff(diff)
    assert {path: change.kind for path, change in (difference.detailed or {}).items()} == detailed
    assert difference.changes is bool(detailed)
    assert difference.delete_before_replace is any("REPLACE" in kind for kind in detailed.values())


def test_ignored_inputs_are_those_of_the_last_update() -> None:
    """For ignored properties, Pulumi passes the completed inputs of the last update."""
    kind = "docker:index/volume:Volume"
    given = {"name": "data", "labels": [{"label": "a", "value": "1"}]}
    first = Docker().check(CheckRequest("urn", "data", kind, {}, given))
    again = {"name": "data", "labels": first.inputs["labels"]}
    second = Docker().check(CheckRequest("urn", "data", kind, first.inputs, again))
    assert not second.failures
    assert second.inputs == first.inputs


def test_ignored_changes_are_none() -> None:
    diff = DiffRequest(
        "urn", "full", CONTAINER_TYPE, "id", container_state(), container_inputs(securityOpts=["x"]), {}
    )
    assert Docker().diff(diff).changes
    assert not Docker().diff(diff._replace(ignore_changes=("securityOpts",))).changes


@pytest.mark.parametrize(
    ("registry", "changes"),
    [
        ({"server": "r:5000", "username": "u", "password": "new"}, False),
        ({"server": "other:5000", "username": "u", "password": "old"}, True),
    ],
)
def test_only_another_registry_builds_again_not_another_password(
    registry: dict[str, str], changes: bool
) -> None:
    old = {"imageName": "a", "registry": {"server": "r:5000", "username": "u", "password": "old"}}
    diff = DiffRequest(
        "urn", "i", IMAGE, "id", {"__inputs": old}, {"imageName": "a", "registry": registry}, {}
    )
    assert Docker().diff(diff).changes is changes


# Requests to the engine


def planned(**inputs: Any) -> dict[str, Any]:
    checked = check(CONTAINER_TYPE, {"image": "a", **inputs})
    assert not checked.failures
    return plan(checked.inputs, CONTAINER.attributes)


@pytest.mark.parametrize(
    ("inputs", "where", "value"),
    [
        ({"memory": 64}, "Memory", 64 << 20),
        ({"memorySwap": -1}, "MemorySwap", -1),
        ({"cpus": "1.5"}, "NanoCpus", 1_500_000_000),
        ({"shmSize": 1}, "ShmSize", 1 << 20),
        ({"tmpfs": {"/run": ""}}, "Tmpfs", {"/run": ""}),
        (
            {"restart": "on-failure", "maxRetryCount": 3},
            "RestartPolicy",
            {"Name": "on-failure", "MaximumRetryCount": 3},
        ),
        ({"hosts": [{"host": "yard", "ip": "10.0.0.1"}]}, "ExtraHosts", ["yard:10.0.0.1"]),
        ({"ports": [{"internal": 80}]}, "PortBindings", {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}]}),
        (
            {"ports": [{"internal": 80, "external": 8080, "ip": "127.0.0.1", "protocol": "udp"}]},
            "PortBindings",
            {"80/udp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
        ),
        ({"volumes": [{"volumeName": "v", "containerPath": "/d"}]}, "Binds", ["v:/d:rw"]),
        (
            {"volumes": [{"hostPath": "/h", "containerPath": "/d", "readOnly": True, "selinuxRelabel": "z"}]},
            "Binds",
            ["/h:/d:ro,z"],
        ),
        ({"volumes": [{"fromContainer": "c"}]}, "VolumesFrom", ["c"]),
        (
            {"devices": [{"hostPath": "/dev/fuse"}]},
            "Devices",
            [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}],
        ),
        ({"init": True}, "Init", True),
        ({}, "Init", False),
        ({"readOnly": True}, "ReadonlyRootfs", True),
    ],
)
def test_the_hosts_side_of_a_container(inputs: dict[str, Any], where: str, value: Any) -> None:
    assert creation(planned(**inputs))["HostConfig"][where] == value


def test_a_container_says_only_what_the_program_says() -> None:
    body = creation(planned())
    assert body.keys() == {"Image", "Tty", "OpenStdin", "HostConfig"}
    assert body["HostConfig"].keys() == {
        *("Init", "LogConfig", "NetworkMode", "ReadonlyRootfs", "RestartPolicy"),
    }


def test_more_memory_brings_more_swap_or_the_engine_refuses_it() -> None:
    assert change(planned(memory=64))["MemorySwap"] == 128 << 20
    assert change(planned(memory=64, memorySwap=64))["MemorySwap"] == 64 << 20


def test_a_volume_that_goes_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="either a containerPath or a fromContainer"):
        creation(planned(volumes=[{"volumeName": "v"}]))


@pytest.mark.parametrize(
    ("upload", "content", "mode"),
    [
        ({"content": "x"}, b"x", 0o644),
        ({"content": "x", "executable": True}, b"x", 0o744),
        ({"contentBase64": "AAE=", "permissions": "0400"}, b"\0\1", 0o400),
    ],
)
def test_uploads_carry_their_content_and_mode(upload: dict[str, Any], content: bytes, mode: int) -> None:
    body = upload_archive(planned(uploads=[{"file": "/etc/a/b", **upload}])["uploads"])
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        (entry,) = tar.getmembers()
        file = tar.extractfile(entry)
        assert file is not None
        assert (entry.name, entry.mode, file.read()) == ("etc/a/b", mode, content)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0s", 0), ("500ms", 500 * 10**6), ("1m30s", 90 * 10**9), ("1.5s", 15 * 10**8), ("2h", 7200 * 10**9)],
)
def test_durations_are_gos(text: str, value: int) -> None:
    assert nanoseconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "1d"])
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        nanoseconds(text)


@pytest.mark.parametrize(
    ("value", "given", "text"),
    [
        (0, None, "0s"),
        (2 * 10**9, None, "2s"),
        (90 * 10**9, None, "1m30s"),
        (3600 * 10**9, None, "1h0m0s"),
        (500 * 10**6, None, "500ms"),
        (1500 * 10**6, None, "1.5s"),
        (60 * 10**9, "1m", "1m"),
        (60 * 10**9, "2m", "1m0s"),
    ],
)
def test_durations_are_shown_as_go_or_the_program_writes_them(
    value: int, given: str | None, text: str
) -> None:
    assert _duration(value, given) == text
