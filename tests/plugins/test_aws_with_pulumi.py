"""The stand-in for pulumi-aws under the real Pulumi CLI, with a small program and moto as AWS, without a host."""

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from emulation.corrections import correct
from tests.plugins.aws_account import KEYS, account, client
from tests.support.waiting import PATIENCE
from toolchain.environment import Environment, prepare

PROGRAM = """
import pulumi
import pulumi_aws as aws

config = pulumi.Config()
provider = aws.Provider(
    "aws", region="eu-central-1", default_tags=aws.ProviderDefaultTagsArgs(tags={"stack": pulumi.get_stack()})
)
here = pulumi.InvokeOptions(provider=provider)
zones = aws.get_availability_zones(state="available", opts=here).names
image = aws.ssm.get_parameter(
    name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", opts=here
).value
opts = pulumi.ResourceOptions(provider=provider)
vpc = aws.ec2.Vpc("vpc", cidr_block="10.7.0.0/16", tags={"Name": config.get("name") or "first"}, opts=opts)
subnet = aws.ec2.Subnet(
    "subnet", vpc_id=vpc.id, cidr_block="10.7.1.0/24", availability_zone=zones[0], opts=opts
)
group = aws.ec2.SecurityGroup("group", vpc_id=vpc.id, opts=opts)
aws.vpc.SecurityGroupIngressRule(
    "ssh",
    security_group_id=group.id,
    ip_protocol="tcp",
    from_port=22,
    to_port=22,
    cidr_ipv4="192.0.2.0/24",
    opts=opts,
)
host = aws.ec2.Instance(
    "host",
    ami=image,
    instance_type=config.get("type") or "t3.micro",
    subnet_id=subnet.id,
    vpc_security_group_ids=[group.id],
    user_data=pulumi.Output.secret("#cloud-config\\n# " + (config.get("data") or "the-secret-user-data")),
    user_data_replace_on_change=True,
    opts=opts,
)
volume = aws.ebs.Volume(
    "data", availability_zone=subnet.availability_zone, size=int(config.get("size") or 5), opts=opts
)
aws.ec2.VolumeAttachment(
    "attachment",
    device_name="/dev/sdf",
    instance_id=host.id,
    volume_id=volume.id,
    opts=pulumi.ResourceOptions(provider=provider, delete_before_replace=True),
)
pulumi.export("host", host.id)
pulumi.export("vpc", vpc.id)
pulumi.export("volume", volume.id)
pulumi.export("tags", vpc.tags_all)
"""


MOUNT = """
import pulumi_command as command

command.local.Command(
    "mount",
    create="echo mount >>log",
    delete="echo undo >>log",
    triggers=[attachment.id],
    opts=pulumi.ResourceOptions(
        depends_on=[attachment], delete_before_replace=True, replace_on_changes=["triggers"]
    ),
)
"""
"""The options by which a host gives its volume back before it is detached (components/script.py)."""


RECORDS = """
import pulumi
import pulumi_aws as aws

provider = aws.Provider("aws", region="eu-central-1")
config = pulumi.Config()
common = dict(zone_id=config.require("zone"), name="shop.example.gov", type="A", ttl=60)


def opts(**others):
    return pulumi.ResourceOptions(provider=provider, **others)


def of_edge(number, options):
    check = aws.route53.HealthCheck(
        f"edge-{number}", type="TCP", ip_address=f"192.0.2.{number}", port=80, request_interval=30, opts=opts()
    )
    return aws.route53.Record(
        f"shop-edge-{number}",
        **common,
        records=[f"192.0.2.{number}"],
        multivalue_answer_routing_policy=True,
        set_identifier=f"edge-{number}",
        health_check_id=check.id,
        opts=options,
    )


if config.get_bool("edges"):
    first = of_edge(1, opts(aliases=[pulumi.Alias(name="shop")]))
    of_edge(2, opts(depends_on=[first]))
else:
    aws.route53.Record("shop", **common, records=["192.0.2.1", "192.0.2.2"], opts=opts())
"""
"""As components/hosts/aws/records.py has one edge and then two."""


