"""Scripts of hosts, run with stand-ins for the commands that they call."""

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from components import script as scripts
from components.script import assignments
from tests.unit.components.machine import Machine

DATA = "/srv/data"
ENGINE_VALUES = (
    *("MACHINE_ID", "ENGINE_CA", "ENGINE_CERTIFICATE", "ENGINE_KEY", "REGISTRY_ADDRESS"),
    *("REGISTRY_HOST_ADDRESS", "REGISTRY_CA", "SWITCH_SCRIPT", "WAIT_SCRIPT", "KEEP_SCRIPT"),
    *("HOST_IMAGES", "HOST_IMAGES_SCRIPT"),
    *("VALID_FROM", "RESOLVERS", "RESOLVERS_SCRIPT", "SSH_USER", "OPERATOR_KEYS"),
)
"""The values of engine.sh."""
DOCKER_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
"""As https://docs.docker.com/engine/install/ gives it."""


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
        values = {"VOLUME": "vol-0123", "SIZE": str(size), "DATA_PATH": path, "DATA_USER": "60601"}
        return machine.run("mount-data.sh", values)

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
        self.prepare(machine, "echo xfs")
        self.run(machine)
        (machine.root / "called").unlink()
        result = self.run(machine)
        assert result.returncode == 0
        assert not machine.calls("mount")
        assert "systemctl daemon-reload" not in machine.called
        assert f"made mount {machine.root}{DATA}" in result.stdout.splitlines()
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


class TestUnmount:
    """`undo` of mount-data.sh: another host, or another volume, takes the place of this one."""

    def prepare(self, machine: Machine, *, busy: bool = False) -> None:
        machine.command("docker", f'[ "$1" = ps ] && echo "registry"; touch "{machine.root}/asked"')
        machine.command("mountpoint", f'[ -e "{machine.root}/mounted" ]')
        machine.command("umount", "exit 1" if busy else f'rm -f "{machine.root}/mounted"')
        machine.command("systemd-escape", "echo srv-data.mount")
        for name in ("systemctl", "sleep"):
            machine.command(name)
        machine.command("fuser", "echo registry 123")
        machine.command("hostname", "echo depot")
        (machine.root / "mounted").touch()
        units = machine.root / "etc/systemd/system"
        (units / "docker.service.d").mkdir(parents=True)
        (units / "srv-data.mount").touch()
        (units / "docker.service.d/slipway-data.conf").touch()

    def run(self, machine: Machine) -> subprocess.CompletedProcess[str]:
        values = {
            "VOLUME": "vol-0123",
            "SIZE": "2",
            "DATA_PATH": f"{machine.root}{DATA}",
            "DATA_USER": "60601",
        }
        return machine.run("mount-data.sh", values, "undo")

    def test_what_uses_the_volume_stops_first_and_stays_down(self, machine: Machine) -> None:
        self.prepare(machine)
        result = self.run(machine)
        assert result.returncode == 0, result.stderr
        assert machine.calls("docker")[1:] == [
            "docker update --restart=no registry",
            "docker stop -t 10 registry",
        ]
        assert machine.called.index("docker stop -t 10 registry") < machine.called.index(
            machine.calls("umount")[0]
        )
        units = machine.root / "etc/systemd/system"
        # Without the volume Docker Engine must start on this host: it may have other roles.
        assert [path.name for path in units.rglob("*") if path.is_file()] == []
        assert "systemctl daemon-reload" in machine.called

    def test_run_again_it_does_nothing(self, machine: Machine) -> None:
        self.prepare(machine)
        self.run(machine)
        assert self.run(machine).returncode == 0
        assert len(machine.calls("umount")) == 1

    def test_a_volume_in_use_is_told_with_its_user(self, machine: Machine) -> None:
        self.prepare(machine, busy=True)
        result = self.run(machine)
        assert result.returncode == 7
        assert "vol-0123 cannot be unmounted on depot, since it is in use:" in result.stderr
        assert "registry 123" in result.stderr
        assert (machine.root / "etc/systemd/system/srv-data.mount").exists()


