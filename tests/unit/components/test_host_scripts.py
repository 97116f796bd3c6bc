"""Scripts of hosts, run with stand-ins for the commands that they call."""

import subprocess
import threading
from pathlib import Path

import pytest

from components import script as scripts
from components.script import assignments
from tests.unit.components.machine import Machine

DATA = "/srv/data"
ENGINE_VALUES = (
    *("MACHINE_ID", "ENGINE_CA", "ENGINE_CERTIFICATE", "ENGINE_KEY", "REGISTRY_ADDRESS"),
    *("REGISTRY_HOST_ADDRESS", "REGISTRY_CA", "SWITCH_SCRIPT", "WAIT_SCRIPT"),
    *("RESOLVERS", "RESOLVERS_SCRIPT"),
)
"""The values of engine.sh."""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class TestMountData:
    def prepare(self, machine: Machine, blkid: str, *, gibibytes: int = 2, mounted: bool = False) -> None:
        machine.command("lsblk", "echo nvme0n1 vol0fff; echo nvme2n1 vol0123")
        machine.command("blockdev", f"echo {gibibytes * 1024**3}")
        machine.command("blkid", f'case "$*" in *UUID*) echo 1234-abcd ;; *) {blkid} ;; esac')
        machine.command(
            "findmnt",
            f'[ -e "{machine.root}/mounted" ] && echo "/dev/nvme2n1"',
        )
        machine.command("mountpoint", f'[ -e "{machine.root}/mounted" ]')
        machine.command("mount", f'touch "{machine.root}/mounted"')
        for name in ("mkfs.xfs", "xfs_growfs", "systemctl"):
            machine.command(name)
        machine.command("systemd-escape", "echo srv-data.mount")
        if mounted:
            (machine.root / "mounted").touch()

    def run(self, machine: Machine, size: int = 2) -> subprocess.CompletedProcess[str]:
        path = f"{machine.root}{DATA}"
        return machine.run("mount-data.sh", {"VOLUME": "vol-0123", "SIZE": str(size), "DATA_PATH": path})

    def test_a_blank_volume_is_formatted_and_mounted(self, machine: Machine) -> None:
        self.prepare(machine, "exit 2")
        result = self.run(machine)
        assert result.returncode == 0, result.stderr
        assert machine.calls("mkfs.xfs") == ["mkfs.xfs -q -L slipway-data /dev/nvme2n1"]
        assert machine.calls("mount") == [f"mount -o noatime /dev/nvme2n1 {machine.root}{DATA}"]
        unit = (machine.root / "etc/systemd/system/srv-data.mount").read_text()
        assert "What=/dev/disk/by-uuid/1234-abcd\n" in unit
        engine = (machine.root / "etc/systemd/system/docker.service.d/slipway-data.conf").read_text()
        assert engine == f"[Unit]\nRequiresMountsFor={machine.root}{DATA}\n"

    def test_a_volume_with_data_is_mounted_as_it_is(self, machine: Machine) -> None:
        self.prepare(machine, "echo xfs")
        assert self.run(machine).returncode == 0
        assert not machine.calls("mkfs.xfs")
        assert machine.calls("mount")

    @pytest.mark.parametrize(
        ("blkid", "what"),
        [
            ("echo ext4", "holds ext4"),
            ("exit 0", "something that is no file system"),
            ("exit 8", "something that is no file system"),
            ("exit 4", "something that is no file system"),
        ],
    )
    def test_a_volume_that_is_not_blank_is_never_formatted(
        self, machine: Machine, blkid: str, what: str
    ) -> None:
        self.prepare(machine, blkid)
        result = self.run(machine)
        assert result.returncode == 7
        assert what in result.stderr
        assert "the registry is not started without its volume" in result.stderr
        assert not machine.calls("mkfs.xfs")
        assert not machine.calls("mount")

    def test_run_again_it_only_grows_the_file_system(self, machine: Machine) -> None:
        self.prepare(machine, "echo xfs", mounted=True)
        assert self.run(machine).returncode == 0
        assert not machine.calls("mount")
        assert not machine.calls("systemctl")
        assert machine.calls("xfs_growfs") == [f"xfs_growfs {machine.root}{DATA}"]

    def test_a_volume_that_is_not_attached(self, machine: Machine) -> None:
        self.prepare(machine, "exit 2")
        machine.command("lsblk", "echo nvme0n1 vol0fff")
        result = self.run(machine)
        assert result.returncode == 7
        assert "the volume vol-0123 is not attached" in result.stderr
        assert not machine.calls("mkfs.xfs")

    def test_a_volume_that_has_not_grown(self, machine: Machine) -> None:
        self.prepare(machine, "echo xfs")
        result = self.run(machine, size=3)
        assert result.returncode == 7
        assert "should have 3 GiB, and /dev/nvme2n1 has 2147483648 bytes" in result.stderr

    def test_files_on_the_root_disk_are_not_hidden(self, machine: Machine) -> None:
        self.prepare(machine, "echo xfs")
        (machine.root / "srv/data/docker").mkdir(parents=True)
        result = self.run(machine)
        assert result.returncode == 7
        assert "on the root disk is not empty" in result.stderr
        assert not machine.calls("mount")


