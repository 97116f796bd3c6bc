"""The emulation's pure parts: the desired state, the forwarder, requests and errors."""

import asyncio
import contextlib
import ipaddress
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from emulation import images, ports, quotas, seed, selections
from emulation.actions import Actions
from emulation.corrections import correct
from emulation.desired import Machine, Opening, openings
from emulation.disks import Device, Disks
from emulation.errors import Refused
from emulation.faults import Fault, Faults
from emulation.ports import Forwarder, Route
from emulation.request import Call, refusal

if not sys.platform.startswith("linux"):
    pytest.skip("only Linux has all of 127.0.0.0/8", allow_module_level=True)

HERE = ipaddress.IPv4Network("127.0.0.1/32")
WORLD = ipaddress.IPv4Network("0.0.0.0/0")


def rule(protocol: str, first: int | None, last: int | None, cidr: str | None) -> Any:
    return SimpleNamespace(ip_protocol=protocol, from_port=first, to_port=last, cidr_ipv4=cidr)


@pytest.mark.parametrize(
    ("given", "ports_open"),
    [
        (rule("tcp", 22, 22, "0.0.0.0/0"), [22]),
        (rule("tcp", 80, 82, "0.0.0.0/0"), [80, 81, 82]),
        (rule("tcp", 0, 65535, "0.0.0.0/0"), [22, 80, 443, 2376, 5000]),
        (rule("tcp", 79, 2000, "0.0.0.0/0"), [80, 443]),
        (rule("-1", None, None, "0.0.0.0/0"), [22, 80, 443, 2376, 5000]),
        (rule("udp", 53, 53, "0.0.0.0/0"), []),
        (rule("tcp", 5000, 5000, None), []),  # by group
    ],
)
def test_what_rules_open(given: Any, ports_open: list[int]) -> None:
    assert [port for opening in openings([given]) for port in opening.ports] == ports_open


def machine(**changes: Any) -> Machine:
    return Machine(
        **{
            "instance": "i-1",
            "name": "web-1",
            "running": True,
            "network": "vpc-1",
            "network_range": "10.0.0.0/22",
            "private_address": "10.0.0.4",
            "host_name": "ip-10-0-0-4",
            "public_address": "127.77.0.2",
            "user_data": b"#cloud-config\n",
            "public_keys": ("ssh-ed25519 AAAA",),
            "architecture": "x86_64",
            "image": images.IDS["x86_64"],
            "disks": (),
            "openings": (Opening(22, 22, HERE), Opening(80, 80, WORLD), Opening(22, 22, WORLD)),
            **changes,
        }
    )


def test_routes_join_what_all_groups_open() -> None:
    assert ports.routes([machine()]) == {
        ("127.77.0.2", 22): Route(("10.0.0.4", 22), (HERE, WORLD)),
        ("127.77.0.2", 80): Route(("10.0.0.4", 80), (WORLD,)),
    }


@pytest.mark.parametrize("changes", [{"running": False}, {"public_address": ""}, {"openings": ()}])
def test_a_port_that_no_rule_opens_has_no_route(changes: dict[str, Any]) -> None:
    assert ports.routes([machine(**changes)]) == {}


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that returns what it received, once the client has sent everything."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(received(connection))

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[:2]
    server.close()


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as opened:
        port: int = opened.getsockname()[1]
        return port


def ask(address: tuple[str, int], text: bytes, source: str = "127.0.0.1") -> bytes:
    with socket.create_connection(address, 5, source_address=(source, 0)) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return received(connection)


def test_the_forwarder_accepts_the_sources_of_the_rules_only(echo: tuple[str, int]) -> None:
    forwarder = Forwarder()
    public = ("127.77.255.2", free_port("127.77.255.2"))
    forwarder.update({public: Route(echo, (HERE,))})
    text = b"x" * 3_000_000
    assert ask(public, text) == text, "an end of one direction is passed on, and does not end the other"
    with pytest.raises(OSError, match=r"reset|pipe|not connected"):
        ask(public, text, source="127.66.0.1")
    forwarder.update({public: Route(echo, (WORLD,))})
    assert ask(public, text, source="127.66.0.1") == text
    forwarder.update({})
    with pytest.raises(ConnectionRefusedError):
        ask(public, text)


