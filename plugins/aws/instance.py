"""Hosts: ec2.Instance."""

import base64
import re
from typing import Any

from plugins.aws.cloud import Cloud
from plugins.aws.errors import Refused
from plugins.aws.kind import (
    ARN,
    REGION,
    TAGS,
    Kind,
    Work,
    forced,
    minutes,
    output,
    tag_list,
    tags_of,
    without_default_tags,
)
from plugins.aws.running import NOT_FOUND, instance_of, state_of, stop, wait_until_running
from plugins.aws.volume import wait_for_modification
from plugins.bridge.schema import Attribute, Schema, State
from plugins.protocol.messages import Failure

VOLUME_TYPES = ("standard", "io1", "io2", "gp2", "sc1", "st1", "gp3")
_METADATA = {
    "httpEndpoint": "HttpEndpoint",
    "httpProtocolIpv6": "HttpProtocolIpv6",
    "httpPutResponseHopLimit": "HttpPutResponseHopLimit",
    "httpTokens": "HttpTokens",
    "instanceMetadataTags": "InstanceMetadataTags",
}
_ROOT_VOLUME = {
    "encrypted": "Encrypted",
    "iops": "Iops",
    "kmsKeyId": "KmsKeyId",
    "throughput": "Throughput",
    "volumeSize": "VolumeSize",
    "volumeType": "VolumeType",
}


def _create(work: Work) -> str:
    new = work.new
    parameters: dict[str, Any] = {
        "ImageId": new["ami"],
        "InstanceType": new["instanceType"],
        "KeyName": new["keyName"],
        "MinCount": 1,
        "MaxCount": 1,
        "BlockDeviceMappings": _root_mapping(work),
        "CreditSpecification": _credits(new),
        "DisableApiStop": new["disableApiStop"],
        "DisableApiTermination": new["disableApiTermination"],
        "EbsOptimized": new["ebsOptimized"],
        "InstanceInitiatedShutdownBehavior": new["instanceInitiatedShutdownBehavior"],
        "MetadataOptions": _metadata_parameters(new["metadataOptions"]) or None,
        "Monitoring": {"Enabled": True} if new["monitoring"] else None,
        "Placement": _placement(new),
        "TagSpecifications": _tags(work),
        "UserData": _user_data(new),
    }
    groups = new["vpcSecurityGroupIds"] or None
    if new["associatePublicIpAddress"] is None:
        network = {
            "SubnetId": new["subnetId"],
            "SecurityGroupIds": groups,
            "PrivateIpAddress": new["privateIp"],
        }
    else:
        # EC2 takes `AssociatePublicIpAddress` only as a part of a whole network interface.
        interface = {
            "DeviceIndex": 0,
            "SubnetId": new["subnetId"],
            "Groups": groups,
            "PrivateIpAddress": new["privateIp"],
            "AssociatePublicIpAddress": new["associatePublicIpAddress"],
            "DeleteOnTermination": True,
        }
        network = {"NetworkInterfaces": [interface]}
    made = work("run_instances", **parameters, **network)
    return str(made["Instances"][0]["InstanceId"])


def _placement(new: State) -> dict[str, Any] | None:
    placement = {"AvailabilityZone": new["availabilityZone"], "Tenancy": new["tenancy"]}
    return placement if any(placement.values()) else None


def _user_data(new: State) -> bytes | None:
    """Return the user data as bytes; boto3 encodes them with base64."""
    if new["userDataBase64"]:
        return base64.b64decode(new["userDataBase64"])
    return str(new["userData"]).encode() if new["userData"] else None


def _tags(work: Work) -> list[dict[str, Any]] | None:
    tags = [*(work.tagged("instance") or []), *(work.tagged("volume", _root_tags(work, work.new)) or [])]
    return tags or None


def _root_tags(work: Work, state: State) -> dict[str, str]:
    """Return the tags of the root volume: its own, and the provider's default tags."""
    return {**work.cloud.settings.default_tags, **(_root(state).get("tags") or {})}


def _root(state: State) -> State:
    root = state.get("rootBlockDevice")
    return dict(root[0]) if isinstance(root, list) and root else {}


def _root_mapping(work: Work) -> list[dict[str, Any]] | None:
    root = _root(work.new)
    volume = {key: root.get(name) or None for name, key in _ROOT_VOLUME.items()}
    if not root:
        return None
    image = work.one("describe_images", "Images", ImageIds=[work.new["ami"]])
    if image is None:
        raise Failure(f"EC2 has no image {work.new['ami']} in {work.region}")
    volume["DeleteOnTermination"] = root.get("deleteOnTermination") is not False
    return [{"DeviceName": image.get("RootDeviceName"), "Ebs": volume}]


def _metadata_parameters(options: Any) -> dict[str, Any]:
    given = options[0] if isinstance(options, list) and options else {}
    return {key: given[name] for name, key in _METADATA.items() if given.get(name) not in (None, "", 0)}


