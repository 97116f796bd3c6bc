"""The aws stand-in against moto, which serves AWS over HTTP; separate clients check the results."""

import base64
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from emulation.corrections import correct
from plugins.aws.cloud import Cloud
from plugins.aws.errors import Refused
from plugins.aws.kind import tag_list
from plugins.bridge.schema import without_defaults
from plugins.protocol.messages import (
    CheckRequest,
    ConfigureRequest,
    CreateRequest,
    Failure,
    InitFailure,
    UpdateRequest,
)
from plugins.protocol.properties import UNKNOWN
from tests.plugins.aws_account import DEFAULT_TAGS, REGION, Driver, Resource, account, client, configured
from tests.plugins.conftest import Messages

VPC = "aws:ec2/vpc:Vpc"
GATEWAY = "aws:ec2/internetGateway:InternetGateway"
SUBNET = "aws:ec2/subnet:Subnet"
TABLE = "aws:ec2/routeTable:RouteTable"
TABLE_ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
KEY = "aws:ec2/keyPair:KeyPair"
INSTANCE = "aws:ec2/instance:Instance"
EIP = "aws:ec2/eip:Eip"
EIP_ASSOCIATION = "aws:ec2/eipAssociation:EipAssociation"
VOLUME = "aws:ebs/volume:Volume"
ATTACHMENT = "aws:ec2/volumeAttachment:VolumeAttachment"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
VAULT = "aws:backup/vault:Vault"
PLAN = "aws:backup/plan:Plan"
RECORD = "aws:route53/record:Record"
HEALTH_CHECK = "aws:route53/healthCheck:HealthCheck"

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGluz1iZbcHmYTCVZpQhFXrUMPZyhqWIgbFZ5jAIVeYd operator\n"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "backup.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with account() as address:
        yield address


@pytest.fixture(scope="module")
def driver(url: str) -> Driver:
    return Driver(configured(url))


@pytest.fixture(scope="module")
def ec2(url: str) -> Any:
    return client(url, "ec2")


@pytest.fixture(scope="module")
def image(ec2: Any) -> str:
    images = ec2.describe_images(Owners=["amazon"])["Images"]
    return str(next(each["ImageId"] for each in images if each["RootDeviceType"] == "ebs"))


@pytest.fixture(scope="module")
def network(driver: Driver) -> dict[str, str]:
    vpc = driver.create(VPC, {"cidrBlock": "10.9.0.0/16"})
    subnet = driver.create(
        SUBNET, {"vpcId": vpc.id, "cidrBlock": "10.9.1.0/24", "availabilityZone": f"{REGION}a"}
    )
    groups = [driver.create(GROUP, {"vpcId": vpc.id, "revokeRulesOnDelete": True}).id for _ in range(1)]
    return {"vpc": vpc.id, "subnet": subnet.id, "group": groups[0]}


def host(network: dict[str, str], image: str, **others: Any) -> dict[str, Any]:
    """The inputs of an instance in Slipway's form."""
    return {
        "ami": image,
        "instanceType": "t3.small",
        "subnetId": network["subnet"],
        "vpcSecurityGroupIds": [network["group"]],
        "associatePublicIpAddress": True,
        "userData": "#cloud-config\n{}\n",
        "userDataReplaceOnChange": True,
        "disableApiTermination": False,
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        },
        "rootBlockDevice": {
            "volumeType": "gp3",
            "volumeSize": 20,
            "encrypted": True,
            "deleteOnTermination": True,
            "tags": {"Name": "root"},
        },
        "tags": {"Name": "web"},
        **others,
    }


# Creation, update and deletion of each type

Make = Callable[[Driver, dict[str, str], str, str], dict[str, Any]]


def route_table(driver: Driver, network: dict[str, str], image: str, url: str) -> dict[str, Any]:
    gateway = driver.create(GATEWAY, {"vpcId": network["vpc"]})
    return {"vpcId": network["vpc"], "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": gateway.id}]}


def table_association(driver: Driver, network: dict[str, str], image: str, url: str) -> dict[str, Any]:
    table = driver.create(TABLE, {"vpcId": network["vpc"]})
    return {"subnetId": network["subnet"], "routeTableId": table.id}


def eip_association(driver: Driver, network: dict[str, str], image: str, url: str) -> dict[str, Any]:
    instance = driver.create(INSTANCE, host(network, image))
    return {"instanceId": instance.id, "allocationId": driver.create(EIP, {"domain": "vpc"}).id}


def attachment(driver: Driver, network: dict[str, str], image: str, url: str) -> dict[str, Any]:
    instance = driver.create(INSTANCE, host(network, image))
    volume = driver.create(VOLUME, {"availabilityZone": f"{REGION}a", "size": 5})
    return {"instanceId": instance.id, "volumeId": volume.id, "deviceName": "/dev/sdf"}


def policy(driver: Driver, network: dict[str, str], image: str, url: str) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    made = client(url, "iam").create_policy(PolicyName="all", PolicyDocument=document)
    role = driver.create(ROLE, {"assumeRolePolicy": TRUST})
    return {"role": role.id, "policyArn": made["Policy"]["Arn"]}


