"""`slipway:services`: the web services, and how their images are built."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from configuration.base import OnAws, Settings
from configuration.types import (
    DomainName,
    FilePath,
    Label,
    Network,
    Port,
    Seconds,
    UrlPath,
    Value,
    Variable,
    Within,
    distinct,
    not_empty,
    reserved,
)

IMAGE_ARGUMENTS = ("TITLE", "REVISION", "SOURCE")
"""Build arguments that every Dockerfile gets, for the image's OCI labels."""

BASE_IMAGE_ARGUMENT = "BASE_IMAGE"
"""Build argument by which an app image's Dockerfile gets the reference of the service's base image."""


ServiceName = Annotated[
    Label,
    AfterValidator(
        reserved(
            {
                **dict.fromkeys(("registry", "proxy"), "a container of Slipway's own has it"),
                "mirror": "the registry's copies of others' images have it",
            }
        )
    ),
]


class BaseImageSettings(Settings):
    """The image that a service's own image stands on: what changes seldom."""

    context: Annotated[FilePath, Field(examples=["app/base"])]
    """Directory that is sent to the build, relative to the project."""

    dockerfile: FilePath = "Dockerfile"
    """The Dockerfile, relative to `context`, and inside it where it is a link: text of 1 MiB at most."""

    args: dict[
        Annotated[
            Variable, AfterValidator(reserved(dict.fromkeys(IMAGE_ARGUMENTS, "the build sets it itself")))
        ],
        Value,
    ] = Field(default_factory=dict, examples=[{"BASE": "debian:12"}])
    """Build arguments. They are no place for secrets: an image's history shows them."""

    @property
    def dockerfile_path(self) -> str:
        """The Dockerfile, relative to the project."""
        return f"{self.context}/{self.dockerfile}"


class BuildSettings(BaseImageSettings):
    """How a service's image is built."""

    context: Annotated[FilePath, Field(examples=["app"])]
    """Directory that is sent to the build, relative to the project. Its `.dockerignore` is honoured."""

    base: BaseImageSettings | None = None
    """A base image that is built first. The service's Dockerfile gets its reference as the build argument
    `BASE_IMAGE`."""

    platform: Literal["linux/amd64", "linux/arm64"] | None = None
    """What the image runs on. By default what the hosts are."""


class ServiceSettings(Settings):
    """One web service: an image, and how its containers run on the app hosts."""

    build: Annotated[BuildSettings, Field(examples=[{"context": "app"}])]
    """How the image is built."""

    port: Port = 8080
    """TCP port that the service listens on, inside its container."""

    health: UrlPath = "/up"
    """Path that answers with a status of 2xx once the service can take requests."""

    health_timeout: Seconds = 30
    """Seconds that a new container has to become healthy, 1 to 3600, before the roll-out is given up. 30 is
    Kamal's default too."""

    drain_timeout: Seconds = 30
    """Seconds that requests to the old container have to finish, 1 to 3600. 30 is Kamal's default too."""

    hosts: (
        Annotated[
            tuple[str, ...],
            AfterValidator(distinct),
            AfterValidator(not_empty("one app host or more, or leave `hosts` out to use them all")),
            Field(examples=[["web-1"]]),
        ]
        | None
    ) = None
    """Hosts that run the service, in the order of the roll-out. By default all with the role `app`, by
    name."""

    domain: DomainName | None = None
    """Name by which the proxy knows requests for this service. A service without one gets all that no other
    service of its host asks for."""

    allowed_cidrs: OnAws[
        Annotated[
            tuple[Network, ...],
            AfterValidator(distinct),
            AfterValidator(not_empty("one network or more, or leave `allowedCidrs` out to let everybody in")),
            Field(examples=[["198.51.100.0/24"]]),
        ]
    ] = ("0.0.0.0/0",)
    """Networks that may reach the service. By default everybody, by IPv4."""

    env: dict[Variable, Value] = Field(default_factory=dict, examples=[{"LOG_LEVEL": "info"}])
    """Environment of the containers. It is readable in the stack's state; secrets belong into `secrets`."""

    secrets: Annotated[
        tuple[Variable, ...], AfterValidator(distinct), Field(examples=[["DATABASE_URL"]])
    ] = ()
    """Names from `slipway:secrets`. The containers find each as a file of that name in /run/secrets."""

    memory: Annotated[int, Within(6, 1_048_576, "an amount of memory in MiB")] = 512
    """MiB of memory that a container may use. Docker takes 6 at least."""
