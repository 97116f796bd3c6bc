"""The stack's own network: a small VPC with a public subnet in each of two zones."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

"""Addresses of a stack's own network: 251 hosts in each of two subnets, and room for two more."""
ANYWHERE = "0.0.0.0/0"


def subnet_cidrs(cidr: str, count: int) -> list[str]:
    """The first quarters of a network."""
    return [str(part) for part in list(ipaddress.ip_network(cidr).subnets(prefixlen_diff=2))[:count]]


@dataclass(frozen=True, kw_only=True)
class AwsNetworkArgs:
    """What a network is made from."""

    label: str
    """The first part of its names in AWS's console."""
    cidr: str
    """Its address range."""
    zones: Sequence[str]
    """The zones to make a subnet in."""


class AwsNetwork(pulumi.ComponentResource):
    """A VPC with an internet gateway and one public subnet per zone."""

    vpc_id: pulumi.Output[str]
    """The VPC."""
    subnets: list[aws.ec2.Subnet]
    """One per zone."""

    def __init__(self, name: str, args: AwsNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:hosts:AwsNetwork", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = {"Name": args.label}
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=tags,
            opts=child,
        )
        gateway = aws.ec2.InternetGateway(f"{name}-gateway", vpc_id=vpc.id, tags=tags, opts=child)
        routes = aws.ec2.RouteTable(
            f"{name}-routes",
            vpc_id=vpc.id,
            routes=[aws.ec2.RouteTableRouteArgs(cidr_block=ANYWHERE, gateway_id=gateway.id)],
            tags=tags,
            opts=child,
        )
        self.subnets = []
        cidrs = subnet_cidrs(args.cidr, len(args.zones))
        for number, (zone, cidr) in enumerate(zip(args.zones, cidrs, strict=True), 1):
            subnet = aws.ec2.Subnet(
                f"{name}-{number}",
                vpc_id=vpc.id,
                cidr_block=cidr,
                availability_zone=zone,
                tags={"Name": f"{args.label}-{number}"},
                # Keep the subnet in its zone even if the region gains zones: its hosts are there.
                opts=pulumi.ResourceOptions(parent=self, ignore_changes=["availabilityZone"]),
            )
            aws.ec2.RouteTableAssociation(
                f"{name}-{number}-routes", subnet_id=subnet.id, route_table_id=routes.id, opts=child
            )
            self.subnets.append(subnet)
        self.vpc_id = vpc.id
        self.register_outputs({"vpc_id": self.vpc_id})
