"""The proxy of an app host: it owns the HTTP port and moves the traffic from container to container."""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.engine import ENGINE_DECIDES, LOG_DRIVER, LOG_OPTIONS, DockerEngine

IMAGE = "basecamp/kamal-proxy:v0.9.2"
"""kamal-proxy: switches without a dropped request, and drains. Kamal 2.12 ships this version."""
CONTAINER = "slipway-proxy"
"""Its name, which scripts/switch.sh calls."""
MEMORY_MIB = 256
"""Most memory that it may use."""


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
    """What has to be there before a service is put behind it."""

    def __init__(self, name: str, args: ProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Proxy", name, None, opts)
        engine = args.engine
        on_engine = engine.runs_here(pulumi.ResourceOptions(parent=self))
        network = docker.Network(f"{name}-network", driver="bridge", opts=on_engine)
        # What it routes where: after a restart it goes on as before.
        state = docker.Volume(
            f"{name}-state",
            opts=engine.runs_here(pulumi.ResourceOptions(parent=self, retain_on_delete=True)),
        )
        image = docker.RemoteImage(f"{name}-image", name=IMAGE, keep_locally=True, opts=on_engine)
        container = docker.Container(
            f"{name}-container",
            name=CONTAINER,
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
                docker.ContainerLabelArgs(label="slipway.stack", value=pulumi.get_stack()),
                docker.ContainerLabelArgs(label="slipway.role", value="proxy"),
            ],
            # The name and the port are the old container's until it is gone.
            opts=engine.runs_here(
                pulumi.ResourceOptions(parent=self, delete_before_replace=True, ignore_changes=ENGINE_DECIDES)
            ),
        )
        self.network = network.name
        self.ready = [container]
        self.register_outputs({})
