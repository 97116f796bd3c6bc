"""Instances: each is a container of this machine's Docker Engine that boots systemd, cloud-init and sshd."""

import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from emulation import images, seed
from emulation.disks import Device
from emulation.errors import failed
from emulation.wanted import Machine

CAPABILITIES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK KILL MKNOD NET_ADMIN NET_BIND_SERVICE
    NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE
"""
"""As hosts of the platform `local` have them (components/hosts/local.py)."""

STOP_SECONDS = 10
"""Time for services to end before they are killed; EC2 gives minutes."""

RELEASE_SECONDS = 10.0
STILL_TAKEN = ("Address already in use", "already exists in network")
"""What the engine says while it has not yet quite released the address of a container that has just ended."""

DEVICES = "/usr/local/lib/emulation/devices"
"""The image's program that makes the block devices."""


@dataclass(frozen=True)
class Container:
    """A container that is, or was, an instance."""

    identifier: str
    instance: str
    private_address: str
    running: bool


class Machines:
    """The containers of one emulated stack."""

    def __init__(self, directory: Path, stack: str, image: str) -> None:
        """Keep what instances find at their birth in `directory`."""
        self._directory = directory
        self._prefix = f"slipway-{stack}"
        self._label = {"slipway.emulation": str(directory.resolve())}
        self._labels = {**self._label, "slipway.stack": stack}
        self._image = image
        self._engine = docker.APIClient(timeout=120)
        directory.mkdir(mode=0o700, exist_ok=True)

    def found(self) -> dict[str, Container]:
        """The containers that are there, by the instance's id."""
        with _understood():
            listed = self._engine.containers(all=True, filters=self._filter)
        return {
            item["Labels"]["slipway.instance"]: Container(
                item["Id"],
                item["Labels"]["slipway.instance"],
                item["Labels"]["slipway.address"],
                item["State"] == "running",
            )
            for item in listed
        }

    def create(self, machine: Machine) -> Container:
        """Make an instance's container, not yet started."""
        if images.IDS.get(machine.architecture) != machine.image:
            raise failed(f"the emulation has no {machine.image}: it boots Debian 12 only")
        own = self._engine_architecture()
        if machine.architecture != own:
            raise failed(
                f"this machine boots {own} only, and {machine.name} would be {machine.architecture}: "
                "choose an instance type of that architecture"
            )
        self._network(machine.network, machine.network_range)
        name = f"{self._prefix}-{machine.instance}"
        directory = self._directory / machine.instance
        seed.write_seed(directory / "seed", machine)
        (directory / "devices").mkdir(exist_ok=True)
        (directory / "devices/devices").touch()
        with _understood():
            # The disk that it boots from; an overlay cannot be stacked on the container's own overlay.
            self._engine.create_volume(f"{name}-docker", labels=self._labels)
            created = self._engine.create_container(
                self._image,
                name=name,
                hostname=machine.host_name,
                labels={
                    **self._labels,
                    "slipway.instance": machine.instance,
                    "slipway.host": machine.name,
                    "slipway.address": machine.private_address,
                },
                stop_signal="SIGRTMIN+3",
                host_config=self._host_config(name, directory.resolve()),
                networking_config={
                    "EndpointsConfig": {
                        f"{self._prefix}-{machine.network}": {
                            "IPAMConfig": {"IPv4Address": machine.private_address}
                        }
                    }
                },
            )
        return Container(created["Id"], machine.instance, machine.private_address, running=False)

    def _host_config(self, name: str, directory: Path) -> dict[str, Any]:
        config: dict[str, Any] = self._engine.create_host_config(
            cap_drop=["ALL"],
            cap_add=CAPABILITIES.split(),
            # Docker's own AppArmor profile lets nothing be mounted. Engines without AppArmor take no notice.
            security_opt=["apparmor=unconfined", "seccomp=unconfined"],
            cgroupns="host",
            device_cgroup_rules=["b 7:* rmw"],
            tmpfs={"/run": "", "/run/lock": "", "/tmp": ""},  # noqa: S108
            binds=[
                "/sys/fs/cgroup:/sys/fs/cgroup",
                f"{name}-docker:/var/lib/docker",
                f"{directory}/seed:/var/lib/cloud/seed/nocloud:ro",
                f"{directory}/devices:/var/lib/emulation:ro",
            ],
        )
        # What the command `docker run` makes of `systempaths=unconfined`.
        return config | {"MaskedPaths": [], "ReadonlyPaths": []}

    def start(self, container: Container) -> None:
        """Boot it."""
        deadline = time.monotonic() + RELEASE_SECONDS
        while True:
            with _understood():
                try:
                    self._engine.start(container.identifier)
                    return
                except APIError as error:
                    said = str(error.explanation)
                    if time.monotonic() > deadline or not any(text in said for text in STILL_TAKEN):
                        raise
            time.sleep(0.1)

    def stop(self, container: Container) -> None:
        """Shut it down."""
        with _understood():
            self._engine.stop(container.identifier, timeout=STOP_SECONDS)

    def remove(self, container: Container) -> None:
        """Remove it with the disk that it booted from, at once, as a terminated instance goes."""
        with _understood():
            self._engine.remove_container(container.identifier, force=True, v=True)
            self._engine.remove_volume(f"{self._prefix}-{container.instance}-docker", force=True)

    def set_devices(self, container: Container, devices: Sequence[tuple[str, Device]]) -> None:
        """Let an instance have just these volumes: at once if it runs, and at each start."""
        path = self._directory / container.instance / "devices/devices"
        before, after = path.read_text(), seed.device_list(devices)
        if before == after:
            return
        path.write_text(after)
        if container.running:
            self.run(container, DEVICES)

    def mounted(self, container: Container, device: Device) -> bool:
        """Whether something in the running instance has a file system of the device mounted."""
        if not container.running:
            return False
        return f" {device.major}:{device.minor} " in self.run(container, "cat", "/proc/1/mountinfo")

    def run(self, container: Container, *command: str) -> str:
        """What a command in the instance prints; a command that fails is an error."""
        with _understood():
            made = self._engine.exec_create(container.identifier, list(command))
            output: str = self._engine.exec_start(made["Id"]).decode(errors="replace")
            status = self._engine.exec_inspect(made["Id"])["ExitCode"]
        if status:
            raise failed(f"{' '.join(command)} in {container.instance}: {output.strip()}")
        return output

    def keep_networks(self, networks: set[str]) -> None:
        """Remove the networks of VPCs that are gone, which nothing is in any more."""
        with _understood():
            for found in self._engine.networks(filters=self._filter):
                if found["Labels"]["slipway.network"] not in networks:
                    self._engine.remove_network(found["Id"])

    def forget_all_but(self, instances: Collection[str]) -> None:
        """Remove what other instances found at their birth."""
        for path in self._directory.iterdir():
            if path.name not in instances:
                shutil.rmtree(path)

    def remove_disks(self) -> None:
        """Remove what is left of disks that instances booted from."""
        with _understood():
            for found in self._engine.volumes(filters=self._filter)["Volumes"] or ():
                self._engine.remove_volume(found["Name"], force=True)

    @property
    def _filter(self) -> dict[str, Any]:
        return {"label": [f"{key}={value}" for key, value in self._label.items()]}

    def _engine_architecture(self) -> str:
        with _understood():
            name: str = self._engine.version()["Arch"]
        return {"amd64": "x86_64"}.get(name, name)

    def _network(self, identifier: str, addresses: str) -> None:
        """A bridge with the VPC's addresses. Its own one is the first, which no subnet of EC2's hands out."""
        name = f"{self._prefix}-{identifier}"
        with _understood():
            if self._engine.networks(names=[f"^{name}$"], filters=self._filter):
                return
            pool = docker.types.IPAMPool(subnet=addresses)
            try:
                self._engine.create_network(
                    name,
                    driver="bridge",
                    ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                    labels={**self._labels, "slipway.network": identifier},
                )
            except APIError as error:
                raise failed(
                    f"the network {addresses} cannot be made on this machine ({error.explanation}): "
                    "another one has these addresses, so choose others (slipway:platform.network.cidr)"
                ) from error


@contextmanager
def _understood() -> Iterator[None]:
    """Report what the Docker Engine says as the emulation's failure."""
    try:
        yield
    except NotFound:
        raise failed("a container or volume of the emulation was removed behind its back") from None
    except APIError as error:
        raise failed(f"Docker Engine: {error.explanation or error}") from error
    except DockerException as error:
        raise failed(f"Docker Engine does not answer: {error}") from error
