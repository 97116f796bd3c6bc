"""secrets.sh and keep-secrets.sh: where a service's secrets are on its host, and how long."""

import base64
import subprocess
from pathlib import Path

import pytest

from components.secret_files import lines
from tests.unit.components.machine import Machine

STORED, SHOWN = "var/lib/slipway/secrets", "run/slipway/secrets"
ODD = "two\nlines, a quote ' and no end of line"


class SecretsHost(Machine):
    """A host, and what its containers have mounted."""

    def bring(self, service: str, version: str, secrets: dict[str, str], *arguments: str) -> None:
        # The unit waits for the lock, so nobody holds it while it starts.
        lock = f"flock -n {self.root}/run/slipway-secrets.lock true"
        self.command("systemctl", f'case "$*" in start*) exec {lock} ;; *is-enabled*) exit 1 ;; esac')
        values = {
            "SERVICE": service,
            "VERSION": version,
            "SECRETS": lines(secrets),
            "KEEP_SECRETS_SCRIPT": "x",
        }
        result = self.run("secrets.sh", values, *arguments)
        assert result.returncode == 0, result.stderr

    def keep(self, what: str, mounted: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
        self.command("docker", f'[ "$1" = inspect ] && echo "{mounted}" || echo one; exit {status}')
        return self.run("keep-secrets.sh", {}, what)

    def folders(self, place: str) -> list[str]:
        return sorted(str(path.relative_to(self.root / place)) for path in (self.root / place).glob("*/*/"))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretsHost:
    return SecretsHost(tmp_path)


def test_secrets_are_files_that_only_containers_and_root_get_at(host: SecretsHost) -> None:
    host.bring("web", "v1", {"TOKEN": "a token", "ODD": ODD})
    for place in (STORED, SHOWN):
        folder = host.root / place
        assert [one.stat().st_mode & 0o777 for one in (folder, folder / "web")] == [0o700, 0o700]
        assert (folder / "web/v1/TOKEN").read_text() == "a token"
        assert (folder / "web/v1/ODD").read_text() == ODD
        assert (folder / "web/v1/ODD").stat().st_mode & 0o777 == 0o444
    assert "systemctl -q enable slipway-secrets.service" in host.called


def test_a_former_version_stays_for_as_long_as_a_container_has_it(host: SecretsHost) -> None:
    host.bring("web", "v1", {"TOKEN": "1"})
    host.bring("web", "v2", {"TOKEN": "2"})
    host.bring("shop", "v3", {"KEY": "3"})
    # An engine that does not answer has not said that nothing is in use.
    assert host.keep("sweep", status=1).returncode != 0
    assert host.folders(SHOWN) == ["shop/v3", "web/v1", "web/v2"]
    host.keep("sweep", f"{host.root}/{SHOWN}/web/v1")
    assert host.folders(SHOWN) == ["shop/v3", "web/v1", "web/v2"]
    # The container of the newest one may not be made yet.
    host.keep("sweep")
    assert host.folders(SHOWN) == host.folders(STORED) == ["shop/v3", "web/v2"]


def test_they_are_back_when_the_machine_starts(host: SecretsHost) -> None:
    host.bring("web", "v1", {"TOKEN": "1", "ODD": ODD})
    subprocess.run(["rm", "-r", host.root / "run/slipway"], check=True)
    assert host.keep("restore").returncode == 0
    assert (host.root / SHOWN / "web/v1/ODD").read_text() == ODD
    assert [path.stat().st_mode & 0o777 for path in (host.root / SHOWN, host.root / SHOWN / "web/v1")] == [
        0o700,
        0o755,
    ]


def test_without_the_service_they_are_gone(host: SecretsHost) -> None:
    host.bring("web", "v1", {"TOKEN": "1"})
    host.bring("shop", "v3", {"KEY": "3"})
    host.bring("web", "v1", {"TOKEN": "1"}, "undo")
    assert host.folders(SHOWN) == host.folders(STORED) == ["shop/v3"]


def test_values_are_told_whole() -> None:
    name, _, encoded = lines({"ODD": ODD}).partition(" ")
    assert (name, base64.b64decode(encoded).decode()) == ("ODD", ODD)