def plan(driver: Driver, network: dict[str, str], image: str, url: str) -> dict[str, Any]:
    vault = driver.create(VAULT, {})
    rule = {
        "ruleName": "daily",
        "targetVaultName": vault.id,
        "schedule": "cron(0 3 * * ? *)",
        "lifecycle": {"deleteAfter": 14},
    }
    return {"name": "plan", "rules": [rule]}


def record(driver: Driver, network: dict[str, str], image: str, url: str) -> dict[str, Any]:
    zone = client(url, "route53").create_hosted_zone(Name="example.org", CallerReference="life")["HostedZone"]
    return {
        "zoneId": zone["Id"].rpartition("/")[2],
        "name": "web.example.org",
        "type": "A",
        "ttl": 60,
        "records": ["192.0.2.2", "192.0.2.1"],
    }


def given(**inputs: Any) -> Make:
    """Inputs in which `VPC`, `GROUP` and so on are replaced by the network's ids."""

    def make(driver: Driver, network: dict[str, str], image: str, url: str) -> dict[str, Any]:
        return {
            name: network[value.lower()] if isinstance(value, str) and value in ("VPC", "GROUP") else value
            for name, value in inputs.items()
        }

    return make


LIVES: dict[str, Make] = {
    VPC: given(cidrBlock="10.1.0.0/16", enableDnsHostnames=True, enableDnsSupport=True, tags={"Name": "net"}),
    GATEWAY: given(vpcId="VPC"),
    SUBNET: given(vpcId="VPC", cidrBlock="10.9.2.0/24", availabilityZone=f"{REGION}b"),
    TABLE: route_table,
    TABLE_ASSOCIATION: table_association,
    GROUP: given(name="slipway-app", description="hosts", vpcId="VPC", revokeRulesOnDelete=True),
    INGRESS: given(
        securityGroupId="GROUP",
        description="ssh",
        ipProtocol="tcp",
        fromPort=22,
        toPort=22,
        cidrIpv4="192.0.2.0/24",
    ),
    EGRESS: given(securityGroupId="GROUP", description="all", ipProtocol="-1", cidrIpv6="::/0"),
    KEY: given(keyName="slipway", publicKey=PUBLIC_KEY),
    INSTANCE: lambda driver, network, image, url: host(network, image),
    EIP: given(domain="vpc"),
    EIP_ASSOCIATION: eip_association,
    VOLUME: given(availabilityZone=f"{REGION}a", size=10, type="gp3", encrypted=True),
    ATTACHMENT: attachment,
    ROLE: given(assumeRolePolicy=TRUST, description="snapshots"),
    POLICY: policy,
    VAULT: given(name="vault", forceDestroy=True),
    PLAN: plan,
    RECORD: record,
    HEALTH_CHECK: given(
        type="TCP",
        ipAddress="192.0.2.1",
        port=80,
        requestInterval=30,
        failureThreshold=3,
        tags={"Name": "edge-1"},
    ),
}


@pytest.mark.parametrize("kind", LIVES)
def test_it_is_created_unchanged_and_deleted(
    kind: str, driver: Driver, network: dict[str, str], image: str, url: str
) -> None:
    news = LIVES[kind](driver, network, image, url)
    predicted = driver.preview(kind, news)
    made = driver.create(kind, news)
    try:
        # The preview's known values are those of the update.
        assert [
            name
            for name, value in predicted.items()
            if name[0] != "_" and not agrees(value, made.outputs.get(name))
        ] == []
        assert predicted["id"] is UNKNOWN
        assert UNKNOWN not in made.outputs.values()
        if "tags" in made.outputs:
            assert (made.outputs["tags"] or {}) == news.get("tags", {})
            assert made.outputs["tagsAll"] == {**news.get("tags", {}), **DEFAULT_TAGS}
        # A second update and a refresh change nothing.
        assert driver.diff(made, news).changes is False
        refreshed = driver.refresh(made)
        assert refreshed is not None
        assert refreshed.outputs == made.outputs
        assert driver.drift(made).changes is False
        assert driver.diff(refreshed, news).changes is False
    finally:
        driver.delete(made)
    assert driver.refresh(made) is None
    driver.delete(made)  # gone already


def agrees(predicted: Any, made: Any) -> bool:
    """Whether the preview's known values are the created ones. None equals zero and empty values."""
    if isinstance(predicted, dict) and isinstance(made, dict):
        return all(agrees(value, made.get(name)) for name, value in predicted.items())
    if isinstance(predicted, list) and isinstance(made, list) and len(predicted) == len(made):
        return all(map(agrees, predicted, made))
    return predicted is UNKNOWN or predicted == made or not (predicted or made)


# Previews


def test_a_preview_with_unknown_inputs_knows_the_rest(driver: Driver) -> None:
    inputs = driver.check(SUBNET, {"vpcId": UNKNOWN, "cidrBlock": "10.0.0.0/24", "tags": {"Name": "a"}})
    shown = driver.plugin.create(CreateRequest("urn", "it", SUBNET, inputs, preview=True)).properties
    assert shown["vpcId"] is UNKNOWN
    assert shown["arn"] is UNKNOWN
    assert (shown["cidrBlock"], shown["region"]) == ("10.0.0.0/24", REGION)
    assert shown["tagsAll"] == {"Name": "a", **DEFAULT_TAGS}
    assert shown["mapPublicIpOnLaunch"] is False


