"""The registry's storage: removal of old images, crashes and power cuts, a full disk, and many clients at once."""

import http.client
import json
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from components import script
from tests.support.docker_command import docker
from tests.support.registry_client import Client, Pushed, Refused
from tests.support.registry_load import RegistryLoad
from tests.support.settings import REGISTRY
from tests.support.stack import Stack
from tests.support.waiting import eventually
from well_known import REGISTRY_PROXY_GROUP, REGISTRY_SOCKET_PATH, REGISTRY_USER

KEEP = 5
DATA = "/var/lib/slipway/registry"
IMAGE_SIZE = 100_000
"""Bytes of a pushed image's layer. Fifty such images are pushed quickly and can be seen on the disk."""
UNIT = "slipway-retention.service"
SCRIPT = "/usr/local/lib/slipway/retention"
STOP = "/run/slipway-stop"
"""A folder on the host for edited scripts, with a FIFO."""
SMALL_DISK = 24
"""Size of the disk that fills up, MiB."""


@pytest.fixture(scope="module")
def storage(one_host: Stack) -> Stack:
    """A stack whose registry keeps five images of each repository."""
    # Twelve hours away, so that the timer does not start it during these tests.
    hour = (datetime.now(UTC).hour + 12) % 24
    retention = {"keep": KEEP, "days": 0, "hour": hour}
    one_host.configure({"registry": REGISTRY | {"users": ["alice"], "retention": retention}})
    one_host.up("--refresh")
    return one_host


@pytest.fixture(scope="module")
def client(storage: Stack) -> Iterator[Client]:
    """A client of its registry."""
    with Client.of(storage.registry()) as client:
        yield client


def _clients(storage: Stack) -> Callable[[], Client]:
    registry = storage.registry()
    return lambda: Client.of(registry)


def _prune(storage: Stack, *options: str) -> dict[str, Any]:
    printed = storage.clone.read("./slip", "prune", "--stack", storage.name, "--json", *options)
    plan: dict[str, Any] = json.loads(printed)
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
    # In the service's own repository only images that have served count, and none of these has. The newest one stays.
    newer = [client.push("web", f"newer-{number}") for number in range(2 * KEEP)]
    newest = newer.pop()
    before = _bytes(storage)

    plan = _prune(storage, "--dry-run")
    assert {image["digest"] for image in plan["images"]} == {
        image.digest for image in (*plain[:-KEEP], *indexes[:-KEEP], *newer)
    }
    assert client.tags("team/app") == {image.tag for image in plain}, "a dry run removed something"

    keepers = [*plain[-KEEP:], *indexes[-KEEP:], newest]
    with RegistryLoad(_clients(storage), pushers=0, pullers=4, repository="team/app") as load:
        load.pushed.extend(plain[-KEEP:])
        went = _prune(storage)
        load.wait_for(pulls=50)
    assert load.errors == []
    assert {image["digest"] for image in went["images"]} == {image["digest"] for image in plan["images"]}
    assert went["freed"] >= plan["freed"] > (45 + 3) * IMAGE_SIZE

    assert before - _bytes(storage) > 0.98 * plan["freed"]
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
    assert f"slipway: removed {45 + 3 + len(newer)} images of" in log
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
        # The deployment mark of the good version waits for its deletion. The images that serve must not depend on it.
        mine = f"docker volume ls -q --filter label=slipway.deployed={good}"
        _on_host(storage, f"docker volume rm $({mine})")
        assert _marks(storage) == {bad, wanted}
        # As the timer does it each day, without the operator.
        _on_host(storage, f"systemctl start {UNIT}")
        for kept in (good, wanted):
            assert client.pull("web", kept.partition("@")[2])
        # The timer keeps the other one too, which is still marked. `slip prune` sees that no host serves it.
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
        # The host itself had all of them. As its timer does it: what two runs saw unused goes.
        assert {good, better, bad} <= _images_on_host(storage)
        for _ in range(2):
            _on_host(storage, "systemctl start slipway-host-images.service")
        assert _images_on_host(storage) == {good, better}
        storage.up("--refresh", "--expect-no-changes")
    finally:
        (storage.clone.root / server).write_text(text)


def _images_on_host(storage: Stack) -> set[str]:
    """The images of the service that the host has, as `web@DIGEST`."""
    repository = storage.outputs()["images"]["web"].partition("@")[0]
    digests = _on_host(storage, f"docker images --digests --format '{{{{.Digest}}}}' {repository}")
    return {f"web@{digest}" for digest in digests.split()}


