"""The platform `local`: each host is a container of this machine's own Docker Engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker
import pulumi_tls as tls

from components.host import Host
from components.hosts.labels import keep_labels, labels
from components.hosts.local_host import LocalHostArgs, engine_platform, make_host
from components.hosts.taken_name import unless_taken
from components.staged_context import stage
from configuration.settings import StackSettings
from well_known import state_id

IMAGE_CONTEXT = Path("components/hosts/local_image")
"""Build context of the hosts' image, relative to the project."""


@dataclass(frozen=True, kw_only=True)
class LocalPlatformArgs:
    """What the platform is made from."""

    hosts: Mapping[str, LocalHostArgs]
    """The hosts, by name."""
    state: pulumi.Output[str]
    """The id of the stack's state."""
    review: int | None = None
    """The pull request that the stack is for; None if it is no review environment."""


class LocalPlatform(pulumi.ComponentResource):
    """Hosts as containers of the operator's own Docker Engine."""

    hosts: dict[str, Host]
    """The hosts, by name."""

    def __init__(
        self, name: str, args: LocalPlatformArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("slipway:hosts:LocalPlatform", name, None, opts)
        prefix = f"slipway-{pulumi.get_stack()}"
        engine = docker.Provider("operator-engine", opts=pulumi.ResourceOptions(parent=self))
        on_engine = pulumi.ResourceOptions(parent=self, provider=engine)
        staged = stage(pulumi.get_stack(), "host-image", IMAGE_CONTEXT, IMAGE_CONTEXT / "Dockerfile", {})
        image = docker.Image(
            "host-image",
            image_name=f"slipway/host:{staged.tag}",
            build=docker.DockerBuildArgs(
                context=staged.context.as_posix(),
                dockerfile=staged.dockerfile.as_posix(),
                platform=engine_platform(),
            ),
            skip_push=True,
            opts=on_engine,
        )
        network = docker.Network(
            prefix,
            driver="bridge",
            labels=[
                docker.NetworkLabelArgs(label=label, value=value)
                for label, value in labels(args.state, review=args.review).items()
            ],
            opts=keep_labels(on_engine),
        )
        self.hosts = {
            host: make_host(host, host_args, prefix, image, network, on_engine)
            for host, host_args in args.hosts.items()
        }
        self.register_outputs({"hosts": sorted(self.hosts)})


def make_hosts(
    settings: StackSettings, ssh_key: tls.PrivateKey, resolvers: Sequence[str], *, is_new: bool
) -> dict[str, Host]:
    """The stack's hosts, by name.

    Args:
        settings: the stack's.
        ssh_key: the operator's key.
        resolvers: the name servers for builds.
        is_new: whether the stack has had no hosts yet. Then another clone may have hosts of this name.
    """
    state = ssh_key.public_key_openssh.apply(state_id)
    if is_new:
        state = state.apply(unless_taken)
    hosts = {
        name: LocalHostArgs(
            roles=frozenset(host.roles),
            ports=settings.local_ports(name),
            registry_port=settings.registry_port,
            metrics_port=settings.registry.metrics_port,
            memory_mib=host.memory,
            ssh_key=ssh_key,
            state=state,
            protect=settings.protect,
            review=settings.review.pull_request,
            resolvers=resolvers,
            has_https=bool(settings.https_on(name)),
            public_ports={
                (port.protocol, port.host): settings.local_port(name, port.host)
                for port in settings.public_ports(name)
            },
        )
        for name, host in settings.hosts.items()
    }
    platform = LocalPlatformArgs(hosts=hosts, state=state, review=settings.review.pull_request)
    return LocalPlatform("hosts", platform).hosts