def test_an_update_of_unknown_outcome_is_previewed(driver: Driver, network: dict[str, str]) -> None:
    rule = driver.create(
        INGRESS,
        {
            "securityGroupId": network["group"],
            "ipProtocol": "tcp",
            "fromPort": 1,
            "toPort": 1,
            "cidrIpv4": "192.0.2.1/32",
        },
    )
    news = {**given_to(rule), "cidrIpv4": UNKNOWN}
    difference = driver.diff(rule, news)
    assert difference.detailed is not None
    assert {path: change.kind for path, change in difference.detailed.items()} == {"cidrIpv4": "UPDATE"}
    request = UpdateRequest(
        "urn", "it", INGRESS, rule.id, rule.outputs, driver.check(INGRESS, news), rule.inputs, preview=True
    )
    shown = driver.plugin.update(request).properties
    assert shown["cidrIpv4"] is UNKNOWN
    assert (shown["id"], shown["fromPort"]) == (rule.id, 1)
    driver.delete(rule)


def given_to(resource: Resource) -> dict[str, Any]:
    """The inputs that the program gave."""
    return {name: value for name, value in without_defaults(resource.inputs).items() if name != "tagsAll"}


def changes(driver: Driver, resource: Resource, **others: Any) -> dict[str, str]:
    """The effect of changed inputs, by property."""
    news = {name: value for name, value in {**given_to(resource), **others}.items() if value is not None}
    return {path: change.kind for path, change in (driver.diff(resource, news).detailed or {}).items()}


def test_names_follow_the_resources_and_stay(driver: Driver, network: dict[str, str]) -> None:
    first = driver.check(GROUP, {"vpcId": network["vpc"]})
    assert first["name"].startswith("it-")
    assert len(first["name"]) == len("it-") + 7
    assert {"name", "description", "revokeRulesOnDelete"} - set(first["__defaults"]) <= {
        "revokeRulesOnDelete"
    }
    assert first["description"] == "Managed by Pulumi"
    assert driver.check(GROUP, {"vpcId": network["vpc"]}, first)["name"] == first["name"]
    role = driver.plugin.check(CheckRequest("urn", "n" * 90, ROLE, {}, {"assumeRolePolicy": TRUST}, b"seed"))
    assert len(role.inputs["name"]) == 64


# Changes


def test_user_data_replace_only_where_the_program_says_so(
    driver: Driver, network: dict[str, str], image: str, ec2: Any
) -> None:
    made = driver.create(INSTANCE, host(network, image))
    assert changes(driver, made, userData="#cloud-config\n{a: b}\n") == {"userData": "UPDATE_REPLACE"}
    assert changes(driver, made, userData="other", userDataReplaceOnChange=False) == {
        "userData": "UPDATE",
        "userDataReplaceOnChange": "UPDATE",
    }
    assert changes(driver, made, ami="ami-1") == {"ami": "UPDATE_REPLACE"}
    assert changes(driver, made, rootBlockDevice={"volumeSize": 20, "encrypted": False}) == {
        "rootBlockDevice.encrypted": "UPDATE_REPLACE",
        "rootBlockDevice.tags": "DELETE",
    }
    news = {**given_to(made), "userData": "other", "userDataReplaceOnChange": False}
    driver.update(made, news)
    attribute = ec2.describe_instance_attribute(InstanceId=made.id, Attribute="userData")
    assert base64.b64decode(attribute["UserData"]["Value"]) == b"other"
    driver.delete(made)


def test_an_instance_is_changed_in_place(
    driver: Driver, network: dict[str, str], image: str, ec2: Any
) -> None:
    made = driver.create(INSTANCE, host(network, image))
    group = driver.create(GROUP, {"vpcId": network["vpc"], "name": "second"})
    root = {**given_to(made)["rootBlockDevice"], "volumeSize": 40, "tags": {"Name": "bigger"}}
    news = {
        **given_to(made),
        "instanceType": "t3.medium",
        "vpcSecurityGroupIds": [group.id],
        "disableApiTermination": True,
        "metadataOptions": {**given_to(made)["metadataOptions"], "httpPutResponseHopLimit": 2},
        "rootBlockDevice": root,
        "tags": {"Name": "other"},
    }
    assert changes(driver, made, **{name: news[name] for name in news if name[0] != "_"}) == {
        "disableApiTermination": "UPDATE",
        "instanceType": "UPDATE",
        "metadataOptions.httpPutResponseHopLimit": "UPDATE",
        "rootBlockDevice.tags.Name": "UPDATE",
        "rootBlockDevice.volumeSize": "UPDATE",
        "tags.Name": "UPDATE",
        "tagsAll.Name": "UPDATE",
        "vpcSecurityGroupIds[0]": "UPDATE",
    }
    updated = driver.update(made, news)
    (instance,) = ec2.describe_instances(InstanceIds=[made.id])["Reservations"][0]["Instances"]
    assert instance["State"]["Name"] == "running"
    assert instance["InstanceType"] == "t3.medium"
    assert [each["GroupId"] for each in instance["SecurityGroups"]] == [group.id]
    assert {"Key": "Name", "Value": "other"} in instance["Tags"]
    (volume,) = ec2.describe_volumes(VolumeIds=[updated.outputs["rootBlockDevice"]["volumeId"]])["Volumes"]
    assert (volume["Size"], volume["Tags"]) == (
        40,
        [*tag_list(DEFAULT_TAGS), {"Key": "Name", "Value": "bigger"}],
    )
    assert driver.diff(updated, news).changes is False
    # EC2 protects the instance. The plugin ends the protection only with `forceDestroy`.
    with pytest.raises(Failure, match="EC2 refused TerminateInstances: OperationNotPermitted: "):
        driver.delete(updated)
    driver.delete(driver.update(updated, {**news, "forceDestroy": True}))
    assert driver.refresh(updated) is None


