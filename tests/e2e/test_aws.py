"""The platform `aws`, in an account that is emulated on this machine: each instance is a container that boots."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.clone import Clone
from tests.support.command import Result
from tests.support.emulated_stack import REGION, EmulatedStack
from tests.support.http_load import Load, greeting
from tests.support.permissions import undocumented
from tests.support.settings import DRAIN_TIMEOUT, HEALTH_TIMEOUT
from tests.support.waiting import ANSWER, PATIENCE, TOOLS_LIMIT, eventually
from well_known import REGISTRY_DATA_PATH, REGISTRY_PORT

SETTINGS: dict[str, Any] = {
    # A network for documentation, which a real stack must not name: an emulated one puts this machine in its place.
    "platform": {
        "kind": "aws",
        "region": REGION,
        "adminCidrs": ["203.0.113.7/32"],
        "sshTimeout": 300,
        # Another network than the default, which a developer's own emulated stack may have.
        "network": {"cidr": "10.213.64.0/22"},
    },
    "hosts": {
        "yard": {"roles": ["registry", "build"]},
        "web-1": {"roles": ["app"]},
        "web-2": {"roles": ["app"]},
    },
    "registry": {"users": ["alice"], "dataSize": 1},
    "services": {
        "web": {
            "build": {"context": "tests/e2e/fixtures/tiny"},
            "health": "/",
            "healthTimeout": HEALTH_TIMEOUT,
            "drainTimeout": DRAIN_TIMEOUT,
        }
    },
}
SHORT_SSH_TIMEOUT = 30
"""Seconds until the update gives a host up that has no SSH server."""
WORLD = "127.66.0.1"
"""An address of this machine that is not the operator's."""
CLOUD_CONFIG, INSTANCE = "components/hosts/aws/cloud_config.py", "components/hosts/aws/instance.py"
INSTALL_SCRIPT = "components/scripts/install-engine.sh"
PASSWORDS_OFF = '"ssh_pwauth": False,'
PACKAGES = '"PACKAGES": " ".join(args.distribution.packages)'
BY_THIS_TEST = {
    *("ec2:CreateSnapshot", "ec2:GetConsoleOutput", "ec2:RebootInstances"),
    *("backup:ListBackupPlans", "backup:ListBackupVaults", "iam:ListRoles"),
}
"""Actions that only this test asks the account for."""


@pytest.fixture(scope="module")
def emulated(clone: Clone) -> Iterator[tuple[EmulatedStack, Result]]:
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("only root can emulate AWS")
        pytest.skip("only root can emulate AWS")
    stack = EmulatedStack(clone, "e2e-aws")
    stack.write_config(SETTINGS)
    try:
        yield stack, stack.slip("up", seconds=TOOLS_LIMIT)
    finally:
        if (pid := stack.process()) and stack.directory.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        stack.remove_traces()


@pytest.fixture
def aws(emulated: tuple[EmulatedStack, Result]) -> EmulatedStack:
    stack, result = emulated
    assert result.status == 0, str(result)
    return stack


def changed(result: Result) -> set[str]:
    """The resources that an update changed."""
    assert result.status == 0, str(result)
    return set(result.changes)


def connects(address: str, port: int, source: str) -> bool:
    """Whether a client at the address `source` gets an answer; a refused client is cut off without one."""
    try:
        with socket.create_connection((address, port), PATIENCE, source_address=(source, 0)) as connection:
            if port == REGISTRY_PORT:
                # The proxy before the registry answers to TLS only.
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                return bool(context.wrap_socket(connection).version())
            # Servers of SSH, of HTTP and of the engine's TLS all answer to that.
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
    except TimeoutError:
        raise
    except OSError:
        return False


def test_the_first_up_makes_hosts_that_serve(aws: EmulatedStack) -> None:
    outputs = aws.outputs()
    assert {greeting(url) for url in aws.urls()} == {"tiny version 1"}
    for host in ("yard", "web-1", "web-2"):
        instance = aws.instance(host)
        assert instance["PublicIpAddress"] == outputs["hosts"][host]["address"]
        assert instance["PrivateIpAddress"] == outputs["hosts"][host]["privateAddress"]
        assert instance["PrivateIpAddress"] in aws.on_host(host, "hostname", "-I").split()
    assert len({aws.instance(host)["Placement"]["AvailabilityZone"] for host in ("web-1", "web-2")}) == 2
    assert aws.data_volume()["Encrypted"] is True
    console = aws.client("ec2").get_console_output(InstanceId=aws.instance("yard")["InstanceId"])
    assert "cloud-init" in console["Output"]
    verified = aws.slip("verify")
    assert verified.status == 0, str(verified)


