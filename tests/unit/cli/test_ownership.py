"""Whose a resource of the operator's engine is: the decision, case by case."""

from pathlib import Path
from typing import Any

import pytest

from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import Stack
from cli.update import ownership
from cli.update.ownership import CONTAINER, NETWORK, VOLUME, Claim, Resource
from well_known import state_id

OURS, THEIRS, GONE = "0" * 16, "1" * 16, "2" * 16
ROOT = Path("/home/a/slipway")
CLAIM = Claim(
    frozenset({OURS}), frozenset({(CONTAINER, "made"), (NETWORK, "made"), (VOLUME, "made"), (VOLUME, "kept")})
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
        (VOLUME, "kept", "", True),
        (CONTAINER, "x", "", False),
        (NETWORK, "kept", "", False),
        (VOLUME, "x", "", False),
    ],
)
def test_what_a_stack_made(kind: str, identifier: str, state: str, expected: bool) -> None:
    assert CLAIM.covers(Resource(kind, identifier, "name", state)) is expected


def volume(name: str = "registry", state: str = "", clone: str = "") -> Resource:
    return Resource(VOLUME, name, name, state, clone)


def container(state: str = "", clone: str = "") -> Resource:
    return Resource(CONTAINER, "id", "box", state, clone)


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
    found = ownership.obstacles(resources, CLAIM, ROOT)
    assert found == ([resources[index] for index in obstacles], adopted)


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


def test_what_was_noted_moves_with_the_clone_and_is_one_stacks(tmp_path: Path) -> None:
    before = stack_in(tmp_path / "before")
    key = resource("tls:index/privateKey:PrivateKey", "ssh-key", outputs={"publicKeyOpenssh": "x"})
    ownership.remember(before, {"resources": [key, resource("docker:index/volume:Volume", "data")]})
    ownership.remember(before, {}, adopted={GONE})
    noted = Claim(frozenset({state_id("x"), GONE}), frozenset({(VOLUME, "id-data")}))
    (tmp_path / "before").rename(tmp_path / "after")
    after = tmp_path / "after"
    assert ownership.claim(stack_in(after)) == noted
    assert ownership.claim(stack_in(after, name="other")) == Claim()
    assert ownership.claim(stack_in(after, url=f"file://{tmp_path}")) == Claim()
    ownership.forget(stack_in(after))
    assert ownership.claim(stack_in(after)) == Claim()
