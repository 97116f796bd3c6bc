"""A service on its app hosts, rolled out host after host, each only after its health check passes."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from batches import batches
from components import containers, edge, secret_files, visitors
from components.engine import ENGINE_DECIDES, DockerEngine
from components.host import Host, Serving
from components.https import Https
from components.images.image import AppImage, RunImage
from components.images.volumes import warn_of_volumes
from components.job import Job
from components.proxy import OthersProxy, Proxy, ProxyArgs
from components.raw_packets import warn_of_pretenders
from components.registry.registries import AnyRegistry
from components.registry.retention import InUseMarkers
from components.release import ReleaseCommand
from components.routing import Routing
from components.secret_files import SecretFiles
from components.service_files import ServiceFiles
from components.volumes import make_volumes
from configuration.containers import ContainerSettings, HealthCheck
from configuration.resource_names import container as container_name
from configuration.rollout import BatchSettings
from configuration.services import ServiceSettings
from configuration.settings import StackSettings
from well_known import SERVICE_LABEL, STACK_LABEL, SWITCH_SCRIPT_PATH, TEMPLATE_LABEL


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """What a service runs with."""

    image: RunImage
    """The image."""
    settings: ContainerSettings
    """What its containers get of their host."""
    check: HealthCheck | None = None
    """How it is known to be healthy if no proxy asks it; None for a service behind the proxy."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of other services for its containers, each with its address."""
    secret_environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables with secret values."""
    after: Sequence[pulumi.Resource] = ()
    """What has to be done before it starts: the switches of what it needs."""
    networks: Mapping[str, Sequence[pulumi.Input[str]]] = field(default_factory=dict)
    """The names of the networks that it shares with other services, by host."""
    alias: str = ""
    """Its name there; empty for its own."""
    hosts: Sequence[tuple[DockerEngine, Proxy]]
    """Where it runs, in the order of the roll-out."""
    port: int
    """TCP port on which the container answers HTTP."""
    health_path: str
    """Path of the health check; a 2xx status is healthy."""
    health_timeout_seconds: int
    """Limit for a new container to become healthy."""
    drain_timeout_seconds: int
    """Limit for requests that the old container still serves."""
    stop_grace_seconds: int
    """How long a container may take to end after SIGTERM."""
    memory_mib: int
    """Memory limit of a container."""
    routing: Routing
    """The requests that the proxies send to it."""
    capabilities: Sequence[str]
    """Linux capabilities of its processes, without `CAP_`."""
    read_only: bool = False
    """Whether its own files cannot be changed, but for a /tmp in memory."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables."""
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Secrets by name: each is a file of that name in /run/secrets."""
    owns_image: bool = True
    """Whether the image is made for it, and not for another service."""
    files: ServiceFiles | None = None
    """Its files besides the image."""
    job: Job | None = None
    """When it runs; None if it runs all the time."""
    release: ReleaseCommand | None = None
    """What runs before a version serves."""
    markers: InUseMarkers | None = None
    """Makes in-use markers for the image; None if the registry keeps all images."""
    rollout: BatchSettings | None = None
    """In which batches the hosts get a version; None for one after another."""


class Service(pulumi.ComponentResource):
    """A service on each of its hosts, behind the proxy or alone.

    The first host whose new container does not become healthy ends the roll-out: there and on the hosts of the batches
    behind it the old version continues to serve.
    """

    image: pulumi.Output[str]
    """The image that all its hosts serve, by digest. Known after the last host's switch; empty if a targeted update
    left out some hosts."""
    switches: dict[str, pulumi.Resource]
    """The command that switches the traffic on each host, by the host's name."""
    released: list[pulumi.Resource]
    """What other services of the same image wait for: the release command, if it has one."""

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Service", name, None, opts)
        image, markers = args.image, args.markers
        owner = image if isinstance(image, AppImage) and args.owns_image else self
        deployed = [markers.deployed(name, image.references, owner)] if markers else []
        self.switches: dict[str, pulumi.Resource] = {}
        self.released: list[pulumi.Resource] = []
        by_host = {engine.host.name: (engine, proxy) for engine, proxy in args.hosts}
        # All hosts pull at once, before the roll-out reaches them.
        pulled = {host: self._pull(name, image, engine) for host, (engine, _) in by_host.items()}
        rollout = args.rollout or BatchSettings()
        in_turn = batches(list(by_host), rollout.parallel, rollout.canary or 0)
        served: dict[str, pulumi.Output[str]] = {}
        # With batches, an image that a host cannot pull ends the roll-out before it begins.
        previous: list[pulumi.Resource] = list(pulled.values()) if args.rollout else []
        for batch in in_turn:
            pause = rollout.pause if batch is not in_turn[-1] else 0
            switches: list[pulumi.Resource] = []
            for host in batch:
                engine, proxy = by_host[host]
                waits_for = [*proxy.ready, *previous, *deployed, *args.after]
                volumes = make_volumes(name, args.settings.volumes, engine, self)
                secrets = secret_files.bring(name, engine, args.secrets, self)
                if args.files:
                    waits_for.append(args.files.bring(engine, self))
                container = self._container(
                    name, args, engine, proxy, pulled[host], volumes, secrets, waits_for
                )
                if args.release and not self.switches:
                    self.released = [args.release.on(name, engine.host, container, self)]
                released = self.released if batch is in_turn[0] else []
                switch = self._switch(name, args, engine, container, released, pause)
                if markers:
                    # The next host does not wait for it.
                    markers.serving(name, host, image.references, switch, self)
                switches.append(switch)
                served[host] = _served(switch, container, pulled[host])
                self.switches[host] = switch
            previous = switches
        if markers and self.switches:
            # A version that fails on a later host has not served: it must not push out one that has.
            markers.served(name, image.references, previous, self)
        # The same on every host, or none.
        self.image = pulumi.Output.all(*served.values()).apply(
            lambda images: str(images[0]) if len(set(images)) == 1 else ""
        )
        self.register_outputs({})

    def _pull(self, name: str, image: RunImage, engine: DockerEngine) -> docker.RemoteImage:
        return docker.RemoteImage(
            f"{container_name(name, engine.host.name)}-image",
            name=image.reference,
            keep_locally=True,
            opts=engine.on_engine(pulumi.ResourceOptions(parent=self)),
        )

    def _container(
        self,
        name: str,
        args: ServiceArgs,
        engine: DockerEngine,
        proxy: Proxy,
        image: docker.RemoteImage,
        volumes: Mapping[str, pulumi.Output[str]],
        secrets: SecretFiles | None,
        waits_for: list[pulumi.Resource],
    ) -> docker.Container:
        return docker.Container(
            container_name(name, engine.host.name),
            image=image.image_id,
            restart=args.settings.restart,
            # The switch starts it. An update that ends before the switch leaves no second version that works.
            start=False,
            must_run=False,
            memory=args.memory_mib,
            capabilities=docker.ContainerCapabilitiesArgs(
                drops=["ALL"],
                # The engine reports names with the prefix.
                adds=[f"CAP_{capability}" for capability in sorted(args.capabilities)],
            ),
            read_only=args.read_only or None,
            tmpfs=containers.tmpfs(args.settings, read_only=args.read_only),
            security_opts=["no-new-privileges"],
            log_driver=args.settings.log_driver,
            log_opts=containers.log_options(args.settings),
            envs=containers.environment(args.environment, args.secret_environment),
            # An empty list, as stacks that exist have it. Older versions wrote secrets here.
            uploads=[],
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=proxy.network),
                *(
                    docker.ContainerNetworksAdvancedArgs(name=network, aliases=[args.alias or name])
                    for network in args.networks.get(engine.host.name, ())
                ),
            ],
            labels=[
                docker.ContainerLabelArgs(label=STACK_LABEL, value=pulumi.get_stack()),
                docker.ContainerLabelArgs(label=SERVICE_LABEL, value=name),
                *([docker.ContainerLabelArgs(label=TEMPLATE_LABEL, value="job")] if args.job else []),
                *(
                    docker.ContainerLabelArgs(label=label, value=value)
                    for label, value in sorted(
                        {**args.settings.labels, **containers.fixed(args.settings, args.check)}.items()
                    )
                ),
            ],
            **containers.options(
                args.settings,
                args.check,
                args.names,
                volumes,
                secrets.path if secrets else None,
                args.files.mounts if args.files else (),
            ),
            opts=engine.on_engine(
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[*waits_for, *([secrets.brought] if secrets else [])],
                    # By default the plugin would remove the old container first, which serves until the switch.
                    delete_before_replace=False,
                    ignore_changes=[*ENGINE_DECIDES, *(["ports"] if args.settings.ports else [])],
                )
            ),
        )

    def _switch(
        self,
        name: str,
        args: ServiceArgs,
        engine: DockerEngine,
        container: docker.Container,
        released: Sequence[pulumi.Resource],
        pause_seconds: int,
    ) -> command.remote.Command:
        host = engine.host
        before: list[str] = ["--job"] if args.job else ["--start"] if args.check else []
        arguments: Sequence[object] = (
            args.job.arguments(args.stop_grace_seconds, args.settings.pids)
            if args.job
            else [
                args.health_timeout_seconds,
                args.stop_grace_seconds,
                containers.checked_by(args.check),
                *containers.switch_options(args.settings),
            ]
            if args.check
            else [
                args.port,
                args.health_path,
                args.health_timeout_seconds,
                args.drain_timeout_seconds,
                args.stop_grace_seconds,
                *args.routing.arguments(host.https_port),
                *containers.switch_options(args.settings),
            ]
        )
        return command.remote.Command(
            f"{container_name(name, host.name)}-switch",
            connection=host.ssh,
            create=pulumi.Output.concat(
                host.as_root(f"{shlex.join([SWITCH_SCRIPT_PATH, *before, name])} "),
                container.name,
                " ",
                shlex.join([*map(str, arguments), *([f"pause={pause_seconds}"] if pause_seconds else [])]),
            ),
            delete=host.as_root(f"{SWITCH_SCRIPT_PATH} --remove {name}"),
            # Triggers would replace this command, and its `delete` then removes the service from the proxy.
            add_previous_output_in_env=False,
            # Replaced with its host only. If an update ends amid that replacement, Pulumi would otherwise create the
            # new one first and then run the old one's `delete` on the new host.
            opts=host.on_host(
                pulumi.ResourceOptions(
                    parent=self, depends_on=[*released] or None, delete_before_replace=True
                )
            ),
        )


