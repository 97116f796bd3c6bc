"""The registry's storage over years, in minutes: images are removed, disks fill, things die, many come at once."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from components import script
from tests.e2e.conftest import one_host_settings, take_down
from tests.e2e.pushing import Client, Pushed, Refused
from tests.e2e.registry_load import RegistryLoad
from tests.e2e.stack import Clone, Stack, docker, eventually

KEEP = 5
DATA = "/var/lib/slipway/registry"
IMAGE_SIZE = 100_000
"""Bytes of a pushed image's layer: fifty of them are soon pushed, and still show on the disk."""
UNIT = "slipway-retention.service"
SMALL_DISK = 24
"""MiB of the disk that is to fill up."""


@pytest.fixture(scope="module")
def storage(clone: Clone, machine: None) -> Iterator[Stack]:
    """A stack of one host whose registry keeps five images of each repository."""
    stack = Stack(clone, "e2e-storage")
    stack.remove_traces()
    settings = one_host_settings()
    settings["platform"]["portOffset"] = 500
    # Not while these tests run.
    hour = (datetime.now(UTC).hour + 12) % 24
    settings["registry"] = {"users": ["alice"], "retention": {"keep": KEEP, "days": 0, "hour": hour}}
    stack.write_config(settings)
    try:
        stack.up()
        yield stack
    finally:
        take_down(stack)


@pytest.fixture(scope="module")
def client(storage: Stack) -> Iterator[Client]:
    """A client of its registry."""
    with Client.of(storage.registry()) as client:
        yield client


def _clients(storage: Stack) -> Callable[[], Client]:
    registry = storage.registry()
    return lambda: Client.of(registry)


def _prune(storage: Stack, *options: str) -> dict[str, Any]:
    said = storage.clone.read("./slip", "prune", "--stack", storage.name, "--json", *options)
    plan: dict[str, Any] = json.loads(said)
    return plan


def _on_host(storage: Stack, line: str) -> str:
    return storage.on_host("box", "bash", "-c", line)


def _bytes(storage: Stack) -> int:
    return int(_on_host(storage, f"du -sb {DATA}").split()[0])


def _deployed(storage: Stack) -> str:
    digest: str = storage.outputs()["images"]["web"].partition("@")[2]
    return digest


def _marks(storage: Stack, kind: str = "deployed") -> set[str]:
    label = f"slipway.{kind}"
    line = f"docker volume ls --filter label={label} --format '{{{{.Label \"{label}\"}}}}'"
    return set(_on_host(storage, line).split())


def _answers(client: Client) -> bool:
    try:
        return client.ask("GET", "/v2/").status == http.client.OK
    except (OSError, http.client.HTTPException):
        client.close()
        return False


def _takes_pushes(client: Client) -> bool:
    try:
        image = client.push("probe")
    except (OSError, http.client.HTTPException, Refused):
        client.close()
        return False
    return client.pull("probe", image.digest) == image.digest


def _kill_registry(storage: Stack) -> None:
    _on_host(storage, "kill -9 $(docker inspect -f '{{.State.Pid}}' slipway-registry)")


def _restart_host(storage: Stack) -> None:
    docker("kill", storage.container("box"))
    docker("start", storage.container("box"))


def _check_all(client: Client, images: list[Pushed]) -> None:
    """Every image comes back as it was pushed, by tag and by digest."""
    for image in images:
        assert client.pull(image.repository, image.digest) == image.digest
        if image.tag:
            assert client.pull(image.repository, image.tag) == image.digest


