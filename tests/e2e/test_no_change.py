"""A second `up` changes nothing, nor does plain `pulumi`, and git status stays clean."""

import json
import os
import shutil
import socket
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.stack import Stack

NOWHERE = "/no such folder"
CLOSED = "http://127.0.0.1:9"
"""A proxy that does not answer."""
OTHER_SETTINGS = {
    **dict.fromkeys(("DOCKER_CERT_PATH", "DOCKER_CONTEXT", "DOCKER_API_VERSION", "SSH_AUTH_SOCK"), NOWHERE),
    "DOCKER_TLS_VERIFY": "1",
    "DOCKER_DEFAULT_PLATFORM": "plan9/mips",
    "DOCKER_BUILDKIT": "x",
    "DOCKER_CA_MATERIAL": "x",
    "BUILDX_BUILDER": "none",
    "BUILDKIT_HOST": CLOSED,
    "COMPOSE_FILE": NOWHERE,
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), CLOSED),
    **dict.fromkeys(("PULUMI_STACK", "PULUMI_PARALLEL", "PULUMI_PYTHON_CMD", "PULUMI_DEBUG_PROVIDERS"), "x"),
    "PULUMI_OPTION_REFRESH": "true",
    "PULUMI_CONFIG": "{",
    "PULUMI_HOME": NOWHERE,
    **dict.fromkeys(("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHASHSEED", "PYTHONUTF8"), NOWHERE),
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONMALLOC": "x",
    "PYTHONIOENCODING": "x",
    "LC_ALL": "xx",
    "LANG": "xx",
    "TZ": "nonsense",
    "COLUMNS": "abc",
    "TERM": "",
    "NO_COLOR": "1",
    **dict.fromkeys(("BASH_ENV", "ENV", "CDPATH", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"), NOWHERE),
    "IFS": "x",
    "GREP_OPTIONS": "--nonsense",
    "TF_LOG": "TRACE",
    **dict.fromkeys(("TMPDIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), NOWHERE),
    "AWS_PROFILE": "none",
    "AWS_ENDPOINT_URL": CLOSED,
    "AWS_REGION": "nowhere",
    "PATH": "/usr/bin:/bin",
}
"""Variables that an operator may have set for something else."""


def test_second_up_changes_nothing(stack: Stack) -> None:
    result = stack.up("--expect-no-changes")
    assert result.changes == {}, str(result)
    assert len(result.steps) > 40, "the engine looked at hardly any resource"
    first, *services = result.output.splitlines()
    assert first.startswith("✓ nothing to change: "), result.output
    assert [line.split()[3:] for line in services] == [[url, "healthy"] for url in stack.urls()]


def test_preview_that_looks_at_what_is_there_finds_no_change(stack: Stack) -> None:
    result = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert result.status == 0, str(result)


def test_the_list_of_stacks_is_what_the_backend_has(stack: Stack) -> None:
    found = {one["name"]: one for one in json.loads(stack.clone.read("./slip", "stacks", "--json"))}
    own = found[stack.name]
    assert (own["platform"], own["hosts"]) == ("local", len(stack.outputs()["hosts"]))
    assert own["lastUpdate"]["result"] == "succeeded"
    assert own["lastUpdate"]["by"].endswith(f"@{socket.gethostname()}")
    assert own["certificatesEnd"] > datetime.now(UTC).isoformat()
    assert own["notes"] == []


def test_another_stack_gets_ports_that_this_one_does_not_have(stack: Stack) -> None:
    made = stack.clone.start("./slip", "new", "second", "--like", stack.name, "--skip-preview").wait()
    assert made.status == 0, str(made)
    try:
        second = replace(stack, name="second")
        shown = json.loads(
            stack.clone.read("./slip", "config", "platform.portOffset", "-s", "second", "--json")
        )
        assert shown["source"].startswith("Pulumi.second.yaml, line ")
        # The program itself looks whether its ports are free, and the policy at its plan.
        plan = second.slip("preview")
        assert plan.status == 0, str(plan)
        again = stack.clone.start("./slip", "new", "second", "--like", stack.name).wait()
        assert again.status == 2, str(again)
        refused = second.slip("config", "services.web.port", "70000")
        assert refused.status == 2, str(refused)
    finally:
        removed = replace(stack, name="second").slip("down", "--purge", "--yes")
        (stack.clone.root / "Pulumi.second.yaml").unlink()
    assert removed.status == 0, str(removed)


def test_an_operators_other_settings_change_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither what Slipway, the program or a plugin does."""
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "not-installed"}))
    for name, value in {**OTHER_SETTINGS, "DOCKER_CONFIG": str(tmp_path)}.items():
        monkeypatch.setitem(stack.clone.environment, name, value)
    result = stack.up("--expect-no-changes")
    assert result.changes == {}, str(result)
    assert len(result.steps) > 40, "the engine looked at hardly any resource"


def test_git_status_is_clean_after_up(stack: Stack) -> None:
    assert stack.clone.git("status", "--porcelain") == ""


def test_plain_pulumi_works_in_a_prepared_shell_and_finds_no_change(stack: Stack) -> None:
    for command in ("preview", "up --yes --skip-preview"):
        line = f"pulumi {command} --stack {stack.name} --expect-no-changes --non-interactive"
        result = stack.clone.start(*stack.in_prepared_shell(line)).wait()
        assert result.status == 0, str(result)
        assert "unchanged" in result.output


def test_another_clone_of_the_same_commit_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    """It has other modes and times, and no history."""
    own, other = stack.clone.root, tmp_path / "clone"
    before = os.umask(0o077)
    try:
        command = ["git", "clone", "--quiet", "--depth", "1", f"file://{own}", str(other)]
        subprocess.run(command, check=True, capture_output=True)
    finally:
        os.umask(before)
    (other / "app/server.py").chmod(0o660)
    os.utime(other / "app/config.json", (1, 1))
    # As with a backend that people share.
    shutil.copytree(own / ".slipway", other / ".slipway", ignore=shutil.ignore_patterns("contexts"))
    shutil.copy(stack.config_file, other)
    clone = replace(stack.clone, root=other)
    result = Stack(clone, stack.name).slip("preview", "--expect-no-changes")
    assert result.status == 0, str(result)


def test_another_network_changes_what_hosts_ask_and_no_resource(one_host: Stack, tmp_path: Path) -> None:
    def servers() -> str:
        return one_host.on_host("box", "cat", "/etc/resolv.conf")

    elsewhere = tmp_path / "resolv.conf"
    elsewhere.write_text("nameserver 192.0.2.53\n")
    one_host.up()
    before = servers()
    with one_host.clone.edited("resolvers.py", 'Path("/etc/resolv.conf")', f'Path("{elsewhere}")'):
        moved = one_host.up()
        assert "telling box" in moved.output
        assert "nameserver 192.0.2.53\n" in servers()
        same = one_host.up("--refresh", "--expect-no-changes")
    assert moved.changes == same.changes == {}
    assert "telling" not in same.output
    assert one_host.up().changes == {}
    assert servers() == before
