"""host-images.sh: which images go from a host, with a stand-in for the engine."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from components import script as scripts

REGISTRY = "yard:5000"

ENGINE = """#!/bin/bash
cd "$(dirname "$0")/.."
case "$*" in
  "ps -aq"*) sed 's/^/container-/' used ;;
  "inspect "*) for word in "$@"; do case "$word" in container-*) echo "${word#container-}" ;; esac; done ;;
  "images "*) [ ! -e broken ] && cat images ;;
  "image inspect "*) for word in "$@"; do grep -q "^$word" images && echo .; done; true ;;
  "rmi "*) echo "$2" >>removed ;;
  "builder "*) echo "$*" >>pruned ;;
esac
"""


def identity(name: str) -> str:
    """The id of an image of these tests."""
    return "sha256:" + name.encode().hex().ljust(64, "0")


class Host:
    """A host with images, containers, and notes of what was healthy."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir()
        (root / "bin/docker").write_text(ENGINE)
        (root / "bin/docker").chmod(0o755)
        (root / "healthy").mkdir()

    def has(self, images: Sequence[str], used: Sequence[str], healthy: Mapping[str, Sequence[str]]) -> None:
        """Images as `id repository:tag` or `id repository@digest`, newest first; the others by their ids."""
        lines = []
        for image in images:
            name, _, reference = image.partition(" ")
            repository, _, digest = reference.partition("@")
            tag = "<none>"
            if not digest and not repository.endswith("<none>"):
                repository, _, tag = repository.rpartition(":")
            lines.append("\t".join([identity(name), repository, tag, digest or "<none>", "239MB"]))
        (self.root / "images").write_text("".join(f"{line}\n" for line in lines))
        (self.root / "used").write_text("".join(f"{identity(name)}\n" for name in used))
        for service, names in healthy.items():
            (self.root / "healthy" / service).write_text("".join(f"{identity(name)}\n" for name in names))

    def run(self, command: str, keep: int = 2) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        (self.root / "settings").write_text(f"REGISTRY={REGISTRY}\nKEEP={keep}\nCACHE=10\n")
        return subprocess.run(
            ["/bin/bash", "-s", command],
            input=scripts.text("host-images.sh").replace("engine=/var/lib/docker", f"engine={self.root}"),
            env={
                "PATH": f"{self.root}/bin:{os.environ['PATH']}",
                "SLIPWAY_HOST_IMAGES": str(self.root / "settings"),
                "SLIPWAY_HEALTHY": str(self.root / "healthy"),
                "SLIPWAY_UNUSED": str(self.root / "run/unused"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    @property
    def removed(self) -> set[str]:
        """The names that were removed."""
        path = self.root / "removed"
        return set(path.read_text().split()) if path.exists() else set()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def web(*names: str) -> list[str]:
    """Images of the service web, as a host has them that pulled them."""
    return [f"{name} {REGISTRY}/web@sha256:{name}" for name in names]


def gone(*names: str) -> set[str]:
    return {f"{REGISTRY}/web@sha256:{name}" for name in names}


def test_the_last_healthy_images_stay(host: Host) -> None:
    """And the one that serves, after a rollback to an old one too."""
    host.has(web("d", "c", "b", "a"), ["b"], {"web": ["a", "b", "c", "d"]})
    assert host.run("now").returncode == 0
    assert host.removed == gone("a")


def test_what_was_never_healthy_goes_and_pushes_no_good_one_out(host: Host) -> None:
    host.has(web("bad3", "bad2", "bad1", "b", "a"), ["b"], {"web": ["a", "b"]})
    host.run("now")
    assert host.removed == gone("bad1", "bad2", "bad3")


def test_an_image_of_a_container_that_has_ended_stays(host: Host) -> None:
    host.has(web("bad", "c", "b", "a"), ["a", "bad", "c"], {"web": ["a", "b", "c"]})
    host.run("now", keep=1)
    assert host.removed == gone("b")


def test_only_images_of_the_stack_go(host: Host) -> None:
    others = ["x debian:12", "y yard:50000/web:1", "z <none>", f"m {REGISTRY}/mirror/db@sha256:m"]
    host.has([*others, *web("b", "a")], [], {"web": ["b"]})
    host.run("now", keep=1)
    assert host.removed == gone("a")


def test_an_image_goes_with_all_of_its_names(host: Host) -> None:
    host.has([*web("b"), f"a {REGISTRY}/web:t1", *web("a")], ["b"], {"web": ["a", "b"]})
    host.run("now", keep=1)
    assert host.removed == gone("a") | {f"{REGISTRY}/web:t1"}


def test_a_host_that_only_builds_keeps_the_newest_of_each_repository(host: Host) -> None:
    images = [
        f"{name}{number} {REGISTRY}/{name}:{number}" for number in (3, 2, 1) for name in ("web", "base")
    ]
    host.has(images, [], {})
    host.run("now")
    assert host.removed == {f"{REGISTRY}/web:1", f"{REGISTRY}/base:1"}
    assert (host.root / "pruned").read_text() == "builder prune --all --force --keep-storage 10GB\n"


def test_after_another_registry_its_images_go_too(host: Host) -> None:
    host.has([*web("b"), "a old.example.com/web@sha256:a"], ["b"], {"web": ["a", "b"]})
    host.run("now", keep=1)
    assert host.removed == {"old.example.com/web@sha256:a"}


def test_the_images_of_a_removed_service_go_and_its_notes_with_them(host: Host) -> None:
    host.has(web("b", "a"), [], {"@web": ["a", "b"]})
    host.run("now")
    assert host.removed == gone("a", "b")
    host.has([], [], {})
    host.run("now")
    assert not list((host.root / "healthy").iterdir())


def test_the_timer_removes_what_two_runs_saw_unused(host: Host) -> None:
    """An update pulls an image a while before its container has it."""
    host.has(web("new", "c", "b", "a"), ["c"], {"web": ["a", "b", "c"]})
    assert host.run("run").returncode == 0
    assert not host.removed
    host.has(web("newer", "new", "c", "b", "a"), ["c", "new"], {"web": ["a", "b", "c", "new"]})
    host.run("run")
    assert host.removed == gone("a")
    host.run("run")
    assert host.removed == gone("a", "b", "newer")


def test_plan_removes_nothing(host: Host) -> None:
    host.has(web("b", "a"), [], {"web": ["a", "b"]})
    planned = host.run("plan", keep=1).stdout
    assert planned == f"image\t{identity('a')}\t239MB\t{REGISTRY}/web@sha256:a\n"
    assert not host.removed
    assert not (host.root / "pruned").exists()


def test_an_engine_that_fails_loses_nothing(host: Host) -> None:
    host.has(web("b", "a"), [], {"web": ["b"]})
    (host.root / "broken").touch()
    assert host.run("now").returncode != 0
    (host.root / "broken").unlink()
    (host.root / "bin/docker").write_text(ENGINE.replace("sed 's/^/container-/' used", "exit 1"))
    assert host.run("now").returncode != 0
    assert not host.removed