class Done(NamedTuple):
    """How a command ended."""

    status: int
    text: str


class Project:
    """A small Pulumi project, whose AWS is moto."""

    def __init__(self, directory: Path, tools: Environment, url: str) -> None:
        self.directory = directory
        self.url = url
        (directory / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
        (directory / "__main__.py").write_text(PROGRAM)
        self._pulumi = str(tools.pulumi)
        user = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
        self.environment = {
            **user,
            **tools.variables,
            "PULUMI_BACKEND_URL": f"file://{directory}",
            "PULUMI_CONFIG_PASSPHRASE": "small",
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def pulumi(self, *arguments: str, status: int | None = 0, **environment: str) -> Done:
        done = subprocess.run(
            [self._pulumi, *arguments, "--non-interactive"],
            cwd=self.directory,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert status is None or done.returncode == status, done.stdout
        return Done(done.returncode, done.stdout)

    def update(self, command: str, *arguments: str) -> dict[str, int]:
        """Run an update. Returns the number of changed resources by operation."""
        done = self.pulumi(command, "--yes", "--skip-preview", "--json", "--stack", "test", *arguments)
        lines = [json.loads(line) for line in done.text.splitlines() if line.startswith("{")]
        (summary,) = [line["summaryEvent"] for line in lines if "summaryEvent" in line]
        return {name: count for name, count in summary["resourceChanges"].items() if name != "same"}

    def configure(self, **values: str) -> None:
        pairs = [word for name, value in values.items() for word in ("--plaintext", f"{name}={value}")]
        self.pulumi("config", "set-all", *pairs, "--stack", "test")

    def outputs(self) -> dict[str, Any]:
        return dict(json.loads(self.pulumi("stack", "output", "--json", "--stack", "test").text))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    tools = prepare(needs=["pulumi"])
    if tools.plugins == "official":
        pytest.skip("the official plugin is used here, not the stand-in")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    directory = tmp_path_factory.mktemp("small")
    with account() as url:
        project = Project(directory, tools, url)
        project.pulumi("stack", "init", "test")
        yield project
    shutil.rmtree(directory)


def test_a_stack_lives_and_nothing_of_it_is_left(project: Project) -> None:
    ec2 = client(project.url, "ec2")
    before = _made(ec2)
    shown = project.pulumi("preview", "--stack", "test").text
    assert "9 to create" in shown or "+ 9" in shown, shown
    assert project.update("up") == {"create": 9}
    first = project.outputs()
    assert first["tags"] == {"Name": "first", "stack": "test"}
    (instance,) = ec2.describe_instances(InstanceIds=[first["host"]])["Reservations"][0]["Instances"]
    assert instance["State"]["Name"] == "running"

    # Nothing changes by itself.
    assert project.update("up") == {}
    project.pulumi("preview", "--refresh", "--expect-no-changes", "--stack", "test")

    # In place, and by replacement.
    project.configure(name="second", size="8", type="t3.small", data="other")
    done = project.update("up")
    assert (done["update"], done["replace"]) == (2, 2), done
    second = project.outputs()
    assert second["host"] != first["host"]
    assert (second["vpc"], second["volume"]) == (first["vpc"], first["volume"])
    (volume,) = ec2.describe_volumes(VolumeIds=[second["volume"]])["Volumes"]
    assert volume["Size"] == 8
    assert [each["InstanceId"] for each in volume["Attachments"]] == [second["host"]]

    # A refresh sees drift, and the update removes it.
    ec2.create_tags(Resources=[second["vpc"]], Tags=[{"Key": "Name", "Value": "theirs"}])
    drift = project.pulumi("preview", "--refresh", "--diff", "--stack", "test").text
    assert "theirs" in drift, drift
    ec2.terminate_instances(InstanceIds=[second["host"]])
    done = project.update("up", "--refresh")
    assert done["create"] >= 1, done
    third = project.outputs()
    assert third["tags"]["Name"] == "second"
    assert third["host"] != second["host"]
    project.pulumi("preview", "--refresh", "--expect-no-changes", "--stack", "test")

    # No credentials and no secret user data in the state.
    state = project.pulumi("stack", "export", "--stack", "test").text
    assert not any(secret in state for secret in (*KEYS, "the-secret-user-data", "# other"))

    project.update("destroy")
    assert _made(ec2) == before


def _made(ec2: Any) -> dict[str, set[str]]:
    """The account's networks, running instances and volumes. Other tests of this process have the same account."""
    states = [{"Name": "instance-state-name", "Values": ["running", "pending"]}]
    return {
        "networks": {each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]},
        "instances": {
            instance["InstanceId"]
            for reservation in ec2.describe_instances(Filters=states)["Reservations"]
            for instance in reservation["Instances"]
        },
        "volumes": {each["VolumeId"] for each in ec2.describe_volumes()["Volumes"]},
    }


def test_a_volume_is_given_back_before_it_is_detached(project: Project) -> None:
    program = project.directory / "__main__.py"
    program.write_text(
        PROGRAM.replace("aws.ec2.VolumeAttachment(", "attachment = aws.ec2.VolumeAttachment(") + MOUNT
    )
    ec2 = client(project.url, "ec2")
    try:
        project.update("up")
        snapshot = ec2.create_snapshot(VolumeId=project.outputs()["volume"])["SnapshotId"]
        program.write_text(program.read_text().replace('"data", ', f'"data", snapshot_id="{snapshot}", '))
        done = project.pulumi("up", "--yes", "--skip-preview", "--json", "--stack", "test")
        events = [json.loads(line) for line in done.text.splitlines() if line.startswith("{")]
        steps = [
            (step["metadata"]["op"], step["metadata"]["urn"].rpartition("::")[2])
            for event in events
            if (step := event.get("resourcePreEvent"))
        ]
        assert steps.index(("delete-replaced", "mount")) < steps.index(("delete-replaced", "attachment"))
        assert (project.directory / "log").read_text().split() == ["mount", "undo", "mount"]
    finally:
        project.update("destroy")
        program.write_text(PROGRAM)


def test_a_plain_record_becomes_those_of_two_edges_in_one_update(project: Project) -> None:
    correct()
    route53 = client(project.url, "route53")
    zone = route53.create_hosted_zone(Name="example.gov", CallerReference="edges")["HostedZone"]["Id"]
    program = project.directory / "__main__.py"
    program.write_text(RECORDS)
    try:
        project.configure(zone=zone.rpartition("/")[2])
        assert project.update("up") == {"create": 3}
        project.configure(edges="true")
        done = project.update("up")
        assert (done.get("update"), done.get("delete"), done.get("replace")) == (1, None, None), done
        found = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        known = [(each["SetIdentifier"], each["ResourceRecords"]) for each in found if each["Type"] == "A"]
        assert known == [(f"edge-{number}", [{"Value": f"192.0.2.{number}"}]) for number in (1, 2)]
        project.pulumi("preview", "--refresh", "--expect-no-changes", "--stack", "test")
        project.update("destroy")
        assert not [
            each
            for each in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
            if each["Type"] == "A"
        ]
        assert route53.list_health_checks()["HealthChecks"] == []
    finally:
        project.update("destroy")
        program.write_text(PROGRAM)


def test_without_credentials_there_is_one_error(project: Project) -> None:
    done = project.pulumi(
        *("preview", "--stack", "test"), status=None, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""
    )
    assert done.status != 0
    # The plugin does not try again.
    assert (
        done.text.count("no AWS credentials were found (Unable to locate credentials): set AWS_PROFILE") == 1
    )
    assert "botocore" not in done.text


def test_what_it_lacks_stops_the_preview(project: Project) -> None:
    program = project.directory / "__main__.py"
    program.write_text(PROGRAM.replace('size=int(config.get("size") or 5)', "final_snapshot=True"))
    done = project.pulumi("preview", "--stack", "test", status=None)
    program.write_text(PROGRAM)
    assert done.status != 0
    assert "does not support 'finalSnapshot' of Volume: leave it" in done.text
    assert "or use the official plugin" in done.text
