"""Who may push: the operators of a branch's stack, as it was deployed last."""

from pathlib import Path

from cli.push import keys
from cli.push.remote import Remote, Settings
from cli.stack.config import StackConfig


def let_in(remote: Remote, stack: str, config: StackConfig) -> list[str]:
    """Let the operators of a stack's configuration push, and nobody else for this stack. Returns warnings."""
    with remote.changed() as settings:
        settings.operators[stack] = config.operator_keys
    return write_keys(remote, settings)


def write_keys(remote: Remote, settings: Settings) -> list[str]:
    """Bring `authorized_keys` up to date. Returns warnings."""
    mark = keys.mark_of(remote.project.root)
    stacks = set(settings.branches.values())
    known = [line for stack in sorted(stacks) for line in settings.operators.get(stack, {}).values()]
    unlimited = keys.write(keys.lines(known, remote.launcher, mark), mark, Path.home())
    names = sorted(
        {
            name
            for each in settings.operators.values()
            for name, line in each.items()
            if line.split()[1] in unlimited
        }
    )
    if not names:
        return []
    text = (
        f"the keys of {', '.join(names)} are in another line of ~/.ssh/authorized_keys, too, which gives them a "
        "shell of this user: sshd goes by the first line. Remove that one, so that they can push"
    )
    return [text]
