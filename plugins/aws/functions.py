"""The functions, by which a program looks things up in AWS."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from plugins.aws.cloud import Cloud
from plugins.aws.errors import Refused
from plugins.aws.kind import tag_list, tags_of
from plugins.protocol.messages import Failure
from plugins.protocol.properties import Properties


class Query:
    """One call of a function: its arguments, and the account to ask."""

    def __init__(self, cloud: Cloud, arguments: Properties) -> None:
        self.cloud = cloud
        self.given = arguments
        self.region = str(arguments.get("region") or cloud.region)

    def listed(self, operation: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return all items that an `operation` of EC2 lists under `key`."""
        return self.cloud.pages("ec2", operation, key, parameters, self.region)

    def filters(self, **also: Any) -> list[dict[str, Any]] | None:
        """Return the program's filters in EC2's form, and a filter for each value of `also` that is not None."""
        filters = [
            {"Name": each["name"], "Values": each["values"]} for each in self.given.get("filters") or []
        ]
        for name, value in also.items():
            if value is not None:
                filters.append({"Name": name.replace("_", "-"), "Values": [_text(value)]})
        tags = tag_list(self.given.get("tags"))
        filters += [{"Name": f"tag:{tag['Key']}", "Values": [tag["Value"]]} for tag in tags]
        return filters or None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _only(items: list[dict[str, Any]], what: str) -> dict[str, Any]:
    if not items:
        raise Failure(f"EC2 has no {what} that matches: change the id, the filters or the region")
    if len(items) > 1:
        raise Failure(f"EC2 has {len(items)} {what}s that match, but only one may match: narrow the filters")
    return items[0]


def _tags(found: Mapping[str, Any]) -> dict[str, str]:
    return dict(tags_of(found)["tags"])


def get_ami(query: Query) -> Properties:
    """ec2.getAmi: the newest image (or the only one) that matches the filters."""
    images = query.listed(
        "describe_images",
        "Images",
        Owners=query.given.get("owners"),
        ExecutableUsers=query.given.get("executableUsers"),
        IncludeDeprecated=query.given.get("includeDeprecated"),
        Filters=query.filters(),
    )
    if not images:
        asked = "; ".join(f"{each['Name']} {' or '.join(each['Values'])}" for each in query.filters() or [])
        owners = ", ".join(query.given.get("owners") or []) or "any owner"
        raise Failure(f"EC2 has no image in {query.region} of {owners} with {asked or 'any filters'}")
    if len(images) > 1 and not query.given.get("mostRecent"):
        raise Failure(f"EC2 has {len(images)} images that match: narrow the filters, or set `mostRecent`")
    image = max(images, key=lambda each: str(each.get("CreationDate", "")))
    return {
        "architecture": image.get("Architecture"),
        "arn": f"arn:{query.cloud.partition(query.region)}:ec2:{query.region}::image/{image['ImageId']}",
        "creationDate": image.get("CreationDate"),
        "description": image.get("Description") or "",
        "id": image["ImageId"],
        "imageId": image["ImageId"],
        "name": image.get("Name"),
        "ownerId": image.get("OwnerId"),
        "region": query.region,
        "rootDeviceName": image.get("RootDeviceName"),
        "rootDeviceType": image.get("RootDeviceType"),
        "state": image.get("State"),
        "tags": _tags(image),
        "virtualizationType": image.get("VirtualizationType"),
    }


def get_zones(query: Query) -> Properties:
    """getAvailabilityZones: the zones of the region."""
    zones = query.cloud.call(
        "ec2",
        "describe_availability_zones",
        {
            "AllAvailabilityZones": query.given.get("allAvailabilityZones"),
            "Filters": query.filters(state=query.given.get("state")),
        },
        query.region,
    )["AvailabilityZones"]
    shown = sorted(
        (
            zone
            for zone in zones
            if zone["ZoneName"] not in (query.given.get("excludeNames") or ())
            and zone.get("ZoneId") not in (query.given.get("excludeZoneIds") or ())
        ),
        key=lambda zone: str(zone["ZoneName"]),
    )
    return {
        "groupNames": sorted({zone["GroupName"] for zone in shown if zone.get("GroupName")}),
        "id": query.region,
        "names": [zone["ZoneName"] for zone in shown],
        "region": query.region,
        "zoneIds": [zone.get("ZoneId") or "" for zone in shown],
    }


