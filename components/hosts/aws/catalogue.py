"""Queries to AWS before anything is made: images, zones, subnets. Each returns a result or raises one clear error."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pulumi
import pulumi_aws as aws

from components.hosts.aws.quotas import Quota
from configuration.aws import Architecture, Distribution
from configuration.problems import words

T = TypeVar("T")

_EVERY_SAY = re.compile(r"invoke of \S+ failed: |invocation of \S+ returned an error: ")
"""What the SDK and the engine put ahead of a function's own error message."""


@dataclass(frozen=True)
class SubnetFacts:
    """An existing subnet."""

    id: str
    vpc: str
    zone: str


@dataclass(frozen=True)
class VolumeFacts:
    """An existing volume."""

    id: str
    arn: str
    zone: str
    size_gib: int


@dataclass(frozen=True)
class Catalogue:
    """Queries in one region, with the credentials of the provider."""

    region: str
    options: pulumi.InvokeOptions
    """They name the provider."""

    def image(self, distribution: Distribution, architecture: Architecture) -> str:
        """The id of the distribution's newest machine image."""
        name = distribution.image_name(architecture)
        if distribution.image_owner is None:
            answer = self._ask(
                f"the image {name}",
                lambda: aws.ssm.get_parameter(name=name, opts=self.options),
            )
            return answer.value
        filters = [
            aws.ec2.GetAmiFilterArgs(name="name", values=[name]),
            aws.ec2.GetAmiFilterArgs(name="state", values=["available"]),
        ]
        owner = distribution.image_owner
        return self._ask(
            f"the image {name}",
            lambda: aws.ec2.get_ami(owners=[owner], filters=filters, most_recent=True, opts=self.options),
        ).id

    def zones(self) -> list[str]:
        """The region's availability zones, without those that need an opt-in."""
        filters = [aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])]
        answer = self._ask(
            "availability zones",
            lambda: aws.get_availability_zones(state="available", filters=filters, opts=self.options),
        )
        return sorted(answer.names)

    def offers(self, instance_types: Iterable[str]) -> dict[str, set[str]]:
        """For each of these instance types, the zones that offer it."""
        kinds = sorted(set(instance_types))
        filters = [aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=kinds)]
        answer = self._ask(
            f"the zones of {words(kinds)}",
            lambda: aws.ec2.get_instance_type_offerings(
                location_type="availability-zone", filters=filters, opts=self.options
            ),
        )
        offers: dict[str, set[str]] = {kind: set() for kind in kinds}
        for kind, zone in zip(answer.instance_types, answer.locations, strict=True):
            offers[kind].add(zone)
        return offers

    def default_subnets(self) -> list[SubnetFacts]:
        """The subnets of the account's default VPC, in the order of their zones."""
        vpc = self._ask("the default VPC", lambda: aws.ec2.get_vpc(default=True, opts=self.options)).id
        filters = [
            aws.ec2.GetSubnetsFilterArgs(name="vpc-id", values=[vpc]),
            aws.ec2.GetSubnetsFilterArgs(name="default-for-az", values=["true"]),
        ]
        answer = self._ask(
            "the default VPC's subnets", lambda: aws.ec2.get_subnets(filters=filters, opts=self.options)
        )
        return sorted(map(self.subnet, answer.ids), key=lambda subnet: subnet.zone)

    def subnet(self, identity: str) -> SubnetFacts:
        """A subnet, by its id."""
        answer = self._ask(
            f"the subnet {identity}", lambda: aws.ec2.get_subnet(id=identity, opts=self.options)
        )
        return SubnetFacts(identity, answer.vpc_id, answer.availability_zone)

    def volume(self, identity: str) -> VolumeFacts:
        """A volume, by its id."""
        filters = [aws.ebs.GetVolumeFilterArgs(name="volume-id", values=[identity])]
        answer = self._ask(
            f"the volume {identity} (slipway:registry.dataVolume)",
            lambda: aws.ebs.get_volume(filters=filters, opts=self.options),
        )
        return VolumeFacts(identity, answer.arn, answer.availability_zone, answer.size)

    def snapshot_size(self, identity: str) -> int:
        """The size of a snapshot's volume, GiB, by the snapshot's id."""
        answer = self._ask(
            f"the snapshot {identity} (slipway:registry.dataSnapshot)",
            lambda: aws.ebs.get_snapshot(snapshot_ids=[identity], opts=self.options),
        )
        return answer.volume_size

    def quota(self, quota: Quota) -> int | None:
        """A quota of the account in this region; None if the credentials may not ask for it."""
        try:
            answer = aws.servicequotas.get_service_quota(
                service_code="ec2", quota_code=quota.code, opts=self.options
            )
        except Exception as error:  # noqa: BLE001 - the SDK raises no more specific error
            pulumi.log.warn(
                f"the quota of {quota.what} ({quota.code}) was not checked: {_reason(error)}. Allow "
                "servicequotas:GetServiceQuota to be told before an update fails."
            )
            return None
        return int(answer.value)

    def addresses_of_others(self, own: Mapping[str, str]) -> int:
        """The number of Elastic IPs in this region, without those that have the tags `own`."""

        def count(tags: Mapping[str, str] | None) -> int:
            answer = self._ask("its Elastic IPs", lambda: aws.ec2.get_eips(tags=tags, opts=self.options))
            return len(answer.allocation_ids)

        return count(None) - count(own)

    def types_of_others(self, own: Mapping[str, str]) -> dict[str, str]:
        """The types of the instances that run in this region, by id, without those that have the tags `own`."""

        def running(tags: Mapping[str, str] | None) -> set[str]:
            answer = self._ask(
                "its instances",
                lambda: aws.ec2.get_instances(
                    instance_tags=tags, instance_state_names=["pending", "running"], opts=self.options
                ),
            )
            return set(answer.ids)

        return {
            instance: self._ask(
                f"the instance {instance}",
                lambda instance=instance: aws.ec2.get_instance(instance_id=instance, opts=self.options),  # type: ignore[misc]
            ).instance_type
            for instance in sorted(running(None) - running(own))
        }

    def vcpus(self, instance_types: Iterable[str]) -> dict[str, int]:
        """The vCPUs of these instance types."""
        return {
            kind: self._ask(
                f"the vCPUs of {kind}",
                lambda kind=kind: aws.ec2.get_instance_type(instance_type=kind, opts=self.options),  # type: ignore[misc]
            ).default_vcpus
            for kind in sorted(set(instance_types))
        }

    def hosted_zone(self, name: str, *, private: bool) -> str:
        """The id of a Route 53 zone."""
        kind = "private" if private else "public"
        return self._ask(
            f"the {kind} Route 53 zone {name}",
            lambda: aws.route53.get_zone(name=name, private_zone=private, opts=self.options),
        ).zone_id

    def _ask(self, what: str, question: Callable[[], T]) -> T:
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - the SDK raises no more specific error
            raise pulumi.RunError(
                f"AWS was asked for {what} in {self.region}, and did not give it: {_reason(error)}"
            ) from None


