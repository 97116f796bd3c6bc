"""One host of the platform `local`: a container that boots systemd, sshd and Docker Engine."""

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker
import pulumi_tls as tls

from components.engine import LOG_DRIVER, LOG_OPTIONS
from components.host import Host
from components.hosts.labels import keep_labels, labels
from configuration.hosts import LocalPorts
from configuration.ports import LOOPBACK, Protocol
from well_known import REGISTRY_DATA_PATH

CAPABILITIES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK KILL MKNOD NET_ADMIN
    NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE
"""
"""What systemd, sshd and an engine inside a container need. Some machines do not allow `--privileged`."""

PROXY_MEMORY_MIB = 64
"""Memory limit of the container that hands on a host's connections for HTTPS."""

HAND_ON_UDP = r"""
iptables -w -t nat -A POSTROUTING -p udp --dport "$port" -j MASQUERADE || exit
before=
while :; do
  now=$(getent ahostsv4 "$host" | awk 'NR == 1 { print $1 }')
  if [ "$now" ] && [ "$now" != "$before" ]; then
    iptables -w -t nat -F PREROUTING
    iptables -w -t nat -A PREROUTING -p udp --dport "$port" -j DNAT --to-destination "$now" && before=$now
  fi
  sleep 2
done
"""
"""Hands on packets to the host `$host`, which may come back with another address. No program of systemd's does it for
UDP."""

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def engine_platform() -> str:
    """The platform of this machine's engine in Docker's notation, such as `linux/amd64`."""
    machine = platform.machine().lower()
    return f"linux/{ARCHITECTURES.get(machine, machine)}"


@dataclass(frozen=True, kw_only=True)
class LocalHostArgs:
    """One host of the platform `local`."""

    roles: frozenset[str]
    """Among `registry`, `build`, `app` and `edge`."""
    ports: LocalPorts
    """Its ports on 127.0.0.1."""
    registry_port: int
    """The registry's port, on 127.0.0.1 and on the host itself; only the registry's host publishes it."""
    metrics_port: int | None = None
    """The same for the registry's metrics and health; None if they are not published."""
    memory_mib: int | None = None
    """Memory limit of the host, MiB; None for no limit."""
    ssh_key: tls.PrivateKey
    """The operator's key, which logs in to the host."""
    state: pulumi.Output[str]
    """The id of the stack's state."""
    protect: bool = False
    """Whether Pulumi refuses to delete the host and its data."""
    review: int | None = None
    """The pull request that the stack is for; None if it is no review environment."""
    resolvers: Sequence[str] = ()
    """The name servers for builds."""
    has_https: bool = False
    """Whether a service of the host has HTTPS."""
    public_ports: Mapping[tuple[Protocol, int], int] = field(default_factory=dict)
    """The ports that its services publish, by protocol and number, each with its port on 127.0.0.1."""


@dataclass(frozen=True)
class BesidePort:
    """A port of a host that a container beside it publishes."""

    name: str
    """The container's name. No host has a name with a dot."""
    protocol: Protocol
    number: int
    """The port on the host."""
    outside: int
    """The port on 127.0.0.1."""


def make_host(
    name: str,
    args: LocalHostArgs,
    prefix: str,
    image: docker.Image,
    network: docker.Network,
    on_engine: pulumi.ResourceOptions,
) -> Host:
    """A host, with its volumes.

    Args:
        name: its name in the configuration.
        args: what it is made from.
        prefix: the first part of the names of the stack's resources on the operator's engine.
        image: the hosts' image.
        network: the hosts' network.
        on_engine: options with the platform as the parent and the provider of the operator's engine.
    """
    host_key = tls.PrivateKey(
        f"{name}-host-key", algorithm="ED25519", opts=pulumi.ResourceOptions(parent=on_engine.parent)
    )
    # Named, since an anonymous volume would be deleted with the container, with all images in it.
    engine_volume = docker.Volume(
        f"{prefix}-{name}-docker",
        labels=_volume_labels(args, name),
        opts=keep_labels(on_engine),
    )
    volumes = [
        docker.ContainerVolumeArgs(host_path="/sys/fs/cgroup", container_path="/sys/fs/cgroup"),
        # An overlay cannot be stacked on the container's own overlay.
        docker.ContainerVolumeArgs(volume_name=engine_volume.name, container_path="/var/lib/docker"),
    ]
    if "registry" in args.roles:
        # A fixed name, so that an `up` after `down` finds the images again.
        data = docker.Volume(
            f"{prefix}-registry",
            name=f"{prefix}-registry",
            labels=_volume_labels(args, name),
            opts=keep_labels(
                pulumi.ResourceOptions.merge(
                    on_engine, pulumi.ResourceOptions(retain_on_delete=True, protect=args.protect)
                )
            ),
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
            # The engine reports names with the prefix; without it every refresh would replace the host.
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
            for inside, outside in sorted(_ports(args).items())
        ],
        uploads=[
            _upload("/etc/ssh/ssh_host_ed25519_key", pulumi.Output.secret(host_key.private_key_openssh)),
            _upload("/root/.ssh/authorized_keys", args.ssh_key.public_key_openssh),
        ],
        labels=[
            docker.ContainerLabelArgs(label=label, value=value)
            for label, value in labels(args.state, name, review=args.review).items()
        ],
        opts=pulumi.ResourceOptions.merge(
            keep_labels(on_engine),
            pulumi.ResourceOptions(
                # The old container holds the name, the ports and the volumes.
                delete_before_replace=True,
                protect=args.protect,
                # The engine does not report `systempaths` back, so a refresh would replace the host; and it sets
                # `memorySwap` itself for a container with a memory limit. A newer image is for new hosts only, as on
                # AWS.
                ignore_changes=["securityOpts", "memorySwap", "image"],
            ),
        ),
    )
    published = [
        BesidePort(f"{name}.{number}-{protocol}", protocol, number, outside)
        for (protocol, number), outside in args.public_ports.items()
    ]
    if args.has_https:
        published.append(BesidePort(f"{name}.https", "tcp", 443, args.ports.https))
    for port in published:
        _publish(port, name, args, prefix, image, network, on_engine, container)
    return Host(
        name=name,
        roles=args.roles,
        address=LOOPBACK,
        private_address=name,
        seen_by_containers=network.ipam_configs.apply(ipv4_network),
        ssh_port=args.ports.ssh,
        ssh_user="root",
        ssh_private_key=pulumi.Output.secret(args.ssh_key.private_key_openssh),
        ssh_host_key=host_key.public_key_openssh.apply(str.strip),
        engine_port=args.ports.engine,
        http_port=args.ports.http,
        https_port=args.ports.https,
        platform=engine_platform(),
        dns_names=[name, "localhost"],
        ip_addresses=[LOOPBACK],
        resource=container,
        machine_id=container.id,
        resolvers=args.resolvers,
    )


