"""A copy of a clone has the original's state, and must not change its hosts."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import Stack
from cli.update import copied_clone, recovery


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:own::slipway::{kind}::{name}", "type": kind, "custom": True, **more}


def stack_in(root: Path) -> Stack:
    return Stack(
        Project(root),
        "own",
        Backend.in_directory(root / ".slipway/state"),
        PulumiCommand(Path("pulumi"), root, {}),
    )


def write_state(root: Path, key: str, maker: Path) -> None:
    labels = [{"label": "slipway.stack", "value": "own"}, {"label": "slipway.clone", "value": str(maker)}]
    state = {
        "resources": [
            resource("tls:index/privateKey:PrivateKey", "ssh-key", outputs={"publicKeyOpenssh": key}),
            resource("docker:index/container:Container", "box", inputs={"labels": labels}),
        ]
    }
    file = root / ".slipway/state/.pulumi/stacks/slipway/own.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"checkpoint": {"latest": state}}))


@pytest.fixture
def original(tmp_path: Path) -> Path:
    root = tmp_path / "a clone"
    root.mkdir()
    (root / "Pulumi.yaml").write_text("name: slipway\n")
    write_state(root, "a key", root)
    return root


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def test_a_copy_is_refused_and_touches_nothing(original: Path, copy: Path) -> None:
    with pytest.raises(
        CommandError, match=f"a copy of {original}, whose stack 'own' has the same state"
    ) as raised:
        recovery.recover(stack_in(copy))
    assert f"`cd '{original}'`" in raised.value.remedy
    assert f"mv '{original}/.slipway/state'" in raised.value.remedy
    assert not (copy / ".slipway/running").exists()


def test_the_original_goes_on(original: Path, copy: Path) -> None:
    copied_clone.refuse(stack_in(original))
    assert copy.is_dir()


def test_a_clone_that_was_moved_goes_on(original: Path, tmp_path: Path) -> None:
    copied_clone.refuse(stack_in(original.rename(tmp_path / "moved")))


def test_a_link_to_the_clone_is_the_clone(original: Path, tmp_path: Path) -> None:
    moved = original.rename(tmp_path / "moved")
    original.symlink_to(moved)
    copied_clone.refuse(stack_in(moved))


def test_a_clone_with_a_link_to_the_state_is_no_copy(original: Path, tmp_path: Path) -> None:
    """What is pushed is deployed in such a clone; either of them may have made the hosts."""
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "Pulumi.yaml").write_text("name: slipway\n")
    (linked / ".slipway").symlink_to(original / ".slipway")
    copied_clone.refuse(stack_in(linked))
    write_state(original, "a key", linked)
    copied_clone.refuse(stack_in(original))


def test_a_new_clone_in_the_old_place_is_another(original: Path, tmp_path: Path) -> None:
    moved = original.rename(tmp_path / "moved")
    original.mkdir()
    write_state(original, "another key", original)
    copied_clone.refuse(stack_in(moved))


def test_a_copy_whose_original_lost_its_state_goes_on(original: Path, copy: Path) -> None:
    (original / ".slipway/state").rename(original / ".slipway/state.old")
    copied_clone.refuse(stack_in(copy))


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_state_that_cannot_be_read_refuses_nothing(original: Path, copy: Path, content: str) -> None:
    (original / ".slipway/state/.pulumi/stacks/slipway/own.json").write_text(content)
    copied_clone.refuse(stack_in(copy))


def test_clones_may_share_a_backend(copy: Path, original: Path) -> None:
    shared = Backend(f"file://{original}/.slipway/state")
    copied_clone.refuse(Stack(Project(copy), "own", shared, PulumiCommand(Path("pulumi"), copy, {})))
