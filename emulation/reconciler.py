"""Makes this machine be what the account says: containers, block devices, networks, forwarded ports."""

from pathlib import Path

from emulation.account import Account
from emulation.disks import Device, Disks
from emulation.errors import Refused, failed
from emulation.machines import Container, Machines
from emulation.ports import Forwarder, routes
from emulation.wanted import Machine


class Reconciler:
    """What stands behind one account."""

    def __init__(self, account: Account, directory: Path, stack: str, image: str) -> None:
        """`directory` keeps the volumes' files and the instances' seeds; instances boot `image`."""
        self._account = account
        self._machines = Machines(directory / "instances", stack, image)
        self._disks = Disks(directory / "volumes")
        self._forwarder = Forwarder()

    def reconcile(self) -> None:
        """Make it so; quick where it is so already.

        Raises:
            Refused: this machine cannot.

        """
        wanted = {machine.instance: machine for machine in self._account.machines()}
        found = self._machines.found()
        for container in found.values():
            if container.instance not in wanted:
                self._remove(container)
        self._machines.forget_all_but(wanted.keys())
        self._disks.keep(self._account.volumes().keys())
        self._machines.keep_networks(self._account.networks())
        for machine in wanted.values():
            self._settle(machine, found.get(machine.instance))
        try:
            self._forwarder.update(routes(wanted.values()))
        except OSError as error:
            raise failed(f"a public address cannot be served on this machine: {error}") from error

    def _settle(self, machine: Machine, container: Container | None) -> None:
        if container is None:
            container = self._machines.create(machine)
        if container.running and not machine.running:
            self._stop(container)
        # Ahead of a start, so that what is to be mounted at boot is there.
        self._machines.set_devices(container, self._devices(machine))
        if machine.running and not container.running:
            self._machines.start(container)

    def _devices(self, machine: Machine) -> list[tuple[str, Device]]:
        return [(disk.volume, self._disks.provide(disk)) for disk in machine.disks]

    def reboot(self, instance: str) -> None:
        """Restart a running instance."""
        container = self._machines.found().get(instance)
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
        """Refuse to detach a volume that its running instance has mounted: EC2 would wait for ever.

        Raises:
            Refused: it is mounted.

        """
        found = self._machines.found()
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
                        f"{volume} is mounted in {machine.name} ({machine.instance}): EC2 would go on detaching "
                        "until it is unmounted. Unmount it or stop the instance first",
                    )

    def console(self, instance: str) -> str:
        """What an instance says while it boots, as GetConsoleOutput gives it: its last 64 KiB."""
        container = self._machines.found().get(instance)
        if not container or not container.running:
            return ""
        return self._machines.run(container, "journalctl", "--boot", "--no-pager", "--lines=400")[-65536:]

    def end(self) -> None:
        """Remove everything from this machine, data and all."""
        for container in self._machines.found().values():
            self._remove(container)
        self._machines.forget_all_but(())
        self._machines.remove_disks()
        self._machines.keep_networks(set())
        self._disks.keep(())
        self._forwarder.update({})
