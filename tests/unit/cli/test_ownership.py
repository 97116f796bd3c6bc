"""Whose a resource of the operator's engine is: the decision, case by case."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import Stack
from cli.update import ownership
from cli.update.ownership import CONTAINER, NETWORK, UNKNOWN, VOLUME, Claim, Data, Resource
from well_known import state_id

OURS, THEIRS, GONE = "0" * 16, "1" * 16, "2" * 16
ROOT = Path("/home/a/slipway")
THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = THEN + timedelta(seconds=1)
CLAIM = Claim(
    frozenset({OURS}),
    frozenset({(CONTAINER, "made"), (NETWORK, "made"), (VOLUME, "made")}),
    frozenset({Data("kept", "", THEN), Data("proven", GONE, THEN)}),
)


@pytest.mark.parametrize(
    ("kind", "identifier", "state", "expected"),
    [
        # Its label decides.
        (CONTAINER, "x", OURS, True),
        (NETWORK, "x", OURS, True),
        (VOLUME, "x", OURS, True),
        (CONTAINER, "x", THEIRS, False),
        (NETWORK, "x", THEIRS, False),
        (VOLUME, "x", THEIRS, False),
        # A state can name the volume of another one, by its name; ids are unique.
        (VOLUME, "made", THEIRS, False),
        (CONTAINER, "made", THEIRS, True),
        (NETWORK, "made", THEIRS, True),
        # Resources of an older version have no label: those in the state are the stack's.
        (CONTAINER, "made", "", True),
        (NETWORK, "made", "", True),
        (VOLUME, "made", "", True),
        (CONTAINER, "x", "", False),
        (NETWORK, "kept", "", False),
        (VOLUME, "x", "", False),
    ],
)
def test_what_a_stack_made(kind: str, identifier: str, state: str, expected: bool) -> None:
    assert CLAIM.covers(Resource(kind, identifier, "name", state)) is expected


@pytest.mark.parametrize(
    ("name", "state", "created", "expected"),
    [
        ("kept", "", THEN, True),
        ("kept", "", THEN - timedelta(days=1), True),
        # Another clone has made a volume of the same name since.
        ("kept", "", LATER, False),
        ("kept", "", UNKNOWN, False),
        ("kept", THEIRS, THEN, False),
        ("proven", GONE, THEN, True),
        ("proven", GONE, LATER, False),
        ("proven", "", THEN, False),
        ("proven", THEIRS, THEN, False),
    ],
)
def test_a_recorded_volume_is_the_one_of_that_time(
    name: str, state: str, created: datetime, expected: bool
) -> None:
    assert CLAIM.covers(volume(name, state, created=created)) is expected
    assert not CLAIM.covers(Resource(NETWORK, name, name, state, created=created))


def volume(name: str = "registry", state: str = "", clone: str = "", created: datetime = THEN) -> Resource:
    return Resource(VOLUME, name, name, state, clone, created=created)


def container(state: str = "", clone: str = "", *volumes: str) -> Resource:
    return Resource(CONTAINER, "id", "box", state, clone, volumes=frozenset(volumes))


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([volume("made", GONE), container(OURS, "", "made")], True),
        # Nothing of this state mounts it.
        ([volume("made", GONE)], False),
        ([volume("made", GONE), container(OURS, "", "x")], False),
        ([volume("made", GONE), container(THEIRS, "", "made")], False),
        # The state of its label has a container, or this state does not name it.
        ([volume("made", GONE), container(OURS, "", "made"), container(GONE)], False),
        ([volume("x", GONE), container(OURS, "", "x")], False),
    ],
)
def test_what_a_running_container_proves(resources: list[Resource], expected: bool) -> None:
    assert (CLAIM | ownership.mounted(resources, CLAIM)).covers(resources[0]) is expected


@pytest.mark.parametrize(
    ("resources", "obstacles", "adopted"),
    [
        ([], [], set()),
        ([volume(state=OURS), container(OURS)], [], set()),
        # Data alone, of an older version or of this clone, is taken over.
        ([volume()], [], set()),
        ([volume(state=GONE, clone=str(ROOT))], [], {GONE}),
        # Data of another clone is not.
        ([volume(state=THEIRS, clone="/b")], [0], set()),
        # Nor is what a container may need.
        ([volume(), container()], [0, 1], set()),
        ([volume(state=GONE, clone=str(ROOT)), container(GONE, str(ROOT))], [0, 1], set()),
        # A container blocks only the data of its own state.
        ([volume(), container(THEIRS, "/b")], [1], set()),
        ([volume(state=GONE, clone=str(ROOT)), container(THEIRS, "/b")], [1], {GONE}),
    ],
)
def test_what_forbids_a_first_up(resources: list[Resource], obstacles: list[int], adopted: set[str]) -> None:
    found = ownership.obstacles(resources, CLAIM, CLAIM, ROOT)
    assert found == ([resources[index] for index in obstacles], adopted)


def test_the_hosts_of_a_lost_state_forbid_an_up_although_it_is_remembered() -> None:
    """Its data is taken over once they are gone, as after a `down`."""
    former = CLAIM | Claim(states=frozenset({GONE}))
    data, host = volume(state=GONE, clone=str(ROOT)), container(GONE, str(ROOT))
    assert ownership.obstacles([data, host], CLAIM, former, ROOT) == ([host], set())
    assert ownership.obstacles([data], CLAIM, former, ROOT) == ([], set())


def resource(kind: str, name: str, provider: str = "operator-engine", **more: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:own::slipway::{kind}::{name}"
    engine = f"urn:pulumi:own::slipway::pulumi:providers:docker::{provider}::1"
    return {"urn": urn, "type": kind, "custom": True, "id": f"id-{name}", "provider": engine, **more}


def test_what_a_state_proves() -> None:
    key = {"publicKeyOpenssh": "ssh-ed25519 AAAA\n"}
    state = {
        "resources": [
            resource("tls:index/privateKey:PrivateKey", "ssh-key", outputs=key),
            resource("tls:index/privateKey:PrivateKey", "box-host-key", outputs={"publicKeyOpenssh": "x"}),
            resource("docker:index/container:Container", "box"),
            resource("docker:index/network:Network", "net"),
            resource("docker:index/volume:Volume", "data"),
            resource("docker:index/volume:Volume", "on-a-host", provider="box-docker"),
            resource("docker:index/image:Image", "image"),
        ]
    }
    assert ownership.claim_of(state) == Claim(
        frozenset({state_id("ssh-ed25519 AAAA")}),
        frozenset({(CONTAINER, "id-box"), (NETWORK, "id-net"), (VOLUME, "id-data")}),
    )
    assert ownership.claim_of({}) == Claim()


def stack_in(root: Path, url: str = "", name: str = "own") -> Stack:
    root.mkdir(exist_ok=True)
    (root / "Pulumi.yaml").write_text("name: slipway\n")
    backend = Backend(url or f"file://{root}/.slipway/state", is_own=not url)
    return Stack(Project(root), name, backend, PulumiCommand(Path("pulumi"), root, {}))


KEY = resource("tls:index/privateKey:PrivateKey", "ssh-key", outputs={"publicKeyOpenssh": "x"})
STATE = {"resources": [KEY, resource("docker:index/volume:Volume", "data")]}


def test_what_was_recorded_moves_with_the_clone_and_is_one_stacks(tmp_path: Path) -> None:
    before = stack_in(tmp_path / "before")
    there = [volume("id-data"), volume("id-new", state_id("x")), volume("id-other"), volume("x", THEIRS)]
    ownership.remember(before, STATE, resources=there)
    ownership.remember(before, {}, adopted={GONE})
    recorded = Claim(frozenset({state_id("x"), GONE}), data=frozenset({Data("id-data", "", THEN)}))
    (tmp_path / "before").rename(tmp_path / "after")
    after = tmp_path / "after"
    assert ownership.claim(stack_in(after)) == recorded
    assert ownership.claim(stack_in(after, name="organization/own")) == recorded
    assert ownership.claim(stack_in(after, name="other")) == Claim()
    assert ownership.claim(stack_in(after, url=f"file://{tmp_path}")) == Claim()
    ownership.forget(stack_in(after))
    assert ownership.claim(stack_in(after)) == Claim()


def test_what_a_container_proved_is_recorded(tmp_path: Path) -> None:
    stack = stack_in(tmp_path)
    ours = container(state_id("x"), "", "id-data")
    ownership.remember(stack, STATE, resources=[volume("id-data", GONE), ours])
    assert ownership.claim(stack).covers(volume("id-data", GONE))
    assert not ownership.claim(stack).covers(volume("id-data", GONE, created=LATER))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"states": [], "volumes": []}', '{"states": [], "volumes": {"a": 1}}']
)
def test_a_record_that_cannot_be_read_proves_nothing(tmp_path: Path, text: str) -> None:
    stack = stack_in(tmp_path)
    ownership.remember(stack, STATE)
    (record,) = (stack.project.private / "made").iterdir()
    record.write_text(text)
    assert ownership.claim(stack) == Claim()


class Engine:
    """An engine with one volume and one dead container."""

    names: list[str] | None = None

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        mounts = [{"Type": "volume", "Name": "data"}, {"Type": "bind", "Source": "/run"}]
        return [{"Id": "0123456789abcdef", "Names": self.names, "State": "dead", "Mounts": mounts}]

    def networks(self, **_: Any) -> list[dict[str, Any]]:
        return []

    def volumes(self, **_: Any) -> dict[str, Any]:
        moment = "2026-01-02T04:04:05+01:00"
        return {"Volumes": [{"Name": "data", "CreatedAt": moment}, {"Name": "x", "Labels": None}]}


@pytest.mark.parametrize("names", [None, []])
def test_a_dead_container_has_no_name(tmp_path: Path, names: list[str] | None) -> None:
    engine = Engine()
    engine.names = names
    dead, *volumes = ownership.found(engine, stack_in(tmp_path))
    assert str(dead) == "container 0123456789ab"
    assert dead.volumes == {"data"}
    assert volumes == [volume("data"), volume("x", created=UNKNOWN)]


@pytest.mark.parametrize(
    ("name", "text", "expected", "unexpected"),
    [
        (
            "dev",
            "config: {}",
            ["cp Pulumi.dev.yaml Pulumi.dev-2.yaml", "./slip down --purge -s dev"],
            "review",
        ),
        (
            "pr-7",
            "config: {slipway:review: {pullRequest: 7}}",
            ["`./slip review open 7` with the backend", "./slip review close 7"],
            "pr-7-2",
        ),
    ],
)
def test_a_taken_name_is_told_with_a_way_that_its_stack_can_go(
    tmp_path: Path, name: str, text: str, expected: list[str], unexpected: str
) -> None:
    (tmp_path / f"Pulumi.{name}.yaml").write_text(text)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    theirs = Resource(CONTAINER, "x", f"slipway-{name}-box", THEIRS, str(elsewhere))
    error = ownership.refusal_of_up(stack_in(tmp_path, name=name), [theirs])
    assert str(elsewhere) in error.message
    assert [words for words in expected if words not in error.remedy] == []
    assert unexpected not in error.remedy
