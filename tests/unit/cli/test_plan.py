"""Plans: what is approved, and what differs from it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.screen.events import SECRET, Done, Step
from cli.screen.record import Record
from cli.stack.project import Project
from cli.update import plan as plans
from cli.update.plan import Image, Plan, difference, plan_of, program_digest, read, require

SERVICE = "slipway:index:Service$docker:index/container:Container"
CONFIGURATION = {
    "config": {
        "slipway:services": {"web": {"port": 8080}},
        "slipway:secrets": {"TOKEN": {"secure": "v1:aaaa:bbbb"}},
    },
    "encryptionsalt": "v1:x",
}


def project(root: Path) -> Project:
    """A clone with a small program."""
    (root / "components").mkdir(parents=True)
    (root / "docs").mkdir()
    for name, text in {
        "Pulumi.yaml": "name: slipway\n",
        "__main__.py": "x\n",
        "components/service.py": "y\n",
        "docs/a.md": "z\n",
    }.items():
        (root / name).write_text(text)
    return Project(root)


def container(host: str = "web-1", **after: Any) -> Step:
    urn = f"urn:pulumi:dev::slipway::{SERVICE}::web-{host}"
    inputs = {"image": "yard:5000/web@sha256:2", "envs": SECRET, **after}
    return Step(
        "update", urn, changed=frozenset({"image"}), before={"image": "yard:5000/web@sha256:1"}, after=inputs
    )


def plan(
    root: Path,
    *,
    steps: list[Step] | None = None,
    gone: list[Step] | None = None,
    configuration: Mapping[str, Any] = CONFIGURATION,
    digest: str = "sha256:aa",
    differences: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
) -> Plan:
    record = Record(steps=[container()] if steps is None else steps, done=gone or [])
    return plan_of(
        record,
        project=Project(root),
        stack="dev",
        configuration=configuration,
        options=options,
        images={"web": Image("0123456789ab", digest)},
        differences=differences,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return project(tmp_path / "clone").root


def test_two_clones_make_the_same_plan(root: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "elsewhere" / "another-name").root
    mine, theirs = (
        plan(path, steps=[container(context=f"{path}/.slipway/contexts/web")]) for path in (root, other)
    )
    assert mine.hash == theirs.hash
    assert mine.text() == theirs.text()
    assert str(root) not in mine.text()


def test_names_that_pulumi_makes_up_are_no_part_of_a_plan(root: Path) -> None:
    """A new container is called otherwise in each preview, and the command that switches to it names it."""

    def made(digits: str, memory: int = 512) -> Plan:
        new = replace(container(name=f"web-web-1-{digits}", memory=memory), operation="create-replacement")
        switch = Step(
            "update",
            "urn:pulumi:dev::slipway::slipway:index:Service$command:remote:Command::web-web-1-switch",
            changed=frozenset({"create"}),
            after={"create": f"switch web web-web-1-{digits}"},
        )
        return plan(root, steps=[new, switch])

    assert made("0123abc").hash == made("fedc987").hash
    assert made("0123abc").hash != made("0123abc", memory=256).hash
    assert made("0123abc").hash != made("other").hash  # a name that someone chose


def test_documentation_and_caches_are_no_part_of_the_program(root: Path) -> None:
    before = program_digest(root)
    (root / "docs" / "a.md").write_text("other\n")
    (root / "components" / "__pycache__").mkdir()
    (root / "components" / "__pycache__" / "x.cpython-311.pyc").write_text("x")
    assert program_digest(root) == before
    (root / "components" / "scripts.sh").write_text("x")
    assert program_digest(root) != before


def test_no_secret_is_in_the_file(root: Path) -> None:
    secret = {"envs": ["PASSWORD=hunter2"]}
    step = Step(
        "update",
        f"urn:pulumi:dev::slipway::{SERVICE}::web-web-1",
        changed=frozenset({"envs", "uploads"}),
        before={"envs": ["PASSWORD=hunter1"], "uploads": SECRET},
        after={**secret, "uploads": SECRET},
    )
    text = plan(root, steps=[step]).text()
    assert "hunter" not in text
    assert "v1:aaaa" not in text
    assert "PASSWORD" in text  # that it changes is no secret


def with_secret(value: str) -> dict[str, Any]:
    secrets = {"TOKEN": {"secure": value}}
    return {**CONFIGURATION, "config": {**CONFIGURATION["config"], "slipway:secrets": secrets}}  # type: ignore[dict-item]


def gone(part: str) -> list[Step]:
    parent = "urn:pulumi:dev::slipway::slipway:index:Service::web"
    return [Step("refresh", f"urn:pulumi:dev::slipway::{part}", parent, is_gone=True)]


CHANGES: dict[str, tuple[Callable[[Path], Plan], str]] = {
    "the tree of an image": (
        lambda root: plan(root, steps=[container(), container("web-2")]),
        "web-web-2 (docker:index/container:Container): no change was approved, changed (`image`",
    ),
    "a property that is not shown": (
        lambda root: plan(root, steps=[container(envs=["A=1"])]),
        "changed (`image`: `yard:5000/web@sha256:1` → `yard:5000/web@sha256:2`) with other settings is now",
    ),
    "nothing is left to do": (lambda root: plan(root, steps=[]), "no change is now"),
    "the registry's tag": (
        lambda root: plan(root, digest="sha256:bb"),
        "image web: tag 0123456789ab (sha256:aa) was approved, tag 0123456789ab (sha256:bb) is now",
    ),
    "an image that is gone": (lambda root: plan(root, digest=""), "(not in the registry) is now"),
    "a container removed by hand": (
        lambda root: plan(root, gone=gone(f"{SERVICE}::web-web-1")),
        "changed by hand since: web on web-1: gone, by hand (Container web-web-1)",
    ),
    "a file on a host": (
        lambda root: plan(root, differences=("yard: /etc/docker/daemon.json differs",)),
        "changed by hand since: yard: /etc/docker/daemon.json differs",
    ),
    "a secret": (
        lambda root: plan(root, configuration=with_secret("v1:cccc:dddd")),
        "configuration: slipway:secrets was changed",
    ),
    "a new setting": (
        lambda root: plan(
            root,
            configuration={"config": {**CONFIGURATION["config"], "slipway:protect": True}},  # type: ignore[dict-item]
        ),
        "configuration: slipway:protect was added",
    ),
    "a setting that went": (
        lambda root: plan(root, configuration={"config": {}}),
        "configuration: slipway:services was removed",
    ),
    "an option": (
        lambda root: plan(root, options=("--target", "urn:x")),
        "options: none was approved, --target urn:x is now",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_plan_is_refused_with_the_difference(name: str, root: Path) -> None:
    make, line = CHANGES[name]
    approved, now = plan(root), make(root)
    assert any(line in one for one in difference(approved, now)), difference(approved, now)
    with pytest.raises(CommandError) as refused:
        require(approved.hash, approved, now, " -s dev")
    assert refused.value.status == 3
    assert line in refused.value.message
    assert now.hash in refused.value.remedy


def test_a_changed_program_is_refused(root: Path) -> None:
    approved = plan(root)
    (root / "components" / "service.py").write_text("z\n")
    with pytest.raises(CommandError, match=r"the program .* was changed"):
        require(approved.hash, approved, plan(root), "")


def test_the_same_plan_is_let_through(root: Path) -> None:
    approved = plan(root)
    require(approved.hash, approved, plan(root), "")
    require(approved.hash[:16], None, plan(root), "")
    assert difference(approved, plan(root)) == []


def test_without_the_approved_plan_all_of_the_plan_of_now_is_shown(root: Path) -> None:
    with pytest.raises(CommandError) as refused:
        require("0" * 64, None, plan(root), "")
    assert "is not in this clone" in refused.value.message
    assert "web-web-1: changed (`image`" in refused.value.message


def test_a_saved_plan_is_read_back(root: Path, tmp_path: Path) -> None:
    file, made = tmp_path / "plan.json", plan(root, differences=("x",), options=("--target", "y"))
    plans.save(Project(root), made, file)
    assert read(file) == made
    assert plans.approved(Project(root), made.hash[:20]) == (made.hash[:20], made)
    assert plans.approved(Project(root), "0" * 20) == ("0" * 20, None)
    assert plans.approved(Project(root), str(file)) == (made.hash, made)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"hash": "x", "options": 1}'])
def test_a_file_that_is_no_plan(text: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(CommandError, match="not a plan"):
        read(file)


def test_an_edited_plan_is_refused(root: Path, tmp_path: Path) -> None:
    file, made = tmp_path / "plan.json", plan(root)
    content = json.loads(made.text())
    content["changes"] = {}
    file.write_text(json.dumps(content))
    with pytest.raises(CommandError, match="was changed after it was saved"):
        read(file)


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 65, "../../etc/passwd0"])
def test_what_is_no_hash(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        plans.check_hash(text)
    assert refused.value.status == 2


def test_the_record_of_a_refresh_counts() -> None:
    step = gone(f"{SERVICE}::web-web-1")[0]
    record = Record.of([Done(step)])
    assert record.gone == [step]