def test_no_key_is_printed(emulated: tuple[EmulatedStack, Result], aws: EmulatedStack) -> None:
    assert "PRIVATE KEY" in json.dumps(aws.state_with_secrets())
    assert "PRIVATE KEY" not in aws.state_file.read_text()
    assert "PRIVATE KEY" not in emulated[1].output
    assert (aws.clone.root / ".slipway").stat().st_mode & 0o777 == 0o700
    assert (aws.directory / "account").stat().st_mode & 0o777 == 0o600


def test_the_world_reaches_the_service_and_nothing_else(aws: EmulatedStack) -> None:
    addresses = {host: values["address"] for host, values in aws.outputs()["hosts"].items()}
    for port in (22, 2376, REGISTRY_PORT):
        assert connects(addresses["yard"], port, "127.0.0.1"), port
        assert not connects(addresses["yard"], port, WORLD), port
    assert connects(addresses["web-1"], 80, WORLD)
    assert not connects(addresses["yard"], 80, WORLD)


def test_nothing_changes_without_a_change(aws: EmulatedStack) -> None:
    # Not even with other user data, which another version of Slipway may have: only new machines get them.
    with aws.clone.edited(CLOUD_CONFIG, PASSWORDS_OFF, f'{PASSWORDS_OFF} "timezone": "Etc/UTC",'):
        assert not changed(aws.slip("up", "--refresh", "--expect-no-changes"))


def test_an_emulated_stack_is_not_taken_for_the_real_one(aws: EmulatedStack) -> None:
    in_prepared_shell = aws.clone.start(*aws.in_prepared_shell(f"./slip preview -s {aws.name}")).wait()
    assert in_prepared_shell.status == 2
    assert "prepared for the emulated stack of 'e2e-aws'" in in_prepared_shell.output
    by_its_name = aws.clone.start("./slip", "preview", "-s", aws.emulated_name).wait()
    assert by_its_name.status == 2
    assert "-s e2e-aws --emulate" in by_its_name.output
    assert not (aws.clone.root / ".slipway/state/.pulumi/stacks/slipway/e2e-aws.json").exists()


def test_a_code_change_rolls_over_both_app_hosts_while_the_volume_grows(aws: EmulatedStack) -> None:
    def size() -> int:
        return int(aws.on_host("yard", "df", "--output=size", "-B1M", REGISTRY_DATA_PATH).split()[1])

    urls, before, volume = aws.urls(), size(), aws.data_volume()
    aws.clone.edit("tests/e2e/fixtures/tiny/server.pl", "tiny version 1", "tiny version 2")
    content = aws.config_file.read_text()
    aws.config_file.write_text(content.replace("dataSize: 1", "dataSize: 2"))
    with Load(*urls) as load:
        names = changed(aws.slip("up"))
        served = {greeting(url) for url in urls}
    load.check()
    assert served == {"tiny version 2"}
    assert load.greetings == {url: {"tiny version 1", "tiny version 2"} for url in urls}
    assert aws.data_volume()["VolumeId"] == volume["VolumeId"]
    assert before < 1024 < size() < 2048
    assert not {"yard", "web-1", "web-2", "registry-container"} & names, names


def pulls(aws: EmulatedStack, *hosts: str) -> None:
    """Check that hosts can pull the service's image."""
    for host in hosts:
        aws.on_host(host, "docker", "pull", "--quiet", aws.outputs()["images"]["web"])