@contextmanager
def _edited_script(storage: Stack, edit: str) -> Iterator[None]:
    """Edit the retention script on its host, by sed, for the runs that begin while the block runs."""
    _on_host(
        storage,
        f"rm -rf {STOP} && mkdir {STOP} && mkfifo {STOP}/config.yml && sed -i.before '{edit}' {SCRIPT}"
        f" && ! cmp -s {SCRIPT} {SCRIPT}.before",
    )
    try:
        yield
    finally:
        _on_host(storage, f"mv {SCRIPT}.before {SCRIPT}")


def _begin_retention(storage: Stack) -> None:
    _on_host(storage, f"systemctl start --no-block {UNIT}")


def _active(storage: Stack) -> str:
    return _on_host(storage, f"systemctl is-active {UNIT} || true")


def test_a_push_that_is_under_way_is_awaited(storage: Stack, client: Client) -> None:
    for _ in range(KEEP + 1):
        client.push("awaited")
    # A quiet minute cannot pass between two parts of a push, however busy this machine is.
    edit = (
        's|find "$root" -newermt "-$quiet seconds"'
        f'|echo >>{STOP}/looks; find "$root" -newermt "-$(cat {STOP}/quiet) seconds"|'
    )
    with Client.of(storage.registry()) as slow, _edited_script(storage, edit):
        _on_host(storage, f"echo 60 >{STOP}/quiet")
        path = slow.continue_upload(slow.begin_upload("awaited"), b"one part")
        _begin_retention(storage)
        looks = 0
        while looks < 4:
            path = slow.continue_upload(path, b", and another")
            looks = int(_on_host(storage, f"cat {STOP}/looks 2>/dev/null | wc -l"))
            assert _active(storage) == "activating"
        image = slow.push("awaited", "late")
        _on_host(storage, f"echo 3 >{STOP}/quiet")
        eventually("it goes on", lambda: "inactive" in _active(storage))
    assert client.pull("awaited", "late") == image.digest
    assert _prune(storage, "--dry-run")["images"] == []


def test_an_upload_that_never_ends_holds_up_one_removal_only(storage: Stack, client: Client) -> None:
    for _ in range(KEEP + 1):
        client.push("held")
    _prune(storage)
    for _ in range(KEEP):
        client.push("held", "last")
    last = client.push("held", "last")

    def retention() -> dict[str, Any]:
        checks = json.loads(storage.slip("verify", "--json").output)["checks"]
        found: dict[str, Any]
        (found,) = [check for check in checks if check["check"] == "old images are removed"]
        return found

    with Client.of(storage.registry()) as slow, _edited_script(storage, "s/ moment=30/ moment=2/"):
        # A part of a blob that says its length, and is never sent whole.
        path = slow.begin_upload("held")
        connection = slow._open()
        account = b64encode(":".join(slow.account or ()).encode()).decode()
        connection.putrequest("PATCH", path)
        connection.putheader("Authorization", f"Basic {account}")
        connection.putheader("Content-Length", "1000000")
        connection.endheaders(b"a little")
        eventually(
            "the registry has it open",
            lambda: (
                "_uploads" in _on_host(storage, "ls -l /proc/$(pidof registry)/fd | grep -o _uploads || true")
            ),
        )
        _on_host(storage, f"systemctl start {UNIT} || true")
        assert not retention()["passed"]
        assert "the next run ends the uploads that are open" in retention()["detail"]
        _on_host(storage, f"systemctl start {UNIT}")
        connection.close()
    assert retention()["passed"]
    assert re.search(r"removed [1-9]\d* images", retention()["detail"])
    client.close()  # the restart that ended the upload has ended its connection, too
    assert client.pull("held", "last") == last.digest
    client.push("held", "after")


@dataclass(frozen=True)
class Moment:
    """A moment of the removal at which it stops, until something is written to the FIFO in `STOP`."""

    edit: str
    """The edit of the script that stops it, for sed."""
    reached: str
    """The shell condition that it has stopped."""

    @contextmanager
    def hold(self, storage: Stack) -> Iterator[None]:
        """Begin the removal, and run the block while it has stopped."""
        with _edited_script(storage, self.edit):
            _begin_retention(storage)
            eventually(
                f"it has stopped: {self.reached}",
                lambda: _on_host(storage, f"if {self.reached}; then echo yes; fi") == "yes",
            )
            yield


READ_ONLY = Moment(
    f"/frozen=\\$EPOCHREALTIME/a touch {STOP}/reached; cat {STOP}/config.yml", f"[ -e {STOP}/reached ]"
)
COLLECTING = Moment(
    # The collector waits for its configuration.
    f"s|-v /etc/slipway/registry:/etc/distribution:ro|-v {STOP}:/etc/distribution:ro|",
    'docker ps --format "{{.Names}}" | grep -q "gc$"',
)


