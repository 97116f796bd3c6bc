"""`slip git-remote serve`: the one command that sshd lets a pusher's key run."""

import os
import shlex
import sys
from typing import NoReturn

import child_environment
from cli.errors import CommandError
from cli.push import keys
from cli.push.remote import NAME, Remote

PUSHER = "SLIPWAY_PUSHER"
"""The variable that tells the hook whose key it is: the fingerprint."""
_COMMANDS = ("git-receive-pack", "git-upload-pack")


def asked(original: str) -> str:
    """The command of git that was asked for, if it is one for our repository; else empty."""
    try:
        words = shlex.split(original)
    except ValueError:
        return ""
    is_ours = len(words) == 2 and words[0] in _COMMANDS and words[1].strip("/").removesuffix(".git") == NAME
    return words[0] if is_ours else ""


def serve(remote: Remote, printed: str) -> NoReturn:
    """Become git's side of a push or a fetch.

    Args:
        remote: the remote.
        printed: the fingerprint of the key.

    Raises:
        CommandError: something else was asked for, or the key is nobody's any more.

    """
    command = asked(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    if not command:
        raise CommandError(
            f"this key pushes to the repository {NAME}, and has no shell",
            "`git push ssh://USER@MACHINE/slipway.git BRANCH` deploys.",
            status=2,
        )
    settings = remote.settings
    if not any(
        keys.name_of(settings.operators.get(stack, {}), printed) for stack in settings.branches.values()
    ):
        raise CommandError("this key is no operator's any more", "Ask who looks after `slipway:operators`.")
    environment = {**child_environment.of("git"), PUSHER: printed}
    if "GIT_PROTOCOL" in os.environ:
        environment["GIT_PROTOCOL"] = os.environ["GIT_PROTOCOL"]
    sys.stdout.flush()
    os.execvpe("git", ["git", command.removeprefix("git-"), str(remote.repository)], environment)  # noqa: S606 - no shell