def test_an_instance_runs_again_where_ec2_refuses_its_change(
    driver: Driver, network: dict[str, str], image: str, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = driver.create(INSTANCE, host(network, image))
    call = Cloud.call

    def refusing(cloud: Cloud, service: str, operation: str, *rest: Any) -> dict[str, Any]:
        if operation == "modify_instance_attribute":
            raise Refused("EC2 refused ModifyInstanceAttribute: Unsupported: no such host", "Unsupported")
        return call(cloud, service, operation, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Cloud, "call", refusing)
        with pytest.raises(Failure, match="ModifyInstanceAttribute: Unsupported"):
            driver.update(made, {**given_to(made), "instanceType": "t3.medium"})
    (instance,) = ec2.describe_instances(InstanceIds=[made.id])["Reservations"][0]["Instances"]
    assert instance["State"]["Name"] == "running"
    driver.delete(made)


def test_another_architecture_replaces_an_instance(
    driver: Driver, network: dict[str, str], image: str
) -> None:
    made = driver.create(INSTANCE, host(network, image))
    assert changes(driver, made, instanceType="t3.medium") == {"instanceType": "UPDATE"}
    assert changes(driver, made, instanceType="t4g.small") == {"instanceType": "UPDATE_REPLACE"}
    # EC2 tells about a type that it does not know when it is asked to change to it.
    assert changes(driver, made, instanceType="t99.small") == {"instanceType": "UPDATE"}
    driver.delete(made)


def test_an_elastic_ip_shows_after_a_refresh(driver: Driver, network: dict[str, str], image: str) -> None:
    """As in the official plugin: a program that would not be surprised has to ignore the property."""
    made = driver.create(INSTANCE, {**host(network, image), "associatePublicIpAddress": False})
    address = driver.create(EIP, {"domain": "vpc"})
    association = driver.create(EIP_ASSOCIATION, {"instanceId": made.id, "allocationId": address.id})
    refreshed = driver.refresh(made)
    assert refreshed is not None
    assert refreshed.outputs["associatePublicIpAddress"] is True
    for each in (association, address, made):
        driver.delete(each)


def test_credits_are_set_and_changed_in_place(
    driver: Driver, network: dict[str, str], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, Any]] = []
    call, state = Cloud.call, {"credits": "standard"}

    def with_credits(cloud: Cloud, service: str, operation: str, parameters: Any = None, *rest: Any) -> Any:
        if operation == "run_instances":
            given.append((operation, parameters["CreditSpecification"]))
        if operation == "modify_instance_credit_specification":
            state["credits"] = parameters["InstanceCreditSpecifications"][0]["CpuCredits"]
            return {}
        if operation == "describe_instance_credit_specifications":
            return {"InstanceCreditSpecifications": [{"CpuCredits": state["credits"]}]}
        return call(cloud, service, operation, parameters, *rest)

    monkeypatch.setattr(Cloud, "call", with_credits)
    news = {**host(network, image), "creditSpecification": {"cpuCredits": "standard"}}
    made = driver.create(INSTANCE, news)
    assert given == [("run_instances", {"CpuCredits": "standard"})]
    other = {**news, "creditSpecification": {"cpuCredits": "unlimited"}}
    assert changes(driver, made, **other) == {"creditSpecification.cpuCredits": "UPDATE"}
    updated = driver.update(made, other)
    assert updated.outputs["creditSpecification"] == {"cpuCredits": "unlimited"}
    assert driver.drift(updated).changes is False
    driver.delete(updated)


