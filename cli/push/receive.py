"""`slip git-remote receive`: git's hook `pre-receive`, which deploys what is pushed before git takes it.

So a push whose deployment fails is refused as a whole, the person who pushes sees it as such, and a branch is always at
what was deployed last.
"""

import os
from collections.abc import Iterable

from cli.errors import CommandError
from cli.push import keys
from cli.push.deploy import Push, deploy
from cli.push.remote import Remote, Settings
from cli.push.repository import Repository
from cli.push.screen import Screen
from cli.push.serve import PUSHER
from cli.stack.file_lock import user_name

_QUARANTINE = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")
"""The variables by which git's hook finds objects that are not taken yet (githooks(5), receive-pack)."""
_HEADS = "refs/heads/"


def receive(remote: Remote, lines: Iterable[str]) -> int:
    """Deploy a push. Returns the hook's exit status: git takes the push if it is 0.

    Args:
        remote: the remote.
        lines: what git tells the hook: the old commit, the new one and the name of each reference.

    """
    screen = Screen()
    objects = {name: os.environ[name] for name in _QUARANTINE if name in os.environ}
    try:
        push = wanted(
            remote.settings, lines, os.environ.get(PUSHER, ""), Repository(remote.repository, objects)
        )
        return deploy(remote, push, screen, moves=False)
    except CommandError as error:
        screen.say(f"error: {error.message}")
        if error.remedy:
            screen.say(error.remedy)
        return 1


def wanted(settings: Settings, lines: Iterable[str], pusher: str, source: Repository) -> Push:
    """What a push asks for.

    Args:
        settings: what pushes deploy.
        lines: what git tells the hook.
        pusher: the fingerprint of the key; empty for this machine's own user, who needs none.
        source: where the pushed commits are.

    Raises:
        CommandError: it is refused.

    """
    updates = [line.split() for line in lines if line.strip()]
    here = (
        ", ".join(f"{branch} to {stack}" for branch, stack in sorted(settings.branches.items())) or "nothing"
    )
    if len(updates) != 1:
        raise CommandError(
            "a push deploys one branch, and nothing beside it",
            "Push one branch, without tags: `git push REMOTE BRANCH`.",
        )
    ((old, new, name),) = updates
    branch = name.removeprefix(_HEADS)
    stack = settings.branches.get(branch, "") if name.startswith(_HEADS) else ""
    if not stack:
        raise CommandError(f"{name} is not deployed to any stack", f"This remote deploys {here}.")
    if not new.strip("0"):
        raise CommandError(
            f"{branch} is what runs in the stack {stack}, and stays", "`./slip down` removes a stack."
        )
    if pusher:
        who = keys.name_of(settings.operators.get(stack, {}), pusher)
        if not who:
            raise CommandError(
                f"this key is no operator's of the stack {stack}",
                f"Add it to `slipway:operators` in Pulumi.{stack}.yaml.",
            )
    else:
        who = user_name()
    return Push(branch, stack, new, who, source, replaces=old if old.strip("0") else "")