def test_the_forwarder_ends_connections_to_a_stopped_instance(echo: tuple[str, int]) -> None:
    forwarder = Forwarder()
    public = ("127.77.255.3", free_port("127.77.255.3"))
    forwarder.update({public: Route(echo, (HERE,))})
    with socket.create_connection(public, 5) as connection:
        connection.sendall(b"still here")

        async def under_way() -> int:
            return len(forwarder._open)

        while asyncio.run_coroutine_threadsafe(under_way(), forwarder._loop).result() == 0:
            pass
        forwarder.cut("127.0.0.1")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b"", "within the connection's 5 s"
    forwarder.update({})


def call(service: str, data: Any = None, headers: dict[str, str] | None = None, **options: Any) -> Call:
    signature = (
        f"AWS4-HMAC-SHA256 Credential=AKIAKEY/20260101/eu-central-1/{service}/aws4_request, Signature=0"
    )
    signed = ({"Authorization": signature} if service else {}) | (headers or {})
    builder = EnvironBuilder(
        method=options.pop("method", "POST"), data=data, headers=list(signed.items()), **options
    )
    return Call.of(Request(builder.get_environ()))


def test_calls_are_read() -> None:
    run = call("ec2", {"Action": "RunInstances", "InstanceId.1": "i-1"})
    assert (run.service, run.key, run.action, run.reads) == ("ec2", "AKIAKEY", "RunInstances", False)
    assert call("ec2", {"Action": "DescribeVpcs"}).reads
    parameter = call(
        "ssm", b"{}", {"X-Amz-Target": "AmazonSSM.GetParameter"}, content_type="application/x-amz-json-1.1"
    )
    assert (parameter.action, parameter.reads) == ("GetParameter", True)
    assert call("backup", path="/backup-vaults/", method="GET").reads
    assert not call("backup", path="/backup-vaults/x", method="PUT").reads
    assert call("", {"Action": "RunInstances"}).key == ""
    assert call("backup", path="/backup-vaults/x", method="PUT").action == "CreateBackupVault"
    recovery = "/backup-vaults/x/recovery-points/arn%3Aaws"
    assert call("backup", path=recovery, method="DELETE").action == "DeleteRecoveryPoint"
    assert call("route53", path="/2013-04-01/hostedzone/Z1/rrset/").action == "ChangeResourceRecordSets"
    assert call("route53", path="/2013-04-01/hostedzone", method="GET").action == "ListHostedZones"


def test_actions_are_listed_once_and_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "actions"
    for _ in range(2):
        actions = Actions(path)
        for service, action in (("ec2", "RunInstances"), ("", "RunInstances"), ("ec2", "RunInstances")):
            actions.note(service, action)
    Actions(path).note("iam", "GetRole")
    assert path.read_text() == "ec2:RunInstances\niam:GetRole\n"


def test_ec2s_quotas_are_those_of_an_account() -> None:
    def asked(code: str) -> dict[str, Any]:
        builder = EnvironBuilder(
            method="POST",
            data=json.dumps({"ServiceCode": "ec2", "QuotaCode": code}),
            headers=[("X-Amz-Target", "ServiceQuotasV20190624.GetServiceQuota")],
        )
        answer = quotas.answer(Request(builder.get_environ()))
        assert answer is not None
        return dict(json.loads(answer.get_data()))

    assert asked("L-0263D0A3")["Quota"]["Value"] == 5.0
    assert asked("L-1")["__type"] == "NoSuchResourceException"
    assert quotas.answer(Request(EnvironBuilder(method="POST").get_environ())) is None