def test_a_resource_that_aws_does_not_know_yet_is_asked_for_again(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    """EC2 tells its servers about a new VPC within seconds. One that it has never had is an error at once."""
    monkeypatch.setattr(driver.plugin, "engine", messages)
    vpc = driver.create(VPC, {"cidrBlock": "10.6.0.0/16"})
    call, refusals = Cloud.call, {"create_subnet": 2, "attach_internet_gateway": 1}

    def late(cloud: Cloud, service: str, operation: str, *rest: Any) -> dict[str, Any]:
        if refusals.get(operation):
            refusals[operation] -= 1
            raise Refused(f"EC2 refused it: the vpc ID '{vpc.id}' does not exist", "InvalidVpcID.NotFound")
        return call(cloud, service, operation, *rest)

    monkeypatch.setattr(Cloud, "call", late)
    subnet = driver.create(SUBNET, {"vpcId": vpc.id, "cidrBlock": "10.6.1.0/24"})
    gateway = driver.create(GATEWAY, {"vpcId": vpc.id})
    assert refusals == {"create_subnet": 0, "attach_internet_gateway": 0}
    assert len(messages.lines) == 3
    with pytest.raises(Failure, match=r"InvalidVpcID\.NotFound"):
        driver.create(SUBNET, {"vpcId": "vpc-0", "cidrBlock": "10.6.2.0/24"})
    assert len(messages.lines) == 3, "no second attempt"
    for each in (gateway, subnet, vpc):
        driver.delete(each)


def test_a_subnet_is_not_modified_without_a_reason(
    driver: Driver, network: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = driver.create(SUBNET, {"vpcId": network["vpc"], "cidrBlock": "10.9.3.0/24"})
    asked: list[str] = []
    call = Cloud.call

    def noting(cloud: Cloud, service: str, operation: str, *rest: Any) -> dict[str, Any]:
        asked.append(operation)
        return call(cloud, service, operation, *rest)

    monkeypatch.setattr(Cloud, "call", noting)
    updated = driver.update(made, {**given_to(made), "tags": {"Name": "other"}})
    assert "modify_subnet_attribute" not in asked
    driver.update(updated, {**given_to(updated), "mapPublicIpOnLaunch": True})
    assert "modify_subnet_attribute" in asked
    driver.delete(made)


def test_a_volume_is_made_from_a_snapshot(driver: Driver, ec2: Any) -> None:
    made = driver.create(VOLUME, {"availabilityZone": f"{REGION}a", "size": 10, "type": "gp3"})
    snapshot = ec2.create_snapshot(VolumeId=made.id)["SnapshotId"]
    assert changes(driver, made, snapshotId=snapshot)["snapshotId"].endswith("_REPLACE")
    restored = driver.create(VOLUME, {**given_to(made), "snapshotId": snapshot})
    assert ec2.describe_volumes(VolumeIds=[restored.id])["Volumes"][0]["SnapshotId"] == snapshot
    # The setting may be taken out again.
    assert driver.diff(restored, given_to(made)).changes is False
    found = driver.invoke("aws:ebs/getSnapshot:getSnapshot", snapshotIds=[snapshot])
    assert (found["volumeId"], found["volumeSize"]) == (made.id, 10)
    by_id = [{"name": "volume-id", "values": [restored.id]}]
    shown = driver.invoke("aws:ebs/getVolume:getVolume", filters=by_id)
    assert (shown["availabilityZone"], shown["size"]) == (f"{REGION}a", 10)
    assert shown["arn"].endswith(f":volume/{restored.id}")
    for each in (restored, made):
        driver.delete(each)


def test_a_deletion_is_tried_again_while_the_resource_is_in_use(
    driver: Driver, network: dict[str, str], ec2: Any, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    vpc = driver.create(VPC, {"cidrBlock": "10.5.0.0/16"})
    subnet = ec2.create_subnet(VpcId=vpc.id, CidrBlock="10.5.1.0/24")["Subnet"]["SubnetId"]
    monkeypatch.setattr(driver.plugin, "engine", messages)
    threading.Timer(1.0, lambda: ec2.delete_subnet(SubnetId=subnet)).start()
    driver.delete(vpc)
    assert driver.refresh(vpc) is None
    severity, text, _, ephemeral = messages.lines[0]
    assert (severity, ephemeral) == ("info", True)
    assert text.startswith("trying again: EC2 refused DeleteVpc: DependencyViolation: ")


def test_a_volume_grows_in_place(driver: Driver, ec2: Any) -> None:
    made = driver.create(
        VOLUME, {"availabilityZone": f"{REGION}a", "size": 10, "type": "gp3", "encrypted": True}
    )
    assert changes(driver, made, size=20) == {"size": "UPDATE"}
    assert changes(driver, made, availabilityZone=f"{REGION}b") == {"availabilityZone": "UPDATE_REPLACE"}
    assert changes(driver, made, encrypted=False) == {"encrypted": "UPDATE_REPLACE"}
    grown = driver.update(made, {**given_to(made), "size": 20})
    assert grown.outputs["size"] == 20
    assert ec2.describe_volumes(VolumeIds=[made.id])["Volumes"][0]["Size"] == 20
    driver.delete(grown)


def test_rules_and_routes_are_changed_in_place(driver: Driver, network: dict[str, str], ec2: Any) -> None:
    rule = driver.create(
        INGRESS,
        {
            "securityGroupId": network["group"],
            "ipProtocol": "tcp",
            "fromPort": 80,
            "toPort": 80,
            "cidrIpv4": "192.0.2.0/24",
        },
    )
    assert changes(driver, rule, securityGroupId="sg-1") == {"securityGroupId": "UPDATE_REPLACE"}
    updated = driver.update(
        rule, {**given_to(rule), "cidrIpv4": "198.51.100.0/24", "fromPort": 81, "toPort": 81}
    )
    (found,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule.id])["SecurityGroupRules"]
    assert (found["CidrIpv4"], found["FromPort"], found["ToPort"]) == ("198.51.100.0/24", 81, 81)
    driver.delete(updated)

    vpc = driver.create(VPC, {"cidrBlock": "10.3.0.0/16"})
    gateway = driver.create(GATEWAY, {"vpcId": vpc.id})
    table = driver.create(
        TABLE, {"vpcId": vpc.id, "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": gateway.id}]}
    )
    other = driver.update(
        table, {**given_to(table), "routes": [{"cidrBlock": "192.0.2.0/24", "gatewayId": gateway.id}]}
    )
    (shown,) = ec2.describe_route_tables(RouteTableIds=[table.id])["RouteTables"]
    assert [each["DestinationCidrBlock"] for each in shown["Routes"]] == ["10.3.0.0/16", "192.0.2.0/24"]
    for resource in (other, gateway, vpc):
        driver.delete(resource)