def get_vpc(query: Query) -> Properties:
    """ec2.getVpc: the VPC that has the id, is the default VPC, or matches the filters."""
    given = query.given
    vpc = _only(
        query.listed(
            "describe_vpcs",
            "Vpcs",
            VpcIds=[given["id"]] if given.get("id") else None,
            Filters=query.filters(
                cidr=given.get("cidrBlock"),
                is_default=True if given.get("default") else None,
                state=given.get("state"),
            ),
        ),
        "VPC",
    )
    return {
        "arn": query.cloud.arn("ec2", f"vpc/{vpc['VpcId']}", query.region, vpc.get("OwnerId", "")),
        "cidrBlock": vpc["CidrBlock"],
        "default": bool(vpc.get("IsDefault")),
        "dhcpOptionsId": vpc.get("DhcpOptionsId"),
        "id": vpc["VpcId"],
        "instanceTenancy": vpc.get("InstanceTenancy"),
        "ownerId": vpc.get("OwnerId"),
        "region": query.region,
        "state": vpc.get("State"),
        "tags": _tags(vpc),
    }


def get_subnets(query: Query) -> Properties:
    """ec2.getSubnets: the ids of the subnets that match the filters."""
    subnets = query.listed("describe_subnets", "Subnets", Filters=query.filters())
    return {
        "id": query.region,
        "ids": [subnet["SubnetId"] for subnet in subnets],
        "region": query.region,
        "tags": query.given.get("tags") or {},
    }


def get_subnet(query: Query) -> Properties:
    """ec2.getSubnet: the subnet that has the id, or matches the filters."""
    given = query.given
    subnet = _only(
        query.listed(
            "describe_subnets",
            "Subnets",
            SubnetIds=[given["id"]] if given.get("id") else None,
            Filters=query.filters(
                availability_zone=given.get("availabilityZone"),
                cidr_block=given.get("cidrBlock"),
                default_for_az=True if given.get("defaultForAz") else None,
                vpc_id=given.get("vpcId"),
            ),
        ),
        "subnet",
    )
    return {
        "arn": subnet.get("SubnetArn"),
        "availabilityZone": subnet["AvailabilityZone"],
        "availabilityZoneId": subnet.get("AvailabilityZoneId"),
        "availableIpAddressCount": subnet.get("AvailableIpAddressCount"),
        "cidrBlock": subnet["CidrBlock"],
        "defaultForAz": bool(subnet.get("DefaultForAz")),
        "id": subnet["SubnetId"],
        "mapPublicIpOnLaunch": bool(subnet.get("MapPublicIpOnLaunch")),
        "ownerId": subnet.get("OwnerId"),
        "region": query.region,
        "state": subnet.get("State"),
        "tags": _tags(subnet),
        "vpcId": subnet["VpcId"],
    }


def get_instance_type(query: Query) -> Properties:
    """ec2.getInstanceType: the properties of an instance type that Slipway uses."""
    name = query.given["instanceType"]
    found = _only(
        query.listed("describe_instance_types", "InstanceTypes", InstanceTypes=[name]), "instance type"
    )
    processors = found.get("VCpuInfo") or {}
    return {
        "bareMetal": bool(found.get("BareMetal")),
        "burstablePerformanceSupported": bool(found.get("BurstablePerformanceSupported")),
        "currentGeneration": bool(found.get("CurrentGeneration")),
        "defaultCores": processors.get("DefaultCores"),
        "defaultVcpus": processors.get("DefaultVCpus"),
        "freeTierEligible": bool(found.get("FreeTierEligible")),
        "hypervisor": found.get("Hypervisor") or "",
        "id": found["InstanceType"],
        "instanceType": found["InstanceType"],
        "memorySize": (found.get("MemoryInfo") or {}).get("SizeInMiB"),
        "region": query.region,
        "supportedArchitectures": (found.get("ProcessorInfo") or {}).get("SupportedArchitectures") or [],
        "supportedVirtualizationTypes": found.get("SupportedVirtualizationTypes") or [],
    }


