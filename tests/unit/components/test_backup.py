"""Backups: what the program makes for them, and the script that runs on hosts, with a stand-in for restic."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.components.backup_host import BackupHost
from tests.unit.program import Program, run

PASSWORD = "a-password-of-backups"
KEY = "an-access-key-of-backups"
DATABASE = {
    "build": {"context": "app", "base": {"context": "app/base"}},
    "hosts": ["web-1"],
    "ports": {"private": [5432]},
    "volumes": {"data": "/data", "log": "/log"},
}
BY_COMMAND = {"command": "dump 'all of it'", "restoreCommand": ["load", "a b"]}


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def program(backup: Mapping[str, object], **secrets: str) -> Program:
    services = {"db": {**DATABASE, "backup": backup}}
    return run(json.dumps({"services": services, "secrets": {"BACKUP_PASSWORD_DB": PASSWORD, **secrets}}))


def values(found: Program, name: str = "db-web-1-backup") -> dict[str, str]:
    """What the script on the host gets, as bash reads it."""
    stdin = found.named(name, "remote:Command").inputs["stdin"].value
    script = "backup-store" if name.endswith("store") else "backup-setup"
    assigned = stdin[: stdin.index(f"#!/usr/bin/env bash\n# Slipway: components/scripts/{script}.sh")]
    words = (
        *("SETTINGS", "CALENDAR", "PASSWORD", "FORMER_PASSWORD", "KEYS", "SSH_KEY", "KNOWN_HOST"),
        "USERS",
    )
    told = "".join(f'printf "%s\\0" "${{{word}-}}"\n' for word in words)
    output = subprocess.run(["bash", "-c", assigned + told], capture_output=True, text=True, check=True)
    return dict(zip(words, output.stdout.split("\0"), strict=False))


def settings(text: str, name: str) -> list[str]:
    """The words of one of the settings that backup.sh reads."""
    told = subprocess.run(
        ["bash", "-c", f'{text}\nprintf "%s\\n" "${{{name}[@]}}"'], capture_output=True, text=True, check=True
    )
    return told.stdout.splitlines()


def test_a_stack_without_backups_gets_nothing_for_them() -> None:
    assert not [name for name in run().resources if "backup" in name]


def test_another_host_keeps_backups_for_a_user_of_their_own() -> None:
    found = program({**BY_COMMAND, "hour": 4, "to": {"host": "yard"}})
    got = values(found)
    assert (got["PASSWORD"], got["FORMER_PASSWORD"]) == (PASSWORD, "")
    assert got["CALENDAR"] == "*-*-* 04:00:00 UTC"
    assert got["SSH_KEY"]
    assert got["KNOWN_HOST"]
    assert settings(got["SETTINGS"], "repository") == ["sftp:store:/data/db"]
    assert settings(got["SETTINGS"], "target")[0].startswith("slipway-backup-db@")
    assert settings(got["SETTINGS"], "dump_words") == ["/bin/sh", "-c", "dump 'all of it'"]
    assert settings(got["SETTINGS"], "restore_words") == ["load", "a b"]
    assert settings(got["SETTINGS"], "saved") == ["data", "log"]
    assert settings(got["SETTINGS"], "well") == ["tcp:5432"]
    assert values(found, "yard-backup-store")["USERS"].startswith("slipway-backup-db db ")
    # Undone when the setting goes, and not again on another machine.
    for name in ("db-web-1-backup", "yard-backup-store"):
        made = found.named(name, "remote:Command")
        assert made.inputs["delete"] == "bash -s undo"
        assert made.request.deleteBeforeReplace


def test_a_directory_and_a_bucket_keep_the_stacks_apart() -> None:
    got = values(program({"volumes": ["log"], "stop": True, "to": {"path": "/mnt/backups"}}))
    assert settings(got["SETTINGS"], "repository") == ["/mnt/backups/test/db"]
    assert settings(got["SETTINGS"], "saved") == ["log"]
    assert settings(got["SETTINGS"], "mounted") == ["data", "log"]
    assert settings(got["SETTINGS"], "stops") == ["true"]
    assert (got["SSH_KEY"], got["KNOWN_HOST"], got["KEYS"]) == ("", "", "")

    target = {"s3": "https://s3.example.com/backups/x", "keyId": "KEY_ID", "key": "KEY"}
    got = values(program({"volumes": ["log"], "to": target}, KEY_ID="an-id", KEY=KEY))
    assert settings(got["SETTINGS"], "repository") == ["s3:https://s3.example.com/backups/x/test/db"]
    assert settings(got["KEYS"], "AWS_SECRET_ACCESS_KEY") == [KEY]


def test_an_older_stack_has_its_password_until_the_service_has_its_own() -> None:
    backup = {**BY_COMMAND, "to": {"path": "/mnt/backups"}}
    got = values(program(backup, BACKUP_PASSWORD="the-password-of-the-stack"))
    assert (got["PASSWORD"], got["FORMER_PASSWORD"]) == (PASSWORD, "the-password-of-the-stack")
    services = {"db": {**DATABASE, "backup": backup}}
    without_slip = run(json.dumps({"services": services, "secrets": {"BACKUP_PASSWORD": PASSWORD}}))
    got = values(without_slip)
    assert (got["PASSWORD"], got["FORMER_PASSWORD"]) == (PASSWORD, "")


def test_the_registry_is_backed_up_to_another_host() -> None:
    found = run(
        json.dumps(
            {
                "registry": {"users": ["alice"], "backup": {"hour": 5, "keep": 7, "to": {"host": "web-1"}}},
                "secrets": {"BACKUP_PASSWORD_REGISTRY": PASSWORD},
            }
        )
    )
    got = values(found, "registry-backup")
    assert got["PASSWORD"] == PASSWORD
    assert got["CALENDAR"] == "*-*-* 05:00:00"
    assert settings(got["SETTINGS"], "repository") == ["sftp:store:/data/registry"]
    assert settings(got["SETTINGS"], "kind") == ["registry"]
    assert settings(got["SETTINGS"], "data") == ["/var/lib/slipway/registry"]
    assert got["SSH_KEY"]
    made = found.named("registry-backup", "remote:Command")
    assert made.request.parent == found.named("registry", "index:Registry").full_urn
    assert values(found, "web-1-backup-store")["USERS"].startswith("slipway-backup-registry registry ")


def test_services_that_share_a_host_for_their_backups_share_no_login() -> None:
    backup = {"volumes": ["log"], "to": {"host": "yard"}}
    long = "a-service-with-a-name-longer-than-users-have"
    services = {
        "db": {**DATABASE, "backup": backup},
        long: {**DATABASE, "ports": {}, "hosts": ["web-2"], "backup": backup},
    }
    secrets = {f"BACKUP_PASSWORD_{name.upper().replace('-', '_')}": PASSWORD for name in services}
    found = run(json.dumps({"services": services, "secrets": secrets}))
    users = [line.split(maxsplit=2) for line in values(found, "yard-backup-store")["USERS"].splitlines()]
    assert [service for _, service, _ in users] == [long, "db"]
    assert len({user for user, _, _ in users}) == len({key for _, _, key in users}) == 2
    assert all(len(user) <= 32 for user, _, _ in users)
    got = {"db": values(found), long: values(found, f"{long}-web-2-backup")}
    assert len({one["SSH_KEY"] for one in got.values()}) == 2
    for user, service, _ in users:
        assert settings(got[service]["SETTINGS"], "target")[0].startswith(f"{user}@")


@pytest.fixture
def host(tmp_path: Path) -> BackupHost:
    return BackupHost(tmp_path)


def test_a_backup_counts_once_it_is_whole(host: BackupHost) -> None:
    result = host.backup("run", "db")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (host.root / "saved").read_text() == "a row\n"
    orders = [line.split("--cache-dir ")[1].split(" ", 1)[1] for line in host.calls("restic")]
    assert any(order.startswith("backup ") and "--tag unfinished" in order for order in orders)
    tagged = next(index for index, order in enumerate(orders) if order.startswith("tag "))
    assert orders[tagged] == "tag -q --set service=db,command=data,bytes=6 1234abcd"
    assert "--keep-daily 14" in orders[tagged + 1]
    status, _, _, good, misses, size, said = (*host.last(), "")[:7]
    assert (status, misses, size, said) == ("0", "0", "6", "")
    assert int(good) > 0


def test_a_person_hears_what_mends_a_failed_backup(host: BackupHost) -> None:
    host.command("systemctl", f'case "$1" in start) {host.root}/backup run db || true ;; esac')
    assert host.backup("now", "db").returncode == 0
    # The place has lost its backups.
    (host.root / "repository").unlink()
    lost = host.backup("now", "db")
    assert lost.returncode == 1
    assert "the backup of db failed: the backups of db cannot be read" in lost.stderr
    assert "slipway: if they are lost, `./slip backup db --new` begins anew" in lost.stderr
    anew = host.backup("now", "db", "new")
    assert anew.returncode == 0, anew.stderr
    host.fails("backup")
    assert "--new" not in host.backup("now", "db").stderr


def test_failures_are_counted_and_the_last_good_backup_stays_known(host: BackupHost) -> None:
    assert host.backup("run", "db").returncode == 0
    good = host.last()[3]
    host.fails("backup")
    for misses in ("1", "2"):
        assert host.backup("run", "db").returncode == 1
        assert host.last()[0] != "0"
        assert host.last()[3:6] == [good, misses, "6"]
        assert host.last()[6] == "Fatal: no space left"
    # Nothing of what is there was removed, and nothing that is not whole counts.
    assert len([line for line in host.calls("restic") if " tag " in line]) == 1
    assert len([line for line in host.calls("restic") if " forget " in line]) == 1
    host.fails("")
    assert host.backup("run", "db").returncode == 0
    assert host.last()[4] == "0"


def test_a_command_that_fails_makes_no_backup(host: BackupHost) -> None:
    (host.root / "docker").write_text("3")
    assert host.backup("run", "db").returncode == 1
    assert not [line for line in host.calls("restic") if " tag " in line]


def test_a_repository_that_was_there_is_not_made_anew_by_itself(host: BackupHost) -> None:
    assert host.backup("run", "db").returncode == 0
    (host.root / "repository").unlink()
    assert host.backup("run", "db").returncode == 1
    assert "cannot be read" in host.last()[6]
    # Another place has nothing to do with that.
    settings_file = host.root / "etc/slipway/backups/db"
    before = settings_file.read_text()
    settings_file.write_text(before.replace("/srv/test/db", "/srv/other/db"))
    assert host.backup("run", "db").returncode == 0
    # The host that keeps it is the same with another address.
    (host.root / "repository").unlink()
    for keeper, address, status in (("yard", 7, 0), ("yard", 8, 1), ("web-1", 8, 0)):
        settings_file.write_text(before.replace("target=", f"keeper={keeper} target=db@10.0.0.{address}"))
        assert host.backup("run", "db").returncode == status, (keeper, address)
        (host.root / "repository").unlink(missing_ok=True)
    settings_file.write_text(before)
    (host.root / "srv").rename(host.root / "unmounted")
    assert host.backup("run", "db").returncode == 1
    assert "there is no directory" in host.last()[6]


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ('"service=web","volumes=data"', "is of service=web,volumes=data"),
        ('"service=db","command=data+log","bytes=3"', "is of service=db,command=data+log"),
        ('"unfinished"', "was interrupted"),
    ],
)
def test_a_backup_of_something_else_is_refused_before_anything_stops(
    host: BackupHost, tags: str, why: str
) -> None:
    (host.root / "snapshots").write_text(
        f'[{{"time":"2026-01-31T03:00:00Z","tags":[{tags}],"short_id":"12"}}]'
    )
    result = host.backup("restore", "db", "12")
    assert result.returncode == 7
    assert why in result.stderr
    assert not host.calls("docker") or all(" ps " in f" {line} " for line in host.calls("docker"))


ENGINE = """
case "$*" in
  */stop*) touch ROOT/stopped ;;
  *) [ ! -e ROOT/stopped ] && state=running || state=exited ;;
