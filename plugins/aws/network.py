"""The network: ec2.Vpc, InternetGateway, Subnet, RouteTable and RouteTableAssociation."""

from typing import Any

from plugins.aws.kind import ARN, REGION, TAGS, Kind, Work, forced, minutes, output, tags_of
from plugins.aws.limits import ipv4_network
from plugins.bridge.schema import Attribute, Schema, State


def _create_vpc(work: Work) -> str:
    made = work(
        "create_vpc",
        CidrBlock=work.new["cidrBlock"],
        InstanceTenancy=work.new["instanceTenancy"],
        TagSpecifications=work.tagged("vpc"),
    )
    return str(made["Vpc"]["VpcId"])


_VPC_ATTRIBUTES = {
    "enableDnsSupport": "EnableDnsSupport",
    "enableDnsHostnames": "EnableDnsHostnames",
    "enableNetworkAddressUsageMetrics": "EnableNetworkAddressUsageMetrics",
}


def _settle_vpc(work: Work) -> None:
    for name, attribute in _VPC_ATTRIBUTES.items():
        wanted = work.new.get(name)
        # A new VPC has the default values, except for DNS host names.
        if isinstance(wanted, bool) and (work.changed or wanted != (name == "enableDnsSupport")):
            work("modify_vpc_attribute", VpcId=work.id, **{attribute: {"Value": wanted}})


def _observe_vpc(work: Work) -> State | None:
    vpc = work.one("describe_vpcs", "Vpcs", VpcIds=[work.id])
    if vpc is None:
        return None
    flags = {
        name: _vpc_attribute(work, attribute)
        for name, attribute in _VPC_ATTRIBUTES.items()
        if name != "enableNetworkAddressUsageMetrics" or work.new.get(name)
    }
    of_vpc = [{"Name": "vpc-id", "Values": [work.id]}]
    main = work.one(
        "describe_route_tables",
        "RouteTables",
        Filters=[*of_vpc, {"Name": "association.main", "Values": ["true"]}],
    )
    group = work.one(
        "describe_security_groups",
        "SecurityGroups",
        Filters=[*of_vpc, {"Name": "group-name", "Values": ["default"]}],
    )
    acl = work.one(
        "describe_network_acls", "NetworkAcls", Filters=[*of_vpc, {"Name": "default", "Values": ["true"]}]
    )
    table = (main or {}).get("RouteTableId")
    return {
        **tags_of(vpc),
        **flags,
        "arn": work.arn(f"vpc/{work.id}", vpc.get("OwnerId", "")),
        "cidrBlock": vpc["CidrBlock"],
        "defaultNetworkAclId": (acl or {}).get("NetworkAclId"),
        "defaultRouteTableId": table,
        "defaultSecurityGroupId": (group or {}).get("GroupId"),
        "dhcpOptionsId": vpc.get("DhcpOptionsId"),
        "instanceTenancy": vpc.get("InstanceTenancy"),
        "mainRouteTableId": table,
        "ownerId": vpc.get("OwnerId"),
    }


def _vpc_attribute(work: Work, attribute: str) -> bool:
    asked = attribute[0].lower() + attribute[1:]
    answer = work("describe_vpc_attribute", VpcId=work.id, Attribute=asked)
    return bool(answer.get(attribute, {}).get("Value", False))


VPC = Kind(
    pulumi_type="aws:ec2/vpc:Vpc",
    schema=Schema(
        version="1",
        attributes={
            **(ARN | REGION | TAGS),
            "cidrBlock": forced(computed=True, wrong=ipv4_network(16, 28)),
            "enableDnsHostnames": Attribute("boolean", computed=True),
            "enableDnsSupport": Attribute("boolean", default=True),
            "enableNetworkAddressUsageMetrics": Attribute("boolean", computed=True),
            "instanceTenancy": forced(default="default", choices=("default", "dedicated")),
            "defaultNetworkAclId": output(),
            "defaultRouteTableId": output(),
            "defaultSecurityGroupId": output(),
            "dhcpOptionsId": output(),
            "mainRouteTableId": output(),
            "ownerId": output(),
        },
    ),
    create=_create_vpc,
    settle=_settle_vpc,
    observe=_observe_vpc,
    delete=lambda work: work("delete_vpc", VpcId=work.id),
    gone=("InvalidVpcID.NotFound",),
)


def _create_gateway(work: Work) -> str:
    made = work("create_internet_gateway", TagSpecifications=work.tagged("internet-gateway"))
    return str(made["InternetGateway"]["InternetGatewayId"])


def _gateway(work: Work) -> dict[str, Any] | None:
    return work.one("describe_internet_gateways", "InternetGateways", InternetGatewayIds=[work.id])