def get_offerings(query: Query) -> Properties:
    """ec2.getInstanceTypeOfferings: which instance types each location offers."""
    offers = query.listed(
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType=query.given.get("locationType"),
        Filters=query.filters(),
    )
    return {
        "id": query.region,
        "instanceTypes": [offer["InstanceType"] for offer in offers],
        "locations": [offer["Location"] for offer in offers],
        "locationType": query.given.get("locationType"),
        "locationTypes": [offer["LocationType"] for offer in offers],
        "region": query.region,
    }


def get_parameter(query: Query) -> Properties:
    """ssm.getParameter: one parameter; `insecureValue` is its value unless it is a SecureString."""
    name = query.given["name"]
    asked = {"Name": name, "WithDecryption": query.given.get("withDecryption") is not False}
    found = query.cloud.call("ssm", "get_parameter", asked, query.region)["Parameter"]
    return {
        "arn": found.get("ARN"),
        "id": found["Name"],
        "insecureValue": "" if found["Type"] == "SecureString" else found["Value"],
        "name": found["Name"],
        "region": query.region,
        "type": found["Type"],
        "value": found["Value"],
        "version": found.get("Version"),
        "withDecryption": asked["WithDecryption"],
    }


def get_zone(query: Query) -> Properties:
    """route53.getZone: a hosted zone by its name or id."""
    given = query.given
    wanted = str(given.get("zoneId") or "").removeprefix("/hostedzone/")
    name = f"{str(given.get('name') or '').rstrip('.').lower()}."
    private = bool(given.get("privateZone"))
    if wanted:
        zone = query.cloud.call("route53", "get_hosted_zone", {"Id": wanted})["HostedZone"]
    else:
        listed = _zones(query)
        fitting = [
            each
            for each in listed
            if each["Name"].lower() == name and bool((each.get("Config") or {}).get("PrivateZone")) == private
        ]
        if len(fitting) != 1:
            kind = "private" if private else "public"
            raise Failure(
                f"Route 53 has {len(fitting) or 'no'} {kind} hosted zones {name.rstrip('.')!r} in this account"
            )
        zone = fitting[0]
    zone_id = str(zone["Id"]).rpartition("/")[2]
    config = zone.get("Config") or {}
    return {
        "arn": f"arn:{query.cloud.partition()}:route53:::hostedzone/{zone_id}",
        "callerReference": zone.get("CallerReference"),
        "comment": config.get("Comment") or "",
        "id": zone_id,
        "name": str(zone["Name"]).rstrip("."),
        "nameServers": _name_servers(query, zone_id),
        "privateZone": bool(config.get("PrivateZone")),
        "resourceRecordSetCount": zone.get("ResourceRecordSetCount"),
        "zoneId": zone_id,
    }


def _zones(query: Query) -> list[dict[str, Any]]:
    """All hosted zones of the account. The official plugin asks for all of them, too, and needs no more than that."""
    zones: list[dict[str, Any]] = []
    asked: dict[str, Any] = {}
    while True:
        answer = query.cloud.call("route53", "list_hosted_zones", asked)
        zones += answer["HostedZones"]
        if not answer.get("IsTruncated"):
            return zones
        asked = {"Marker": answer["NextMarker"]}


def _name_servers(query: Query, zone: str) -> list[str]:
    answer = query.cloud.call("route53", "get_hosted_zone", {"Id": zone})
    return list((answer.get("DelegationSet") or {}).get("NameServers") or [])