INSTALL = {
    "PACKAGES": "docker.io iptables",
    "ENGINE_VERSION": "",
    "SETTING": "slipway:platform.engineVersion",
    "REPLACE": "./slip up -s dev -- --replace 'urn'",
}
"""The values of install-engine.sh."""


class TestWaitForBoot:
    def run(self, machine: Machine, status: int, install: str = "true") -> subprocess.CompletedProcess[str]:
        machine.command(
            "cloud-init", f'[ "$*" = "status --wait" ] && exit {status}; echo "detail: words of it"'
        )
        for name in ("docker", "dockerd"):
            machine.command(name)
        machine.command("hostname", "echo web-1")
        log = machine.root / "var/log/cloud-init.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("x - util.py[WARNING]: Failed to set the name\nx - util.py[DEBUG]: nothing\n")
        values = {"MACHINE_ID": "i-1", "KIND": "t3.small", "INSTALL_SCRIPT": install, **INSTALL}
        return machine.run("wait-for-boot.sh", values)

    def test_a_boot_that_went_well_says_nothing(self, machine: Machine) -> None:
        result = self.run(machine, 0)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    def test_the_installation_gets_its_values(self, machine: Machine) -> None:
        shown = 'echo "$PACKAGES/$ENGINE_VERSION/$SETTING/$REPLACE"'
        assert self.run(machine, 0, shown).stdout == "/".join(INSTALL.values()) + "\n"

    @pytest.mark.parametrize("status", [1, 2])
    def test_a_failed_boot_is_no_failure_of_a_host_that_is_set_up(
        self, machine: Machine, status: int
    ) -> None:
        """Its result stays until the next boot: without this, a host would fail for good."""
        result = self.run(machine, status)
        assert result.returncode == 0
        assert "calls this boot degraded or failed" in result.stdout
        assert "[WARNING]: Failed to set the name" in result.stdout

    def test_a_failed_installation_can_be_tried_again(self, machine: Machine) -> None:
        result = self.run(machine, 1, "echo 'E: no way out' >&2; exit 5")
        assert result.returncode == 5
        lines = result.stderr.splitlines()
        assert lines[0] == "E: no way out"
        assert "  | detail: words of it" in lines
        assert not [line for line in lines if "[DEBUG]" in line]
        assert lines[-2:] == [
            "slipway: web-1 is not set up: run './slip up' again once the cause is gone, which keeps this machine",
            "slipway: a new machine in its place: ./slip up -s dev -- --replace 'urn'",
        ]
        assert self.run(machine, 1).returncode == 0


LOAD_IMAGES = {
    "ENDPOINT": "tcp://web-1:2376",
    **dict.fromkeys(("ENGINE_CA", "CLIENT_CERTIFICATE", "CLIENT_KEY"), "x"),
    "IMAGES": "registry:3\nnginx:1",
    "OPTIONAL_IMAGES": "",
    "BY_DIGEST": "registry:3 registry@sha256:12\ndebian:12 debian@sha256:34",
}


class TestLoadImages:
    def test_a_host_pulls_known_images_by_digest(self, machine: Machine) -> None:
        machine.command("docker", 'case " $* " in *" inspect "*) exit 1 ;; esac')
        result = machine.run("load-images.sh", LOAD_IMAGES)
        assert result.returncode == 0, result.stderr
        done = [call.split("tcp://web-1:2376 ")[1] for call in machine.called if " inspect " not in call]
        assert done == [
            *("pull -q registry@sha256:12", "tag registry@sha256:12 registry:3"),
            "pull -q nginx:1",
        ]

    def test_an_image_that_this_machine_built_goes_to_the_host_as_it_is(self, machine: Machine) -> None:
        machine.command(
            "docker",
            'case " $* " in *" -H "*" inspect "*) exit 1 ;; *" inspect "*|*" version "*) echo amd64 ;; esac',
        )
        result = machine.run("load-images.sh", LOAD_IMAGES)
        assert result.returncode == 0, result.stderr
        assert not [call for call in machine.called if " pull " in call]
        assert "docker save registry:3 nginx:1" in machine.called