def _attached(gateway: dict[str, Any] | None) -> str:
    return next((str(each["VpcId"]) for each in (gateway or {}).get("Attachments") or []), "")


def _attach_gateway(work: Work) -> None:
    now, wanted = _attached(_gateway(work)), work.new.get("vpcId") or ""
    if now and now != wanted:
        work("detach_internet_gateway", InternetGatewayId=work.id, VpcId=now)
    if wanted and now != wanted:
        work("attach_internet_gateway", InternetGatewayId=work.id, VpcId=wanted)


def _observe_gateway(work: Work) -> State | None:
    gateway = _gateway(work)
    return gateway and {
        **tags_of(gateway),
        "arn": work.arn(f"internet-gateway/{work.id}", gateway.get("OwnerId", "")),
        "ownerId": gateway.get("OwnerId"),
        "vpcId": _attached(gateway),
    }


def _delete_gateway(work: Work) -> None:
    vpc = _attached(_gateway(work))
    if vpc:
        work("detach_internet_gateway", InternetGatewayId=work.id, VpcId=vpc)
    work("delete_internet_gateway", InternetGatewayId=work.id)


INTERNET_GATEWAY = Kind(
    pulumi_type="aws:ec2/internetGateway:InternetGateway",
    schema=Schema(
        timeouts=minutes(create=20, delete=20, update=20),
        attributes={**(ARN | REGION | TAGS), "ownerId": output(), "vpcId": Attribute(computed=True)},
    ),
    create=_create_gateway,
    settle=_attach_gateway,
    observe=_observe_gateway,
    delete=_delete_gateway,
    gone=("InvalidInternetGatewayID.NotFound",),
)


def _create_subnet(work: Work) -> str:
    made = work(
        "create_subnet",
        VpcId=work.new["vpcId"],
        CidrBlock=work.new["cidrBlock"],
        AvailabilityZone=work.new["availabilityZone"],
        AvailabilityZoneId=work.new["availabilityZoneId"],
        TagSpecifications=work.tagged("subnet"),
    )
    return str(made["Subnet"]["SubnetId"])


def _settle_subnet(work: Work) -> None:
    work.until(f"subnet {work.id} is available", lambda: (_subnet(work) or {}).get("State") == "available")
    if work.has_changed("mapPublicIpOnLaunch") or (work.is_new and work.new["mapPublicIpOnLaunch"]):
        wanted = {"Value": bool(work.new["mapPublicIpOnLaunch"])}
        work("modify_subnet_attribute", SubnetId=work.id, MapPublicIpOnLaunch=wanted)


def _subnet(work: Work) -> dict[str, Any] | None:
    return work.one("describe_subnets", "Subnets", SubnetIds=[work.id])


def _observe_subnet(work: Work) -> State | None:
    subnet = _subnet(work)
    return subnet and {
        **tags_of(subnet),
        "arn": subnet.get("SubnetArn") or work.arn(f"subnet/{work.id}", subnet.get("OwnerId", "")),
        "availabilityZone": subnet["AvailabilityZone"],
        "availabilityZoneId": subnet.get("AvailabilityZoneId"),
        "cidrBlock": subnet["CidrBlock"],
        "mapPublicIpOnLaunch": bool(subnet.get("MapPublicIpOnLaunch")),
        "ownerId": subnet.get("OwnerId"),
        "vpcId": subnet["VpcId"],
    }


SUBNET = Kind(
    pulumi_type="aws:ec2/subnet:Subnet",
    schema=Schema(
        version="1",
        timeouts=minutes(create=10, delete=20),
        attributes={
            **(ARN | REGION | TAGS),
            "availabilityZone": forced(computed=True),
            "availabilityZoneId": forced(computed=True),
            "cidrBlock": forced(computed=True, wrong=ipv4_network()),
            "mapPublicIpOnLaunch": Attribute("boolean", default=False),
            "ownerId": output(),
            "vpcId": forced(required=True),
        },
    ),
    create=_create_subnet,
    settle=_settle_subnet,
    observe=_observe_subnet,
    delete=lambda work: work("delete_subnet", SubnetId=work.id),
    gone=("InvalidSubnetID.NotFound",),
)


