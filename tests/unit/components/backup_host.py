"""A folder in place of a host with backups, for tests of scripts/backup.sh."""

import subprocess
from pathlib import Path

from components import script as scripts
from tests.unit.components.machine import Machine

RESTIC = """
# shellcheck disable=SC2154
while [ $# != 0 ]; do case "$1" in -r | -o | --password-file | --cache-dir) shift 2 ;; *) break ;; esac; done
case "$1 $*" in
  *"$(cat ROOT/fails 2>/dev/null || echo no such word)"*) echo "Fatal: no space left" >&2; exit 1 ;;
  cat*) [ -e ROOT/repository ] || exit 1 ;;
  init*) touch ROOT/repository ;;
  backup*)
    cat >ROOT/saved
    echo "{\\"total_bytes_processed\\":$(stat -c %s ROOT/saved),\\"snapshot_id\\":\\"1234abcd\\"}"
    ;;
  snapshots*) cat ROOT/snapshots 2>/dev/null || echo '[]' ;;
esac
"""
DOCKER = """
case "$1" in
  exec) echo a row ;;
esac
exit $(cat ROOT/docker 2>/dev/null || echo 0)
"""


CURL = """
case "$*" in
  *--unix-socket*) echo '[]'; echo code 200; echo '{}'; echo code 200 ;;
  *) exec /usr/bin/curl "$@" ;;
esac
"""
"""The engine's answers; all other servers are real."""


class BackupHost(Machine):
    """A host with the backups of the service `db`, by a command; with a stand-in for restic, or with restic itself."""

    def __init__(self, root: Path, restic: Path | None = None) -> None:
        super().__init__(root)
        self.command("restic", f'exec {restic} "$@"' if restic else RESTIC.replace("ROOT", str(root)))
        self.command("docker", DOCKER.replace("ROOT", str(root)))
        self.command("curl", CURL)
        configured = root / "etc/slipway/backups/db"
        for folder in (configured.parent, root / "var/lib/slipway/backup/db", root / "run", root / "srv"):
            folder.mkdir(parents=True)
        configured.write_text(
            f"repository={root}/srv/test/db target= port=22 stack=test kind=command stops=false keep=14 well=none "
            "domain= health_timeout=3 stop_grace=3 own_limit=99\n"
            "mounted=(data) saved=(data) dump_words=(dump) restore_words=(load) check_words=()\n"
        )
        path = root / "backup"
        text = scripts.text("backup.sh").replace('serves "$service"', "echo it")
        for place in (
            "/run/",
            "/etc/slipway/",
            "/var/lib/slipway/",
            "/var/cache/",
            "/usr/local/lib/slipway/",
        ):
            text = text.replace(place, f"{root}{place}")
        path.write_text(text)
        path.chmod(0o755)

    def backup(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "backup", *words],
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def hand_over(self, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """As `backup`, with bytes that go in and come out."""
        return subprocess.run(
            [self.root / "backup", *words],
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin"},
            input=data,
            capture_output=True,
            check=False,
            timeout=300,
        )

    def fails(self, at: str) -> None:
        """Has each order of this name fail; empty for none."""
        (self.root / "fails").write_text(at or "no such word")

    def last(self) -> list[str]:
        return (self.root / "etc/slipway/backups/.db.last").read_text().rstrip("\n").split("\t")
