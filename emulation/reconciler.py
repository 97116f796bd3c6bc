"""Brings this machine to the account's state: containers, block devices, networks, forwarded ports."""

from pathlib import Path

from emulation.account import Account
from emulation.desired import Machine
from emulation.disks import Device, Disks
from emulation.errors import Refused, failed
from emulation.machines import Container, Machines
from emulation.ports import Forwarder, routes


class Reconciler:
    """The containers, disks and ports of one account."""

    def __init__(self, account: Account, directory: Path, stack: str, image: str) -> None:
        """`directory` holds the volumes' files and the instances' seeds. Instances boot `image`."""
        self._account = account
        self._machines = Machines(directory / "instances", stack, image)
        self._disks = Disks(directory / "volumes")
        self._forwarder = Forwarder()

    def reconcile(self) -> None:
        """Change what differs from the account. Quick if nothing does.

        Raises:
            Refused: a change failed on this machine.

        """
        desired = {machine.instance: machine for machine in self._account.machines()}
        found = self._machines.containers()
        for container in found.values():
            if container.instance not in desired:
                self._remove(container)
        self._machines.remove_seeds_except(desired.keys())
        volumes, snapshots = self._account.volumes(), self._account.snapshots()
        self._disks.remove_except(volumes.keys(), snapshots.keys())
        self._disks.copy(snapshots, volumes)
        self._machines.remove_networks_except(self._account.networks())
        for machine in desired.values():
            self._settle(machine, found.get(machine.instance))
        try:
            self._forwarder.update(routes(desired.values()))
        except OSError as error:
            raise failed(f"a public address cannot be served on this machine: {error}") from error

    def _settle(self, machine: Machine, container: Container | None) -> None:
        if container is None:
            container = self._machines.create(machine)
        if container.running and not machine.running:
            self._stop(container)
        # Before a start: the boot mounts the volumes.
        self._machines.set_devices(container, self._devices(machine))
        if machine.running and not container.running:
            self._machines.start(container)

    def _devices(self, machine: Machine) -> list[tuple[str, Device]]:
        return [(disk.volume, self._disks.provide(disk)) for disk in machine.disks]

    def reboot(self, instance: str) -> None:
        """Restart a running instance."""
        container = self._machines.containers().get(instance)
        if container is None:
            raise Refused("IncorrectInstanceState", f"{instance} is terminated")
        self._stop(container)
        self._machines.start(container)

    def _stop(self, container: Container) -> None:
        self._machines.stop(container)
        self._forwarder.cut(container.private_address)

    def _remove(self, container: Container) -> None:
        self._machines.remove(container)
        self._forwarder.cut(container.private_address)

    def refuse_detaching(self, volume: str) -> None:
        """Refuse to detach a volume that a running instance has mounted. EC2 would wait for its unmounting.

        Raises:
            Refused: the volume is mounted.

        """
        found = self._machines.containers()
        for machine in self._account.machines():
            for disk in machine.disks:
                container = found.get(machine.instance)
                if (
                    disk.volume == volume
                    and container
                    and self._machines.mounted(container, self._disks.provide(disk))
                ):
                    raise Refused(
                        "IncorrectState",
                        f"{volume} is mounted in {machine.name} ({machine.instance}), and EC2 would wait until it is "
                        "unmounted: unmount it or stop the instance first",
                    )

    def console(self, instance: str) -> str:
        """The log of an instance's boot, the last 64 KiB of it, for GetConsoleOutput."""
        container = self._machines.containers().get(instance)
        if not container or not container.running:
            return ""
        return self._machines.run(container, "journalctl", "--boot", "--no-pager", "--lines=400")[-65536:]

    def end(self) -> None:
        """Remove everything of the account from this machine, data included."""
        for container in self._machines.containers().values():
            self._remove(container)
        self._machines.remove_seeds_except(())
        self._machines.remove_disks()
        self._machines.remove_networks_except(set())
        self._disks.remove_except((), ())
        self._forwarder.update({})