_DESTINATIONS = {"cidrBlock": "DestinationCidrBlock", "ipv6CidrBlock": "DestinationIpv6CidrBlock"}
_TARGETS = {
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "transitGatewayId": "TransitGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}


def _create_table(work: Work) -> str:
    made = work("create_route_table", VpcId=work.new["vpcId"], TagSpecifications=work.tagged("route-table"))
    return str(made["RouteTable"]["RouteTableId"])


def _table(work: Work) -> dict[str, Any] | None:
    return work.one("describe_route_tables", "RouteTables", RouteTableIds=[work.id])


def _routes(table: dict[str, Any]) -> list[dict[str, str]]:
    """Return the routes that were created, without local and propagated routes."""
    return [
        {name: route.get(key) or "" for name, key in (_DESTINATIONS | _TARGETS).items()}
        for route in table.get("Routes") or []
        if route.get("GatewayId") != "local"
        and route.get("Origin") != "EnableVgwRoutePropagation"
        and any(route.get(key) for key in _DESTINATIONS.values())
    ]


def _route_parameters(route: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    return {key: route[name] for name, key in names.items() if route.get(name)}


def _set_routes(work: Work) -> None:
    """Make the table's routes those of the program. If the program gives no `routes`, they stay as they are."""
    wanted = work.new.get("routes")
    if not isinstance(wanted, list) or not (wanted or work.has_changed("routes")):
        return
    now = {_destination(route): route for route in _routes(_table(work) or {})}
    new = {_destination(route): route for route in wanted}
    for destination in now.keys() - new.keys():
        parameters = _route_parameters(now[destination], _DESTINATIONS)
        work("delete_route", RouteTableId=work.id, **parameters)
    for destination, route in new.items():
        parameters = _route_parameters(route, _DESTINATIONS | _TARGETS)
        if destination not in now:
            work("create_route", RouteTableId=work.id, **parameters)
        elif _route_parameters(now[destination], _DESTINATIONS | _TARGETS) != parameters:
            work("replace_route", RouteTableId=work.id, **parameters)


def _destination(route: dict[str, str]) -> str:
    return next(route[name] for name in _DESTINATIONS if route.get(name))


def _observe_table(work: Work) -> State | None:
    table = _table(work)
    return table and {
        **tags_of(table),
        "arn": work.arn(f"route-table/{work.id}", table.get("OwnerId", "")),
        "ownerId": table.get("OwnerId"),
        "propagatingVgws": [each["GatewayId"] for each in table.get("PropagatingVgws") or []],
        "routes": _routes(table),
        "vpcId": table["VpcId"],
    }


ROUTE_TABLE = Kind(
    pulumi_type="aws:ec2/routeTable:RouteTable",
    schema=Schema(
        timeouts=minutes(create=5, delete=5, update=2),
        attributes={
            **(ARN | REGION | TAGS),
            "ownerId": output(),
            "propagatingVgws": output("set"),
            "routes": Attribute(
                "set",
                {name: Attribute() for name in (*_DESTINATIONS, *_TARGETS)},
                computed=True,
                terraform_name="route",
            ),
            "vpcId": forced(required=True),
        },
    ),
    create=_create_table,
    settle=_set_routes,
    observe=_observe_table,
    delete=lambda work: work("delete_route_table", RouteTableId=work.id),
    gone=("InvalidRouteTableID.NotFound",),
)


def _associate(work: Work) -> str:
    made = work(
        "associate_route_table",
        RouteTableId=work.new["routeTableId"],
        SubnetId=work.new["subnetId"],
        GatewayId=work.new["gatewayId"],
    )
    return str(made["AssociationId"])


def _association(work: Work) -> dict[str, Any] | None:
    by_id = [{"Name": "association.route-table-association-id", "Values": [work.id]}]
    table = work.one("describe_route_tables", "RouteTables", Filters=by_id)
    found = (
        each for each in (table or {}).get("Associations") or [] if each["RouteTableAssociationId"] == work.id
    )
    return next(found, None)


def _settle_association(work: Work) -> None:
    def ready() -> bool:
        state = ((_association(work) or {}).get("AssociationState") or {}).get("State", "associated")
        return bool(state == "associated")

    work.until(f"AWS shows route table association {work.id}", ready)


def _observe_association(work: Work) -> State | None:
    found = _association(work)
    if found is None or (found.get("AssociationState") or {}).get("State") == "disassociated":
        return None
    return {
        "gatewayId": found.get("GatewayId") or "",
        "routeTableId": found["RouteTableId"],
        "subnetId": found.get("SubnetId") or "",
    }


ROUTE_TABLE_ASSOCIATION = Kind(
    pulumi_type="aws:ec2/routeTableAssociation:RouteTableAssociation",
    schema=Schema(
        timeouts=minutes(create=5, delete=5, update=2),
        attributes={
            **REGION,
            "gatewayId": forced(),
            # An update in place would change the id, which Pulumi does not allow. The official plugin replaces it, too.
            "routeTableId": forced(required=True),
            "subnetId": forced(),
        },
    ),
    create=_associate,
    settle=_settle_association,
    observe=_observe_association,
    delete=lambda work: work("disassociate_route_table", AssociationId=work.id),
    gone=("InvalidAssociationID.NotFound",),
)

KINDS = (VPC, INTERNET_GATEWAY, SUBNET, ROUTE_TABLE, ROUTE_TABLE_ASSOCIATION)
