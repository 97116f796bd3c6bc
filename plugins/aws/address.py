"""Public addresses: ec2.Eip and ec2.EipAssociation."""

from typing import Any

from plugins.aws.kind import ARN, REGION, TAGS, Kind, Work, forced, minutes, output, tags_of
from plugins.bridge.schema import Attribute, Schema, State


def _allocate(work: Work) -> str:
    made = work(
        "allocate_address", Domain=work.new["domain"] or "vpc", TagSpecifications=work.tagged("elastic-ip")
    )
    return str(made["AllocationId"])


def _observe_address(work: Work) -> State | None:
    address = work.one("describe_addresses", "Addresses", AllocationIds=[work.id])
    return address and {
        **tags_of(address),
        "allocationId": work.id,
        "arn": work.arn(f"elastic-ip/{work.id}"),
        "associationId": address.get("AssociationId") or "",
        "domain": address.get("Domain"),
        "instance": address.get("InstanceId") or "",
        "networkBorderGroup": address.get("NetworkBorderGroup"),
        "networkInterface": address.get("NetworkInterfaceId") or "",
        "privateIp": address.get("PrivateIpAddress"),
        "publicDns": _public_name(work, address["PublicIp"]),
        "publicIp": address["PublicIp"],
        "publicIpv4Pool": address.get("PublicIpv4Pool"),
    }


def _public_name(work: Work, address: str) -> str:
    where = "compute-1" if work.region == "us-east-1" else f"{work.region}.compute"
    domain = {"aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu"}.get(
        work.cloud.partition(work.region), "amazonaws.com"
    )
    return f"ec2-{address.replace('.', '-')}.{where}.{domain}"


EIP = Kind(
    pulumi_type="aws:ec2/eip:Eip",
    schema=Schema(
        timeouts=minutes(delete=3, read=15, update=5),
        attributes={
            **(ARN | REGION | TAGS),
            "allocationId": output(),
            "associationId": output(),
            "domain": forced(computed=True, choices=("vpc",)),
            "instance": output(),
            "networkBorderGroup": output(),
            "networkInterface": output(),
            "privateIp": output(),
            "publicDns": output(),
            "publicIp": output(),
            "publicIpv4Pool": output(),
        },
    ),
    create=_allocate,
    observe=_observe_address,
    delete=lambda work: work("release_address", AllocationId=work.id),
    gone=("InvalidAllocationID.NotFound", "InvalidAddress.NotFound"),
    # The association is still being removed.
    busy=("InvalidIPAddress.InUse",),
)


def _associate(work: Work) -> str:
    made = work(
        "associate_address",
        AllocationId=work.new["allocationId"],
        InstanceId=work.new["instanceId"],
        NetworkInterfaceId=work.new["networkInterfaceId"],
        PrivateIpAddress=work.new["privateIpAddress"],
        AllowReassociation=work.new["allowReassociation"],
    )
    return str(made["AssociationId"])


def _association(work: Work) -> dict[str, Any] | None:
    return work.one(
        "describe_addresses", "Addresses", Filters=[{"Name": "association-id", "Values": [work.id]}]
    )


def _observe_association(work: Work) -> State | None:
    address = _association(work)
    return address and {
        "allocationId": address.get("AllocationId"),
        "instanceId": address.get("InstanceId"),
        "networkInterfaceId": address.get("NetworkInterfaceId"),
        "privateIpAddress": address.get("PrivateIpAddress"),
        "publicIp": address.get("PublicIp"),
    }


EIP_ASSOCIATION = Kind(
    pulumi_type="aws:ec2/eipAssociation:EipAssociation",
    schema=Schema(
        attributes={
            **REGION,
            "allocationId": forced(computed=True),
            "allowReassociation": forced("boolean"),
            "instanceId": forced(computed=True),
            "networkInterfaceId": forced(computed=True),
            "privateIpAddress": forced(computed=True),
            "publicIp": Attribute(computed=True, output=True),
        },
    ),
    create=_associate,
    observe=_observe_association,
    delete=lambda work: work("disassociate_address", AssociationId=work.id),
    gone=("InvalidAssociationID.NotFound",),
    # The instance has just started to run.
    early=("InvalidInstanceID", "IncorrectInstanceState"),
)

KINDS = (EIP, EIP_ASSOCIATION)
