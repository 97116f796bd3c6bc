"""The platform `local`: each host is a container here that boots systemd, sshd and Docker Engine."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker
import pulumi_tls as tls

from components.build_context import content_tag
from components.host import REGISTRY_DATA_PATH, Host
from configuration.hosts import LocalPorts
from configuration.settings import StackSettings
from well_known import CLONE_LABEL, HOST_LABEL, PROJECT_LABEL, STACK_LABEL, STATE_LABEL, state_id

IMAGE_CONTEXT = Path("components/hosts/local_image")
"""Build context of the hosts' image, relative to the project."""

CAPABILITIES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK KILL MKNOD NET_ADMIN
    NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE
"""
"""What systemd, sshd and an engine inside need; `--privileged` is more than some machines allow."""

LOOPBACK = "127.0.0.1"

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def engine_platform() -> str:
    """The platform that this machine's engine runs and builds for, as Docker writes it."""
    machine = platform.machine().lower()
    return f"linux/{ARCHITECTURES.get(machine, machine)}"


@dataclass(frozen=True, kw_only=True)
class LocalHostArgs:
    """One host of the platform `local`."""

    roles: frozenset[str]
    """Among `registry`, `build` and `app`."""
    ports: LocalPorts
    """Where it answers on 127.0.0.1."""
    registry_port: int
    """Port of 127.0.0.1, and of the host itself, for the registry; only its host publishes it."""
    metrics_port: int | None = None
    """The same for the registry's metrics and health; not published when None."""
    memory_mib: int | None = None
    """Most memory that the host may use, MiB; no limit when None."""
    protect: bool = False
    """Whether Pulumi refuses to delete the host and its data."""


@dataclass(frozen=True, kw_only=True)
class LocalPlatformArgs:
    """The hosts, and who may log in to them."""

    hosts: Mapping[str, LocalHostArgs]
    """The hosts, by name."""
    ssh_key: tls.PrivateKey
    """The operator's key."""


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
        image = docker.Image(
            "host-image",
            image_name=f"slipway/host:{content_tag(IMAGE_CONTEXT)}",
            build=docker.DockerBuildArgs(
                context=IMAGE_CONTEXT.as_posix(),
                dockerfile=(IMAGE_CONTEXT / "Dockerfile").as_posix(),
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
                for label, value in _labels(args.ssh_key).items()
            ],
            opts=_keeps_labels(on_engine),
        )
        self.hosts = {
            host: _make_host(host, host_args, args, prefix, image, network, on_engine)
            for host, host_args in args.hosts.items()
        }
        self.register_outputs({"hosts": sorted(self.hosts)})


def make_hosts(settings: StackSettings, ssh_key: tls.PrivateKey) -> dict[str, Host]:
    """The stack's hosts, by name."""
    hosts = {
        name: LocalHostArgs(
            roles=frozenset(host.roles),
            ports=settings.local_ports(name),
            registry_port=settings.registry_port,
            metrics_port=settings.registry.metrics_port,
            memory_mib=host.memory,
            protect=settings.protect,
        )
        for name, host in settings.hosts.items()
    }
    return LocalPlatform("hosts", LocalPlatformArgs(hosts=hosts, ssh_key=ssh_key)).hosts


