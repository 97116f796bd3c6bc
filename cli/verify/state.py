"""The check of `slip verify` on the stack's state."""

from datetime import UTC, datetime

from cli.errors import CommandError
from cli.running.backup import DAY, SLACK
from cli.running.stack import Failed, RunningStack
from cli.text import age
from cli.verify.found import Warned


def is_backed_up(running: RunningStack, _: str) -> str:
    """The last backup of the state is newer than its last change. The update that changes it makes one.

    It passes with a warning for as long as a backup of a service may be missing (`cli/running/backup.py`), and
    where the backups cannot be read: a directory may be on another operator's machine.
    """
    backups, now = running.state_backups, datetime.now(UTC)
    if backups is None:
        return "it has none"
    try:
        last = backups.last()
    except CommandError as error:
        return Warned(str(error.message))
    made = f"{age(last.isoformat(), now)} ago" if last else "no backup yet"
    changed = backups.changed
    if changed is None or (last and last >= changed):
        return made
    found = f"{made}; the state was changed {age(changed.isoformat(), now)} ago"
    if now - changed > DAY + SLACK:
        raise Failed(found)
    return Warned(found)