def _publish(
    port: BesidePort,
    name: str,
    args: LocalHostArgs,
    prefix: str,
    image: docker.Image,
    network: docker.Network,
    on_engine: pulumi.ResourceOptions,
    host: docker.Container,
) -> None:
    """Publish a port of the host by a container beside it, which hands on what comes.

    Docker cannot publish another port of a container that exists. So the host would be made anew whenever the first
    service gets HTTPS or the last one gives it up, or a service gets a public port.

    Args:
        port: the port.
        name: the host's name.
        args: what the host is made from.
        prefix: the first part of the names of the stack's resources on the operator's engine.
        image: the hosts' image.
        network: the hosts' network.
        on_engine: options with the platform as the parent and the provider of the operator's engine.
        host: the host.
    """
    udp = port.protocol == "udp"
    docker.Container(
        port.name,
        name=f"{prefix}-{port.name}",
        image=image.repo_digest,
        command=["/bin/sh", "-c", f"host={shlex.quote(name)} port={port.number}\n{HAND_ON_UDP}"]
        if udp
        else [
            *("/usr/bin/systemd-socket-activate", f"--listen={port.number}"),
            *("/lib/systemd/systemd-socket-proxyd", "--connections-max=4096", f"{name}:{port.number}"),
        ],
        restart="unless-stopped",
        # The first process of a container ends by no other signal unless it handles it.
        stop_signal="SIGKILL",
        capabilities=docker.ContainerCapabilitiesArgs(
            drops=["ALL"], adds=["CAP_NET_ADMIN" if udp else "CAP_NET_BIND_SERVICE"]
        ),
        sysctls={"net.ipv4.ip_forward": "1"} if udp else None,
        security_opts=["no-new-privileges"],
        read_only=True,
        memory=PROXY_MEMORY_MIB,
        log_driver=LOG_DRIVER,
        log_opts=LOG_OPTIONS,
        networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name)],
        ports=[
            docker.ContainerPortArgs(
                internal=port.number,
                external=port.outside,
                ip=LOOPBACK,
                protocol="udp" if udp else None,
            )
        ],
        labels=[
            docker.ContainerLabelArgs(label=label, value=value)
            for label, value in labels(args.state, review=args.review).items()
        ],
        opts=pulumi.ResourceOptions.merge(
            keep_labels(on_engine),
            pulumi.ResourceOptions(
                depends_on=[host],
                # The old container holds the name and the port.
                delete_before_replace=True,
                ignore_changes=["memorySwap", "image"],
            ),
        ),
    )


def ipv4_network(configs: Sequence[docker.outputs.NetworkIpamConfig] | None) -> str:
    """The IPv4 subnet of a network; empty if it has none."""
    subnets = (config.subnet or "" for config in configs or ())
    return next((subnet for subnet in subnets if "." in subnet), "")


def _upload(file: str, content: pulumi.Input[str]) -> docker.ContainerUploadArgs:
    return docker.ContainerUploadArgs(file=file, content=content, permissions="0600")


def _volume_labels(args: LocalHostArgs, host: str) -> list[docker.VolumeLabelArgs]:
    found = labels(args.state, host, review=args.review)
    return [docker.VolumeLabelArgs(label=label, value=value) for label, value in found.items()]


def _ports(args: LocalHostArgs) -> dict[int, int]:
    """The published ports of 127.0.0.1, by port of the host."""
    ports = {22: args.ports.ssh, 2376: args.ports.engine}
    if not args.roles.isdisjoint({"app", "edge"}):
        ports[80] = args.ports.http
    if "registry" in args.roles:
        ports |= {port: port for port in (args.registry_port, args.metrics_port) if port}
    return ports