@pytest.mark.parametrize(
    "moment",
    [READ_ONLY, COLLECTING],
    ids=["as soon as nothing can be written", "while the registry collects"],
)
def test_killed_it_leaves_a_registry_that_writes(storage: Stack, client: Client, moment: Moment) -> None:
    images = [client.push("killed", f"v{number}", size=1000) for number in range(40)]
    with moment.hold(storage):
        _on_host(storage, f"systemctl kill -s KILL --kill-who=main {UNIT}")
        eventually("the registry takes pushes", lambda: _takes_pushes(client))
    assert "Result=signal" in _on_host(storage, f"systemctl show -p Result {UNIT}")
    assert _on_host(storage, f"grep -c ' {DATA} ro' /proc/self/mountinfo || true") == "0"
    _check_all(client, images[-KEEP:])
    # No tag names a removed image.
    for tag in client.tags("killed"):
        client.pull("killed", tag)
    _prune(storage)
    assert client.tags("killed") == {image.tag for image in images[-KEEP:]}
    _check_all(client, images[-KEEP:])


def test_a_registry_that_crashes_meanwhile_comes_back_read_only(storage: Stack, client: Client) -> None:
    images = [client.push("crash", f"v{number}", size=1000) for number in range(2 * KEEP)]
    with READ_ONLY.hold(storage):
        try:
            _kill_registry(storage)
            client.close()
            eventually("it answers", lambda: _answers(client))
            with pytest.raises(Refused, match="read-only file system"):
                client.push("crash", "meanwhile")
            _check_all(client, images[-KEEP:])
        finally:
            _on_host(storage, f"timeout 60 bash -c 'echo >{STOP}/config.yml'")
    eventually("the registry takes pushes", lambda: _takes_pushes(client))
    assert client.tags("crash") == {image.tag for image in images[-KEEP:]}


def test_after_a_power_cut_amid_removal_all_is_well(storage: Stack, client: Client) -> None:
    images = [client.push("cut", f"v{number}", size=1000) for number in range(40)]
    with READ_ONLY.hold(storage):
        _restart_host(storage)
    client.close()
    eventually("the registry takes pushes", lambda: _takes_pushes(client))
    _check_all(client, images[-KEEP:])
    _prune(storage)
    assert client.tags("cut") == {image.tag for image in images[-KEEP:]}


@pytest.mark.parametrize("fault", [_kill_registry, _restart_host], ids=["kill -9", "power cut"])
def test_every_acknowledged_push_outlives_a_fault(
    storage: Stack, client: Client, fault: Callable[[Stack], None]
) -> None:
    assert _answers(client)
    with RegistryLoad(_clients(storage), pushers=4, pullers=0, repository="fault", layer=50_000) as load:
        load.wait_for(pushes=20)
        fault(storage)
        if fault is _restart_host:
            # The connection that was open before is gone.
            with pytest.raises((OSError, http.client.HTTPException)):
                client.ask("GET", "/v2/")
        load.wait_for(pushes=20)
    _check_all(client, load.pushed)


def test_a_full_disk_refuses_pushes_and_loses_nothing(storage: Stack, client: Client) -> None:
    """On a disk of its own, and small."""
    restart = "docker restart -t 1 slipway-registry"
    _on_host(storage, f"mount -t tmpfs -o size={SMALL_DISK}m tmpfs {DATA} && {restart}")
    try:
        client.close()
        eventually("it answers", lambda: _answers(client))
        pushed: list[Pushed] = []
        refused = 0
        while refused < 10 and len(pushed) < 2 * SMALL_DISK:
            try:
                pushed.append(client.push("full", f"v{len(pushed)}", size=700_000))
            except Refused:
                refused += 1
            except (OSError, http.client.HTTPException):
                # A registry that has no room hangs up on a client that is still sending.
                refused += 1
                client.close()
        assert len(pushed) > SMALL_DISK / 2
        # A client whose request is small has sent it all by then, and gets an answer.
        _on_host(storage, f"dd if=/dev/zero of={DATA}/filler bs=64K 2>/dev/null || true")
        with pytest.raises(Refused, match=f"HTTP {http.client.INTERNAL_SERVER_ERROR:d}"):
            client.push("full", "small", size=1)
        client.close()
        _on_host(storage, f"rm {DATA}/filler")
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
        # Meanwhile slipway-keep must not start it again.
        restart = f"docker stop -t 1 slipway-registry; umount {DATA}; docker start slipway-registry"
        _on_host(storage, f"systemctl stop slipway-keep; {restart}; systemctl start slipway-keep")
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
            "SOCKET_PATH": REGISTRY_SOCKET_PATH,
            "REGISTRY_USER": str(REGISTRY_USER),
            "FRONT_GROUP": str(REGISTRY_PROXY_GROUP),
            "FRONT_CONFIG": "x",
            "FRONT_ACCOUNTS": "x",
            "FRONT_PUSH": "x",
            "FRONT_PULL": "x",
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
        load.wait_for(pushes=40, pulls=80)
    assert load.errors == []