def _served(
    switch: command.remote.Command, container: docker.Container, image: docker.RemoteImage
) -> pulumi.Output[str]:
    """The image that a host serves after the switch, by digest."""
    properties = (switch.create, container.name, container.image, image.image_id, image.name)
    return pulumi.Output.all(*properties).apply(lambda known: served_image(*known))


def served_image(switch: str, container: str, container_image: str, pulled_image: str, reference: str) -> str:
    """The image of the container that the last switch was to, by digest; empty if it was to another one.

    A targeted update leaves out resources. They have the properties of an update before, so these need not belong
    together.

    Args:
        switch: the command of the last switch.
        container: the container's name.
        container_image: the id of its image.
        pulled_image: the id of the image that was pulled last.
        reference: that image by digest.
    """
    return reference if container in switch.split() and container_image == pulled_image else ""


def make_services(
    settings: StackSettings,
    engines: Mapping[str, DockerEngine],
    images: Mapping[str, RunImage],
    registry: AnyRegistry,
    https: Https,
    held: Collection[str] = (),
    returned: Collection[str] = (),
) -> tuple[dict[str, Service], Serving]:
    """The services, by name, and what makes each host serve visitors.

    Args:
        settings: the stack's.
        engines: by the name of the host.
        images: the services' images.
        registry: the registry that has them.
        https: the services' certificates.
        held: the services at a version that they had before.
        returned: those of them that a rollback has taken there, and takes there on all hosts at once.
    """
    warn_of_volumes(settings)
    warn_of_pretenders(settings)
    proxies: dict[str, Proxy] = {}
    # A new version of the proxy comes to the edges last.
    for name in (*settings.hosts_with("app"), *settings.edges):
        if engines[name].setup is None:
            proxies[name] = OthersProxy(f"{name}-proxy", engines[name])
            continue
        before = [resource for proxy in proxies.values() for resource in proxy.ready][-1:]
        proxies[name] = Proxy(f"{name}-proxy", ProxyArgs(engine=engines[name], after=before))
    https.order({name: engines[name].host for name in proxies}, proxies)
    for name, proxy in proxies.items():
        # A service's names lead to HTTPS once its certificate is there.
        proxy.ready += https.deliver(settings.https_on(name), engines[name].host, proxy)
        proxy.ready += visitors.deliver(settings, engines[name].host, proxy)
    services: dict[str, Service] = {}
    shared = _shared_networks(settings, engines, proxies)
    # One key logs in to all hosts.
    key = next(iter(engines.values())).host.ssh_private_key
    for name in settings.needed_first():
        service = settings.services[name]
        source = services.get(settings.image_source(name))
        services[name] = Service(
            name,
            ServiceArgs(
                settings=service,
                check=service.own_check,
                names={
                    other: containers.HOST_GATEWAY
                    for other in settings.private_ports.values()
                    if other != name
                },
                after=[
                    *(switch for other in service.needs for switch in services[other].switches.values()),
                    *(source.released if source else []),
                ],
                networks={
                    host: [shared[host, network] for network in service.networks]
                    for host in settings.service_hosts(name)
                },
                alias=name.removeprefix(settings.guest_prefix),
                job=Job.of(service),
                files=(files := ServiceFiles.of(settings, name, key)),
                release=ReleaseCommand.of(
                    settings, name, images[name].reference, key, files, is_known=name in held
                ),
                owns_image=settings.image_source(name) == name,
                image=images[name],
                hosts=[(engines[host], proxies[host]) for host in settings.service_hosts(name)],
                port=service.port,
                health_path=service.health_path,
                health_timeout_seconds=service.health_timeout,
                drain_timeout_seconds=service.drain_timeout,
                stop_grace_seconds=service.stop_grace,
                memory_mib=service.memory,
                capabilities=service.capabilities,
                read_only=service.read_only,
                routing=Routing.of(settings, name),
                environment=service.plain_env,
                secret_environment={
                    variable: settings.secrets[secret].get_secret_value()
                    for variable, secret in service.secret_env.items()
                },
                secrets={key: settings.secrets[key].get_secret_value() for key in service.secrets},
                markers=registry.markers,
                rollout=_way_back(service) if name in returned else service.rollout,
            ),
        )
    hosts = {name: engine.host for name, engine in engines.items()}
    routed = {
        name: _routes(settings, hosts, hosts[name], proxies[name], services)
        for name in settings.hosts_with("app")
    }
    fronted = {
        name: edge.deliver(settings, hosts, name, proxies[name], [*routed.values()])
        for name in settings.edges
    }
    return services, {**routed, **fronted}