class TestWaitForBoot:
    def run(self, machine: Machine, status: int) -> subprocess.CompletedProcess[str]:
        machine.command(
            "cloud-init", f'[ "$*" = "status --wait" ] && exit {status}; echo "detail: words of it"'
        )
        for name in ("docker", "dockerd"):
            machine.command(name)
        log = machine.root / "var/log/cloud-init.log"
        log.parent.mkdir(parents=True)
        log.write_text("x - util.py[WARNING]: Failed to install docker.io\nx - util.py[DEBUG]: nothing\n")
        return machine.run("wait-for-boot.sh", {"MACHINE_ID": "i-1", "KIND": "t3.small"})

    def test_a_boot_that_went_well_says_nothing(self, machine: Machine) -> None:
        result = self.run(machine, 0)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    def test_a_degraded_boot_is_no_failure(self, machine: Machine) -> None:
        result = self.run(machine, 2)
        assert result.returncode == 0
        assert "calls this boot degraded" in result.stdout
        assert "[WARNING]: Failed to install docker.io" in result.stdout

    def test_a_failed_boot_shows_cloud_inits_own_words(self, machine: Machine) -> None:
        result = self.run(machine, 1)
        assert result.returncode == 5
        assert "cloud-init failed" in result.stderr
        assert "  | detail: words of it" in result.stderr
        assert "  | x - util.py[WARNING]: Failed to install docker.io" in result.stderr
        assert "[DEBUG]" not in result.stderr


