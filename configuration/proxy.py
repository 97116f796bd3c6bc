"""`slipway:proxy`: what the proxies of all app hosts have in common."""

from typing import Annotated

from pydantic import AfterValidator, Field

from configuration.base import Settings
from configuration.constraints import distinct
from configuration.networks import Network
from configuration.types import Port


class ProxySettings(Settings):
    """What the proxies of all app hosts have in common."""

    trusted_proxies: Annotated[
        tuple[Network, ...], AfterValidator(distinct), Field(examples=[["198.51.100.0/24"]])
    ] = ()
    """Networks of a CDN or load balancer in front of the hosts: from there the headers `X-Forwarded-For`, `-Proto`
    and `-Host` and `X-Request-Id` are passed on. From everybody else they are not. Default: none."""

    metrics_port: Annotated[Port | None, Field(examples=[9101])] = None
    """TCP port of the proxies' metrics (`/metrics`, for Prometheus), 1 to 65535: on the loopback of each app host, so
    only programs on the host itself reach it. Default: none."""