def _way_back(service: ServiceSettings) -> BatchSettings | None:
    """In which batches the hosts go back to a version, which was healthy on them: at once and without pauses.

    A service keeps the batches that its settings ask for. One that stops first would be away from all hosts at once.
    """
    if service.rollout:
        return service.rollout.model_copy(update={"pause": 0})
    return None if service.is_stopped_first else BatchSettings(parallel="100%")


def _shared_networks(
    settings: StackSettings, engines: Mapping[str, DockerEngine], proxies: Mapping[str, Proxy]
) -> dict[tuple[str, str], pulumi.Output[str]]:
    """The names of the networks that services share, by host and by their names in the settings."""
    # On another stack's hosts, everything tells whose it is. Networks of stacks that exist have no label.
    own = [docker.NetworkLabelArgs(label=STACK_LABEL, value=pulumi.get_stack())]
    labels = own if settings.guest_prefix else None
    wanted = {
        (host, network): None
        for name, service in settings.services.items()
        for host in settings.service_hosts(name)
        for network in service.networks
    }
    return {
        (host, network): docker.Network(
            # The engine lists a container's networks by name, and the scripts take the first address: the proxy's
            # network, HOST-proxy-network, has to come first.
            f"{host}-shared-{network}",
            driver="bridge",
            labels=labels,
            opts=engines[host].on_engine(pulumi.ResourceOptions(parent=proxies[host])),
        ).name
        for host, network in wanted
    }