def _settle(work: Work) -> None:
    if work.is_new:
        wait_until_running(work, work.id)
        if work.new["sourceDestCheck"] is False:
            work("modify_instance_attribute", InstanceId=work.id, SourceDestCheck={"Value": False})


def _observe(work: Work) -> State | None:
    instance = instance_of(work, work.id)
    if instance is None or (instance.get("State") or {}).get("Name") in ("shutting-down", "terminated"):
        return None
    interfaces = instance.get("NetworkInterfaces") or [{}]
    interface = min(interfaces, key=lambda each: (each.get("Attachment") or {}).get("DeviceIndex", 0))
    placement = instance.get("Placement") or {}
    # Both are the same, but moto shows only the interface's groups.
    groups = instance.get("SecurityGroups") or interface.get("Groups") or []
    profile = (instance.get("IamInstanceProfile") or {}).get("Arn", "")
    return {
        **tags_of(instance),
        **_observe_user_data(work),
        "ami": instance["ImageId"],
        "arn": work.arn(f"instance/{work.id}", instance["OwnerId"]),
        # As in the official plugin, an Elastic IP that was associated later counts, too.
        "associatePublicIpAddress": bool(interface.get("Association")),
        "availabilityZone": placement.get("AvailabilityZone"),
        "creditSpecification": _observe_credits(work, instance),
        "disableApiStop": _attribute(work, "disableApiStop"),
        "disableApiTermination": _attribute(work, "disableApiTermination"),
        "ebsOptimized": bool(instance.get("EbsOptimized")),
        "iamInstanceProfile": profile.rpartition("/")[2],
        "instanceInitiatedShutdownBehavior": _attribute(work, "instanceInitiatedShutdownBehavior") or "stop",
        "instanceState": instance["State"]["Name"],
        "instanceType": instance["InstanceType"],
        "keyName": instance.get("KeyName") or "",
        "metadataOptions": _observe_metadata(instance),
        "monitoring": (instance.get("Monitoring") or {}).get("State") in ("enabled", "pending"),
        "primaryNetworkInterfaceId": interface.get("NetworkInterfaceId"),
        "privateDns": instance.get("PrivateDnsName"),
        "privateIp": instance.get("PrivateIpAddress"),
        "publicDns": instance.get("PublicDnsName") or "",
        "publicIp": instance.get("PublicIpAddress") or "",
        "rootBlockDevice": _observe_root(work, instance),
        "sourceDestCheck": instance.get("SourceDestCheck") is not False,
        "subnetId": instance.get("SubnetId"),
        "tenancy": placement.get("Tenancy") or "default",
        "vpcSecurityGroupIds": sorted(each["GroupId"] for each in groups),
    }


def _credits(state: State) -> dict[str, str] | None:
    """What the instance does without CPU credits, in EC2's form. EC2 refuses it for types without credits."""
    given = state.get("creditSpecification")
    wanted = given[0].get("cpuCredits") if isinstance(given, list) and given else None
    return {"CpuCredits": wanted} if wanted and _has_credits(str(state["instanceType"])) else None


def _has_credits(instance_type: str) -> bool:
    return re.match(r"t[0-9]", instance_type) is not None


def _observe_credits(work: Work, instance: dict[str, Any]) -> list[State]:
    if not work.new.get("creditSpecification") or not _has_credits(instance["InstanceType"]):
        return []
    found = work.one(
        "describe_instance_credit_specifications", "InstanceCreditSpecifications", InstanceIds=[work.id]
    )
    return [{"cpuCredits": (found or {}).get("CpuCredits")}]


def _attribute(work: Work, name: str) -> Any:
    answer = work("describe_instance_attribute", InstanceId=work.id, Attribute=name)
    return (answer.get(name[0].upper() + name[1:]) or {}).get("Value")


def _observe_user_data(work: Work) -> State:
    """Return the user data in the property that the program uses."""
    if not (work.new.get("userData") or work.new.get("userDataBase64")):
        return {}
    encoded = _attribute(work, "userData") or ""
    if work.new.get("userDataBase64"):
        return {"userDataBase64": encoded}
    return {"userData": base64.b64decode(encoded).decode("utf-8", "replace")}


def _observe_metadata(instance: dict[str, Any]) -> list[State]:
    options = instance.get("MetadataOptions")
    return [{name: options.get(key) for name, key in _METADATA.items()}] if options else []


def _root_device(instance: dict[str, Any]) -> dict[str, Any] | None:
    for mapping in instance.get("BlockDeviceMappings") or []:
        if mapping["DeviceName"] == instance.get("RootDeviceName"):
            return dict(mapping)
    return None