def get_volume(query: Query) -> Properties:
    """ebs.getVolume: the volume that matches the filters."""
    volume = _only(query.listed("describe_volumes", "Volumes", Filters=query.filters()), "volume")
    created = volume.get("CreateTime")
    return {
        "arn": query.cloud.arn("ec2", f"volume/{volume['VolumeId']}", query.region),
        "availabilityZone": volume["AvailabilityZone"],
        "createTime": created.strftime("%Y-%m-%dT%H:%M:%SZ") if created else None,
        "encrypted": bool(volume.get("Encrypted")),
        "id": volume["VolumeId"],
        "iops": volume.get("Iops") or 0,
        "kmsKeyId": volume.get("KmsKeyId") or "",
        "multiAttachEnabled": bool(volume.get("MultiAttachEnabled")),
        "region": query.region,
        "size": volume["Size"],
        "snapshotId": volume.get("SnapshotId") or "",
        "tags": _tags(volume),
        "throughput": volume.get("Throughput") or 0,
        "volumeId": volume["VolumeId"],
        "volumeType": volume.get("VolumeType"),
    }


def get_snapshot(query: Query) -> Properties:
    """ebs.getSnapshot: the snapshot that has the id, or matches the filters."""
    found = query.listed(
        "describe_snapshots",
        "Snapshots",
        SnapshotIds=query.given.get("snapshotIds"),
        OwnerIds=query.given.get("owners"),
        Filters=query.filters(),
    )
    snapshot = _only(found, "snapshot")
    return {
        "arn": f"arn:{query.cloud.partition(query.region)}:ec2:{query.region}::snapshot/{snapshot['SnapshotId']}",
        "description": snapshot.get("Description") or "",
        "encrypted": bool(snapshot.get("Encrypted")),
        "id": snapshot["SnapshotId"],
        "kmsKeyId": snapshot.get("KmsKeyId") or "",
        "ownerId": snapshot.get("OwnerId"),
        "region": query.region,
        "snapshotId": snapshot["SnapshotId"],
        "state": snapshot.get("State"),
        "storageTier": snapshot.get("StorageTier") or "",
        "tags": _tags(snapshot),
        "volumeId": snapshot.get("VolumeId"),
        "volumeSize": snapshot.get("VolumeSize"),
    }


def get_eips(query: Query) -> Properties:
    """ec2.getEips: the Elastic IPs that match the filters."""
    found = query.cloud.call("ec2", "describe_addresses", {"Filters": query.filters()}, query.region)
    addresses = [each for each in found["Addresses"] if each.get("Domain") == "vpc"]
    return {
        "allocationIds": [each["AllocationId"] for each in addresses],
        "id": query.region,
        "publicIps": [each["PublicIp"] for each in addresses],
        "region": query.region,
        "tags": query.given.get("tags") or {},
    }


def get_instances(query: Query) -> Properties:
    """ec2.getInstances: the running instances that match the filters."""
    states = query.given.get("instanceStateNames") or ["running"]
    tags = tag_list(query.given.get("instanceTags"))
    filters = [
        *(query.filters() or []),
        {"Name": "instance-state-name", "Values": states},
        *({"Name": f"tag:{tag['Key']}", "Values": [tag["Value"]]} for tag in tags),
    ]
    found = [
        instance
        for reservation in query.listed("describe_instances", "Reservations", Filters=filters)
        for instance in reservation["Instances"]
    ]
    return {
        "id": query.region,
        "ids": [instance["InstanceId"] for instance in found],
        "instanceStateNames": states,
        "instanceTags": query.given.get("instanceTags") or {},
        "privateIps": [each["PrivateIpAddress"] for each in found if each.get("PrivateIpAddress")],
        "publicIps": [each["PublicIpAddress"] for each in found if each.get("PublicIpAddress")],
        "region": query.region,
    }


def get_instance(query: Query) -> Properties:
    """ec2.getInstance: the properties of an instance that Slipway uses."""
    found = query.listed("describe_instances", "Reservations", InstanceIds=[query.given["instanceId"]])
    instance = _only([each for reservation in found for each in reservation["Instances"]], "instance")
    return {
        "ami": instance["ImageId"],
        "id": instance["InstanceId"],
        "instanceId": instance["InstanceId"],
        "instanceState": instance["State"]["Name"],
        "instanceType": instance["InstanceType"],
        "region": query.region,
        "tags": _tags(instance),
    }


