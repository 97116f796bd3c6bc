"""A web service on its app hosts: switched over one after another, each only once it is healthy."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.engine import ENGINE_DECIDES, LOG_DRIVER, LOG_OPTIONS, DockerEngine
from components.proxy import Proxy
from components.registry import retention

SWITCH = "/usr/local/lib/slipway/switch"
"""Where engine.sh installs scripts/switch.sh."""
PROCESSES = 4096
"""Most processes of a service's user. Docker's own limit for a container is none that the plugin can set."""


@dataclass(frozen=True, kw_only=True)
class ServedMarks:
    """Where marks of what has served go, and what they name."""

    engine: DockerEngine
    """The engine of the registry's host."""
    references: Sequence[pulumi.Input[str]]
    """The image and those of the stack's own that it stands on, by digest."""


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """What a service runs with."""

    image: pulumi.Input[str]
    """The image, by digest."""
    hosts: Sequence[tuple[DockerEngine, Proxy]]
    """Where it runs, in the order of the roll-out."""
    port: int
    """TCP port on which the container answers HTTP."""
    health_path: str
    """What the health check asks for; 2xx is healthy."""
    health_timeout_seconds: int
    """How long a new container may take to get healthy."""
    drain_timeout_seconds: int
    """How long requests that the old container still serves may take."""
    memory_mib: int
    """Most memory of a container."""
    domain: str | None = None
    """The name by which the proxy knows it; None takes all requests that no other service takes."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables."""
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Secrets by name: each is a file of that name in /run/secrets."""
    after: Sequence[pulumi.Resource] = ()
    """What has to be there before a container of this image starts."""
    marks: ServedMarks | None = None
    """Where to note that a host serves the image; None where the registry keeps all images."""


class Service(pulumi.ComponentResource):
    """A service behind the proxy of each of its hosts.

    The first host that does not get healthy stops the roll-out: there and on the hosts after it the old
    version goes on serving.
    """

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Service", name, None, opts)
        before: list[pulumi.Resource] = []
        for engine, proxy in args.hosts:
            # Pulled on all hosts at once, ahead of each one's turn.
            image = docker.RemoteImage(
                f"{name}-{engine.host.name}-image",
                name=args.image,
                keep_locally=True,
                opts=engine.runs_here(pulumi.ResourceOptions(parent=self)),
            )
            switch = self._switch(name, args, engine, proxy, image, before)
            if args.marks:
                # The next host does not wait for them.
                if not before:
                    retention.history_mark(name, args.marks.engine, args.marks.references, switch, self)
                retention.serving_mark(
                    name, engine.host.name, args.marks.engine, args.marks.references, switch, self
                )
            before = [switch]
        self.register_outputs({})

    def _switch(
        self,
        name: str,
        args: ServiceArgs,
        engine: DockerEngine,
        proxy: Proxy,
        image: docker.RemoteImage,
        before: list[pulumi.Resource],
    ) -> command.remote.Command:
        host = engine.host
        container = docker.Container(
            f"{name}-{host.name}",
            image=image.image_id,
            restart="unless-stopped",
            memory=args.memory_mib,
            security_opts=["no-new-privileges"],
            log_driver=LOG_DRIVER,
            log_opts=LOG_OPTIONS,
            ulimits=[docker.ContainerUlimitArgs(name="nproc", soft=PROCESSES, hard=PROCESSES)],
            envs=[f"{key}={value}" for key, value in sorted(args.environment.items())],
            uploads=[
                docker.ContainerUploadArgs(
                    # Readable inside, since the image's own user is not root.
                    file=f"/run/secrets/{key}",
                    content=pulumi.Output.secret(value),
                    permissions="0444",
                )
                for key, value in sorted(args.secrets.items())
            ],
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=proxy.network)],
            labels=[
                docker.ContainerLabelArgs(label="slipway.stack", value=pulumi.get_stack()),
                docker.ContainerLabelArgs(label="slipway.service", value=name),
            ],
            opts=engine.runs_here(
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[*proxy.ready, *before, *args.after],
                    # Explicit: the plugin would remove the old one first, which serves until the switch.
                    delete_before_replace=False,
                    ignore_changes=ENGINE_DECIDES,
                )
            ),
        )
        arguments = [
            args.port,
            args.health_path,
            args.health_timeout_seconds,
            args.drain_timeout_seconds,
            *([args.domain] if args.domain else []),
        ]
        return command.remote.Command(
            f"{name}-{host.name}-switch",
            connection=host.ssh,
            create=pulumi.Output.concat(
                host.as_root(f"{SWITCH} {name} "),
                container.name,
                " ",
                shlex.join(str(argument) for argument in arguments),
            ),
            delete=host.as_root(f"{SWITCH} --remove {name}"),
            # No triggers: they would replace the command, whose `delete` then takes the service away.
            add_previous_output_in_env=False,
            # It is replaced with its host only. After an update that ended amid that, Pulumi would make the new one
            # first, and then carry out the old one's `delete` on the new host.
            opts=host.lives_here(pulumi.ResourceOptions(parent=self, delete_before_replace=True)),
        )
