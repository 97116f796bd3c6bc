"""Refuses to change a stack in a copy of a clone: `cp -r` copies the state, too.

Both clones would then change the same hosts, each by its own record of them, and a `down` in the copy would remove what
the original runs. A clone that was moved has left nothing where it was, so its stack goes on.
"""

import shlex
from contextlib import suppress
from pathlib import Path

from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.backend import Backend
from cli.stack.deployment import CONTAINER_TYPE, Deployment
from cli.stack.stack import Stack
from cli.update.ownership import claim_of
from well_known import CLONE_LABEL

STATE = Path(".slipway/state")
"""The directory of a clone's own backend, relative to the clone (cli/stack/backend.py)."""


def refuse(stack: Stack) -> None:
    """Refuse a stack whose hosts another clone made, as long as that clone has the same state.

    Raises:
        CommandError: this clone is a copy.

    """
    if not stack.backend.is_own:
        return  # clones may share a backend
    state = stack.deployment()
    ours = claim_of(state).states
    for root in sorted(_makers(state) - {stack.project.root}):
        with suppress(OSError, ValueError, AttributeError):
            # A clone that was renamed, or one that deploys what is pushed, whose state is a link to this one.
            if (root / STATE).samefile(stack.project.root / STATE):
                continue
            theirs = Backend.in_directory(root / STATE).deployment(stack.project.name, stack.short_name) or {}
            if not ours & claim_of(theirs).states:
                continue
            raise CommandError(
                f"this clone is a copy of {root}, whose stack '{stack.name}' has the same state: both would change "
                "the same hosts, so nothing was changed",
                f"Go on in that clone: `cd {shlex.quote(str(root))}`.\n"
                f"For a stack of its own in this one, remove the copied record: `rm -r {STATE} .slipway/made`, and run "
                "`./slip up`, which says what else it needs.\n"
                f"If this one is to go on in place of the other: `mv {shlex.quote(str(root / STATE))} "
                f"{shlex.quote(str(root / STATE))}.old`.",
            )


def _makers(state: Deployment) -> set[Path]:
    """The clones that made the containers of a state, by their labels."""
    found = set()
    for resource in deployment.managed(state):
        if resource.get("type") == CONTAINER_TYPE:
            for label in (resource.get("inputs") or {}).get("labels") or ():
                if isinstance(label, dict) and label.get("label") == CLONE_LABEL and label.get("value"):
                    found.add(Path(str(label["value"])))
    return found
