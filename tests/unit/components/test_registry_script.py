"""registry.sh: what restarts the registry, what reloads the proxy before it, and what only tells it other rights."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from components import script as scripts
from components.script import assignments
from tests.unit.components.machine import Machine

HASH = "$2b$05$" + "a" * 53
VALUES = {
    "CONFIG": "version: 0.1",
    "ACCOUNTS": f"hosts:{HASH}",
    "CERTIFICATE": "a certificate",
    "KEY": "a key",
    "AUTHORITY": "an authority",
    "URL": "https://yard:5000",
    "DATA_PATH": "/var/lib/slipway/registry",
    "SOCKET_PATH": "/var/lib/slipway/registry-socket",
    "REGISTRY_USER": "60601",
    "FRONT_GROUP": "60602",
    "FRONT_CONFIG": "global\n  description MARK",
    "FRONT_ACCOUNTS": "hosts host",
    "FRONT_PUSH": "hosts: mirror",
    "FRONT_PULL": "hosts: yes",
    "RETENTION": "",
    "RETENTION_TIME": "",
    "RETENTION_SCRIPT": "",
    "RETENTION_RULES": "",
}
PROCESS = """
    while IFS= read -r line; do
      echo "$line" >>told
      case $line in
      'show proc') printf '#<PID> <type>\\n1 master\\n7 worker\\n5 worker\\n' ;;
      *' prepare map '*) echo 'New version created: 3' ;;
      '@1 show info') echo "description: $(cat loaded)" ;;
      reload) sed -n 's/^  description //p' etc/slipway/registry-proxy/haproxy.cfg >loaded ;;
      esac
    done"""
"""A stand-in for the process of HAProxy, which reads its files at a `reload`, and has an earlier worker."""


@dataclass
class RegistryHost:
    """The registry's host, with containers as Pulumi has made them."""

    machine: Machine
    mounts: str = "/etc/distribution /run/registry /var/lib/registry"
    """The mounts of the registry's container; empty without one."""
    front: str = "running"
    """The state of the proxy's container; empty without one."""
    values: dict[str, str] = field(default_factory=lambda: dict(VALUES))

    def run(self) -> subprocess.CompletedProcess[str]:
        root = self.machine.root
        self.machine.command("nsenter", f"cd {root}\n{PROCESS}")
        self.machine.command("wait-for-registry")
        # Only root gives files away.
        self.machine.command("chown")
        self.machine.command(
            "docker",
            f"""
            cd {root}
            case "$*" in
            "inspect slipway-registry "*Status*) echo running; [ -n "{self.mounts}" ] ;;
            "inspect slipway-registry "*Mounts*) echo "{self.mounts}" ;;
            "inspect slipway-registry-proxy "*Pid*) echo 4711 ;;
            "inspect slipway-registry-proxy"*) echo "{self.front}"; [ -n "{self.front}" ] ;;
            "restart slipway-registry-proxy")
              sed -n 's/^  description //p' etc/slipway/registry-proxy/haproxy.cfg >loaded ;;
            "restart slipway-registry") ;;
            *) exit 9 ;;
            esac""",
        )
        text = scripts.text("registry.sh").replace("/usr/local/lib/slipway/wait-for", "wait-for")
        assert "seq 50" in text
        text = text.replace("seq 50", "seq 5")
        values = dict(self.values)
        for folder in ("/etc/slipway", "/var/lib/slipway", "/run/slipway-", "/etc/systemd", "/usr/local/lib"):
            (root / folder.strip("/")).mkdir(parents=True, exist_ok=True)
            text = text.replace(folder, f"{root}{folder}")
            values = {name: value.replace(folder, f"{root}{folder}") for name, value in values.items()}
        for log in ("called", "told"):
            (root / log).write_text("")
        return subprocess.run(
            ["/bin/bash", "-s"],
            input=assignments(values) + text,
            env={"PATH": f"{root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def again(self, **changed: str) -> list[str]:
        """Runs it with other values; returns what it did to containers and process, but for questions."""
        self.values |= changed
        result = self.run()
        assert result.returncode == 0, result.stderr
        return self.done()

    def done(self) -> list[str]:
        restarts = [line for line in self.machine.calls("docker") if " restart " in line]
        waits = self.machine.calls("wait-for-registry")
        return [*restarts, *(line for line in self.told() if line == "reload"), *waits]

    def told(self) -> list[str]:
        return (self.machine.root / "told").read_text().splitlines()

    def file(self, name: str) -> Path:
        return self.machine.root / "etc/slipway" / name


WAIT = "wait-for-registry https://yard:5000"


@pytest.fixture
def host(tmp_path: Path) -> RegistryHost:
    """A host on which it has run once, and whose proxy has read its files."""
    host = RegistryHost(Machine(tmp_path))
    (tmp_path / "loaded").write_text("nothing\n")
    host.again()
    return host


def test_nothing_new_restarts_and_reloads_nothing(host: RegistryHost) -> None:
    assert host.again() == [WAIT]


def test_another_right_is_told_to_every_worker_at_once(host: RegistryHost) -> None:
    assert host.again(FRONT_PUSH="hosts: mirror\nalice:team/ yes") == [WAIT]
    inside = "/usr/local/etc/haproxy/push.map"
    for worker in (7, 5):
        start = host.told().index(f"@!{worker} add map @3 {inside} <<")
        assert host.told()[start + 1 : start + 5] == [
            *("hosts: mirror", "alice:team/ yes", ""),
            f"@!{worker} commit map @3 {inside}",
        ]


@pytest.mark.parametrize("value", ["CERTIFICATE", "KEY", "AUTHORITY"])
def test_another_certificate_is_read_by_a_reload(host: RegistryHost, value: str) -> None:
    assert host.again(**{value: "another"}) == ["reload", WAIT]
    assert host.file("registry-proxy/tls.pem").read_text().count("another") == (value != "AUTHORITY")


def test_only_another_configuration_restarts_the_registry(host: RegistryHost) -> None:
    assert host.again(ACCOUNTS=f"hosts:{HASH}\nalice:{HASH}") == [WAIT]
    assert host.again(CONFIG="version: 0.2") == ["docker restart slipway-registry", WAIT]


def test_a_run_that_was_killed_is_made_up_for(host: RegistryHost) -> None:
    (host.machine.root / "run/slipway-registry-unread").touch()
    assert host.again() == ["docker restart slipway-registry", WAIT]


def test_the_registry_of_an_older_version_goes_on_until_it_is_replaced(host: RegistryHost) -> None:
    host.mounts, host.front = "/etc/distribution /var/lib/registry", ""
    for name in ("tls.crt", "tls.key", "ca.crt"):
        host.file(f"registry/{name}").touch()
    assert host.again(CONFIG="version: 0.2") == []
    assert {file.name for file in host.file("registry").iterdir()} == {"config.yml", "htpasswd"}


def test_nothing_is_restarted_before_there_are_containers(host: RegistryHost) -> None:
    host.mounts, host.front = "", ""
    assert host.again() == []


def test_a_proxy_that_has_ended_starts_again(host: RegistryHost) -> None:
    host.front = "exited"
    assert host.again(CERTIFICATE="another") == ["docker restart slipway-registry-proxy", WAIT]


def test_a_proxy_that_does_not_take_its_settings_is_a_failure(host: RegistryHost) -> None:
    host.machine.command("sleep")
    (host.machine.root / "loaded").unlink()
    (host.machine.root / "loaded").mkdir()
    result = host.run()
    assert result.returncode == 6
    assert "the proxy before the registry did not take its settings" in result.stderr


FRONT_FILES = ("accounts.map", "push.map", "pull.map", "tls.pem", "ca.crt", "haproxy.cfg")


@pytest.mark.parametrize(
    ("folder", "names", "owner"),
    [("registry", ("config.yml", "htpasswd"), "0:60601"), ("registry-proxy", FRONT_FILES, "0:60602")],
)
def test_files_are_for_root_and_their_reader_alone(
    host: RegistryHost, folder: str, names: tuple[str, ...], owner: str
) -> None:
    """Neither of the two containers reads the other's."""
    given = host.machine.calls("chown")
    assert f"chown {owner} {host.file(folder)}" in given
    assert host.file(folder).stat().st_mode & 0o777 == 0o750
    for name in names:
        assert host.file(f"{folder}/{name}").stat().st_mode & 0o777 == 0o640
        assert any(line.startswith(f"chown {owner} {host.file(folder)}/{name}.") for line in given), name


def test_the_data_of_an_older_version_goes_to_the_registrys_user(host: RegistryHost) -> None:
    data = host.machine.root / "var/lib/slipway/registry"
    (data / "docker").mkdir()
    (data / "docker/blob").touch(0o644)
    host.again()
    given = [
        line for line in host.machine.calls("chown") if line.split()[-1] in {str(data), f"{data}/docker"}
    ]
    # The folder itself comes last: its owner says that all of it is done. Until its end an older registry writes as
    # one of root's group.
    assert given == [f"chown -h 60601 {data}/docker/blob {data}/docker", f"chown 60601 {data}"]
    assert (data / "docker/blob").stat().st_mode & 0o777 == 0o664
    # What that registry has written until then goes over once the new one runs.
    (data / "docker/late").touch()
    script = host.machine.root / "usr/local/lib/slipway/own-registry-data"
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    text = script.read_text().replace("chown", f"{host.machine.root}/bin/chown")
    result = subprocess.run(
        ["/bin/bash", "-c", text], capture_output=True, text=True, check=False, timeout=30
    )
    assert any(f"{data}/docker/late" in line for line in host.machine.calls("chown"))
    # This `chown` changes nothing, which the script sees.
    assert (result.returncode, f"the registry's user cannot be given {data}" in result.stderr) == (7, True)
