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
from emulation.desired import Machine
from emulation.disks import Device
from emulation.errors import failed

CAPABILITIES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK KILL MKNOD NET_ADMIN NET_BIND_SERVICE
    NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE
"""
"""The capabilities of hosts of the platform `local` (components/hosts/local.py)."""

STOP_SECONDS = 10
"""Time for services to end before they are killed. EC2 gives them minutes."""

RELEASE_SECONDS = 10.0
"""Longest that the engine takes to release the address of a container that has ended."""
STILL_TAKEN = ("Address already in use", "already exists in network")
"""The engine's errors until the address is released."""

DEVICES = "/usr/local/lib/emulation/devices"
"""The program in the image that makes the block devices."""


@dataclass(frozen=True)
class Container:
    """The container of an instance."""

    identifier: str
    instance: str
    private_address: str
    running: bool


class Machines:
    """The containers of one emulated stack."""

    def __init__(self, directory: Path, stack: str, image: str) -> None:
        """`directory` holds what cloud-init reads at an instance's first boot."""
        self._directory = directory
        self._prefix = f"slipway-{stack}"
        self._label = {"slipway.emulation": str(directory.resolve())}
        self._labels = {**self._label, "slipway.stack": stack}
        self._image = image
        self._engine = docker.APIClient(timeout=120)
        directory.mkdir(mode=0o700, exist_ok=True)

    def containers(self) -> dict[str, Container]:
        """The existing containers, by instance id."""
        with _engine_errors():
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
        """Make an instance's container, without starting it."""
        if images.IDS.get(machine.architecture) != machine.image:
            raise failed(f"the emulation has no image {machine.image}: it boots Debian 12 only")
        own = self._engine_architecture()
        if machine.architecture != own:
            raise failed(
                f"{machine.name} has an instance type of the architecture {machine.architecture}, and this machine "
                f"boots {own} only: choose an instance type of {own}"
            )
        self._network(machine.network, machine.network_range)
        name = f"{self._prefix}-{machine.instance}"
        directory = self._directory / machine.instance
        seed.write_seed(directory / "seed", machine)
        (directory / "devices").mkdir(exist_ok=True)
        (directory / "devices/devices").touch()
        with _engine_errors():
            # /var/lib/docker is a volume: an overlay cannot be stacked on the container's own overlay.
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
            # Docker's default AppArmor profile forbids mounts. Engines without AppArmor ignore the option.
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
        # The API's form of the command line's `--security-opt systempaths=unconfined`.
        return config | {"MaskedPaths": [], "ReadonlyPaths": []}

    def start(self, container: Container) -> None:
        """Boot the instance."""
        deadline = time.monotonic() + RELEASE_SECONDS
        while True:
            with _engine_errors():
                try:
                    self._engine.start(container.identifier)
                    return
                except APIError as error:
                    said = str(error.explanation)
                    if time.monotonic() > deadline or not any(text in said for text in STILL_TAKEN):
                        raise
            time.sleep(0.1)

    def stop(self, container: Container) -> None:
        """Shut the instance down."""
        with _engine_errors():
            self._engine.stop(container.identifier, timeout=STOP_SECONDS)

    def remove(self, container: Container) -> None:
        """Remove the container and its root disk without a shutdown, as EC2 terminates an instance."""
        with _engine_errors():
            self._engine.remove_container(container.identifier, force=True, v=True)
            self._engine.remove_volume(f"{self._prefix}-{container.instance}-docker", force=True)

    def set_devices(self, container: Container, devices: Sequence[tuple[str, Device]]) -> None:
        """Give an instance these volumes and no others: now if it runs, and at each start."""
        path = self._directory / container.instance / "devices/devices"
        before, after = path.read_text(), seed.device_list(devices)
        if before == after:
            return
        path.write_text(after)
        if container.running:
            self.run(container, DEVICES)

    def mounted(self, container: Container, device: Device) -> bool:
        """Whether the running instance has a file system of the device mounted."""
        if not container.running:
            return False
        return f" {device.major}:{device.minor} " in self.run(container, "cat", "/proc/1/mountinfo")

    def run(self, container: Container, *command: str) -> str:
        """The output of a command in the instance.

        Raises:
            Refused: the command failed.
        """
        with _engine_errors():
            made = self._engine.exec_create(container.identifier, list(command))
            output: str = self._engine.exec_start(made["Id"]).decode(errors="replace")
            status = self._engine.exec_inspect(made["Id"])["ExitCode"]
        if status:
            raise failed(f"{' '.join(command)} in {container.instance}: {output.strip()}")
        return output

    def remove_networks_except(self, networks: set[str]) -> None:
        """Remove the networks of all VPCs but these. Their instances must be gone."""
        with _engine_errors():
            for found in self._engine.networks(filters=self._filter):
                if found["Labels"]["slipway.network"] not in networks:
                    self._engine.remove_network(found["Id"])

    def remove_seeds_except(self, instances: Collection[str]) -> None:
        """Remove the seeds and device lists of all instances but these."""
        for path in self._directory.iterdir():
            if path.name not in instances:
                shutil.rmtree(path)

    def remove_disks(self) -> None:
        """Remove the root disks that are left."""
        with _engine_errors():
            for found in self._engine.volumes(filters=self._filter)["Volumes"] or ():
                self._engine.remove_volume(found["Name"], force=True)

    @property
    def _filter(self) -> dict[str, Any]:
        return {"label": [f"{key}={value}" for key, value in self._label.items()]}

    def _engine_architecture(self) -> str:
        with _engine_errors():
            name: str = self._engine.version()["Arch"]
        return {"amd64": "x86_64"}.get(name, name)

    def _network(self, identifier: str, addresses: str) -> None:
        """Make a bridge with the VPC's addresses. The bridge takes the first, which EC2 gives to no instance."""
        name = f"{self._prefix}-{identifier}"
        with _engine_errors():
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
                    "another network uses these addresses; set slipway:platform.network.cidr to others"
                ) from error


@contextmanager
def _engine_errors() -> Iterator[None]:
    """Turn the Docker Engine's errors into the emulation's."""
    try:
        yield
    except NotFound:
        raise failed(
            "another program removed a container or volume of the emulation; run this again"
        ) from None
    except APIError as error:
        raise failed(f"Docker Engine: {error.explanation or error}") from error
    except DockerException as error:
        raise failed(f"Docker Engine does not answer: {error}") from error
