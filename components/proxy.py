"""The proxy of an app host: it owns the HTTP port and switches the traffic between containers."""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.engine import ENGINE_DECIDES, LOG_DRIVER, LOG_OPTIONS, DockerEngine
from well_known import PROXY_CONTAINER, PROXY_IMAGE, ROLE_LABEL, STACK_LABEL

MEMORY_MIB = 256
"""Memory limit of the container."""


@dataclass(frozen=True, kw_only=True)
class ProxyArgs:
    """What a proxy is made from."""

    engine: DockerEngine
    """The engine that runs it."""


class Proxy(pulumi.ComponentResource):
    """kamal-proxy on an app host, with a network for the containers behind it."""

    network: pulumi.Output[str]
    """The network's name, for the services' containers."""
    ready: list[pulumi.Resource]
    """What services behind it wait for."""

    def __init__(self, name: str, args: ProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Proxy", name, None, opts)
        engine = args.engine
        on_engine = engine.on_engine(pulumi.ResourceOptions(parent=self))
        network = docker.Network(f"{name}-network", driver="bridge", opts=on_engine)
        # The proxy keeps its routes here, so a restart keeps them.
        state = docker.Volume(
            f"{name}-state",
            opts=engine.on_engine(pulumi.ResourceOptions(parent=self, retain_on_delete=True)),
        )
        image = docker.RemoteImage(f"{name}-image", name=PROXY_IMAGE, keep_locally=True, opts=on_engine)
        container = docker.Container(
            f"{name}-container",
            name=PROXY_CONTAINER,
            image=image.image_id,
            restart="always",
            memory=MEMORY_MIB,
            security_opts=["no-new-privileges"],
            log_driver=LOG_DRIVER,
            log_opts=LOG_OPTIONS,
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name)],
            ports=[docker.ContainerPortArgs(internal=80, external=80)],
            volumes=[
                docker.ContainerVolumeArgs(
                    volume_name=state.name, container_path="/home/kamal-proxy/.config/kamal-proxy"
                )
            ],
            labels=[
                docker.ContainerLabelArgs(label=STACK_LABEL, value=pulumi.get_stack()),
                docker.ContainerLabelArgs(label=ROLE_LABEL, value="proxy"),
            ],
            # The old container holds the name and the port.
            opts=engine.on_engine(
                pulumi.ResourceOptions(parent=self, delete_before_replace=True, ignore_changes=ENGINE_DECIDES)
            ),
        )
        self.network = network.name
        self.ready = [container]
        self.register_outputs({})
