"""What is known of AWS without a call: regions, distributions, and the architectures of instance types.

Tables and pure functions only. `components/hosts/aws` calls AWS.
"""

import re
from dataclasses import dataclass
from typing import Literal

Architecture = Literal["amd64", "arm64"]
"""A processor architecture, as Docker and Debian name it."""
CpuCredits = Literal["standard", "unlimited"]
"""What an instance does when it has spent its CPU credits: slow down, or go on at a price."""

REGIONS = (
    *("af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4"),
    *("ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1"),
    *(
        "cn-north-1",
        "cn-northwest-1",
        "eu-central-1",
        "eu-central-2",
        "eu-north-1",
        "eu-south-1",
        "eu-south-2",
    ),
    *("eu-west-1", "eu-west-2", "eu-west-3", "eusc-de-east-1", "il-central-1", "me-central-1", "me-south-1"),
    *("mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-gov-east-1", "us-gov-west-1"),
    *("us-west-1", "us-west-2"),
)
"""AWS's regions, from botocore's endpoints.json."""

INSTANCE_TYPE_PATTERN = (
    r"(?P<series>[a-z]+(-[0-9]+tb)?)(?P<generation>[0-9]+)(?P<attributes>[a-z]*)(-[a-z0-9]+)*\.[a-z0-9-]+"
)
"""`t4g.small`: a family of series, generation and attributes, then a size."""


def architecture_of(instance_type: str) -> Architecture | None:
    """The architecture of an instance type; None if the text is not an instance type, or the type does not run Linux.

    A `g` among the attributes stands for Graviton (`t4g`, `c6gn`, `im4gn`). Graviton's first type, `a1`, is older than
    that rule.
    Source: EC2's naming conventions of instance types.
    """
    parts = re.fullmatch(INSTANCE_TYPE_PATTERN, instance_type)
    if parts is None or parts["series"] == "mac":
        return None
    first_of_arm = (parts["series"], parts["generation"]) == ("a", "1")
    return "arm64" if first_of_arm or "g" in parts["attributes"] else "amd64"


def has_cpu_credits(instance_type: str) -> bool:
    """Whether an instance type earns and spends CPU credits: T2, T3, T3a and T4g do."""
    return re.match(r"t[0-9]", instance_type) is not None


def partition_of(region: str) -> str:
    """The partition of a region: the second part of its ARNs."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"}
    return next((name for prefix, name in prefixes.items() if region.startswith(prefix)), "aws")


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A Linux distribution that hosts can run, and what it offers."""

    name: str
    """Its name in the settings."""
    login: str
    """The user for SSH, which may run sudo without a password."""
    packages: tuple[str, ...]
    """The packages that a Docker host needs, the engine's first."""
    image_owner: str | None = None
    """The AWS account that owns the images named `image`; None if `image` is a public SSM parameter."""
    image: str
    """Name of the machine image, with a `*` for its date, or of the parameter that holds its id. `{architecture}` is
    replaced by the name in `architectures`."""
    architectures: dict[Architecture, str]
    """The names of architectures in `image`."""
    partitions: tuple[str, ...] = ("aws",)
    """The partitions of AWS where its images are found like this."""
    engine_versions: bool = True
    """Whether Docker Engine can have a given version: one from Docker's own repository, which updates of the system
    leave as it is."""
    skopeo: bool = True
    """Whether it has the package skopeo, which copies images with all their platforms."""

    def image_name(self, architecture: Architecture) -> str:
        """The name to look up for an architecture."""
        return self.image.format(architecture=self.architectures[architecture])


DEBIAN = "136693071363"
"""Debian's account in AWS's first partition. It has no images in the others."""
_DISTRIBUTIONS = (
    # https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm
    Distribution(
        name="debian-12",
        login="admin",
        packages=("docker.io", "iptables", "curl", "ca-certificates", "xfsprogs"),
        image_owner=DEBIAN,
        image="debian-12-{architecture}-*",
        architectures={"amd64": "amd64", "arm64": "arm64"},
    ),
    # https://wiki.debian.org/Cloud/AmazonEC2Image/Trixie; its docker.io only recommends the command `docker`.
    Distribution(
        name="debian-13",
        login="admin",
        packages=("docker.io", "docker-cli", "iptables", "curl", "ca-certificates", "xfsprogs"),
        image_owner=DEBIAN,
        image="debian-13-{architecture}-*",
        architectures={"amd64": "amd64", "arm64": "arm64"},
    ),
    # https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/
    Distribution(
        name="ubuntu-24.04",
        login="ubuntu",
        packages=("docker.io", "iptables", "curl", "ca-certificates", "xfsprogs"),
        image="/aws/service/canonical/ubuntu/server/24.04/stable/current/{architecture}/hvm/ebs-gp3/ami-id",
        architectures={"amd64": "amd64", "arm64": "arm64"},
        partitions=("aws", "aws-cn", "aws-us-gov"),
    ),
    # https://docs.aws.amazon.com/linux/al2023/ug/ec2.html; curl is there as curl-minimal. It has Docker 25 only, which
    # its own releases update, and no skopeo.
    Distribution(
        name="amazon-linux-2023",
        login="ec2-user",
        packages=("docker", "iptables-nft", "ca-certificates", "xfsprogs"),
        image="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}",
        architectures={"amd64": "x86_64", "arm64": "arm64"},
        partitions=("aws", "aws-cn", "aws-us-gov", "aws-eusc"),
        engine_versions=False,
        skopeo=False,
    ),
)
DISTRIBUTIONS = {distribution.name: distribution for distribution in _DISTRIBUTIONS}
"""The distributions by the value of `platform.distribution`."""
