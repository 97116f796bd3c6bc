"""Whether an update may leave out comparisons that cannot find anything.

Pulumi asks the providers twice about each resource of an update: what its inputs mean (Check), and whether it has to
change (Diff), also if its inputs are what they were. With PULUMI_ENABLE_LEGACY_DIFF it leaves the second question out
for these: of the stack `local`, 91 calls are left of 158 (`python -m bench --only fleet`).

Then it does not see what only a provider can find in inputs that are the same: a certificate that is due, what a
refresh has brought to light, and what another version of a plugin compares otherwise. So it is only asked for if this
clone's last `./slip up` left the state exactly as it is, with the same plugins, and no certificate is due.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from cli.stack.project import write_private
from cli.stack.stack import Stack
from cli.update import renewal
from toolchain.versions import REPOSITORY

VARIABLE = "PULUMI_ENABLE_LEGACY_DIFF"
_COMPARES_ALL = ("--refresh", "-r", "--expect-no-changes")
"""Options of updates that are to find what differs. A refresh changes the state before resources are compared."""


def fewer(stack: Stack, options: Sequence[str]) -> Stack:
    """The stack, whose next update compares what has changed, if no comparison of the rest can find anything."""
    asked = {option.partition("=")[0] for option in options}
    if not asked.isdisjoint(_COMPARES_ALL) or not _is_as_left(stack) or renewal.are_due(stack.deployment()):
        return stack
    variables = {**stack.pulumi.variables, VARIABLE: "true"}
    return replace(stack, pulumi=replace(stack.pulumi, variables=variables))


def remember(stack: Stack) -> None:
    """Remember the state that an update left which has succeeded. Call it when nothing else writes the state."""
    if stack.backend.directory is not None and (now := _fingerprint(stack)):
        # It saves time: a folder that cannot be written fails no update.
        with suppress(OSError):
            write_private(_file(stack), now)


def _is_as_left(stack: Stack) -> bool:
    if stack.backend.directory is None:
        return False
    try:
        before = _file(stack).read_text()
    except (OSError, ValueError):
        return False
    return bool(before) and before == _fingerprint(stack)


def _fingerprint(stack: Stack) -> str:
    """A word that is another one with another state, other plugins or another program; empty without a state."""
    path = stack.backend.state_file(stack.project.name, stack.short_name)
    # The stand-ins are run from here; the official plugins have the versions of their Python packages.
    sources = [REPOSITORY / "requirements.txt", *sorted((REPOSITORY / "plugins").rglob("*.py"))]
    facts = [str(stack.pulumi.executable)]
    try:
        state = path.read_bytes() if path else b""
        for source in sources:
            found = source.stat()
            facts.append(f"{source} {found.st_size} {found.st_mtime_ns}")
    except OSError:
        return ""
    return sha256(b"\0".join([state, *(fact.encode() for fact in facts)])).hexdigest() if state else ""


def _file(stack: Stack) -> Path:
    return stack.project.private / "compared" / stack.key