def get_quota(query: Query) -> Properties:
    """servicequotas.getServiceQuota: one quota, by its code."""
    asked = {"ServiceCode": query.given["serviceCode"], "QuotaCode": query.given["quotaCode"]}
    quota = query.cloud.call("servicequotas", "get_service_quota", asked, query.region)["Quota"]
    return {
        "adjustable": bool(quota.get("Adjustable")),
        "globalQuota": bool(quota.get("GlobalQuota")),
        "id": quota.get("QuotaArn") or quota["QuotaCode"],
        "quotaCode": quota["QuotaCode"],
        "quotaName": quota.get("QuotaName"),
        "region": query.region,
        "serviceCode": quota["ServiceCode"],
        "serviceName": quota.get("ServiceName"),
        "value": quota["Value"],
    }


class Function(NamedTuple):
    """One function: its implementation and its arguments."""

    answer: Callable[[Query], Properties]
    arguments: tuple[str, ...]
    required: tuple[str, ...] = ()


_EC2 = ("filters", "tags", "region")

FUNCTIONS = {
    "aws:ebs/getSnapshot:getSnapshot": Function(get_snapshot, (*_EC2, "owners", "snapshotIds")),
    "aws:ebs/getVolume:getVolume": Function(get_volume, _EC2),
    "aws:ec2/getAmi:getAmi": Function(
        get_ami, ("filters", "owners", "mostRecent", "executableUsers", "includeDeprecated", "region")
    ),
    "aws:ec2/getEips:getEips": Function(get_eips, _EC2),
    "aws:ec2/getInstance:getInstance": Function(get_instance, ("instanceId", "region"), ("instanceId",)),
    "aws:ec2/getInstances:getInstances": Function(
        get_instances, ("filters", "instanceStateNames", "instanceTags", "region")
    ),
    "aws:ec2/getInstanceType:getInstanceType": Function(
        get_instance_type, ("instanceType", "region"), ("instanceType",)
    ),
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": Function(
        get_offerings, ("filters", "locationType", "region")
    ),
    "aws:ec2/getSubnet:getSubnet": Function(
        get_subnet, (*_EC2, "id", "availabilityZone", "cidrBlock", "defaultForAz", "vpcId")
    ),
    "aws:ec2/getSubnets:getSubnets": Function(get_subnets, _EC2),
    "aws:ec2/getVpc:getVpc": Function(get_vpc, (*_EC2, "id", "cidrBlock", "default", "state")),
    "aws:index/getAvailabilityZones:getAvailabilityZones": Function(
        get_zones, ("filters", "state", "allAvailabilityZones", "excludeNames", "excludeZoneIds", "region")
    ),
    "aws:route53/getZone:getZone": Function(get_zone, ("name", "zoneId", "privateZone")),
    "aws:servicequotas/getServiceQuota:getServiceQuota": Function(
        get_quota, ("serviceCode", "quotaCode", "region"), ("serviceCode", "quotaCode")
    ),
    "aws:ssm/getParameter:getParameter": Function(
        get_parameter, ("name", "withDecryption", "region"), ("name",)
    ),
}
"""All functions, by token."""


def invoke(token: str, arguments: Properties, cloud: Cloud) -> Properties:
    """Return the result of a function.

    Raises:
        Failure: this stand-in does not support the function or an argument, AWS refused, or nothing matches.
    """
    function = FUNCTIONS.get(token)
    given = {
        name: value for name, value in arguments.items() if value is not None and not name.startswith("__")
    }
    if function is None:
        raise Failure(
            f"Slipway's stand-in for pulumi-aws does not have the function {token}: use the official plugin"
        )
    lacking = sorted(given.keys() - set(function.arguments))
    if lacking:
        raise Failure(
            f"Slipway's stand-in for pulumi-aws does not support {', '.join(lacking)} of {token}: leave it out, or "
            "use the official plugin"
        )
    missing = [name for name in function.required if name not in given]
    if missing:
        raise Failure(f"{token} needs {', '.join(missing)}")
    try:
        return function.answer(Query(cloud, given))
    except Refused:
        raise
    except Failure as failure:
        raise Failure(f"{token.rpartition(':')[2]}: {failure}") from failure