def _reason(error: Exception) -> str:
    return _EVERY_SAY.sub("", " ".join(str(error).split()))


def zones_for(
    types: Mapping[str, str], zones: Sequence[str], offers: Mapping[str, set[str]], count: int
) -> list[str]:
    """The first zones that have every instance type.

    Args:
        types: the hosts' instance types, by host.
        zones: the region's zones.
        offers: for each type, the zones that offer it.
        count: the number of zones; fewer if the region has no more.

    Raises:
        pulumi.RunError: no zone offers all types.

    """
    for host, kind in types.items():
        if not offers[kind]:
            raise pulumi.RunError(
                f"slipway:hosts.{host}.type = {kind}: the region has no such instance type. Choose another, here or in "
                "slipway:platform.instanceType."
            )
    found = [zone for zone in zones if all(zone in offers[kind] for kind in set(types.values()))]
    if not found:
        raise pulumi.RunError(
            f"no zone of the region has all of {words(sorted(set(types.values())))}: choose instance types that "
            "are found together, or name subnets in slipway:platform.network.subnets"
        )
    return found[:count]


def check_placement(
    types: Mapping[str, str],
    places: Mapping[str, int],
    subnets: Sequence[SubnetFacts],
    offers: Mapping[str, set[str]],
) -> None:
    """Check that existing subnets can take the hosts.

    Args:
        types: the hosts' instance types, by host.
        places: for each host, the index of its subnet.
        subnets: the subnets.
        offers: for each type, the zones that offer it.

    Raises:
        pulumi.RunError: a subnet is in another VPC than the first, or its zone lacks the type of a host.

    """
    for index, subnet in enumerate(subnets):
        if subnet.vpc != subnets[0].vpc:
            raise pulumi.RunError(
                f"slipway:platform.network.subnets[{index}] = {subnet.id}: it is in {subnet.vpc}, and the first one in "
                f"{subnets[0].vpc}. Name subnets of one VPC."
            )
    for host, kind in types.items():
        zone = subnets[places[host]].zone
        if zone not in offers[kind]:
            there = words(sorted(offers[kind])) if offers[kind] else "no zone of the region"
            raise pulumi.RunError(
                f"slipway:hosts.{host}.type = {kind}: {zone}, where its subnet is, does not have it; {there} does. "
                f"Choose another type, or another subnet by slipway:hosts.{host}.subnet."
            )