def test_a_new_group_allows_no_outgoing_traffic(driver: Driver, network: dict[str, str], ec2: Any) -> None:
    (group,) = ec2.describe_security_groups(GroupIds=[network["group"]])["SecurityGroups"]
    every = [each for each in group["IpPermissionsEgress"] if each["IpProtocol"] == "-1"]
    assert every == []


def test_a_record_a_role_and_tags_are_changed_in_place(
    driver: Driver, network: dict[str, str], image: str, url: str
) -> None:
    zone = client(url, "route53").create_hosted_zone(Name="example.net", CallerReference="2")["HostedZone"]
    made = driver.create(
        RECORD,
        {
            "zoneId": zone["Id"].rpartition("/")[2],
            "name": "a.example.net",
            "type": "A",
            "ttl": 60,
            "records": ["192.0.2.1"],
        },
    )
    assert made.outputs["fqdn"] == "a.example.net"
    driver.update(made, {**given_to(made), "records": ["192.0.2.7"]})
    sets = client(url, "route53").list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    assert [each["ResourceRecords"] for each in sets if each["Type"] == "A"] == [[{"Value": "192.0.2.7"}]]
    with pytest.raises(Failure, match="Route 53 refused ChangeResourceRecordSets: InvalidChangeBatch: "):
        driver.create(RECORD, given_to(made))
    driver.delete(made)

    news = {"name": "snapshots", "assumeRolePolicy": TRUST, "tags": {"a": "1", "b": "2"}}
    role = driver.create(ROLE, news)
    # The same JSON in another notation is no change.
    assert (
        driver.diff(role, {**news, "assumeRolePolicy": json.dumps(json.loads(TRUST), indent=2)}).changes
        is False
    )
    updated = driver.update(role, {**news, "description": "other", "tags": {"a": "3"}})
    found = client(url, "iam").get_role(RoleName=role.id)["Role"]
    assert found["Description"] == "other"
    assert {each["Key"]: each["Value"] for each in found["Tags"]} == {"a": "3", **DEFAULT_TAGS}
    driver.delete(updated)


def test_a_health_check_is_changed_in_place_but_for_its_kind_and_interval(driver: Driver, url: str) -> None:
    news = {"type": "TCP", "ipAddress": "192.0.2.1", "port": 80, "requestInterval": 30, "tags": {"a": "1"}}
    made = driver.create(HEALTH_CHECK, news)
    # What the program leaves out, Route 53 decides.
    assert made.outputs["failureThreshold"] == 3
    assert made.outputs["arn"] == f"arn:aws:route53:::healthcheck/{made.id}"
    assert changes(driver, made, requestInterval=10, type="HTTP") == {
        "requestInterval": "UPDATE_REPLACE",
        "type": "UPDATE_REPLACE",
    }
    other = {"ipAddress": "192.0.2.7", "port": 443, "failureThreshold": 2, "tags": {"b": "2"}}
    driver.update(made, {**news, **other})
    route53 = client(url, "route53")
    config = route53.get_health_check(HealthCheckId=made.id)["HealthCheck"]["HealthCheckConfig"]
    assert (config["IPAddress"], config["Port"], config["FailureThreshold"]) == ("192.0.2.7", 443, 2)
    found = route53.list_tags_for_resource(ResourceType="healthcheck", ResourceId=made.id)["ResourceTagSet"]
    assert {each["Key"]: each["Value"] for each in found["Tags"]} == {"b": "2", **DEFAULT_TAGS}
    driver.delete(made)


def test_a_plain_record_becomes_one_of_several_at_one_moment(driver: Driver, url: str) -> None:
    correct()
    route53 = client(url, "route53")
    zone = route53.create_hosted_zone(Name="example.edu", CallerReference="edges")["HostedZone"]["Id"]
    plain = {
        "zoneId": zone.rpartition("/")[2],
        "name": "a.example.edu",
        "type": "A",
        "ttl": 60,
        "records": ["192.0.2.1", "192.0.2.2"],
    }

    def of_host(number: int, name: str = "a.example.edu") -> dict[str, Any]:
        return {
            **plain,
            "name": name,
            "records": [f"192.0.2.{number}"],
            "multivalueAnswerRoutingPolicy": True,
            "setIdentifier": f"edge-{number}",
            "healthCheckId": f"check-{number}",
        }

    def known() -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for each in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]:
            if each["Type"] == "A":
                said = (each.get("SetIdentifier", ""), each.get("HealthCheckId", ""))
                found.setdefault(each["Name"].rstrip("."), []).append(said)
        return found

    first = driver.create(RECORD, plain)
    assert changes(driver, first, **of_host(1)) == {
        "healthCheckId": "ADD",
        "multivalueAnswerRoutingPolicy": "ADD",
        "records[1]": "DELETE",
        "setIdentifier": "ADD",
    }
    with pytest.raises(Failure, match="cannot be created as a conflicting set exists"):
        driver.create(RECORD, of_host(2))
    first = driver.update(first, of_host(1))
    second = driver.create(RECORD, of_host(2))
    other = driver.create(RECORD, of_host(1, "b.example.edu"))
    assert second.id == f"{plain['zoneId']}_a.example.edu_A_edge-2"
    assert known() == {
        "a.example.edu": [("edge-1", "check-1"), ("edge-2", "check-2")],
        "b.example.edu": [("edge-1", "check-1")],
    }
    for each in (first, second, other):
        refreshed = driver.refresh(each)
        assert refreshed is not None
        assert refreshed.outputs == each.outputs
    driver.update(second, {**of_host(2), "records": ["192.0.2.9"]})
    assert len(known()["a.example.edu"]) == 2
    # A record of many goes alone, and others of its name or its identifier stay.
    driver.delete(first)
    assert known() == {
        "a.example.edu": [("edge-2", "check-2")],
        "b.example.edu": [("edge-1", "check-1")],
    }
    driver.delete(second)
    driver.delete(other)
    assert known() == {}