class TestInstallEngine:
    def test_the_version_that_is_there_is_left_alone(self, machine: Machine) -> None:
        machine.command("dockerd", 'echo "Docker version 28.5.2, build abc"')
        machine.command("apt-get", "exit 1")
        text = scripts.text("install-engine.sh")
        result = subprocess.run(
            ["/bin/bash", "-s", "28.5.2"],
            input=text,
            env={"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert result.returncode == 0, result.stderr
        assert not machine.calls("apt-get")


class TestSweep:
    def sweep(self, machine: Machine, machine_id: str) -> list[str]:
        """The commands that remove something on a machine with this id."""
        machine.command("docker", 'case "$*" in *" --filter "*) echo "one-of-${!###*=}" ;; esac')
        (machine.root / "called").write_text("")
        functions = scripts.text("engine.sh").removesuffix("main </dev/null\n")
        text = functions.replace("/var/lib/docker/", f"{machine.root}/")
        subprocess.run(
            ["/bin/bash", "-s"],
            input=assignments(dict.fromkeys(ENGINE_VALUES, "given") | {"MACHINE_ID": machine_id})
            + text
            + "sweep\n",
            env={"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
            text=True,
            check=True,
            timeout=30,
        )
        return [call for call in machine.called if " rm " in call]

    def test_containers_and_markers_of_an_old_machine_are_removed(self, machine: Machine) -> None:
        assert self.sweep(machine, "first") == [
            "docker rm -f one-of-slipway.stack",
            "docker volume rm -f one-of-slipway.deployed",
            "docker volume rm -f one-of-slipway.serving",
        ]
        assert self.sweep(machine, "first") == []
        assert len(self.sweep(machine, "second")) == 3


class TestHeldNames:
    OWN = "127.0.0.1 localhost\n172.19.0.2 proxy\n"

    def call(self, *calls: str) -> None:
        functions = scripts.text("engine.sh").removesuffix("main </dev/null\n")
        text = "\n".join([functions, *calls])
        subprocess.run(
            ["/bin/bash", "-s"],
            input=assignments(dict.fromkeys(ENGINE_VALUES, "given")) + text,
            text=True,
            check=True,
            timeout=30,
        )

    def test_names_take_the_place_of_those_before_and_go(self, tmp_path: Path) -> None:
        file = tmp_path / "hosts"
        file.write_text(self.OWN)
        inode = file.stat().st_ino
        self.call(f"name_in {file} $'172.19.0.3 web-1 # slipway\\n172.19.0.2 slipway-proxy # slipway'")
        held = "172.19.0.3 web-1 # slipway\n172.19.0.2 slipway-proxy # slipway\n"
        assert file.read_text() == self.OWN + held
        self.call(f"name_in {file} '172.19.0.9 web-2 # slipway'")
        assert file.read_text() == self.OWN + "172.19.0.9 web-2 # slipway\n"
        self.call(f"name_in {file} ''")
        assert file.read_text() == self.OWN
        assert file.stat().st_ino == inode, "a container has the file itself"

    def test_a_name_that_stays_is_there_all_the_time(self, tmp_path: Path) -> None:
        file = tmp_path / "hosts"
        file.write_text(self.OWN + "172.19.0.3 web-1 # slipway\n")
        ended = threading.Event()
        seen: list[str] = []

        def watch() -> None:
            while not ended.is_set():
                seen.append(file.read_text())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            both = "$'172.19.0.3 web-1 # slipway\\n172.19.0.4 web-2 # slipway'"
            one = "'172.19.0.3 web-1 # slipway'"
            self.call(f"for _ in {{1..50}}; do name_in {file} {both}; name_in {file} {one}; done")
        finally:
            ended.set()
            watcher.join()
        assert len(set(seen)) > 1, "nothing was seen to change"
        assert [text for text in seen if self.OWN + "172.19.0.3 web-1 # slipway\n" not in text] == []


class TestResolvers:
    """resolvers.sh"""

    def run(self, machine: Machine, text: str, *addresses: str) -> str:
        file = machine.root / "resolv.conf"
        file.write_text(text)
        inode = file.stat().st_ino
        script = machine.installed("resolvers.sh")
        environment = {"PATH": "/usr/bin:/bin", "RESOLV_CONF": str(file)}
        subprocess.run(["/bin/bash", str(script), *addresses], env=environment, check=True, timeout=30)
        assert file.stat().st_ino == inode, "the file is a mount"
        return file.read_text()

    def test_the_operators_servers_follow_dockers_own(self, machine: Machine) -> None:
        text = self.run(machine, "nameserver 127.0.0.11\noptions ndots:0\n", "10.0.0.2", "10.0.0.3")
        assert text == "nameserver 127.0.0.11\nnameserver 10.0.0.2\nnameserver 10.0.0.3\noptions ndots:0\n"
        assert self.run(machine, text, "10.0.0.2", "10.0.0.3") == text

    def test_servers_of_another_network_go(self, machine: Machine) -> None:
        text = self.run(machine, "search lan\nnameserver 127.0.0.11\nnameserver 10.0.0.2\n", "192.168.1.1")
        assert text == "nameserver 127.0.0.11\nnameserver 192.168.1.1\nsearch lan\n"

    def test_a_host_that_knows_its_own_is_left_alone(self, machine: Machine) -> None:
        text = "nameserver 172.31.0.2\n"
        assert self.run(machine, text, "10.0.0.2") == text