class TestInstallEngine:
    def run(self, machine: Machine, **values: str) -> subprocess.CompletedProcess[str]:
        machine.command("systemctl")
        machine.command("hostname", "echo web-1")
        machine.command("sleep")
        text = scripts.text("install-engine.sh").replace("patience=300", "patience=0")
        for path in ("/etc/os-release", "/etc/apt/"):
            text = text.replace(path, f"{machine.root}{path}")
        return subprocess.run(
            ["/bin/bash", "-c", text],
            env={"PATH": f"{machine.root}/bin:{machine.root}/tools", **INSTALL, **values},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def tools(self, machine: Machine) -> None:
        """Only these of this machine's commands: it may have apt-get, dnf and Docker itself."""
        (machine.root / "tools").mkdir()
        names = ("bash", "sed", "awk", "head", "xargs", "mktemp", "cat", "chmod", "cmp", "rm", "mv", "mkdir")
        for name in (*names, "dirname", "install", "touch", "echo", "stat", "sha256sum", "cut"):
            (machine.root / "tools" / name).symlink_to(shutil.which(name) or "")

    def debian(self, machine: Machine, installed: str = "", update: str = "", install: str = "") -> None:
        self.tools(machine)
        machine.command("dpkg-query", f'case " {installed} " in *" ${{!#}} "*) printf installed ;; esac')
        machine.command("apt-mark")
        machine.command(
            "apt-get", f'case " $* " in *" update "*) {update or ":"} ;; *) {install or ":"} ;; esac'
        )
        (machine.root / "etc").mkdir()
        (machine.root / "etc/os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")

    def docker_key(self, machine: Machine, *fingerprints: str) -> None:
        """Has gpg find these keys, in its own words (2.2.40); each has a subkey."""
        machine.command("curl", 'while [ "$1" != -o ]; do shift; done; echo a key >"$2"')
        lines = "".join(
            f"pub:-:4096:1:{key[-16:]}:1487792064:::-:::scESCA::::::23::0:\nfpr:::::::::{key}:\n"
            f"uid:-::::1487792064::8AC9::Docker Release (CE deb) <docker@docker.com>::::::::::0:\n"
            f"sub:-:4096:1:7EA0A9C3F273FCD8:1487792064::::::s::::::23:\n"
            "fpr:::::::::D3306A018370199E527AE7997EA0A9C3F273FCD8:\n"
            for key in fingerprints
        )
        (machine.root / "keys").write_text(lines)
        machine.command("gpg", f'cat "{machine.root}/keys"')

    def makes_engine(self, machine: Machine, version: str = "20.10.24+dfsg1") -> str:
        """A command that makes `dockerd`, as the package does."""
        path = machine.root / "bin/dockerd"
        return f"printf '#!/bin/bash\\necho Docker version {version}, build 1\\n' >{path}; chmod 0755 {path}"

    def test_missing_packages_are_installed_and_the_engine_is_started(self, machine: Machine) -> None:
        self.debian(machine, "iptables", install=self.makes_engine(machine))
        result = self.run(machine)
        assert result.returncode == 0, result.stderr
        update, install = machine.calls("apt-get")
        # Another program that installs is waited for; an unreachable source is an error.
        assert "-o DPkg::Lock::Timeout=" in install
        assert "-o APT::Update::Error-Mode=any update" in update
        assert install.endswith("install -y --no-install-recommends docker.io")
        assert machine.calls("systemctl") == [
            "systemctl enable -q docker.service",
            "systemctl start docker.service",
        ]

    def test_what_is_there_is_left_alone(self, machine: Machine) -> None:
        self.debian(machine, "iptables docker.io")
        machine.command("dockerd", 'echo "Docker version 20.10.24+dfsg1, build 1"')
        assert self.run(machine).returncode == 0
        assert not machine.calls("apt-get")

    def test_an_engine_of_another_package_counts(self, machine: Machine) -> None:
        self.debian(machine, "iptables")
        machine.command("dockerd", 'echo "Docker version 28.5.2, build 1"')
        assert self.run(machine).returncode == 0
        assert not machine.calls("apt-get")

    def test_no_way_out_is_told_with_the_reason(self, machine: Machine) -> None:
        self.debian(machine, update="echo 'Err: Temporary failure resolving' >&2; exit 100")
        result = self.run(machine)
        assert result.returncode == 5
        assert "Err: Temporary failure resolving" in result.stderr
        assert "slipway: web-1 cannot read the lists of its packages" in result.stderr

    def test_a_package_that_does_not_exist_is_told(self, machine: Machine) -> None:
        self.debian(machine, install="echo 'E: Unable to locate package docker.io' >&2; exit 100")
        result = self.run(machine)
        assert result.returncode == 5
        assert "E: Unable to locate package docker.io" in result.stderr
        assert "slipway: web-1 cannot install docker.io iptables" in result.stderr

    def test_a_given_version_is_held(self, machine: Machine) -> None:
        self.debian(machine, "iptables", install=self.makes_engine(machine, "28.5.2"))
        self.docker_key(machine, DOCKER_KEY)
        machine.command("dpkg", "echo amd64")
        machine.command("apt-cache", 'echo " docker-ce | 5:28.5.2-1~debian.12~bookworm | https://x"')
        result = self.run(machine, ENGINE_VERSION="28.5.2")
        assert result.returncode == 0, result.stderr
        assert "docker-ce=5:28.5.2-1~debian.12~bookworm" in machine.calls("apt-get")[-1]
        assert machine.calls("apt-mark") == ["apt-mark hold docker-ce docker-ce-cli"]
        source = (machine.root / "etc/apt/sources.list.d/docker.list").read_text()
        assert source.endswith("https://download.docker.com/linux/debian bookworm stable\n")

    def test_a_version_that_the_repository_lacks_is_told_with_those_that_it_has(
        self, machine: Machine
    ) -> None:
        self.debian(machine, "iptables")
        self.docker_key(machine, DOCKER_KEY)
        machine.command("dpkg", "echo amd64")
        machine.command("apt-cache", 'echo " docker-ce | 5:29.1.0-1~debian.12~bookworm | https://x"')
        result = self.run(machine, ENGINE_VERSION="28.5.2")
        assert result.returncode == 5
        assert (
            "slipway:platform.engineVersion = 28.5.2: Docker's repository has no such version"
            in result.stderr
        )
        assert "choose one of: 29.1.0" in result.stderr

    @pytest.mark.parametrize("found", [[], ["A" * 40], [DOCKER_KEY, "A" * 40], ["A" * 40, DOCKER_KEY]])
    def test_another_key_of_dockers_repository_installs_nothing(
        self, machine: Machine, found: list[str]
    ) -> None:
        self.debian(machine, "iptables")
        self.docker_key(machine, *found)
        machine.command("dpkg", "echo amd64")
        result = self.run(machine, ENGINE_VERSION="28.5.2")
        assert result.returncode == 5
        said = f"is not Docker's: {' '.join(found) or 'no key'}, not {DOCKER_KEY}"
        assert f"slipway: the key that download.docker.com gave to web-1 {said}" in result.stderr
        assert not (machine.root / "etc/apt/keyrings/docker.asc").exists()
        assert not machine.calls("apt-get")

    def test_another_version_than_the_given_one_is_told(self, machine: Machine) -> None:
        self.debian(machine, "iptables")
        machine.command("dockerd", 'echo "Docker version 28.5.1, build 1"')
        result = self.run(machine, ENGINE_VERSION="28.5.2")
        assert result.returncode == 5
        assert "slipway:platform.engineVersion = 28.5.2: web-1 has Docker Engine 28.5.1" in result.stderr
        assert (
            "set it to 28.5.1, or replace the machine: ./slip up -s dev -- --replace 'urn'" in result.stderr
        )

    def test_amazon_linux_gets_its_packages_and_its_engine_is_started(self, machine: Machine) -> None:
        self.tools(machine)
        machine.command("rpm", 'case "$*" in *iptables-nft*) exit 0 ;; *) exit 1 ;; esac')
        machine.command("dnf", self.makes_engine(machine, "25.0.14"))
        result = self.run(machine, PACKAGES="docker iptables-nft xfsprogs")
        assert result.returncode == 0, result.stderr
        assert machine.calls("dnf") == ["dnf install -q -y docker xfsprogs"]
        assert machine.calls("systemctl") == [
            "systemctl enable -q docker.service",
            "systemctl start docker.service",
        ]
        again = self.run(machine, PACKAGES="docker iptables-nft")
        assert again.returncode == 0
        assert len(machine.calls("dnf")) == 1

    def test_a_system_without_either_is_told(self, machine: Machine) -> None:
        self.tools(machine)
        machine.command("rpm", "exit 1")
        result = self.run(machine)
        assert result.returncode == 5
        assert "web-1 has neither apt-get nor dnf" in result.stderr


class TestValidity:
    def wait(self, machine: Machine, valid_from: str) -> subprocess.CompletedProcess[str]:
        machine.command("sleep")
        (machine.root / "called").write_text("")
        text = scripts.text("engine.sh").removesuffix("main </dev/null\n")
        return subprocess.run(
            ["/bin/bash", "-s"],
            input=assignments(dict.fromkeys(ENGINE_VALUES, "given") | {"VALID_FROM": valid_from})
            + f"{text}wait_for_validity\n",
            env={"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def test_a_certificate_of_the_past_is_used_at_once(self, machine: Machine) -> None:
        result = self.wait(machine, "2026-01-02T03:04:05.123456789Z")
        assert (result.returncode, result.stderr, machine.called) == (0, "", [])

    def test_a_little_difference_is_waited_for(self, machine: Machine) -> None:
        soon = datetime.now(UTC) + timedelta(seconds=40)
        assert self.wait(machine, soon.isoformat()).returncode == 0
        assert re.fullmatch(r"sleep (3\d|40)", machine.called[0])

    def test_a_clock_that_is_ahead_is_named(self, machine: Machine) -> None:
        """Also one of another time zone."""
        later = datetime.now(timezone(timedelta(hours=-5))) + timedelta(minutes=10)
        result = self.wait(machine, later.isoformat())
        assert result.returncode == 5
        assert re.search(r"is (59\d|600) seconds ahead of this host's \(20.* UTC\)", result.stderr)
        assert "correct the wrong clock, then run ./slip up again" in result.stderr
        assert machine.called == []


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


class TestResolvers:
    """resolvers.sh"""

    def run(self, machine: Machine, text: str, *addresses: str) -> str:
        file = machine.root / "resolv.conf"
        file.write_text(text)
        inode = file.stat().st_ino
        script = machine.root / "resolvers.sh"
        script.write_text(scripts.text("resolvers.sh"))
        environment = {
            "PATH": "/usr/bin:/bin",
            "RESOLV_CONF": str(file),
            "RESOLVERS_FILE": str(machine.root / "newer"),
        }
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

    def test_what_an_update_wrote_later_goes_before_the_set_ups(self, machine: Machine) -> None:
        (machine.root / "newer").write_text("192.168.1.1\n192.168.1.2\n")
        text = self.run(machine, "nameserver 127.0.0.11\nnameserver 10.0.0.2\n", "10.0.0.2")
        assert text == "nameserver 127.0.0.11\nnameserver 192.168.1.1\nnameserver 192.168.1.2\n"
        (machine.root / "newer").write_text("")
        assert "10.0.0.2" in self.run(machine, text, "10.0.0.2")

    def test_a_host_that_knows_its_own_is_left_alone(self, machine: Machine) -> None:
        text = "nameserver 172.31.0.2\n"
        assert self.run(machine, text, "10.0.0.2") == text


class TestKeep:
    def keep(
        self,
        machine: Machine,
        ended: dict[str, str],
        configuration: str = "",
        event: str = "an event",
        policy: str = "always",
    ) -> list[str]:
        """The containers that are started, if these have ended, by label, and the engine tells of an event."""
        cases = "".join(f'*label={label}*) echo "{names}" ;; ' for label, names in ended.items())
        machine.command(
            "docker",
            f'case "$*" in *status=exited*) case "$*" in {cases} esac ;; *RestartPolicy*) echo {policy} ;; esac',
        )
        machine.command("curl", f"echo '{event}'")
        file = machine.root / "haproxy.cfg"
        file.write_text(configuration)
        machine.command("sleep")
        text = scripts.text("keep.sh").replace("/usr/local/lib/slipway/switch", "switch")
        text = text.replace("/etc/slipway/proxy/haproxy.cfg", str(file))
        machine.command("switch")
        result = subprocess.run(
            ["/bin/bash", "-s"],
            input=text,
            env={"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert result.returncode == 0, result.stderr
        return [
            call.removeprefix("docker start ") for call in machine.called if call.startswith("docker start ")
        ]

    def test_at_its_start_and_at_each_end_it_starts_what_has_ended(self, machine: Machine) -> None:
        assert self.keep(machine, {"slipway.role": "slipway-proxy"}) == ["slipway-proxy", "slipway-proxy"]
        assert "switch --restore" in machine.called

    def test_the_registry_does_not_start_while_its_volume_is_exchanged(self, machine: Machine) -> None:
        """mount-data.sh takes the restart policy away first. The registry would serve an empty folder."""
        assert self.keep(machine, {"slipway.role": "slipway-registry"}, policy="no") == []

    def test_of_the_apps_it_starts_what_the_proxy_routes_to(self, machine: Machine) -> None:
        """A version that never became healthy has ended on purpose."""
        started = self.keep(machine, {"slipway.service": "web-a web-ab"}, "  server web-ab 10.0.0.2:80")
        assert set(started) == {"web-ab"}

    def test_what_runs_is_left_alone(self, machine: Machine) -> None:
        assert self.keep(machine, {}) == []

    @pytest.mark.parametrize(("name", "times"), [("web-ab", 2), ("slipway-proxy", 2), ("web-a", 1)])
    def test_a_container_that_the_proxy_routes_to_may_have_another_address_now(
        self, machine: Machine, name: str, times: int
    ) -> None:
        event = f'{{"Action":"start","Actor":{{"ID":"1","Attributes":{{"image":"a","name":"{name}"}}}}}}'
        self.keep(machine, {}, "  server web-ab 10.0.0.2:80", event)
        assert machine.called.count("switch --restore") == times

    @pytest.mark.parametrize(
        ("file", "text"),
        [("edge", "host web-1 web-1\nservice web hosts=web-1\n"), ("proxy/edges", "edge-1\n")],
        ids=["an edge", "an app host"],
    )
    def test_a_host_that_is_known_by_name_may_have_another_address_now(
        self, machine: Machine, file: str, text: str
    ) -> None:
        known = machine.root / "etc/slipway" / file
        known.parent.mkdir(parents=True)
        known.write_text(text)
        # It has another address from the third look on.
        machine.command("getent", f'[ "$(grep -c ^getent {machine.root}/called)" -gt 2 ]; echo "172.18.0.$?"')
        body = scripts.text("keep.sh").removesuffix("main </dev/null\n")
        assert not body.endswith("null\n")
        body = body.replace("/etc/slipway/", f"{machine.root}/etc/slipway/")
        looks = (
            'looks=0\nsleep() { looks=$((looks + 1)); [ "$looks" -le 4 ]; }\nrestore() { echo restored; }\n'
        )
        result = subprocess.run(
            ["/bin/bash", "-s"],
            input=f"{body}\n{looks}watch_hosts\n",
            env={"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert result.stdout.split() == ["restored", "restored"], result.stderr


class TestOperators:
    """Who may log in, in a host's authorized_keys."""

    OWN = (
        "ssh-ed25519 AAAAstack\n# slipway-operator: a comment of the owner\nssh-rsa AAAAowner owner@laptop\n"
    )

    def authorise(self, machine: Machine, keys: str, before: str | None) -> str:
        file = machine.root / "home/.ssh/authorized_keys"
        if before is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(before)
            file.chmod(0o600)
        machine.command("getent", f'echo "admin:x:0:0::{machine.root}/home:/bin/sh"')
        text = scripts.text("engine.sh").replace("main </dev/null\n", "")
        values = dict.fromkeys(ENGINE_VALUES, "given") | {"SSH_USER": "root", "OPERATOR_KEYS": keys}
        subprocess.run(
            ["/bin/bash", "-s"],
            input=assignments(values) + text + "authorise_operators\n",
            env={"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
            text=True,
            check=True,
            timeout=30,
        )
        assert file.stat().st_mode & 0o777 == 0o600
        assert list(file.parent.iterdir()) == [file]
        return file.read_text()

    def test_operators_come_and_go_and_all_other_lines_stay(self, machine: Machine) -> None:
        alice, bob = "ssh-ed25519 AAAAa slipway-operator:alice\n", "ssh-rsa AAAAb slipway-operator:bob\n"
        both = self.authorise(machine, alice + bob, self.OWN)
        assert both == self.OWN + alice + bob
        assert self.authorise(machine, alice + bob, both) == both
        assert self.authorise(machine, bob, both) == self.OWN + bob
        assert self.authorise(machine, "", both) == self.OWN

    def test_a_last_line_without_its_end_stays_a_line(self, machine: Machine) -> None:
        key = "ssh-ed25519 AAAAa slipway-operator:alice\n"
        assert self.authorise(machine, key, "ssh-ed25519 AAAAstack") == f"ssh-ed25519 AAAAstack\n{key}"

    def test_a_file_that_is_not_there_is_made(self, machine: Machine) -> None:
        key = "ssh-ed25519 AAAAa slipway-operator:alice\n"
        assert self.authorise(machine, key, None) == key


class TestOpenEngine:
    """Whether a running engine is started again, since it does not run by its files."""

    @pytest.mark.parametrize(
        ("running", "answers", "restarts"),
        [
            ("$COMMAND", False, False),
            ("$COMMAND", True, True),
            ("$COMMAND --host-gateway-ip=172.17.0.1", False, False),
            ("$COMMAND -H tcp://0.0.0.0:2375", False, True),
            ("", False, False),
        ],
    )
    def test_an_engine_that_is_open_or_has_other_options(
        self, machine: Machine, running: str, answers: bool, restarts: bool
    ) -> None:
        machine.command("curl", f"exit {0 if answers else 56}")
        machine.command("dockerd")
        machine.command("systemctl", f"echo {4711 if running else 0}")
        functions = scripts.text("engine.sh").removesuffix("main </dev/null\n")
        text = functions.replace("/proc/$process/cmdline", f"{machine.root}/cmdline")
        options = "-H fd:// -H tcp://0.0.0.0:2376 --containerd=/run/containerd/containerd.sock"
        command = f"{machine.root}/bin/dockerd {options}"
        (machine.root / "cmdline").write_text(running.replace("$COMMAND", command).replace(" ", "\0") + "\0")
        result = subprocess.run(
            ["/bin/bash", "-s"],
            input=assignments(dict.fromkeys(ENGINE_VALUES, "given"))
            + text
            + "runs_otherwise && echo restart || true\n",
            env={"PATH": f"{machine.root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert (result.stdout.strip() == "restart") == restarts, result.stderr