def test_fifty_changing_images_shrink_to_five(storage: Stack, client: Client) -> None:
    """By tag and by digest, with all their platforms and what refers to them; the one that runs too."""
    running = _deployed(storage)
    plain = [client.push("team/app", f"v{number}", size=IMAGE_SIZE) for number in range(50)]
    indexes, parts, notes = [], [], []
    for number in range(8):
        platforms = [client.push("multi", size=IMAGE_SIZE // 2) for _ in range(2)]
        indexes.append(client.push_index("multi", f"v{number}", platforms))
        parts.append(platforms)
        notes.append(client.push("multi", subject=platforms[0]))
    # In the service's own repository only what has served counts, and none of these has.
    newer = [client.push("web", f"newer-{number}") for number in range(2 * KEEP)]
    before = _bytes(storage)

    told = _prune(storage, "--dry-run")
    assert {image["digest"] for image in told["images"]} == {
        image.digest for image in (*plain[:-KEEP], *indexes[:-KEEP], *newer)
    }
    assert client.tags("team/app") == {image.tag for image in plain}, "a dry run removed something"

    keepers = [*plain[-KEEP:], *indexes[-KEEP:]]
    with RegistryLoad(_clients(storage), pushers=0, pullers=4, repository="team/app") as pulls:
        pulls.pushed.extend(plain[-KEEP:])
        went = _prune(storage)
    assert pulls.errors == []
    assert pulls.pulls > 50
    assert {image["digest"] for image in went["images"]} == {image["digest"] for image in told["images"]}
    assert went["freed"] >= told["freed"] > (45 + 3) * IMAGE_SIZE

    assert before - _bytes(storage) > 0.98 * told["freed"]
    _check_all(client, keepers)
    _check_all(client, [image for platforms in parts[-KEEP:] for image in platforms])
    _check_all(client, notes[-KEEP:])
    assert client.pull("web", running) == running
    for image in (*plain[:-KEEP], *indexes[:-KEEP], *notes[:-KEEP], *newer, *parts[0]):
        assert not client.has(image), image
    assert client.tags("team/app") == {image.tag for image in plain[-KEEP:]}
    assert _prune(storage, "--dry-run")["images"] == []

    log = _on_host(storage, f"journalctl -u {UNIT} -o cat --no-pager")
    assert f"slipway: removing team/app@{plain[0].digest} (v0)" in log
    assert f"slipway: removed {45 + 3 + 2 * KEEP} images of" in log
    assert "slipway-retention.timer" in _on_host(storage, "systemctl list-timers --no-pager")


def test_versions_that_never_get_healthy_cost_no_image_that_serves(storage: Stack, client: Client) -> None:
    good = f"web@{_deployed(storage)}"
    assert _marks(storage) == _marks(storage, "serving") == _marks(storage, "served") == {good}
    server = "tests/e2e/fixtures/tiny/server.pl"
    text = (storage.clone.root / server).read_text()
    attempts: list[str] = []
    try:
        for code in (3, 4):
            (storage.clone.root / server).write_text(f"#!/usr/bin/perl\nexit {code};\n")
            failed = storage.slip("up")
            assert failed.status == 1, str(failed)
            (attempt,) = _marks(storage) - {good, *attempts}
            attempts.append(attempt)
        bad, wanted = attempts
        assert _marks(storage, "serving") == _marks(storage, "served") == {good}
        # The mark by which the good version was deployed waits to be deleted. What serves must not depend on it.
        mine = f"docker volume ls -q --filter label=slipway.deployed={good}"
        _on_host(storage, f"docker volume rm $({mine})")
        assert _marks(storage) == {bad, wanted}
        # As the timer does it each day, without the operator.
        _on_host(storage, f"systemctl start {UNIT}")
        for kept in (good, wanted):
            assert client.pull("web", kept.partition("@")[2])
        # The timer leaves the other one, too, which is still marked. `slip prune` sees that no host serves it.
        assert client.pull("web", bad.partition("@")[2])
        assert [f"web@{image['digest']}" for image in _prune(storage)["images"]] == [bad]
        for kept in (good, wanted):
            assert client.pull("web", kept.partition("@")[2])

        (storage.clone.root / server).write_text(text + "\n# another version\n")
        storage.up()
        better = f"web@{_deployed(storage)}"
        assert _marks(storage) == _marks(storage, "serving") == {better}
        assert _marks(storage, "served") == {good, better}
        went = {f"web@{image['digest']}" for image in _prune(storage)["images"]}
        assert went == {wanted}
        for kept in (good, better):
            assert client.pull("web", kept.partition("@")[2])
        storage.up("--refresh", "--expect-no-changes")
    finally:
        (storage.clone.root / server).write_text(text)


def test_a_push_that_is_under_way_is_awaited(storage: Stack, client: Client) -> None:
    for _ in range(KEEP + 1):
        client.push("awaited")
    with Client.of(storage.registry()) as slow:
        path = slow.continue_upload(slow.begin_upload("awaited"), b"one part")
        _on_host(storage, f"systemctl start --no-block {UNIT}")
        # Longer than the quiet that it waits for, but never silent for so long.
        deadline = time.monotonic() + 7
        while time.monotonic() < deadline:
            path = slow.continue_upload(path, b", and another")
            time.sleep(0.5)
        assert _on_host(storage, f"systemctl is-active {UNIT} || true") == "activating"
        image = slow.push(
            "awaited",
            "late",
        )
    eventually(
        "it goes on", lambda: "inactive" in _on_host(storage, f"systemctl is-active {UNIT} || true"), 60
    )
    assert client.pull("awaited", "late") == image.digest
    assert _prune(storage, "--dry-run")["images"] == []


KILLS = {
    "as soon as nothing can be written": f"until grep -q ' {DATA} ro' /proc/self/mountinfo; do :; done",
    "while the registry collects": "until docker ps --format '{{.Names}}' | grep -q gc$; do :; done",
}


@pytest.mark.parametrize("moment", KILLS)
def test_killed_it_leaves_a_registry_that_writes(storage: Stack, client: Client, moment: str) -> None:
    images = [client.push("killed", f"v{number}", size=1000) for number in range(40)]
    _on_host(
        storage,
        f'systemctl start --no-block {UNIT}; timeout 60 bash -c "{KILLS[moment]}" || exit 1;'
        f" systemctl kill -s KILL --kill-who=main {UNIT}",
    )
    eventually("the registry takes pushes", lambda: _takes_pushes(client), 20)
    assert "Result=signal" in _on_host(storage, f"systemctl show -p Result {UNIT}")
    assert _on_host(storage, f"grep -c ' {DATA} ro' /proc/self/mountinfo || true") == "0"
    _check_all(client, images[-KEEP:])
    # No tag stands for what is gone.
    for tag in client.tags("killed"):
        client.pull("killed", tag)
    _prune(storage)
    assert client.tags("killed") == {image.tag for image in images[-KEEP:]}
    _check_all(client, images[-KEEP:])


def test_a_registry_that_crashes_meanwhile_comes_back_read_only(storage: Stack, client: Client) -> None:
    images = [client.push("crash", f"v{number}", size=1000) for number in range(2 * KEEP)]
    _on_host(
        storage,
        f'systemctl start --no-block {UNIT}; timeout 60 bash -c "{KILLS["as soon as nothing can be written"]}"'
        f" && systemctl kill -s STOP {UNIT}",
    )
    try:
        _kill_registry(storage)
        client.close()
        eventually("it answers", lambda: _answers(client))
        with pytest.raises(Refused, match="read-only file system"):
            client.push("crash", "meanwhile")
        _check_all(client, images[-KEEP:])
    finally:
        _on_host(storage, f"systemctl kill -s CONT {UNIT}")
    eventually("the registry takes pushes", lambda: _takes_pushes(client), 20)
    assert client.tags("crash") == {image.tag for image in images[-KEEP:]}


def test_after_a_power_cut_amid_removal_all_is_well(storage: Stack, client: Client) -> None:
    images = [client.push("cut", f"v{number}", size=1000) for number in range(40)]
    frozen = f"until grep -q ' {DATA} ro' /proc/self/mountinfo; do :; done"
    _on_host(storage, f'systemctl start --no-block {UNIT}; timeout 60 bash -c "{frozen}"')
    _restart_host(storage)
    client.close()
    eventually("the registry takes pushes", lambda: _takes_pushes(client), 60)
    _check_all(client, images[-KEEP:])
    _prune(storage)
    assert client.tags("cut") == {image.tag for image in images[-KEEP:]}


@pytest.mark.parametrize("fault", [_kill_registry, _restart_host], ids=["kill -9", "power cut"])
def test_every_acknowledged_push_outlives_a_fault(
    storage: Stack, client: Client, fault: Callable[[Stack], None]
) -> None:
    with RegistryLoad(_clients(storage), pushers=4, pullers=0, repository="fault", layer=50_000) as load:
        load.wait_for(20)
        fault(storage)
        load.wait_for(20)
    client.close()
    assert load.errors, "nobody noticed"
    _check_all(client, load.pushed)


def test_a_full_disk_refuses_pushes_and_loses_nothing(storage: Stack, client: Client) -> None:
    """On a disk of its own, and small."""
    restart = "docker restart -t 1 slipway-registry"
    _on_host(storage, f"mount -t tmpfs -o size={SMALL_DISK}m tmpfs {DATA} && {restart}")
    try:
        client.close()
        eventually("it answers", lambda: _answers(client))
        pushed: list[Pushed] = []
        refused: list[int | str] = []
        while len(refused) < 10 and len(pushed) < 2 * SMALL_DISK:
            try:
                pushed.append(client.push("full", f"v{len(pushed)}", size=700_000))
            except Refused as error:
                refused.append(error.status)
            except (OSError, http.client.HTTPException) as error:
                # A registry that has no room hangs up on a client that is still sending.
                refused.append(str(error))
                client.close()
        assert len(pushed) > SMALL_DISK / 2
        assert http.client.INTERNAL_SERVER_ERROR in refused, refused
        _check_all(client, pushed)
        verified = storage.slip("verify", "--json")
        assert verified.status == 1
        report = json.loads(verified.output[verified.output.index("{") : verified.output.rindex("}") + 1])
        (disk,) = (check for check in report["checks"] if "disk" in check["check"])
        assert not disk["passed"]
        assert "full" in disk["detail"]
        # Removing needs no room.
        _prune(storage)
        assert client.tags("full") == {image.tag for image in pushed[-KEEP:]}
        _check_all(client, pushed[-KEEP:])
        _check_all(client, [client.push("full", "after", size=700_000)])
    finally:
        _on_host(storage, f"docker stop -t 1 slipway-registry; umount {DATA}; docker start slipway-registry")
        client.close()
        eventually("it answers", lambda: _answers(client))


def test_corrupt_accounts_are_refused_before_they_are_installed(storage: Stack, client: Client) -> None:
    folder = "/etc/slipway/registry"
    before = _on_host(storage, f"sha256sum {folder}/htpasswd")
    good = _on_host(storage, f"cat {folder}/htpasswd")
    for corrupt in ("alice:plain", "alice:$2b$05$short", "alice", f"{good}\n\n", good[:-1], f"{good}\nbob:"):
        values = {
            "CONFIG": "version: 0.1",
            "ACCOUNTS": corrupt,
            "CERTIFICATE": "x",
            "KEY": "x",
            "AUTHORITY": "x",
            "URL": "x",
            "DATA_PATH": DATA,
            "RETENTION": "",
            "RETENTION_TIME": "",
            "RETENTION_SCRIPT": "",
            "RETENTION_RULES": "",
        }
        result = subprocess.run(
            ["docker", "exec", "-i", storage.container("box"), "bash", "-s"],
            input=script.assignments(values) + script.text("registry.sh"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 8, f"{corrupt}: {result.stderr}"
        assert "is no name with a bcrypt hash" in result.stderr
        assert _on_host(storage, f"sha256sum {folder}/htpasswd") == before
    assert _answers(client)


def test_many_clients_at_once_meet_no_error(storage: Stack) -> None:
    """Eight push and sixteen pull; `python -m bench --only registry` measures how fast."""
    with RegistryLoad(_clients(storage)) as load:
        time.sleep(10)
    assert load.errors == []
    assert len(load.pushed) > 8
    assert load.pulls > 16