def test_hosts_are_replaced_while_another_serves(aws: EmulatedStack) -> None:
    """Among them the registry's host: the new one gets the volume with all images."""
    before = {host: aws.instance(host)["InstanceId"] for host in ("yard", "web-1", "web-2")}
    (first, second), images = aws.urls(), aws.registry().images()
    assert images
    with Load(second) as load:
        changed(aws.slip("up", "--", "--replace", aws.urn("web-1"), "--replace", aws.urn("yard")))
        assert greeting(first) == greeting(second)
    load.check()
    after = {host: aws.instance(host)["InstanceId"] for host in before}
    assert {host for host in before if before[host] != after[host]} == {"web-1", "yard"}
    assert aws.urls() == [first, second], "it keeps its Elastic IP"
    assert not aws.registry().lacks(images)
    pulls(aws, "web-1", "web-2")


def test_a_snapshot_brings_the_images_back(aws: EmulatedStack) -> None:
    images, volume, urls = aws.registry().images(), aws.data_volume()["VolumeId"], aws.urls()
    aws.on_host("yard", "touch", f"{REGISTRY_DATA_PATH}/from-before")
    snapshot = aws.client("ec2").create_snapshot(VolumeId=volume)["SnapshotId"]
    aws.on_host("yard", "rm", "-r", f"{REGISTRY_DATA_PATH}/docker", f"{REGISTRY_DATA_PATH}/from-before")
    yard = aws.instance("yard")["InstanceId"]
    content = aws.config_file.read_text()
    aws.config_file.write_text(content.replace("dataSize: 2", f"dataSize: 2\n    dataSnapshot: {snapshot}"))
    with Load(*urls) as load:
        names = changed(aws.slip("up"))
    load.check()
    assert aws.data_volume()["VolumeId"] != volume
    assert aws.instance("yard")["InstanceId"] == yard
    assert "registry-container" not in names
    assert aws.on_host("yard", "ls", f"{REGISTRY_DATA_PATH}/from-before")
    # It has just been started again, on the other volume.
    eventually("the registry serves again", aws.registry().answers)
    assert not aws.registry().lacks(images)
    pulls(aws, "web-1", "web-2")


def test_without_its_volume_the_registry_does_not_start(aws: EmulatedStack) -> None:
    ec2, yard, volume = aws.client("ec2"), aws.instance("yard")["InstanceId"], aws.data_volume()["VolumeId"]
    attachment = {"VolumeId": volume, "InstanceId": yard, "Device": "/dev/sdf"}
    ec2.stop_instances(InstanceIds=[yard])
    ec2.detach_volume(**attachment)
    ec2.start_instances(InstanceIds=[yard])
    try:
        with aws.clone.edited("components/scripts/mount-data.sh", "patience=120", "patience=2"):
            result = aws.slip("up")
        assert result.status == 1, str(result)
        assert f"the volume {volume} is not attached to" in result.output, str(result)
        assert aws.on_host("yard", "ls", "-A", "/var/lib/slipway/registry") == ""
        assert not aws.registry_runs()
    finally:
        ec2.attach_volume(**attachment)
        ec2.reboot_instances(InstanceIds=[yard])
    eventually("the registry serves again", lambda: aws.registry().answers())
    # Unlike EC2's, an emulated instance loses the lines of its /etc/hosts at each start: Docker writes that file.
    repaired = aws.slip("repair")
    assert repaired.status == 0, str(repaired)


def more_hosts(*names: str, **platform: Any) -> Callable[[dict[str, Any]], None]:
    """A change of the configuration: more app hosts."""

    def change(settings: dict[str, Any]) -> None:
        settings["hosts"] |= {name: {"roles": ["app"]} for name in names}
        settings["platform"] |= platform

    return change