def _observe_root(work: Work, instance: dict[str, Any]) -> list[State]:
    mapping = _root_device(instance)
    if mapping is None:
        return []
    volume = work.one("describe_volumes", "Volumes", VolumeIds=[mapping["Ebs"]["VolumeId"]]) or {}
    tags, default = tags_of(volume)["tagsAll"], work.cloud.settings.default_tags
    return [
        {
            "tags": without_default_tags(tags, _root(work.new).get("tags") or {}, default),
            "tagsAll": tags,
            "deleteOnTermination": mapping["Ebs"].get("DeleteOnTermination", True),
            "deviceName": mapping["DeviceName"],
            "encrypted": bool(volume.get("Encrypted")),
            "iops": volume.get("Iops"),
            "kmsKeyId": volume.get("KmsKeyId") or "",
            "throughput": volume.get("Throughput"),
            "volumeId": volume.get("VolumeId"),
            "volumeSize": volume.get("Size"),
            "volumeType": volume.get("VolumeType"),
        }
    ]


_SWITCHES = {
    "disableApiStop": "DisableApiStop",
    "disableApiTermination": "DisableApiTermination",
    "instanceInitiatedShutdownBehavior": "InstanceInitiatedShutdownBehavior",
    "sourceDestCheck": "SourceDestCheck",
}


def _update(work: Work) -> None:
    new = work.new
    for name, attribute in _SWITCHES.items():
        if work.has_changed(name):
            work("modify_instance_attribute", InstanceId=work.id, **{attribute: {"Value": new[name]}})
    if work.has_changed("vpcSecurityGroupIds"):
        work("modify_instance_attribute", InstanceId=work.id, Groups=new["vpcSecurityGroupIds"])
    if work.has_changed("metadataOptions"):
        work(
            "modify_instance_metadata_options",
            InstanceId=work.id,
            **_metadata_parameters(new["metadataOptions"]),
        )
    if work.has_changed("creditSpecification") and (wanted := _credits(new)):
        work(
            "modify_instance_credit_specification",
            InstanceCreditSpecifications=[{"InstanceId": work.id, **wanted}],
        )
    if work.has_changed("monitoring"):
        work("monitor_instances" if new["monitoring"] else "unmonitor_instances", InstanceIds=[work.id])
    if work.has_changed("rootBlockDevice"):
        _update_root(work)
    if work.has_changed("instanceType", "userData", "userDataBase64"):
        _change_while_stopped(work)


def _change_while_stopped(work: Work) -> None:
    """Change what EC2 can change only on a stopped instance. The instance starts again, even if EC2 refuses."""
    stop(work, work.id)
    try:
        if work.has_changed("instanceType"):
            work(
                "modify_instance_attribute",
                InstanceId=work.id,
                InstanceType={"Value": work.new["instanceType"]},
            )
        if work.has_changed("userData", "userDataBase64"):
            encoded = base64.b64encode(_user_data(work.new) or b"").decode()
            work("modify_instance_attribute", InstanceId=work.id, Attribute="userData", Value=encoded)
    finally:
        work("start_instances", InstanceIds=[work.id])
    wait_until_running(work, work.id)


def _update_root(work: Work) -> None:
    old, new = _root(work.old), _root(work.new)
    mapping = _root_device(instance_of(work, work.id) or {})
    if mapping is None:
        raise Failure(f"instance {work.id} has no root volume to change")
    volume = mapping["Ebs"]["VolumeId"]
    changes = {
        key: new[name]
        for name, key in (
            ("volumeSize", "Size"),
            ("volumeType", "VolumeType"),
            ("iops", "Iops"),
            ("throughput", "Throughput"),
        )
        if new.get(name) and new[name] != old.get(name)
    }
    if changes:
        work("modify_volume", VolumeId=volume, **changes)
        wait_for_modification(work, volume)
    if new.get("deleteOnTermination") is not None and new["deleteOnTermination"] != old.get(
        "deleteOnTermination"
    ):
        changed = {
            "DeviceName": mapping["DeviceName"],
            "Ebs": {"DeleteOnTermination": new["deleteOnTermination"]},
        }
        work("modify_instance_attribute", InstanceId=work.id, BlockDeviceMappings=[changed])
    before, after = _root_tags(work, work.old), _root_tags(work, work.new)
    removed = [{"Key": key} for key in before.keys() - after.keys()]
    if removed:
        work("delete_tags", Resources=[volume], Tags=removed)
    if after != before:
        work("create_tags", Resources=[volume], Tags=tag_list(after))


def _delete(work: Work) -> None:
    if state_of(work, work.id) in ("shutting-down", "terminated"):
        return
    if work.new.get("forceDestroy"):
        work("modify_instance_attribute", InstanceId=work.id, DisableApiTermination={"Value": False})
    work("terminate_instances", InstanceIds=[work.id])


