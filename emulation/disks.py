"""Volumes: each is a sparse file behind a loop device, from its first attachment until the volume is deleted.

The volume keeps its device all that time, so the kernel sees one file system, in whichever container it is mounted.
"""

import contextlib
import fcntl
import json
import os
import stat
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import child_environment
from emulation.desired import Disk
from emulation.errors import Refused, failed

GIB = 1 << 30
LOOP_CTL_GET_FREE = 0x4C82
"""The ioctl that returns the number of a free device (linux/loop.h)."""
ATTEMPTS = 5
"""Attempts to attach a free device. Another process may take it first."""


@dataclass(frozen=True)
class Device:
    """A block device of this machine."""

    path: str
    major: int
    minor: int


class Disks:
    """The volumes' files in a directory."""

    def __init__(self, directory: Path) -> None:
        """Keep the files in `directory`."""
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)

    def provide(self, disk: Disk) -> Device:
        """The device of a volume. The first call makes it, later ones enlarge it if the volume has grown."""
        path = self._file(disk.volume)
        size = disk.size_gib * GIB
        if not path.exists():
            path.touch(mode=0o600)
        grown = path.stat().st_size < size
        if grown:
            os.truncate(path, size)
        device = self._devices().get(path)
        if device is None:
            device = _attach(path)
        elif grown:
            _losetup("--set-capacity", device)
        node = Path(device).stat()
        return Device(device, os.major(node.st_rdev), os.minor(node.st_rdev))

    def remove_except(self, volumes: Collection[str], snapshots: Collection[str]) -> None:
        """Remove the devices and files of all volumes and snapshots but these."""
        if not any(self._directory.iterdir()):
            return
        devices = self._devices()
        for path in self._directory.glob("vol-*"):
            if path.name not in volumes:
                if path in devices:
                    _losetup("--detach", devices[path])
                path.unlink()
        for path in self._directory.glob("snap-*"):
            if path.name not in snapshots:
                path.unlink()

    def copy(self, snapshots: Mapping[str, str], volumes: Mapping[str, str]) -> None:
        """Fill new snapshots from their volumes, and new volumes from their snapshots.

        Args:
            snapshots: each snapshot, and its volume.
            volumes: each volume, and the snapshot that it was made from, empty if it was made blank.
        """
        for snapshot, volume in snapshots.items():
            if self._file(volume).exists() and not self._file(snapshot).exists():
                # What the instance's file system still has in memory. A running system is snapshot like that on EC2,
                # too: what it writes meanwhile is in the snapshot or not.
                os.sync()
                self._copy(volume, snapshot)
        for volume, snapshot in volumes.items():
            if snapshot and self._file(snapshot).exists() and not self._file(volume).exists():
                self._copy(snapshot, volume)

    def _copy(self, source: str, target: str) -> None:
        new = self._directory / f"{target}.new"
        command = ["cp", "--sparse=always", "--reflink=auto", str(self._file(source)), str(new)]
        result = subprocess.run(
            command, env=child_environment.of("cp"), capture_output=True, text=True, check=False
        )
        if result.returncode:
            new.unlink(missing_ok=True)
            raise failed(f"{target} cannot be copied from {source}: {result.stderr.strip()}")
        new.replace(self._file(target))

    def release(self) -> None:
        """Detach every device; the files stay."""
        for device in self._devices().values():
            _losetup("--detach", device)

    def _file(self, volume: str) -> Path:
        return self._directory / volume

    def _devices(self) -> dict[Path, str]:
        """The loop devices of this directory's files."""
        listed = _losetup("--list", "--json", "--output", "NAME,BACK-FILE")
        found = json.loads(listed)["loopdevices"] if listed else []
        directory = self._directory.resolve()
        return {
            self._directory / Path(entry["back-file"]).name: entry["name"]
            for entry in found
            if entry["back-file"] and Path(entry["back-file"]).parent == directory
        }


def _attach(path: Path) -> str:
    """Put a free loop device in front of a file."""
    for _ in range(ATTEMPTS - 1):
        device = _free_device()
        with contextlib.suppress(Refused):  # another process was faster
            _losetup(device, str(path))
            return device
    device = _free_device()
    _losetup(device, str(path))
    return device


def _free_device() -> str:
    try:
        with Path("/dev/loop-control").open("rb") as control:
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    except OSError as error:
        raise failed(
            f"a volume needs a loop device, and /dev/loop-control gives none: {error.strerror}; "
            "run the emulation as root on a machine with loop devices (`modprobe loop`)"
        ) from error
    path = Path(f"/dev/loop{number}")
    if not path.exists():
        # In a container, /dev does not show devices that the kernel adds.
        os.mknod(path, 0o660 | stat.S_IFBLK, os.makedev(7, number))
    return str(path)


def _losetup(*arguments: str) -> str:
    result = subprocess.run(
        ["losetup", *arguments],
        env=child_environment.of("losetup"),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise failed(f"losetup {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout.strip()