def test_the_reason_is_reported_when_new_hosts_cannot_come_up(aws: EmulatedStack) -> None:
    urls = aws.urls()
    message = "You have requested more vCPU capacity than your current vCPU limit of 32 allows"
    fail(aws, "RunInstances", "VcpuLimitExceeded", message)
    with aws.configured(more_hosts("web-3")):
        limited = aws.slip("up")
    assert limited.status == 1, str(limited)
    assert f"VcpuLimitExceeded: {message}" in limited.output, str(limited)

    with aws.configured(more_hosts("web-3", "web-4", "web-5")):
        over_quota = aws.slip("preview")
    assert over_quota.status == 3, str(over_quota)
    assert "slipway:hosts needs 6 Elastic IPs; the account has 5 in eu-central-1" in over_quota.output
    assert "--quota-code L-0263D0A3 --desired-value 6" in " ".join(over_quota.output.split())

    unknown = f"{PACKAGES} + (' no-such-package' if name == 'web-3' else '')"
    silent = """**({"bootcmd": ["systemctl mask --now ssh"]} if args.name == "web-4" else {}),"""
    with Load(*urls) as load:
        with (
            aws.clone.edited(INSTANCE, PACKAGES, unknown),
            aws.clone.edited(INSTALL_SCRIPT, "patience=300", "patience=2"),
            aws.configured(more_hosts("web-3")),
        ):
            failed = aws.slip("up")
        # Only the silent host has a short limit, since the others take their time to boot.
        with (
            aws.clone.edited(CLOUD_CONFIG, PASSWORDS_OFF, f"{PASSWORDS_OFF} {silent}"),
            aws.configured(more_hosts("web-4", sshTimeout=SHORT_SSH_TIMEOUT)),
        ):
            silent_host = aws.slip("up")
    assert failed.status == 1, str(failed)
    # Either it cannot read the lists of packages here, or the package is in none of them.
    assert "error: web-3 cannot" in failed.output, str(failed)
    assert "./slip up -s e2e-aws --emulate -- --replace 'urn:pulumi:" in failed.output, str(failed)
    assert silent_host.status == 1, str(silent_host)
    error = rf"error: host web-4: its first boot failed: .*failed attempts.*{SHORT_SSH_TIMEOUT} s"
    assert re.search(error, silent_host.output), str(silent_host)
    assert "Traceback" not in limited.output + failed.output + silent_host.output

    changed(aws.slip("up"))
    load.check()
    assert len(aws.traces()["container"]) == 3


def test_expired_credentials_are_reported_in_one_sentence(aws: EmulatedStack) -> None:
    line = f"AWS_ACCESS_KEY_ID=EXPIREDKEY pulumi preview --stack {aws.emulated_name} --non-interactive"
    result = aws.clone.start(*aws.in_prepared_shell(line)).wait()
    assert result.status != 0
    assert "RequestExpired: Request has expired" in result.output or "ExpiredToken" in result.output, str(
        result
    )
    assert "Traceback" not in result.output, str(result)


def test_the_emulation_survives_its_process(aws: EmulatedStack) -> None:
    urls, pid = aws.urls(), aws.process()
    os.kill(pid, signal.SIGKILL)
    eventually("nothing forwards the port", lambda: not connects(urlsplit(urls[0]).hostname or "", 80, WORLD))
    verified = aws.slip("verify")
    assert verified.status == 0, str(verified)
    assert aws.process() != pid
    assert aws.urls() == urls


def test_destroy_leaves_nothing(aws: EmulatedStack) -> None:
    line = f"pulumi destroy --stack {aws.emulated_name} --yes --skip-preview --non-interactive"
    destroyed = aws.clone.start(*aws.in_prepared_shell(line)).wait()
    assert destroyed.status == 0, str(destroyed)
    left = {kind: found for kind, found in aws.left_in_account().items() if found}
    assert not left
    asked = set((aws.directory / "actions").read_text().split())
    assert {"ec2:RunInstances", "backup:CreateBackupSelection", "iam:AttachRolePolicy"} <= asked
    assert not undocumented(asked - BY_THIS_TEST)
    traces = {kind: names for kind, names in aws.traces().items() if names}
    assert not traces
    pid = aws.process()
    ended = aws.slip("down", "--yes")
    assert ended.status == 0, str(ended)
    assert not aws.directory.exists()
    assert not (aws.clone.root / "Pulumi.e2e-aws-emulated.yaml").exists()
    assert not aws.runs(pid)


def fail(aws: EmulatedStack, action: str, code: str, message: str) -> None:
    """Let the account refuse the next call of an action."""
    connection = http.client.HTTPConnection(
        urlsplit(aws.variables["AWS_ENDPOINT_URL"]).netloc, timeout=ANSWER
    )
    fault = {"action": action, "code": code, "message": message}
    key = {"X-Slipway-Key": aws.variables["AWS_ACCESS_KEY_ID"]}
    connection.request("POST", "/slipway/faults", json.dumps(fault), key)
    assert connection.getresponse().status == http.client.OK
    connection.close()