def _removed(work: Work) -> None:
    work.until(f"instance {work.id} is terminated", lambda: state_of(work, work.id) in ("terminated", ""))


def _schema_for(schema: Schema, olds: State, news: State, cloud: Cloud | None) -> Schema:
    """Return the schema: what replaces the instance depends on its inputs.

    Changed user data do if the program sets `userDataReplaceOnChange`. A changed instance type does if the image of the
    instance does not run on it.
    """
    replacing = ["userData", "userDataBase64"] if news.get("userDataReplaceOnChange") else []
    before, after = olds.get("instanceType"), news.get("instanceType")
    if isinstance(before, str) and isinstance(after, str) and before != after and cloud:
        old, new = _architectures(cloud, before), _architectures(cloud, after)
        if old and new and not old & new:
            replacing.append("instanceType")
    forced_too = {name: schema.attributes[name]._replace(force_new=True) for name in replacing}
    return schema._replace(attributes={**schema.attributes, **forced_too}) if replacing else schema


def _architectures(cloud: Cloud, instance_type: str) -> set[str]:
    """Return the architectures of an instance type; none if EC2 does not know the type."""
    try:
        found = cloud.call("ec2", "describe_instance_types", {"InstanceTypes": [instance_type]})[
            "InstanceTypes"
        ]
    except Refused as refused:
        if refused.code in ("InvalidInstanceType", "InvalidParameterValue"):
            return set()
        raise
    return {
        architecture
        for each in found
        for architecture in (each.get("ProcessorInfo") or {}).get("SupportedArchitectures") or []
    }


INSTANCE = Kind(
    pulumi_type="aws:ec2/instance:Instance",
    schema=Schema(
        version="2",
        timeouts=minutes(create=10, delete=20, read=15, update=10),
        attributes={
            **(ARN | REGION | TAGS),
            "ami": forced(computed=True),
            "associatePublicIpAddress": forced("boolean", computed=True),
            "availabilityZone": forced(computed=True),
            "creditSpecification": Attribute(
                "list",
                {"cpuCredits": Attribute(choices=("standard", "unlimited"))},
                single=True,
                computed=True,
            ),
            "disableApiStop": Attribute("boolean", computed=True),
            "disableApiTermination": Attribute("boolean", computed=True),
            "ebsOptimized": forced("boolean", computed=True),
            "forceDestroy": Attribute("boolean", default=False),
            "getPasswordData": Attribute("boolean", supported=False),
            "iamInstanceProfile": Attribute(computed=True, supported=False),
            "instanceInitiatedShutdownBehavior": Attribute(computed=True, choices=("stop", "terminate")),
            "instanceState": output(),
            "instanceType": Attribute(computed=True),
            "keyName": forced(computed=True),
            "metadataOptions": Attribute(
                "list",
                {
                    "httpEndpoint": Attribute(computed=True, choices=("enabled", "disabled")),
                    "httpProtocolIpv6": Attribute(computed=True, choices=("enabled", "disabled")),
                    "httpPutResponseHopLimit": Attribute("integer", computed=True, minimum=1, maximum=64),
                    "httpTokens": Attribute(computed=True, choices=("optional", "required")),
                    "instanceMetadataTags": Attribute(computed=True, choices=("enabled", "disabled")),
                },
                single=True,
                computed=True,
            ),
            "monitoring": Attribute("boolean", computed=True),
            "primaryNetworkInterfaceId": output(),
            "privateDns": output(),
            "privateIp": forced(computed=True),
            "publicDns": output(),
            "publicIp": output(),
            "rootBlockDevice": Attribute(
                "list",
                {
                    "deleteOnTermination": Attribute("boolean", default=True),
                    "deviceName": output(),
                    "encrypted": forced("boolean", computed=True),
                    "iops": Attribute("integer", computed=True),
                    "kmsKeyId": forced(computed=True),
                    "tags": Attribute("map"),
                    "tagsAll": output("map"),
                    "throughput": Attribute("integer", computed=True),
                    "volumeId": output(),
                    "volumeSize": Attribute("integer", computed=True),
                    "volumeType": Attribute(computed=True, choices=VOLUME_TYPES),
                },
                single=True,
                computed=True,
            ),
            "sourceDestCheck": Attribute("boolean", default=True),
            "subnetId": forced(computed=True),
            "tenancy": forced(computed=True),
            "userData": Attribute(maximum=16384),
            "userDataBase64": Attribute(computed=True),
            "userDataReplaceOnChange": Attribute("boolean", default=False),
            "volumeTags": Attribute("map", supported=False),
            "vpcSecurityGroupIds": Attribute("set", computed=True),
        },
    ),
    create=_create,
    settle=_settle,
    observe=_observe,
    update=_update,
    delete=_delete,
    removed=_removed,
    gone=(NOT_FOUND,),
    schema_for=_schema_for,
)

KINDS = (INSTANCE,)
