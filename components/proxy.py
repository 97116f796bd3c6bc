"""The proxy of an app host or an edge: it owns the ports 80 and 443 and switches the traffic between containers, or
hands it on to app hosts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import haproxy
from components.engine import ENGINE_DECIDES, DockerEngine
from well_known import PROXY_CONTAINER, PROXY_IMAGE, PROXY_SETTINGS_PATH, ROLE_LABEL, STACK_LABEL

MEMORY_MIB = 512
"""Memory limit of the container: 4,096 connections with two buffers of 16 KiB each, and workers that still finish
their requests after a reload."""


@dataclass(frozen=True, kw_only=True)
class ProxyArgs:
    """What a proxy is made from."""

    engine: DockerEngine
    """The engine that runs it."""
    after: Sequence[pulumi.Resource] = ()
    """What it waits for: the proxies of other hosts, so that a new version comes to one host after another."""


class Proxy(pulumi.ComponentResource):
    """HAProxy on a host, with a network for the containers behind it: on an edge there are none.

    Its configuration is on the host: scripts/engine.sh makes it before the container, and each switch keeps it.
    """

    network: pulumi.Output[str]
    """The network's name, for the services' containers."""
    ready: list[pulumi.Resource]
    """What services behind it wait for."""

    def __init__(self, name: str, args: ProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Proxy", name, None, opts)
        engine = args.engine
        on_engine = engine.on_engine(pulumi.ResourceOptions(parent=self))
        network = docker.Network(f"{name}-network", driver="bridge", opts=on_engine)
        image = docker.RemoteImage(f"{name}-image", name=PROXY_IMAGE, keep_locally=True, opts=on_engine)
        container = docker.Container(
            f"{name}-container",
            name=PROXY_CONTAINER,
            image=image.image_id,
            **haproxy.options(MEMORY_MIB),
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name)],
            # Nothing listens on 443 until a service has HTTPS. Published later, it would stop the proxy.
            ports=[docker.ContainerPortArgs(internal=port, external=port) for port in (80, 443)],
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=PROXY_SETTINGS_PATH, container_path=haproxy.CONFIGURATION_PATH, read_only=True
                )
            ],
            labels=[
                docker.ContainerLabelArgs(label=STACK_LABEL, value=pulumi.get_stack()),
                docker.ContainerLabelArgs(label=ROLE_LABEL, value="proxy"),
            ],
            # The old container holds the name and the port.
            opts=engine.on_engine(
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[*args.after],
                    delete_before_replace=True,
                    ignore_changes=ENGINE_DECIDES,
                )
            ),
        )
        self.network = network.name
        self.ready = [container]
        self.register_outputs({})


NETWORK_OF_PROXY = (
    f"docker container inspect {PROXY_CONTAINER} --format "
    "'{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}'"
)
"""Prints the name of the proxy's one network."""


class OthersProxy(Proxy):
    """The proxy of another stack's host: services of this stack get routes there, and change no other ones.

    Services behind it do not reach each other (scripts/apart.sh), whosever they are.
    """

    def __init__(self, name: str, engine: DockerEngine) -> None:
        pulumi.ComponentResource.__init__(self, "slipway:index:OthersProxy", name)
        host = engine.host
        found = command.remote.Command(
            f"{name}-network",
            connection=host.ssh,
            create=host.as_root(NETWORK_OF_PROXY),
            add_previous_output_in_env=False,
            opts=host.on_host(pulumi.ResourceOptions(parent=self)),
        )
        self.network = found.stdout.apply(str.strip)
        self.ready = [found]
        self.register_outputs({})