def test_a_snapshot_keeps_what_a_volume_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks = Disks(tmp_path)
    monkeypatch.setattr(disks, "_devices", dict)
    (tmp_path / "vol-1").write_bytes(b"before")
    disks.copy({"snap-1": "vol-1"}, {"vol-1": ""})
    (tmp_path / "vol-1").write_bytes(b"after")
    disks.copy({"snap-1": "vol-1"}, {"vol-1": "", "vol-2": "snap-1"})
    assert (tmp_path / "vol-2").read_bytes() == b"before"
    disks.remove_except(["vol-2"], [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vol-2"]


def test_a_group_that_is_in_use_is_not_deleted() -> None:
    from moto import mock_aws

    correct()
    with mock_aws():
        ec2 = boto3.client("ec2", "eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        app, registry = (
            ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
            for name in ("app", "registry")
        )
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        run = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SecurityGroupIds=[app])
        permission = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": app}]}
        ec2.authorize_security_group_ingress(GroupId=registry, IpPermissions=[permission])
        with pytest.raises(ClientError, match="DependencyViolation"):
            ec2.delete_security_group(GroupId=app)
        ec2.terminate_instances(InstanceIds=[run["Instances"][0]["InstanceId"]])
        with pytest.raises(ClientError, match="DependencyViolation"):
            ec2.delete_security_group(GroupId=app)
        ec2.revoke_security_group_ingress(GroupId=registry, IpPermissions=[permission])
        ec2.delete_security_group(GroupId=app)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("ec2", "<Response><Errors><Error><Code>VcpuLimitExceeded</Code><Message>a &lt; b</Message>"),
        ("sts", "<ErrorResponse><Error><Type>Sender</Type><Code>VcpuLimitExceeded</Code>"),
        ("ssm", '{"__type": "VcpuLimitExceeded", "message": "a < b"}'),
    ],
)
def test_errors_have_the_format_of_the_services_protocol(service: str, expected: str) -> None:
    response = refusal(call(service, {"Action": "X"}), Refused("VcpuLimitExceeded", "a < b"))
    assert response.status_code == 400
    assert response.get_data(as_text=True).startswith(expected)


def test_a_fault_applies_to_its_number_of_calls() -> None:
    faults = Faults()
    faults.add(Fault("RunInstances", "VcpuLimitExceeded", "no more", times=2))
    faults.check("DescribeVpcs")
    for _ in range(2):
        with pytest.raises(Refused, match="no more"):
            faults.check("RunInstances")
    faults.check("RunInstances")


def backup(method: str, path: str, content: Any = None) -> Request:
    data = json.dumps(content) if content is not None else None
    return Request(EnvironBuilder(method=method, path=path, data=data).get_environ())


def test_backup_selections_are_kept_by_plan() -> None:
    kept: selections.Selections = {}
    made = selections.answer(
        backup("PUT", "/backup/plans/p/selections/", {"BackupSelection": {"SelectionName": "s"}}), kept
    )
    assert made is not None
    identifier = json.loads(made.get_data())["SelectionId"]
    path = f"/backup/plans/p/selections/{identifier}"
    read = selections.answer(backup("GET", path), kept)
    assert read is not None
    assert json.loads(read.get_data())["BackupSelection"] == {"SelectionName": "s"}
    removed = selections.answer(backup("DELETE", path), kept)
    assert removed is not None
    assert removed.status_code == 200
    gone = selections.answer(backup("GET", path), kept)
    assert gone is not None
    assert (gone.status_code, gone.headers["X-Amzn-ErrorType"]) == (400, "ResourceNotFoundException")
    assert selections.answer(backup("GET", "/backup/plans/p"), kept) is None


def test_devices_are_named_as_on_nitro() -> None:
    listed = seed.device_list(
        [("vol-0a", Device("/dev/loop3", 7, 3)), ("vol-0b", Device("/dev/loop9", 7, 9))]
    )
    assert listed == "nvme1n1 7 3 vol-0a\nnvme2n1 7 9 vol-0b\n"


def test_the_images_have_debians_owner_and_names() -> None:
    offered = {image["ami_id"]: image for image in images.offered()}
    assert {image["owner_id"] for image in offered.values()} == {"136693071363"}
    parameters = images.parameters()
    amd64 = offered[parameters["/aws/service/debian/release/12/latest/amd64"]]
    assert amd64["architecture"] == "x86_64"
    assert amd64["name"].startswith("debian-12-amd64-")
    assert all(len(identifier) == len("ami-0123456789abcdef0") for identifier in offered)
