"""`git push` deploys, by a real update in a clone of its own."""

from pathlib import Path

import yaml

from tests.support.clone import Clone
from tests.support.stack import Stack
from tests.support.waiting import TOOLS_LIMIT


def push(clone: Clone, folder: Path, change: str = "") -> tuple[int, str]:
    """Commit the stack's file in a person's clone and push it. Returns git's exit status, and what it printed."""
    clone.git("-C", str(folder), "add", "--all", "--force")
    clone.git(
        "-C", str(folder), "commit", "--quiet", "--allow-empty", "--message", change or "Deploy by push"
    )
    repository = clone.root / ".slipway/push/repository.git"
    result = clone.start("git", "-C", str(folder), "push", str(repository), "HEAD:refs/heads/main").wait()
    return result.status, result.output


def test_a_push_updates_the_stack_and_a_bad_one_is_refused(one_host: Stack, tmp_path: Path) -> None:
    clone, folder = one_host.clone, tmp_path / "person"
    one_host.up(seconds=TOOLS_LIMIT)
    before = one_host.app_containers("box")
    added = clone.start("./slip", "git-remote", "add", "main", "--stack", one_host.name).wait()
    assert added.status == 0, str(added)
    clone.git("worktree", "add", "--quiet", "--detach", str(folder))
    try:
        file = folder / one_host.config_file.name
        file.write_bytes(one_host.config_file.read_bytes())
        # What is pushed is what the clone has, so nothing changes: neither paths nor modes count.
        status, printed = push(clone, folder)
        assert status == 0, printed
        assert f"is deployed to the stack {one_host.name}." in printed
        assert one_host.app_containers("box") == before
        deployed = clone.git("-C", str(folder), "rev-parse", "HEAD").strip()

        content = yaml.safe_load(file.read_text())
        content["config"]["slipway:services"]["web"]["health"] = "no-path"
        file.write_text(yaml.safe_dump(content))
        status, printed = push(clone, folder, "A mistake")
        assert status == 1, printed
        assert "no-path" in printed
        assert "remote rejected" in printed
        listed = clone.start("./slip", "git-remote", "list", "--json").wait()
        assert f'"revision": "{clone.git("-C", str(folder), "rev-parse", "HEAD").strip()}"' in listed.output
        assert "failed with status" in listed.output
        refs = clone.git(f"--git-dir={clone.root}/.slipway/push/repository.git", "rev-parse", "main")
        assert refs.strip() == deployed
        assert one_host.app_containers("box") == before
    finally:
        clone.git("worktree", "remove", "--force", str(folder))
    result = one_host.up()
    assert not result.changes, str(result)
