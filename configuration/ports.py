"""`ports` of a service: those of its containers besides the one behind the proxy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field

from configuration.base import Settings
from configuration.constraints import Matching, distinct
from configuration.types import PORT_NUMBER, Port, text_of_number

Protocol = Literal["tcp", "udp"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class PublishedPort:
    """A port of a host that leads to one of a service's container there."""

    host: int
    """The host's port."""
    container: int
    """The container's port."""
    protocol: Protocol
    is_public: bool
    """Whether it is open to other machines; otherwise it listens on 127.0.0.1 of the host only."""

    def __str__(self) -> str:
        """As Docker writes it."""
        where = "" if self.is_public else f"{LOOPBACK}:"
        return f"{where}{self.host}:{self.container}/{self.protocol}"

    @classmethod
    def of(cls, text: str, *, is_public: bool) -> "PublishedPort":
        """The port that a setting names: HOST:CONTAINER/PROTOCOL, or one number for both, or without the protocol."""
        ports, _, protocol = text.partition("/")
        host, _, container = ports.partition(":")
        return cls(int(host), int(container or host), cast("Protocol", protocol or "tcp"), is_public)


PortMapping = Annotated[
    str,
    Matching(
        rf"{PORT_NUMBER}(?::{PORT_NUMBER})?(?:/(?:tcp|udp))?",
        "not a port of the host and one of the container",
        'Write one such as "8443:443" or "5353:53/udp": the port of the host, that of the container, both from 1 to '
        "65535, and the protocol if it is UDP.",
    ),
    BeforeValidator(text_of_number, json_schema_input_type=str | int),
]


class PortSettings(Settings):
    """Ports of a service's containers besides the one behind the proxy."""

    public: Annotated[
        tuple[PortMapping, ...], AfterValidator(distinct), Field(examples=[["8443:443", "5353:53/udp"]])
    ] = ()
    """Ports of the service's hosts that everybody reaches, or on AWS the networks in `allowedCidrs`: each as
    `HOST:CONTAINER`, with `/udp` behind it for UDP; one number stands for both. On `local` they are ports of
    127.0.0.1, with the host's slot and `platform.portOffset` added to the first number. Default: none."""

    private: Annotated[tuple[Port, ...], AfterValidator(distinct), Field(examples=[[5432]])] = ()
    """TCP ports, 1 to 65535, that the containers of all the stack's services reach by this service's name, on every
    host. Nobody else does. No two services have the same one. Default: none."""

    local: Annotated[tuple[PortMapping, ...], AfterValidator(distinct), Field(examples=[["9187:9187"]])] = ()
    """Ports of 127.0.0.1 of the service's hosts, for programs on these machines; written as the public ones. Default:
    none."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.public or self.private or self.local)

    @property
    def published(self) -> tuple[PublishedPort, ...]:
        """The public and the local ones."""
        return tuple(port for _, _, port in self.located())

    def located(self) -> Iterator[tuple[str, int, PublishedPort]]:
        """The public and the local ones, each with its setting and its place there."""
        for key, texts in (("public", self.public), ("local", self.local)):
            for index, text in enumerate(texts):
                yield key, index, PublishedPort.of(text, is_public=key == "public")

    @property
    def first_tcp(self) -> int | None:
        """The first TCP port of the container; None if it has none."""
        return next(
            iter([*self.private, *(port.container for port in self.published if port.protocol == "tcp")]),
            None,
        )
