"""Backups by restic itself: in a directory, and in an object store that speaks S3 and knows its keys."""

import gzip
import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.script import assignments
from tests.support import restic
from tests.support.object_store import BUCKET, ObjectStore, object_store
from tests.unit.components.backup_host import BackupHost

PASSWORD, FORMER = "the-password-of-one-service", "the-password-of-the-whole-stack"
WHO = ("--host", "test", "--tag", "service=db,command=data")


class Host(BackupHost):
    """A host with restic itself."""

    def __init__(self, root: Path) -> None:
        (root / "restic").mkdir()
        super().__init__(root, restic.quick(root / "restic"))
        self.own = root / "var/lib/slipway/backup/db"
        self.put("password", PASSWORD)

    def put(self, name: str, text: str) -> None:
        (self.own / name).write_text(f"{text}\n")

    def set(self, old: str, new: str) -> None:
        file = self.root / "etc/slipway/backups" / self.own.name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def goes_to(self, url: str, store: ObjectStore, key: str = "") -> None:
        (line,) = re.findall("repository=[^ ]*", (self.root / "etc/slipway/backups/db").read_text())
        self.set(line, f"repository=s3:{url}/test/db")
        keys = {"AWS_ACCESS_KEY_ID": store.key_id, "AWS_SECRET_ACCESS_KEY": key or store.key}
        self.put("keys", assignments(keys).strip())

    def restic(
        self,
        *words: str,
        password: str = PASSWORD,
        data: str = "",
        repository: str = "",
        keys: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs restic on the repository of `db`, by default the one in the directory."""
        return subprocess.run(
            [restic.program(), "-r", repository or self.root / "srv/test/db", "--no-cache", *words],
            env={"RESTIC_PASSWORD": password, "PATH": "/usr/bin:/bin", **(keys or {})},
            input=data,
            capture_output=True,
            text=True,
            check=False,
        )

    def ids(self, name: str = "db") -> list[str]:
        listed = self.backup("list", name)
        assert listed.returncode == 0, listed.stderr
        return [one["short_id"] for one in json.loads(listed.stdout)]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_bucket_keeps_backups_that_nobody_can_read_there(host: Host) -> None:
    with object_store() as store:
        host.set("keep=14", "keep=2")
        host.goes_to(f"{store.bucket}/team", store)
        result = host.backup("run", "db")
        assert result.returncode == 0, result.stdout + result.stderr
        keys = {"AWS_ACCESS_KEY_ID": store.key_id, "AWS_SECRET_ACCESS_KEY": store.key}
        store.replace("team/test/db/keys/", lambda key: restic.eased(key, [PASSWORD]))
        place = f"s3:{store.bucket}/team/test/db"
        for day in ("2026-01-10 03:00:00", "2026-01-11 03:00:00", "2026-01-11 15:00:00"):
            old = ("backup", "--stdin", *WHO, "--time", day)
            assert host.restic(*old, data="old", repository=place, keys=keys).returncode == 0
        assert host.backup("run", "db").returncode == 0
        # Thinned out: all of the last day, and the last one of one more day.
        days = [one["time"][:13] for one in json.loads(host.backup("list", "db").stdout)]
        assert (len(days), min(days)) == (3, "2026-01-11T15")
        client = store.client()
        stored = [name for name in store.names() if name.startswith("team/test/db/data/")]
        assert stored
        for name in stored:
            assert b"a row" not in client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        # No list of processes has the keys, and the repository's password neither.
        said = (host.root / "called").read_text() + result.stdout + result.stderr
        assert not any(secret in said for secret in (store.key, store.key_id, PASSWORD))

        good = host.last()[3]
        for misses, (url, key, why) in enumerate(
            (
                (f"{store.bucket}/team", "not-the-key", "The request signature we calculated does not match"),
                (f"{store.url}/no-such-bucket", "", "there is no bucket of this name"),
            ),
            1,
        ):
            host.goes_to(url, store, key)
            assert host.backup("run", "db").returncode == 1
            assert why in host.last()[6]
            assert host.last()[3:5] == [good, str(misses)]
        # restic would have made it.
        assert [one["Name"] for one in client.list_buckets()["Buckets"]] == [BUCKET]

        store.stop()
        assert host.backup("run", "db").returncode == 1
        assert "does not answer: (7) Failed to connect" in host.last()[6]
        assert "does not answer" in host.backup("list", "db").stderr


def test_a_service_gets_a_password_of_its_own_for_the_backups_that_it_has(host: Host) -> None:
    host.put("password", FORMER)
    assert host.backup("run", "db").returncode == 0
    (before,) = host.ids()
    # As after an update of Slipway.
    host.put("password", PASSWORD)
    host.put("former-password", FORMER)
    assert host.backup("run", "db").returncode == 0
    assert before in host.ids()
    assert host.restic("dump", before, "/db").stdout == "a row\n"
    refused = host.restic("snapshots", password=FORMER)
    assert refused.returncode != 0
    assert "wrong password" in refused.stderr
    # Once it is moved, nothing asks again.
    calls = len(host.calls("restic"))
    assert host.ids()
    assert not any("former-password" in line for line in host.calls("restic")[calls:])
    # A new host, which knows nothing of that, can read them.
    (host.own / "moved").unlink()
    assert before in host.ids()
    # Another password is no reason to begin anew.
    host.put("password", "another-password")
    (host.own / "found").unlink()
    assert host.backup("run", "db").returncode == 1
    assert "they have another password" in host.last()[6]
    assert before in host.restic("snapshots", "--json").stdout


class Registry:
    """A registry's folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "docker/registry/v2"

    def push(self, repository: str, tag: str, manifest: str) -> Path:
        """Push a manifest; returns its blob."""
        digest = hashlib.sha256(manifest.encode()).hexdigest()
        blob = self.root / "blobs/sha256" / digest[:2] / digest / "data"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_text(manifest)
        manifests = self.root / "repositories" / repository / "_manifests"
        for link in (
            f"revisions/sha256/{digest}",
            f"tags/{tag}/current",
            f"tags/{tag}/index/sha256/{digest}",
        ):
            (manifests / link).mkdir(parents=True, exist_ok=True)
            (manifests / link / "link").write_text(f"sha256:{digest}")
        return blob

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.root)): path.read_text()
            for path in self.root.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def registry(host: Host) -> Registry:
    """The registry's folder on a host that backs it up to a directory."""
    data = host.root / "var/lib/slipway/registry"
    data.mkdir()
    (host.root / "etc/slipway/backups/registry").write_text(
        f"repository={host.root}/srv/test/registry target= port=22 stack=test kind=registry stops=false keep=14 "
        f"data={data}\nsaved=(images)\n"
    )
    host.own = host.root / "var/lib/slipway/backup/registry"
    host.own.mkdir()
    host.put("password", PASSWORD)
    host.command(
        "systemctl", 'case "$*" in is-active*) echo inactive ;; show*) cat $0.began 2>/dev/null ;; esac'
    )
    host.command("unshare", 'shift; exec "$@"')
    host.command("mount", 'rm -rf "$3"; cp -aT "$2" "$3"')
    owner = host.root / "usr/local/lib/slipway/own-registry-data"
    owner.parent.mkdir(parents=True)
    owner.write_text("#!/bin/sh\n")
    owner.chmod(0o755)
    return Registry(data)


