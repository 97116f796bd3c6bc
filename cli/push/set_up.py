"""`slip git-remote add, list, remove`."""

import json
import os
import re
import shlex
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from cli import console
from cli.errors import CommandError
from cli.push import access, credentials, repository
from cli.push.remote import NAME, Remote
from cli.stack.config import StackConfig
from cli.stack.file_lock import holder, user_name
from cli.stack.open import require_configuration
from cli.stack.processes import local_time
from cli.stack.project import write_private

_BRANCH = re.compile(r"(?!.*(?:\.\.|//|\.lock(?:/|$)))[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}(?<![./])")
"""Names of branches, a part of those that git takes."""
_CONFIG = {
    "transfer.fsckObjects": "true",
    # Bytes. A push of more is a mistake, and would fill the disk.
    "receive.maxInputSize": str(1 << 30),
}
_HOOK = "pre-receive"
_START = ("PATH", "SLIPWAY_CACHE", "SLIPWAY_PYTHON", "XDG_CACHE_HOME")
"""Variables that `slip` needs to start as it does in this shell: sshd gives a command next to none."""


def add(remote: Remote, branch: str, stack: str) -> None:
    """Have pushes to a branch deploy a stack, and make the repository at first use.

    Raises:
        CommandError: the branch or the stack is none.

    """
    if not _BRANCH.fullmatch(branch):
        raise CommandError(
            f"{branch!r} is no name of a branch",
            "For example: `./slip git-remote add main -s dev`.",
            status=2,
        )
    if not shutil.which("git"):
        raise CommandError("this machine has no git", "Install it: `apt-get install git`.")
    if not re.fullmatch(r"[\w.-]{1,100}", stack):
        raise CommandError(
            f"{stack!r} is no name of a stack here", "Name it without an organization.", status=2
        )
    require_configuration(remote.project, stack)
    file = remote.project.config_file(stack)
    config = StackConfig.read(file, remote.project.name)
    remote.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    remote.write_launcher({name: os.environ[name] for name in _START if os.environ.get(name)})
    _make_repository(remote)
    recorded = credentials.record(remote.credentials, os.environ)
    with remote.changed() as settings:
        other = next(
            (name for name, mine in settings.branches.items() if mine == stack and name != branch), ""
        )
        if other:
            raise CommandError(
                f"pushes to {other} deploy the stack {stack} already, and a stack has one branch",
                f"Run `./slip git-remote remove {other}` first.",
            )
        settings.branches[branch] = stack
    for warning in access.let_in(remote, stack, config):
        console.warn(warning)
    if not config.operator_keys:
        console.warn(
            f"{file.name} has no operators, so nobody else may push. Name them, each with a public key of SSH: "
            "`slipway:operators: {alice: ssh-ed25519 …}`."
        )
    if recorded:
        console.say(
            f"Deployments get this shell's {', '.join(recorded)}, from {remote.credentials} (mode 0600)."
        )
    console.facts(
        f"Pushes to {branch} deploy the stack {stack}",
        [
            ("Who may", ", ".join(sorted(config.operator_keys)) or "this machine's own user"),
            ("Set up", f"git remote add deploy ssh://{user_name()}@{socket.gethostname()}/{NAME}.git"),
            ("Deploy", f"git push deploy {branch}"),
            ("See", "./slip git-remote list"),
        ],
    )


def _make_repository(remote: Remote) -> None:
    made = repository.made(remote.repository, bare=True)
    hook = remote.repository / "hooks" / _HOOK
    # The path of the hooks, too: with one in the user's own configuration, nothing that is pushed would be deployed.
    for name, value in {**_CONFIG, "core.hooksPath": str(hook.parent)}.items():
        made.run("config", name, value)
    write_private(hook, f"#!/bin/sh\nexec {shlex.quote(str(remote.launcher))} git-remote receive\n")
    hook.chmod(0o700)


def remove(remote: Remote, branch: str) -> None:
    """Have pushes to a branch deploy nothing any more. The stack runs on.

    Raises:
        CommandError: they deploy nothing now.

    """
    with remote.changed() as settings:
        if branch not in settings.branches:
            raise CommandError(
                f"pushes to {branch} deploy nothing", "`./slip git-remote list` shows which do.", status=2
            )
        stack = settings.branches.pop(branch)
        settings.operators.pop(stack, None)
    access.write_keys(remote, settings)
    console.say(f"Pushes to {branch} deploy nothing any more. The stack {stack} runs on.")


@dataclass(frozen=True)
class Row:
    """A branch, and its last push."""

    branch: str
    stack: str
    operators: list[str]
    """Who may push."""
    revision: str
    """What was pushed last; empty if nothing was."""
    by: str
    started: str
    """When, in ISO 8601."""
    result: str


def show(remote: Remote, *, as_json: bool) -> None:
    """List the branches: what was pushed last, by whom and when, and how it ended."""
    rows = _rows(remote)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    elif not rows:
        console.say("Pushes deploy nothing yet: `./slip git-remote add BRANCH -s STACK`.")
    else:
        console.table(
            "Pushes",
            ("branch", "stack", "last push", "by", "when", "result", "who may push"),
            [
                (
                    *(row.branch, row.stack, row.revision[:12], row.by),
                    local_time(row.started) if row.started else "",
                    *(row.result, ", ".join(row.operators)),
                )
                for row in rows
            ],
        )


def _rows(remote: Remote) -> list[Row]:
    settings, rows = remote.settings, []
    for branch, stack in sorted(settings.branches.items()):
        operators, last = sorted(settings.operators.get(stack, {})), remote.last(stack)
        if last is None:
            rows.append(Row(branch, stack, operators, "", "", "", ""))
            continue
        result = _result(last.status, runs=_runs(remote.lock(stack)))
        rows.append(Row(branch, stack, operators, last.revision, last.by, last.started, result))
    return rows


def _runs(lock: Path) -> bool:
    return lock.exists() and holder(lock) is not None


def _result(status: int | None, *, runs: bool) -> str:
    if runs:
        return "runs"
    if status is None:
        return "was killed"
    return "deployed" if status == 0 else f"failed with status {status}"