esac
[ ! -e ROOT/starts ] || state=running
echo '[{"Id":"1","Names":["/db-1"],"Labels":{"slipway.service":"db"},"State":"'$state'"}]'
echo code 200
echo '{}'
echo code 200
"""


@pytest.fixture
def stopping(host: BackupHost) -> BackupHost:
    """A host that stops the service while its volume is backed up."""
    configured = host.root / "etc/slipway/backups/db"
    text = configured.read_text().replace("kind=command stops=false", "kind=volumes stops=true")
    configured.write_text(text)
    host.command("curl", ENGINE.replace("ROOT", str(host.root)))
    host.command("unshare", 'shift; exec "$@"')
    for name in ("mount", "switch"):
        host.command(name)
    path = host.root / "backup"
    path.write_text(path.read_text().replace(f"{host.root}/usr/local/lib/slipway/switch", "switch"))
    return host


@pytest.mark.parametrize("fails", ["", "backup"])
def test_a_service_that_is_stopped_for_its_backup_starts_again(stopping: BackupHost, fails: str) -> None:
    stopping.fails(fails)
    result = stopping.backup("run", "db")
    assert result.returncode == (1 if fails else 0), result.stdout + result.stderr
    assert (stopping.root / "stopped").exists()
    saved = next(line for line in stopping.calls("restic") if " backup " in line)
    assert stopping.called.index(saved) < stopping.called.index("switch --restore")
    assert not list((stopping.root / "run").glob("slipway-away-*"))


def test_a_service_that_is_started_amid_its_backup_has_none(stopping: BackupHost) -> None:
    (stopping.root / "starts").touch()
    assert stopping.backup("run", "db").returncode == 1
    assert stopping.last()[6] == "an update has started db amid its backup, which is of no use then"
    assert not [line for line in stopping.calls("restic") if " tag " in line]