def last(host: Host) -> str:
    record = (host.root / "etc/slipway/backups/.registry.last").read_text().rstrip("\n").split("\t")
    return (*record, "")[6]


def test_a_lost_registry_gets_its_images_back_and_keeps_newer_ones(host: Host, registry: Registry) -> None:
    registry.push("web", "1", "the first")
    damaged = registry.push("team/api", "1", "another")
    upload = registry.root / "repositories/web/_uploads/1/data"
    upload.parent.mkdir(parents=True)
    upload.write_text("half a layer")
    result = host.backup("run", "registry")
    assert result.returncode == 0, result.stdout + result.stderr
    (taken,) = host.ids("registry")
    upload.unlink()
    before = registry.files()

    # On a fresh volume, on which somebody has pushed since.
    registry.root.rename(host.root / "lost")
    newer = registry.push("web", "1", "the second")
    current = registry.root / "repositories/web/_manifests/tags/1/current/link"
    points_at = current.read_text()
    damaged.parent.mkdir(parents=True)
    damaged.write_text("anoth")
    drilled = host.backup("drill", "registry", taken)
    assert drilled.returncode == 0, drilled.stderr
    assert not (registry.root.parents[2] / ".slipway-restore").exists()
    assert damaged.read_text() == "anoth"

    restored = host.backup("restore", "registry", taken)
    assert restored.returncode == 0, restored.stderr
    assert "1 tags and 2 blobs were missing" in restored.stdout
    after = registry.files()
    assert before.keys() <= after.keys()
    assert damaged.read_text() == "another"
    assert newer.read_text() == "the second"
    # What was pushed since goes by its name.
    assert current.read_text() == points_at
    assert not (registry.root.parents[2] / ".slipway-restore").exists()


def test_a_backup_of_a_registry_amid_a_removal_does_not_count(host: Host, registry: Registry) -> None:
    registry.push("web", "1", "the first")
    host.command("mount", 'echo 17 >"${0%mount}systemctl.began"; rm -rf "$3"; cp -aT "$2" "$3"')
    assert host.backup("run", "registry").returncode == 1
    assert "were removed from the registry amid its backup" in last(host)
    assert not [line for line in host.calls("restic") if " tag " in line]


def test_a_backup_with_names_that_lead_nowhere_is_refused(host: Host, registry: Registry) -> None:
    registry.push("web", "1", "the first").unlink()
    assert host.backup("run", "registry").returncode == 0
    (taken,) = host.ids("registry")
    before = registry.files()
    result = host.backup("restore", "registry", taken)
    assert result.returncode == 9
    assert "names of images without the images" in result.stderr
    assert registry.files() == before


def test_images_of_another_stacks_backup_come_on_standard_input(host: Host, registry: Registry) -> None:
    registry.push("web", "1", "the first")
    assert host.backup("run", "registry").returncode == 0
    (taken,) = host.ids("registry")
    before = registry.files()
    emitted = host.hand_over("emit", "registry", taken)
    assert emitted.returncode == 0, emitted.stderr
    packed = gzip.compress(emitted.stdout)
    registry.root.rename(host.root / "lost")
    registry.push("web", "2", "the second")
    fresh = registry.files()

    def take(layout: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
        return host.hand_over("take", "registry", layout, "2026-01-31 03:00:00", "10", data=data)

    # The other host has failed before its end, whose mark is missing.
    layout = "service=registry,registry=images"
    cut = take(layout, packed[:-8])
    assert cut.returncode == 9
    assert b"they could not be restored" in cut.stderr
    assert take("service=db,command=data", packed).returncode == 7
    assert registry.files() == fresh

    brought = take(layout, packed)
    assert brought.returncode == 0, brought.stderr
    assert registry.files() == before | fresh


def test_the_output_of_a_command_is_emitted_as_it_was(host: Host) -> None:
    assert host.backup("run", "db").returncode == 0
    (taken,) = host.ids()
    emitted = host.hand_over("emit", "db", taken)
    assert (emitted.returncode, emitted.stdout) == (0, b"a row\n"), emitted.stderr
    assert host.hand_over("emit", "db", "0123abcd").returncode != 0