# Changes outside of Pulumi


def test_a_change_outside_of_pulumi_shows(
    driver: Driver, network: dict[str, str], image: str, ec2: Any
) -> None:
    made = driver.create(INSTANCE, host(network, image))
    ec2.create_tags(Resources=[made.id], Tags=[{"Key": "Name", "Value": "theirs"}])
    ec2.modify_instance_attribute(InstanceId=made.id, DisableApiTermination={"Value": True})
    drift = driver.drift(made)
    assert {path: change.kind for path, change in (drift.detailed or {}).items()} == {
        "disableApiTermination": "UPDATE",
        "tags.Name": "UPDATE",
        "tagsAll.Name": "UPDATE",
    }
    now = driver.refresh(made)
    assert now is not None
    assert now.inputs["tags"] == {"Name": "theirs"}
    assert now.inputs["tagsAll"] == {"Name": "theirs", **DEFAULT_TAGS}
    repaired = driver.update(now, host(network, image))
    assert driver.drift(repaired).changes is False
    ec2.terminate_instances(InstanceIds=[made.id])
    assert driver.refresh(repaired) is None
    driver.delete(repaired)


def test_a_rule_that_was_removed_outside_of_pulumi_is_gone(
    driver: Driver, network: dict[str, str], ec2: Any
) -> None:
    rule = driver.create(
        EGRESS,
        {
            "securityGroupId": network["group"],
            "ipProtocol": "udp",
            "fromPort": 53,
            "toPort": 53,
            "cidrIpv4": "0.0.0.0/0",
        },
    )
    ec2.revoke_security_group_egress(GroupId=network["group"], SecurityGroupRuleIds=[rule.id])
    assert driver.refresh(rule) is None
    driver.delete(rule)


# Refusals


@pytest.mark.parametrize(
    ("kind", "news", "reason"),
    [
        (
            VPC,
            {"cidrBlock": "10.0.0.0/16", "ipv6CidrBlock": "::/56"},
            r"does not support 'ipv6CidrBlock' of Vpc",
        ),
        (GROUP, {"ingress": []}, r"does not support 'ingress' of SecurityGroup"),
        (SUBNET, {"cidrBlock": "10.0.0.0/24"}, "Missing required property 'vpcId'"),
        (INSTANCE, {"metadataOptions": {"httpTokens": "perhaps"}}, "has to be one of optional, required"),
        (INSTANCE, {"rootBlockDevice": {"size": 3}}, r"does not support rootBlockDevice\.size"),
    ],
)
def test_an_unsupported_input_is_refused_by_name(
    driver: Driver, kind: str, news: dict[str, Any], reason: str
) -> None:
    (failure,) = driver.plugin.check(CheckRequest("urn", "it", kind, {}, news)).failures
    assert re.search(reason, failure.reason)


def test_unsupported_types_functions_and_settings_are_refused_by_name(driver: Driver) -> None:
    with pytest.raises(Failure, match="does not have the resource type aws:s3/bucket:Bucket"):
        driver.check("aws:s3/bucket:Bucket", {})
    with pytest.raises(Failure, match="does not have the function aws:s3/getBucket:getBucket"):
        driver.invoke("aws:s3/getBucket:getBucket")
    with pytest.raises(Failure, match="does not support nameRegex of aws:ec2/getAmi:getAmi"):
        driver.invoke("aws:ec2/getAmi:getAmi", nameRegex="debian")
    checked = driver.plugin.check_config(
        CheckRequest("urn", "aws", "pulumi:providers:aws", {}, {"assumeRoles": "[]"})
    )
    assert [failure.property for failure in checked.failures] == ["assumeRoles"]


def test_a_refusal_is_shown_in_ec2s_words(driver: Driver, network: dict[str, str], image: str) -> None:
    with pytest.raises(Failure) as raised:
        driver.create(SUBNET, {"vpcId": network["vpc"], "cidrBlock": "10.9.1.0/24"})
    assert str(raised.value).startswith(
        "EC2 refused CreateSubnet: InvalidSubnet.Conflict: The CIDR '10.9.1.0/24'"
    )
    with pytest.raises(Failure, match=r"EC2 refused RunInstances: InvalidSubnetID\.NotFound: "):
        driver.create(INSTANCE, host({**network, "subnet": "subnet-0"}, image))


