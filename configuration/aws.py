"""What is known of AWS without a call: regions, distributions, and the architectures of instance types.

Tables and pure functions only. `components/hosts/aws` calls AWS.
"""

import re
from dataclasses import dataclass
from typing import Literal

Architecture = Literal["amd64", "arm64"]
"""A processor architecture, as Docker and Debian name it."""

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


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A Linux distribution that hosts can run."""

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

    def image_name(self, architecture: Architecture) -> str:
        """The name to look up for an architecture."""
        return self.image.format(architecture=self.architectures[architecture])


DISTRIBUTIONS = {
    # https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm
    "debian-12": Distribution(
        login="admin",
        packages=("docker.io", "iptables", "curl", "ca-certificates", "xfsprogs"),
        image_owner="136693071363",
        image="debian-12-{architecture}-*",
        architectures={"amd64": "amd64", "arm64": "arm64"},
    ),
    # https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/
    "ubuntu-24.04": Distribution(
        login="ubuntu",
        packages=("docker.io", "iptables", "curl", "ca-certificates", "xfsprogs"),
        image="/aws/service/canonical/ubuntu/server/24.04/stable/current/{architecture}/hvm/ebs-gp3/ami-id",
        architectures={"amd64": "amd64", "arm64": "arm64"},
    ),
    # https://docs.aws.amazon.com/linux/al2023/ug/ec2.html; curl is there as curl-minimal.
    "amazon-linux-2023": Distribution(
        login="ec2-user",
        packages=("docker", "iptables-nft", "ca-certificates", "xfsprogs"),
        image="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}",
        architectures={"amd64": "x86_64", "arm64": "arm64"},
    ),
}
"""The distributions by the value of `platform.distribution`."""