def _routes(
    settings: StackSettings,
    hosts: Mapping[str, Host],
    host: Host,
    proxy: Proxy,
    services: Mapping[str, Service],
) -> command.remote.Command:
    """Takes the routes of former names out of a host's proxy, once all its services have switched.

    A switch leaves them: another service may be about to get the name, without a request in between that is lost.
    """
    here = {
        name: service
        for name, service in settings.services.items()
        if host.name in settings.service_hosts(name) and service.own_check is None
    }
    keys = sorted(key for name in here for key in Routing.of(settings, name).keys)
    # Behind edges it is these that a CDN reaches.
    networks = () if settings.edges else settings.proxy.trusted_proxies
    trusted = [f"trusted={','.join(map(str, networks))}"] if networks else []
    kept = {
        "certificates": settings.https_on(host.name),
        "passwords": settings.with_visitors(host.name),
        "pages": settings.with_error_page(host.name),
    }
    files = [f"{kind}={','.join(names)}" for kind, names in kept.items() if names]
    files += [f"of={settings.guest_prefix}"] if settings.guest_prefix else []
    files += ["acme=yes"] if settings.acme_on(host.name) else []
    line = host.as_root(shlex.join([SWITCH_SCRIPT_PATH, "--only", *keys, *trusted, *files]))
    return command.remote.Command(
        f"{host.name}-routes",
        connection=host.ssh,
        create=edge.known_by(line, settings, hosts) if settings.edges else line,
        add_previous_output_in_env=False,
        opts=host.on_host(
            pulumi.ResourceOptions(
                parent=proxy,
                depends_on=[*proxy.ready, *(services[name].switches[host.name] for name in here)],
            )
        ),
    )