def test_an_instance_that_does_not_come_up_stays_in_the_state(
    driver: Driver, network: dict[str, str], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(work: Any, instance_id: str) -> dict[str, Any]:
        return {
            "State": {"Name": "terminated"},
            "StateReason": {"Message": "Client.VolumeLimitExceeded: too much"},
        }

    with monkeypatch.context() as patch:
        patch.setattr("plugins.aws.running.instance_of", ended)
        with pytest.raises(InitFailure) as raised:
            driver.create(INSTANCE, host(network, image))
    assert raised.value.id.startswith("i-")
    assert raised.value.properties["instanceType"] == "t3.small"
    assert UNKNOWN not in raised.value.properties.values()
    assert raised.value.reasons == [
        f"instance {raised.value.id} did not start, it is terminated: Client.VolumeLimitExceeded: too much"
    ]
    made = Resource(
        INSTANCE, raised.value.id, driver.check(INSTANCE, host(network, image)), raised.value.properties
    )
    driver.delete(made)
    assert driver.refresh(made) is None


# Functions


def test_functions_look_things_up(driver: Driver, network: dict[str, str], image: str, url: str) -> None:
    zones = driver.invoke("aws:index/getAvailabilityZones:getAvailabilityZones", state="available")
    assert zones["names"] == [f"{REGION}{letter}" for letter in "abc"]
    assert driver.invoke("aws:ec2/getSubnet:getSubnet", id=network["subnet"])["vpcId"] == network["vpc"]
    of_vpc = [{"name": "vpc-id", "values": [network["vpc"]]}]
    assert driver.invoke("aws:ec2/getSubnets:getSubnets", filters=of_vpc)["ids"] == [network["subnet"]]
    assert driver.invoke("aws:ec2/getVpc:getVpc", default=True)["default"] is True
    offers = driver.invoke(
        "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings",
        locationType="availability-zone",
        filters=[{"name": "instance-type", "values": ["t3.small", "t4g.small"]}],
    )
    assert len(offers["locations"]) == len(offers["instanceTypes"]) == 6
    kind = driver.invoke("aws:ec2/getInstanceType:getInstanceType", instanceType="t4g.small")
    assert (kind["supportedArchitectures"], kind["memorySize"]) == (["arm64"], 2048)
    client(url, "ssm").put_parameter(Name="/image", Value="ami-1", Type="String")
    parameter = driver.invoke("aws:ssm/getParameter:getParameter", name="/image")
    assert (parameter["value"], parameter["insecureValue"]) == ("ami-1", "ami-1")
    made = driver.create(INSTANCE, host(network, image))
    address = driver.create(EIP, {"domain": "vpc", "tags": {"of": "this test"}})
    assert made.id in driver.invoke("aws:ec2/getInstances:getInstances")["ids"]
    tags = {"slipway:stack": "another"}
    assert driver.invoke("aws:ec2/getInstances:getInstances", instanceTags=tags)["ids"] == []
    shown = driver.invoke("aws:ec2/getInstance:getInstance", instanceId=made.id)
    assert shown["instanceType"] == "t3.small"
    eips = driver.invoke("aws:ec2/getEips:getEips", tags={"of": "this test"})
    assert eips["allocationIds"] == [address.id]
    for each in (address, made):
        driver.delete(each)
    zone = client(url, "route53").create_hosted_zone(Name="example.com", CallerReference="f")["HostedZone"]
    found = driver.invoke("aws:route53/getZone:getZone", name="example.com", privateZone=False)
    assert (found["zoneId"], found["name"]) == (zone["Id"].rpartition("/")[2], "example.com")


def test_the_newest_image_is_found(driver: Driver, ec2: Any) -> None:
    images = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "name", "Values": ["amzn2-ami-*"]}])[
        "Images"
    ]
    newest = max(images, key=lambda each: each["CreationDate"])
    filters = [{"name": "name", "values": ["amzn2-ami-*"]}]
    found = driver.invoke("aws:ec2/getAmi:getAmi", owners=["amazon"], filters=filters, mostRecent=True)
    assert found["creationDate"] == newest["CreationDate"]
    nothing = [{"name": "name", "values": ["nobody-made-this"]}]
    with pytest.raises(Failure, match=f"EC2 has no image in {REGION} of amazon with name nobody-made-this"):
        driver.invoke("aws:ec2/getAmi:getAmi", owners=["amazon"], filters=nothing, mostRecent=True)
    with pytest.raises(Failure, match="Systems Manager refused GetParameter: ParameterNotFound: "):
        driver.invoke("aws:ssm/getParameter:getParameter", name="/nothing")


def test_no_call_is_made_while_the_settings_are_unknown() -> None:
    from plugins.aws.plugin import Aws

    plugin = Aws()
    plugin.configure(ConfigureRequest({"region": UNKNOWN}, "urn", "aws", "id"))
    inputs = Driver(plugin).check(VPC, {"cidrBlock": "10.0.0.0/16"})
    assert (
        plugin.create(CreateRequest("urn", "it", VPC, inputs, preview=True)).properties["region"] is UNKNOWN
    )
    with pytest.raises(Failure, match="its settings are not known yet"):
        plugin.create(CreateRequest("urn", "it", VPC, inputs))
