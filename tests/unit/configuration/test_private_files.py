"""What never goes into a build context."""

from pathlib import Path

import pytest

from configuration.private_files import PrivateFiles, is_private, warning
from dockerfiles.ignore import Ignore

EVERYWHERE = {
    ".slipway/passphrase": ".slipway",
    ".git/config": ".git",
    "deep/.pulumi/stacks/slipway/local.json": "deep/.pulumi",
    "Pulumi.yaml": "Pulumi.yaml",
    "Pulumi.local.yaml": "Pulumi.local.yaml",
    "other/Pulumi.prod.yml": "other/Pulumi.prod.yml",
    "Pulumi.local.yaml~": "Pulumi.local.yaml~",
    ".Pulumi.local.yaml.swp": ".Pulumi.local.yaml.swp",
    "Pulumi.json": "Pulumi.json",
}
"""A file of a context, and the path that is left out for it."""
KEPT = (
    ".gitignore",
    ".github/x",
    "pulumi.py",
    "Pulumifile",
    "slipway/x",
    "docs/Pulumi.md",
    "lib/__pycache__/a.pyc",
)


def walk(context: Path, project: Path, text: str = "", **environment: str) -> tuple[set[str], list[str]]:
    private = PrivateFiles(context, project, environment)
    return set(Ignore.of(text).walk(context, private)), private.found


def write(context: Path, *names: str) -> None:
    for name in names:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("x")


@pytest.mark.parametrize(("file", "left_out"), EVERYWHERE.items())
@pytest.mark.parametrize("text", ["", "*\n!**\n", "!.git\n!Pulumi.*\n"])
def test_private_files_are_left_out_whatever_the_patterns_say(
    file: str, left_out: str, text: str, tmp_path: Path
) -> None:
    write(tmp_path, file)
    seen, found = walk(tmp_path, tmp_path / "elsewhere", text)
    assert file not in seen
    assert left_out not in seen
    assert found == [left_out]


def test_other_files_stay(tmp_path: Path) -> None:
    write(tmp_path, *KEPT)
    seen, found = walk(tmp_path, tmp_path / "elsewhere")
    assert seen.issuperset(KEPT)
    assert found == []


def test_what_is_ignored_anyway_is_no_reason_for_a_warning(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", "Pulumi.yaml", "x")
    assert walk(tmp_path, tmp_path / "elsewhere", ".git\nPulumi.*\n") == ({"x"}, [])


@pytest.mark.parametrize("place", ["", "clone", "deep/clone"])
def test_what_running_a_clone_writes_is_left_out(place: str, tmp_path: Path) -> None:
    clone = tmp_path / place
    write(clone, "cli/__pycache__/app.pyc", "cli/app.py")
    write(tmp_path, "app/__pycache__/x.pyc")
    seen, _ = walk(tmp_path, clone)
    assert not [name for name in seen if name.endswith("app.pyc")]
    assert [name for name in seen if name.endswith("x.pyc")] == (["app/__pycache__/x.pyc"] if place else [])


def test_another_clone_in_the_context_counts_as_one(tmp_path: Path) -> None:
    write(tmp_path, "other/cli/__pycache__/app.pyc", "other/.slipway/passphrase", "mine/__pycache__/x.pyc")
    seen, _ = walk(tmp_path, tmp_path.parent / "elsewhere")
    assert [name for name in seen if name.endswith(".pyc")] == ["mine/__pycache__/x.pyc"]


def test_a_context_may_be_reached_by_a_link(tmp_path: Path) -> None:
    write(tmp_path, "clone/cli/__pycache__/app.pyc", "clone/.slipway/passphrase")
    (tmp_path / "link").symlink_to("clone")
    seen, _ = walk(tmp_path / "link", tmp_path / "clone")
    assert seen == {"cli"}


def test_files_that_the_environment_names_are_private(tmp_path: Path) -> None:
    write(tmp_path, "keys/phrase", "keys/other", "home/credentials.json", "state/.pulumi/x")
    seen, found = walk(
        tmp_path,
        tmp_path / "project",
        PULUMI_CONFIG_PASSPHRASE_FILE=str(tmp_path / "keys/phrase"),
        PULUMI_HOME=str(tmp_path / "home"),
        PULUMI_BACKEND_URL=f"file://{tmp_path}/state",
    )
    assert seen == {"keys", "keys/other", "state"}
    assert sorted(found) == ["home", "keys/phrase", "state/.pulumi"]


def test_a_private_folder_is_no_context(tmp_path: Path) -> None:
    write(tmp_path, ".slipway/contexts/x", ".git/x", "app/x")
    (tmp_path / "link").symlink_to(".slipway")
    assert is_private(tmp_path / ".slipway/contexts", tmp_path)
    assert is_private(tmp_path / ".git", tmp_path)
    assert is_private(tmp_path / "link", tmp_path)
    assert not is_private(tmp_path / "app", tmp_path)
    # A clone may lie in such a folder.
    assert not is_private(tmp_path / ".slipway/contexts", tmp_path / ".slipway/contexts")


def test_the_warning_names_a_few(tmp_path: Path) -> None:
    text = warning("web", [f"a{number}/.git" for number in range(7)])
    assert text.startswith(
        "web: the build does not get a0/.git, a1/.git, a2/.git, a3/.git, a4/.git and 2 more of"
    )
    assert "\\udcff" in warning("web", ["\udcff/.git"])