def _make_host(
    name: str,
    args: LocalHostArgs,
    common: LocalPlatformArgs,
    prefix: str,
    image: docker.Image,
    network: docker.Network,
    on_engine: pulumi.ResourceOptions,
) -> Host:
    host_key = tls.PrivateKey(
        f"{name}-host-key", algorithm="ED25519", opts=pulumi.ResourceOptions(parent=on_engine.parent)
    )
    kept = pulumi.ResourceOptions.merge(
        on_engine, pulumi.ResourceOptions(retain_on_delete=True, protect=args.protect)
    )
    # Named, since an anonymous volume would go with the container, and with it every image already pulled.
    engine_volume = docker.Volume(
        f"{prefix}-{name}-docker",
        labels=_volume_labels(common.ssh_key, name),
        opts=_keeps_labels(on_engine),
    )
    volumes = [
        docker.ContainerVolumeArgs(host_path="/sys/fs/cgroup", container_path="/sys/fs/cgroup"),
        # An overlay cannot be stacked on the container's own overlay.
        docker.ContainerVolumeArgs(volume_name=engine_volume.name, container_path="/var/lib/docker"),
    ]
    ports = {22: args.ports.ssh, 2376: args.ports.engine}
    if "app" in args.roles:
        ports[80] = args.ports.http
    if "registry" in args.roles:
        ports |= {port: port for port in (args.registry_port, args.metrics_port) if port}
        # A fixed name, so that `up` after `down` finds the images again.
        data = docker.Volume(
            f"{prefix}-registry",
            name=f"{prefix}-registry",
            labels=_volume_labels(common.ssh_key, name),
            opts=_keeps_labels(kept),
        )
        volumes.append(docker.ContainerVolumeArgs(volume_name=data.name, container_path=REGISTRY_DATA_PATH))
    container = docker.Container(
        name,
        name=f"{prefix}-{name}",
        hostname=name,
        image=image.repo_digest,
        restart="unless-stopped",
        capabilities=docker.ContainerCapabilitiesArgs(
            drops=["ALL"],
            # Without the prefix the engine adds it, and every refresh would replace the host.
            adds=[f"CAP_{capability}" for capability in CAPABILITIES.split()],
        ),
        security_opts=["seccomp=unconfined", "systempaths=unconfined"],
        cgroupns_mode="host",
        volumes=volumes,
        tmpfs={"/run": "", "/run/lock": "", "/tmp": ""},  # noqa: S108
        stop_signal="SIGRTMIN+3",
        memory=args.memory_mib,
        networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name, aliases=[name])],
        ports=[
            docker.ContainerPortArgs(internal=inside, external=outside, ip=LOOPBACK)
            for inside, outside in sorted(ports.items())
        ],
        uploads=[
            _upload("/etc/ssh/ssh_host_ed25519_key", pulumi.Output.secret(host_key.private_key_openssh)),
            _upload("/root/.ssh/authorized_keys", common.ssh_key.public_key_openssh),
        ],
        labels=[
            docker.ContainerLabelArgs(label=label, value=value)
            for label, value in _labels(common.ssh_key, name).items()
        ],
        opts=pulumi.ResourceOptions.merge(
            _keeps_labels(on_engine),
            pulumi.ResourceOptions(
                # The name, the ports and the volumes are the old container's until it is gone.
                delete_before_replace=True,
                protect=args.protect,
                # The engine does not report `systempaths` back, so a refresh would replace the host.
                # With a memory limit it decides on swap by itself.
                ignore_changes=["securityOpts", "memorySwap"],
            ),
        ),
    )
    return Host(
        name=name,
        roles=args.roles,
        address=LOOPBACK,
        private_address=name,
        ssh_port=args.ports.ssh,
        ssh_user="root",
        ssh_private_key=pulumi.Output.secret(common.ssh_key.private_key_openssh),
        ssh_host_key=host_key.public_key_openssh.apply(str.strip),
        engine_port=args.ports.engine,
        http_port=args.ports.http,
        platform=engine_platform(),
        dns_names=[name, "localhost"],
        ip_addresses=[LOOPBACK],
        resource=container,
        birth=container.id,
    )


def _upload(file: str, content: pulumi.Input[str]) -> docker.ContainerUploadArgs:
    return docker.ContainerUploadArgs(file=file, content=content, permissions="0600")


def _labels(ssh_key: tls.PrivateKey, host: str | None = None) -> dict[str, pulumi.Input[str]]:
    """What tells this stack's resources from those of other stacks, and of other clones' stacks of the same name."""
    found: dict[str, pulumi.Input[str]] = {
        PROJECT_LABEL: pulumi.get_project(),
        STACK_LABEL: pulumi.get_stack(),
        STATE_LABEL: ssh_key.public_key_openssh.apply(state_id),
        CLONE_LABEL: str(Path.cwd()),
    }
    return found if host is None else {**found, HOST_LABEL: host}


def _volume_labels(ssh_key: tls.PrivateKey, host: str) -> list[docker.VolumeLabelArgs]:
    return [
        docker.VolumeLabelArgs(label=label, value=value) for label, value in _labels(ssh_key, host).items()
    ]


def _keeps_labels(opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """The options, with the labels fixed at creation.

    A change of labels replaces the resource: a stack of an older version, or a clone that was moved, would lose its
    hosts. A resource that is replaced for another reason gets the present labels.
    """
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["labels"]))
