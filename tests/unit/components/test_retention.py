"""Which images may go: `retention plan`, the script of the registry's host, on folders as distribution writes them."""

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import pytest

from components.registry.retention import Retention, retention_values
from components.script import text as script_text
from tests.unit.components import stand_in

DAY = 86_400
OCI = "application/vnd.oci.image"
NONE: Mapping[str, Sequence[str]] = {}
ONE = {"web": ["web-1"]}
TWO = {"web": ["web-1", "web-2"]}


@dataclass
class Depot:
    """A registry's folder, and an engine with in-use markers."""

    folder: Path
    now: float = field(default_factory=time.time)
    marks: list[dict[str, Any]] = field(default_factory=list)
    """Volumes of its engine."""
    made: int = 0
    """How many volumes there were so far."""

    def mark(self, kind: str, service: str, *images: str, days: float = 0, **more: str) -> str:
        """Make a marker, some days old. Returns its volume's name."""
        self.made += 1
        name = f"volume-{self.made}"
        made = datetime.fromtimestamp(self.now - days * DAY, UTC).isoformat(timespec="seconds")
        labels = {f"slipway.{key}": value for key, value in more.items()}
        labels |= {"slipway.service": service, f"slipway.{kind}": " ".join(images)}
        self.marks.append({"Name": name, "CreatedAt": made.replace("+00:00", "Z"), "Labels": labels})
        return name

    def deploy(self, service: str, digest: str, *hosts: str, days: float = 0) -> str:
        """Make the markers of a successful update to an image. Returns the served marker."""
        self._drop(service, "slipway.deployed")
        self.mark("deployed", service, f"{service}@{digest}", days=days)
        history = self.mark("served", service, f"{service}@{digest}", days=days)
        for host in hosts:
            self.serve(service, digest, host, days=days)
        return history

    def attempt(self, service: str, digest: str, *, days: float = 0) -> None:
        """What an update to an image leaves if no host gets healthy: its marker, and those before it."""
        self.mark("deployed", service, f"{service}@{digest}", days=days)

    def lose(self, *digests: str) -> None:
        """Let the markers be gone that say that a service is to run these images."""
        self.marks = [
            mark
            for mark in self.marks
            if not any(mark["Labels"].get("slipway.deployed", "").endswith(digest) for digest in digests)
        ]

    def serve(self, service: str, digest: str, host: str, *, days: float = 0) -> None:
        """Let a host serve an image."""
        self._drop(service, "slipway.serving", host)
        self.mark("serving", service, f"{service}@{digest}", days=days, host=host)

    def _drop(self, service: str, kind: str, host: str | None = None) -> None:
        def goes(labels: dict[str, str]) -> bool:
            return (
                labels["slipway.service"] == service and kind in labels and labels.get("slipway.host") == host
            )

        self.marks = [mark for mark in self.marks if not goes(mark["Labels"])]

    @property
    def root(self) -> Path:
        return self.folder / "data/docker/registry/v2"

    def blob(self, content: bytes) -> dict[str, Any]:
        """Keep a blob. Returns its descriptor."""
        name = hashlib.sha256(content).hexdigest()
        path = self.root / "blobs/sha256" / name[:2] / name / "data"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"digest": f"sha256:{name}", "size": len(content)}

    def _link(self, path: Path, digest: str, days: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(digest)
        os.utime(path, (self.now - days * DAY,) * 2)

    def manifest(self, repository: str, content: dict[str, Any], *tags: str, days: float = 100) -> str:
        """Keep a manifest that was pushed so many days ago. Returns its digest."""
        digest: str = self.blob(json.dumps(content, indent=3).encode())["digest"]
        place = self.root / "repositories" / repository / "_manifests"
        self._link(place / "revisions" / digest.replace(":", "/") / "link", digest, days)
        for tag in tags:
            self.tag(repository, tag, digest, days=days)
        return digest

    def tag(self, repository: str, tag: str, digest: str, *, days: float) -> None:
        """Let a tag stand for a manifest from so many days ago on."""
        place = self.root / "repositories" / repository / "_manifests/tags" / tag
        self._link(place / "current/link", digest, days)
        self._link(place / "index" / digest.replace(":", "/") / "link", digest, days)

    def image(
        self, repository: str, *tags: str, days: float = 100, layers: tuple[str, ...] = (), **more: Any
    ) -> str:
        """Keep an image; it has a layer of 1000 bytes of its own unless others are given."""
        chance = os.urandom(8).hex()
        content = [name.encode() * 100 for name in layers] or [chance.encode().ljust(1000)]
        manifest = {
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.blob(chance.encode()),
            "layers": [self.blob(layer) for layer in content],
        }
        return self.manifest(repository, manifest | more, *tags, days=days)

    def index(self, repository: str, platforms: list[str], *tags: str, days: float = 100, **more: Any) -> str:
        """Keep an index of images."""
        manifests = [{"digest": digest, "platform": {"os": "linux"}} for digest in platforms]
        content = {"mediaType": f"{OCI}.index.v1+json", "manifests": manifests} | more
        return self.manifest(repository, content, *tags, days=days)

    def leave_list(self, name: str, *lines: str, minutes: float) -> Path:
        """Leave a list of served images in the script's folder, as a command does that was killed. Returns its file."""
        path = self.folder / "run" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
        os.utime(path, (time.time() - minutes * 60,) * 2)
        return path

    def plan(
        self,
        keep: int = 2,
        days: int = 0,
        services: Mapping[str, Sequence[str]] = NONE,
        seen: Sequence[str] = (),
    ) -> "Plan":
        """The plan of the script."""
        result = self.run(keep, days, services, seen)
        assert result.returncode == 0, result.stderr
        return Plan([line.split("\t") for line in result.stdout.splitlines()])

    def run(
        self,
        keep: int = 2,
        days: int = 0,
        services: Mapping[str, Sequence[str]] = NONE,
        seen: Sequence[str] = (),
    ) -> "subprocess.CompletedProcess[str]":
        """The script, with an engine that knows volumes."""
        values = retention_values(Retention(keep=keep, days=days, hour=3, services=services))["RETENTION"]
        settings = self.folder / "settings"
        settings.write_text(values + f"DATA_PATH={self.folder / 'data'}\n")
        engine = self.folder / "bin/docker"
        engine.parent.mkdir(exist_ok=True)
        engine.write_text(f"#!/bin/bash\n{stand_in.called(_engine, self.folder)}")
        engine.chmod(0o755)
        (self.folder / "volumes.json").write_text(json.dumps(self.marks))
        script = self.folder / "retention"
        # Its own folder of the machine's is not for a test to make.
        script.write_text(
            script_text("retention.sh").replace("run=/run/slipway\n", f"run={self.folder / 'run'}\n")
        )
        (self.folder / "retention.awk").write_text(script_text("retention.awk"))
        environment = os.environ | {
            "SLIPWAY_RETENTION": str(settings),
            "PATH": f"{engine.parent}:{os.environ['PATH']}",
        }
        return subprocess.run(
            ["bash", str(script), "plan", *seen], env=environment, capture_output=True, text=True, check=False
        )


def _engine(folder: Path, words: list[str], stdin: str, output: TextIO) -> None:
    """A docker command that lists and inspects volumes."""
    assert not stdin
    marks, (_, verb, *arguments) = json.loads((folder / "volumes.json").read_text()), words
    options = [(one, value) for one, value in pairwise(arguments) if one.startswith("--")]
    (form,) = (value for one, value in options if one == "--format")
    for mark in marks:
        labels: dict[str, str] = mark["Labels"]
        if verb == "ls":
            filters = [value.split("=", 2) for one, value in options if one == "--filter"]
            if not all(f[1] in labels and f[2:] in ([], [labels[f[1]]]) for f in filters):
                continue
        elif mark["Name"] not in arguments:
            continue
        values = {".Name": mark["Name"], ".CreatedAt": mark["CreatedAt"], **_labels(form, labels)}
        line = form
        for name, value in values.items():
            line = line.replace("{{" + name + "}}", value)
        assert "{{" not in line, form
        print(line, file=output)


def _labels(form: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The values of a template's words for labels, of which a volume need not have each."""
    words = re.findall(r'{{((?:\.Label|index \.Labels) "([^"]*)")}}', form)
    return {word: labels.get(name, "") for word, name in words}


@dataclass(frozen=True)
class Plan:
    """Its lines."""

    lines: list[list[str]]

    def of(self, kind: str) -> list[list[str]]:
        return [fields for what, *fields in self.lines if what == kind]

    @property
    def gone(self) -> set[str]:
        """The digests of all manifests that go."""
        paths = (path.partition("/_manifests/revisions/")[2] for (path,) in self.of("remove"))
        return {path.replace("/", ":") for path in paths if path}

    @property
    def tags(self) -> set[str]:
        """The tags that go."""
        paths = (path.partition("/_manifests/tags/")[2] for (path,) in self.of("remove"))
        return {path for path in paths if path and "/" not in path}

    @property
    def total(self) -> list[int]:
        """Images that stay and that go, bytes that go and that are there."""
        (fields,) = self.of("total")
        return [int(number) for number in fields]


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    return Depot(tmp_path)


def test_the_newest_stay_and_the_last_days_too(depot: Depot) -> None:
    old = [depot.image("app", f"v{age}", days=age) for age in (40, 30, 20, 10)]
    assert depot.plan(keep=2).gone == set(old[:2])
    assert depot.plan(keep=2).tags == {"v40", "v30"}
    assert depot.plan(keep=1, days=25).gone == set(old[:2])
    assert depot.plan(keep=3, days=15).gone == {old[0]}
    assert depot.plan(keep=1, days=365).gone == set()


def test_each_repository_counts_by_itself(depot: Depot) -> None:
    first = [depot.image("team/app", days=age) for age in (3, 2, 1)]
    depot.image("team", days=500)
    # A name like that of a folder of the registry's own.
    depot.image("x/index/y", days=400)
    assert depot.plan().gone == {first[0]}


def test_the_time_of_the_push_counts_and_pushing_again_renews_it(depot: Depot) -> None:
    images = [depot.image("app", f"v{age}", days=age, annotations={"created": "1970"}) for age in (3, 2, 1)]
    depot.tag("app", "stable", images[0], days=0.5)
    assert depot.plan(keep=1).gone == set(images[1:])


def test_a_tag_that_moved_on_leaves_an_image_like_any_other(depot: Depot) -> None:
    images = [depot.image("app", "latest", days=age) for age in (3, 2, 1)]
    plan = depot.plan(keep=1)
    assert plan.gone == set(images[:2])
    assert plan.tags == set()
    # The tag's history goes with the image.
    assert [f"app/_manifests/tags/latest/index/sha256/{images[0][7:]}"] in plan.of("remove")


def test_an_index_keeps_its_platforms_and_is_one_image(depot: Depot) -> None:
    def platforms(age: float) -> list[str]:
        return [depot.image("app", days=age), depot.image("app", f"v{age}-arm64", days=age)]

    parts = {age: platforms(age) for age in (3, 2, 1)}
    whole = {age: depot.index("app", parts[age], f"v{age}", days=age) for age in parts}
    plan = depot.plan()
    assert plan.gone == {whole[3], *parts[3]}
    assert plan.tags == {"v3", "v3-arm64"}
    assert plan.total[:2] == [2, 1]
    # An index goes before its platforms: whoever is stopped in between leaves none without them.
    order = [path for (path,) in plan.of("remove") if "/revisions/" in path]
    assert order[0].endswith(whole[3][7:])


def test_a_platform_of_two_indexes_stays_with_either(depot: Depot) -> None:
    shared = depot.image("app", days=9)
    old = depot.index("app", [shared, depot.image("app", days=9)], days=9)
    depot.index("app", [shared], "new", days=1)
    plan = depot.plan(keep=1)
    assert old in plan.gone
    assert shared not in plan.gone


def test_a_new_tag_of_a_platform_keeps_its_index(depot: Depot) -> None:
    part = depot.image("app", days=9)
    depot.index("app", [part], "v1", days=9)
    depot.image("app", days=8)
    depot.tag("app", "production", part, days=1)
    assert part not in depot.plan(keep=1).gone


def test_manifests_that_refer_to_an_image_stay_and_go_with_it(depot: Depot) -> None:
    old, new = depot.image("app", days=9), depot.image("app", "new", days=2)

    def follow(image: str) -> set[str]:
        signature = depot.image("app", days=1, subject={"mediaType": "x", "digest": image, "size": 1})
        annotated = {"annotations": {"a": "b"}, "digest": signature}
        note = depot.image("app", days=1, subject=annotated)
        listing = depot.index("app", [signature], f"sha256-{image[7:]}", days=1)
        cosign = depot.image("app", f"sha256-{image[7:]}.sig", days=1)
        return {signature, note, listing, cosign}

    gone, stays = follow(old), follow(new)
    plan = depot.plan(keep=1)
    assert plan.gone == {old, *gone}
    assert not plan.gone & stays
    assert plan.total[:2] == [1, 1]


def test_records_of_versions_stay_and_go_with_their_images_and_take_no_place(depot: Depot) -> None:
    def deploy(days: float) -> tuple[str, set[str]]:
        """An image, and its records: of a deployment that failed, and of one that did not, in a list of its own."""
        image = depot.image("web", days=days)
        depot.deploy("web", image, "web-1", days=days - 0.1)
        records = [depot.image("web", days=days - 0.2, subject={"digest": image}) for _ in range(2)]
        depot.index("web", records[:1], days=days - 0.2)
        depot.index("web", records[1:], f"sha256-{image[7:]}", days=days - 0.2)
        return image, {image, *records}

    deployed = [deploy(days) for days in (4, 3, 2)]
    assert not depot.plan(keep=3, services=ONE).gone & {one for _, all_ in deployed for one in all_}
    assert deployed[0][1] <= depot.plan(keep=2, services=ONE).gone
    # A later version has the first image again, so the command has pushed it again.
    again = depot.root / "repositories/web/_manifests/revisions" / deployed[0][0].replace(":", "/") / "link"
    os.utime(again, (depot.now - DAY,) * 2)
    depot.deploy("web", deployed[0][0], "web-1", days=0.9)
    gone = depot.plan(keep=2, services=ONE).gone
    assert deployed[1][1] <= gone
    assert not gone & (deployed[0][1] | deployed[2][1])


def test_an_artifact_with_a_tag_of_its_own_counts_by_itself(depot: Depot) -> None:
    image = depot.image("app", "v1", days=9)
    depot.image("app", "v1-sbom", days=1, subject={"digest": image})
    depot.image("app", "v0", days=10)
    assert depot.plan(keep=1).tags == {"v1", "v0"}


def test_two_that_stand_for_each_other_are_left_alone(depot: Depot) -> None:
    part = depot.image("app", days=9)
    depot.index("app", [part], f"sha256-{part[7:]}", days=9)
    depot.image("app", days=1)
    assert depot.plan(keep=1).gone == set()


def test_deployed_images_stay_and_those_that_served_before(depot: Depot) -> None:
    images = [depot.image("web", f"v{age}", days=age) for age in range(9, 0, -1)]
    for image, age in zip(images, range(9, 0, -1), strict=True):
        depot.mark("served", "web", f"web@{image}", days=age - 0.5)
    depot.attempt("web", images[2])
    depot.mark("deployed", "web", f"web@{images[5]}", "web-base@sha256:1")
    depot.serve("web", images[5], "web-1")
    plan = depot.plan(keep=2, services=ONE)
    # Of nine: the third and the sixth are deployed, the second and the fifth were before them, the last two are new.
    assert plan.gone == {images[0], images[3], images[6]}


def test_a_deployed_platform_keeps_its_index(depot: Depot) -> None:
    part = depot.image("web", days=9)
    whole = depot.index("web", [part], "v1", days=9)
    depot.image("web", days=1)
    depot.deploy("web", part, "web-1")
    assert whole not in depot.plan(keep=1, services=ONE).gone


def test_versions_that_never_got_healthy_take_no_place_of_one_that_serves(depot: Depot) -> None:
    """After updates that failed, however many."""
    good, *bad = (depot.image("web", days=age) for age in (5, 4, 3, 2, 1))
    depot.deploy("web", good, "web-1", "web-2", days=4.9)
    for image, age in zip(bad, (3.9, 2.9, 1.9, 0.9), strict=True):
        depot.attempt("web", image, days=age)
    # As the timer has it: their markers stay until an update ends well.
    assert depot.plan(keep=1, services=TWO).gone == set()
    # As `slip prune` has it, who saw every host: the last one is what the service is still to run.
    seen = [f"web@{good}"]
    plan = depot.plan(keep=1, services=TWO, seen=["--complete", *seen])
    assert plan.gone == set(bad[:3])
    assert plan.of("mark") == []
    assert depot.plan(keep=1, services=TWO, seen=seen).gone == set()
    # What serves does not depend on the mark by which it was deployed.
    depot.lose(good, *bad[:2])
    assert depot.plan(keep=1, services=TWO).gone == set(bad[:2])
    # However many are kept.
    assert depot.plan(keep=10, services=TWO).gone == set(bad[:2])
    # The days are for all.
    assert depot.plan(keep=1, days=5, services=TWO).gone == set()


def test_an_image_that_was_pushed_stays_before_it_has_a_marker(depot: Depot) -> None:
    """After an update that ended between the push and the marker: Pulumi would not push these images again."""
    bases = [depot.image("web-base", days=age) for age in (3, 2, 1)]
    apps = [depot.image("web", days=age) for age in (3, 2, 1)]
    good = [f"web@{apps[0]}", f"web-base@{bases[0]}"]
    depot.mark("served", "web", *good, days=2.9)
    depot.mark("serving", "web", *good, days=2.9, host="web-1")
    depot.mark("deployed", "web", *good, days=2.9)
    # The ones before the newest go: they have not served, and a later push followed.
    gone = {apps[1], bases[1]}
    assert depot.plan(keep=1, days=0, services=ONE).gone == gone
    assert depot.plan(keep=1, days=0, services=ONE, seen=["--complete", *good]).gone == gone


def test_the_newest_image_takes_no_place_of_one_that_has_served(depot: Depot) -> None:
    old, good, pushed = (depot.image("web", days=age) for age in (3, 2, 1))
    for image, age in ((old, 2.9), (good, 1.9)):
        depot.deploy("web", image, "web-1", days=age)
    assert depot.plan(keep=2, services=ONE).gone == set()
    assert depot.plan(keep=2, services=ONE).total[0] == len({old, good, pushed})


def test_of_two_bad_versions_the_first_goes_if_every_host_was_seen(depot: Depot) -> None:
    good, bad, worse = (depot.image("web", days=age) for age in (3, 2, 1))
    depot.deploy("web", good, "web-1", days=2.9)
    depot.attempt("web", bad, days=1.9)
    depot.attempt("web", worse, days=0.9)
    assert depot.plan(keep=1, days=0, services=ONE, seen=["--complete", f"web@{good}"]).gone == {bad}


def test_a_marker_from_the_future_is_not_the_last_one(depot: Depot) -> None:
    good, bad, worse = (depot.image("web", days=age) for age in (3, 2, 1))
    depot.deploy("web", good, "web-1", days=2.9)
    depot.attempt("web", bad, days=1.9)
    # A year ahead, when it was made.
    depot.attempt("web", worse, days=-365)
    assert depot.plan(keep=1, services=ONE, seen=["--complete"]).gone == set()


def test_after_the_next_good_version_the_last_bad_one_goes(depot: Depot) -> None:
    old, good, bad, better = (depot.image("web", days=age) for age in (4, 3, 2, 1))
    for image, age in ((old, 3.9), (good, 2.9)):
        depot.deploy("web", image, "web-1", days=age)
    depot.attempt("web", bad)
    depot.deploy("web", better, "web-1", days=0.9)
    assert depot.plan(keep=2, services=ONE).gone == {old, bad}


def test_the_images_that_each_host_serves_stay(depot: Depot) -> None:
    """A roll-out that ended between two hosts, and one that failed on the first."""
    first, second, third = (depot.image("web", days=age) for age in (3, 2, 1))
    depot.deploy("web", first, "web-1", "web-2", days=2.9)
    depot.attempt("web", second)
    depot.mark("served", "web", f"web@{second}", days=1.9)
    depot.serve("web", second, "web-1", days=1.9)
    depot.attempt("web", third)
    assert depot.plan(keep=1, services=TWO).gone == set()
    # The times of the markers do not matter here: a clock may have been wrong.
    for mark in depot.marks:
        if mark["Labels"].get("slipway.host") == "web-2":
            mark["CreatedAt"] = "1970-01-01T00:00:00Z"
    assert depot.plan(keep=1, services=TWO).gone == set()


def test_images_pushed_before_the_first_marker_count(depot: Depot) -> None:
    """An older Slipway left no history: a version from then may have served."""
    images = [depot.image("web", days=age) for age in (9, 8, 7, 6)]
    depot.deploy("web", images[3], "web-1", days=5)
    bad = depot.image("web", days=4)
    depot.attempt("web", bad, days=4)
    # A new tag of it makes it newer, and none the less from then.
    depot.tag("web", "stable", images[0], days=3)
    assert depot.plan(keep=2, services=ONE).gone == {images[1]}
    assert depot.plan(keep=4, services=ONE).gone == set()
    newest = depot.image("web", days=1)
    depot.attempt("web", newest)
    assert depot.plan(keep=4, services=ONE, seen=["--complete"]).gone == {bad}


def test_other_repositories_keep_the_newest_pushed(depot: Depot) -> None:
    images = [depot.image("team/app", days=age) for age in (3, 2, 1)]
    depot.deploy("web", depot.image("web", days=5), "web-1", days=4)
    assert depot.plan(keep=2, services=ONE).gone == {images[0]}


def test_a_base_image_has_served_with_its_service(depot: Depot) -> None:
    bases = [depot.image("web-base", days=age) for age in (3, 2, 1)]
    apps = [depot.image("web", days=age) for age in (3, 2, 1)]
    marks = [f"web@{app} web-base@{base}".split() for app, base in zip(apps, bases, strict=True)]
    depot.mark("served", "web", *marks[0], days=2.9)
    depot.mark("serving", "web", *marks[0], days=2.9, host="web-1")
    depot.mark("deployed", "web", *marks[2])
    assert depot.plan(keep=1, services=ONE).gone == {apps[1], bases[1]}


def test_what_the_operator_saw_served_stays(depot: Depot) -> None:
    """After an update that was interrupted between a switch and its marker, and one that failed after it."""
    good, unmarked, bad = (depot.image("web", days=age) for age in (4, 3, 2))
    depot.deploy("web", good, "web-1", "web-2", days=3.9)
    for image, age in ((unmarked, 2.9), (bad, 1.9)):
        depot.attempt("web", image, days=age)
    # The timer has the marker of what it was to run.
    assert depot.plan(keep=1, services=TWO).gone == set()
    seen = [f"web@{unmarked}", f"web@{good}"]
    assert depot.plan(keep=1, services=TWO, seen=["--complete", *seen]).gone == set()
    depot.lose(unmarked)
    assert depot.plan(keep=1, services=TWO, seen=seen).gone == set()
    # That holds for this one run.
    assert depot.plan(keep=1, services=TWO).gone == {unmarked}


@pytest.mark.parametrize(("minutes", "is_used"), [(59, True), (61, False)])
def test_a_list_that_a_killed_command_left_is_used_for_an_hour(
    depot: Depot, minutes: int, is_used: bool
) -> None:
    good, bad, wanted = (depot.image("web", days=age) for age in (3, 2, 1))
    depot.deploy("web", good, "web-1", days=2.9)
    for image, age in ((bad, 1.9), (wanted, 0.9)):
        depot.attempt("web", image, days=age)
    left = depot.leave_list("seen", "--complete", f"web@{good}", minutes=minutes)
    assert depot.plan(keep=1, services=ONE).gone == ({bad} if is_used else set())
    assert left.exists() == is_used


def test_a_plan_has_a_list_of_its_own(depot: Depot) -> None:
    """A dry run must not change what a run reads that has begun."""
    depot.image("web", days=1)
    depot.deploy("web", "sha256:0", "web-1")
    of_a_run = depot.leave_list("seen", "web@sha256:1", minutes=1)
    abandoned = depot.leave_list("seen.4711", "--complete", minutes=61)
    depot.plan(services=ONE, seen=["--complete", "web@sha256:0"])
    assert of_a_run.read_text() == "web@sha256:1\n"
    assert not abandoned.exists()
    assert list(of_a_run.parent.iterdir()) == [of_a_run]


def test_a_repository_is_left_alone_while_a_host_serves_something_unknown(depot: Depot) -> None:
    """A stack of the version before, after its first update with this one failed; or a host that is new."""
    for repository in ("web", "web-base", "other"):
        for age in (3, 2, 1):
            depot.image(repository, days=age)
    depot.mark("deployed", "web", "web@sha256:0", "web-base@sha256:0")
    depot.serve("web", "sha256:0", "web-1")
    plan = depot.plan(keep=1, services=TWO)
    why = "nothing says yet what web serves on web-2"
    assert sorted(plan.of("left")) == [["web", why], ["web-base", why]]
    assert plan.total[:2] == [7, 2]
    depot.serve("web", "sha256:0", "web-2")
    assert depot.plan(keep=1, services=TWO).of("left") == []


def test_served_markers_go_with_their_images(depot: Depot) -> None:
    """But for the first, since when the history is known, and the last of each image that stays."""
    images = [depot.image("web", days=age) for age in (9, 8, 7, 6)]
    marks = [
        depot.deploy("web", images[number], "web-1", days=age)
        for number, age in ((0, 8.5), (1, 7.5), (2, 6.5), (3, 5.5), (2, 4), (3, 3))
    ]
    gone = depot.mark("served", "web", "web@sha256:0", days=5)
    plan = depot.plan(keep=2, services=ONE)
    assert plan.gone == set(images[:2])
    assert {name for (name,) in plan.of("mark")} == {marks[1], marks[2], marks[3], gone}


def test_each_service_of_one_image_keeps_its_marker(depot: Depot) -> None:
    """Pulumi's state has them all, as where a service is `from` another one."""
    depot.deploy("web", depot.image("web", days=12), "web-1", days=11)
    image = depot.image("web", days=9)
    depot.deploy("web", image, "web-1", days=8)
    old = depot.mark("served", "shop", f"web@{image}", days=7)
    depot.mark("served", "shop", f"web@{image}", days=6)
    assert depot.plan(services=ONE).of("mark") == [[old]]


def test_a_deployed_marker_stays_even_if_the_registry_lacks_its_image(depot: Depot) -> None:
    """Pulumi would make it again at each refresh."""
    depot.image("web", days=9)
    depot.deploy("web", "sha256:0", "web-1", days=8)
    depot.deploy("web", "sha256:1", "web-1", days=7)
    assert depot.plan(services=ONE).of("mark") == []


def test_nothing_is_removed_while_a_service_has_no_marker(depot: Depot) -> None:
    for age in (3, 2, 1):
        depot.image("web", days=age)
    depot.deploy("web-2", "sha256:0", "web-1")
    result = depot.run(services=ONE | {"web-2": ["web-1"]})
    assert result.returncode == 7
    assert "nothing says what web runs, so no image is removed" in result.stderr
    assert "./slip up --refresh" in result.stderr
    assert result.stdout == ""


def test_mirrored_images_stay(depot: Depot) -> None:
    for age in (3, 2, 1):
        depot.image("mirror/debian", days=age)
    plan = depot.plan(keep=1)
    assert plan.gone == set()
    assert plan.of("left") == [["mirror/debian", "mirrored images stay"]]


def test_a_repository_with_an_unreadable_manifest_is_left_alone(depot: Depot) -> None:
    images = [depot.image("app", days=age) for age in (3, 2, 1)]
    name = images[0][7:]
    (depot.root / "blobs/sha256" / name[:2] / name / "data").write_bytes(b"\0\1")
    for age in (2, 1):
        depot.image("other", days=age)
    plan = depot.plan(keep=1)
    assert [left[0] for left in plan.of("left")] == ["app"]
    assert not plan.gone & set(images)
    assert len(plan.gone) == 1


def test_a_manifest_without_its_blob_takes_no_place(depot: Depot) -> None:
    images = [depot.image("app", days=age) for age in (3, 2, 1)]
    lost = depot.image("app", days=0.5)
    (depot.root / "blobs/sha256" / lost[7:9] / lost[7:] / "data").unlink()
    assert not depot.plan(keep=3).gone & {*images, lost}


def test_shared_bytes_are_not_counted_as_freed(depot: Depot) -> None:
    depot.image("app", "old", days=9, layers=("shared", "alone"))
    depot.image("app", days=1, layers=("shared",))
    depot.image("other", days=1, layers=("shared",))
    given_up = depot.blob(b"g" * 777)
    plan = depot.plan(keep=1)
    files = {path.parent.name: path.stat().st_size for path in depot.root.glob("blobs/sha256/*/*/data")}
    old = next(digest for _, digest, tags, *_ in plan.of("image") if tags == "old")
    manifest = json.loads((depot.root / "blobs/sha256" / old[7:9] / old[7:] / "data").read_text())
    own = [old, manifest["config"]["digest"], manifest["layers"][1]["digest"]]
    sizes = {f"sha256:{name}": size for name, size in files.items()}
    assert plan.total[2] == sum(sizes[digest] for digest in own) + given_up["size"]
    assert plan.total[3] == sum(files.values())
    (_, _, _, pushed, size) = plan.of("image")[0]
    assert int(size) == sum(sizes[digest] for digest in [*own, manifest["layers"][0]["digest"]])
    assert int(pushed) == pytest.approx(depot.now - 9 * DAY, abs=1)


def test_an_upload_that_was_given_up_goes_after_a_day(depot: Depot) -> None:
    depot.image("app", days=1)
    for name, days in (("old", 1.1), ("new", 0.9)):
        upload = depot.root / "repositories/app/_uploads" / name / "data"
        upload.parent.mkdir(parents=True)
        upload.write_bytes(b"x" * 500)
        os.utime(upload, (depot.now - days * DAY,) * 2)
    plan = depot.plan()
    assert plan.of("remove") == [["app/_uploads/old"]]
    assert plan.total[2] == 500


def test_an_empty_registry_has_nothing_to_lose(depot: Depot) -> None:
    assert depot.plan().total == [0, 0, 0, 0]


def test_many_images_take_no_time(depot: Depot) -> None:
    images = [depot.image("app", f"v{number}", days=number / 100, layers=("x",)) for number in range(1000)]
    assert depot.plan(keep=10).gone == set(images[10:])
