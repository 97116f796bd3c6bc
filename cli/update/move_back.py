"""One version on all hosts of a service, or the old one: after an update that failed on a host, the others go back.

The move back is an update, too, with an order to the program (components/rollbacks.py), limited to the services' own
resources: fresh containers of the old image. So the state describes what serves, and the next update removes nothing of
it.
"""

from collections.abc import Callable, Sequence

from cli import console
from cli.errors import INTERRUPTED
from cli.running.host_report import HostReport
from cli.stack.stack import Stack
from cli.update import orders, versions
from cli.update.aftermath import Aftermath
from cli.update.versions import Versions
from well_known import PROMOTE_VARIABLE

FAILED = 1
"""The exit status: the update has failed, whatever came of the move back."""

RunUp = Callable[[Stack, Sequence[str], Aftermath], int]
"""Runs `pulumi up` with options, and returns its exit status."""


def move_back(stack: Stack, aftermath: Aftermath, run: RunUp) -> int:
    """Let all hosts of a service serve one version. Returns the exit status of the whole command.

    Args:
        stack: the stack.
        aftermath: what its hosts say after the update that failed.
        run: runs an update.

    """
    # What runs the image of another service goes with that one.
    followers = {name for service in stack.config.services for name in stack.config.followers(service)}
    back = {name: both for name, both in moved_apart(aftermath).items() if name not in followers}
    if not stack.config.moves_back or not back:
        return FAILED
    for service, (failed, good) in back.items():
        console.say(
            f"{service}: some hosts serve version {failed} and others do not. All go back to version {good}."
        )
    moved = dict.fromkeys(name for service in back for name in (service, *stack.config.followers(service)))
    targets = [urn for service in moved for urn in orders.targets_of(aftermath.state, service)]
    options = ["--yes", "--skip-preview", *orders.limited_to(targets)]
    after = Aftermath(stack)
    ordered = orders.ordered(stack, {service: good for service, (_, good) in back.items()})
    status = run(ordered, options, after)
    for service, (failed, good) in back.items():
        console.error(f"{service}: {_about(aftermath, failed, service)}")
        if status == 0:
            hosts = ", ".join(aftermath.outputs["serviceHosts"][service])
            console.say(
                f"  All its hosts serve version {good} again: {hosts}. Correct the code or the settings, then run "
                f"`./slip up{stack.option}`. If it was the host's fault: "
                + (
                    "promote it again."
                    if PROMOTE_VARIABLE in stack.pulumi.variables
                    else f"`./slip up --forward {service}{stack.option}`"
                )
            )
        else:
            for host, number in _serving(after, service).items():
                console.say(f"  {host} serves {number}")
            console.say(f"  `./slip up{stack.option}` goes on with the way back to version {good}.")
    return INTERRUPTED if status == INTERRUPTED else FAILED


def _about(aftermath: Aftermath, failed: int, service: str) -> str:
    """Which version failed, where, and why."""
    why = [reason for reason in aftermath.reasons if reason.startswith(f"{service} on ")]
    # Another service's failure has ended this one's roll-out.
    return f"version {failed} failed: {'; '.join(why or aftermath.reasons) or 'the reason is above'}"


def moved_apart(aftermath: Aftermath) -> dict[str, tuple[int, int]]:
    """The services that a failed update has left with two versions: the failed version and the last good one."""
    found = {}
    for service, known in versions.every(aftermath.outputs).items():
        hosts = (aftermath.outputs.get("serviceHosts") or {}).get(service) or ()
        if versions.is_whole(known.version(known.current, "")):
            continue
        served = [serves(known, aftermath.reports.get(host)) for host in hosts]
        # A host that does not say what it serves could not be moved either.
        if None in served or known.current not in served:
            continue
        others = {one for one in served if one} - {known.current}
        good = known.before if len(others) != 1 else others.pop()
        if {*served} != {known.current} and good:
            found[service] = (known.current, good)
    return found


def serves(known: Versions, report: HostReport | None) -> int | None:
    """The version that a host serves; 0 if it serves none of them, None if that is unknown."""
    if report is None or not report.knows_services:
        return None
    serving = report.services.get(known.service)
    return (known.number_of(serving.digests, serving.since) or 0) if serving else 0


def _serving(aftermath: Aftermath, service: str) -> dict[str, str]:
    """What each host of a service serves, for people."""
    known = versions.every(aftermath.outputs).get(service)
    found = {}
    for host in (aftermath.outputs.get("serviceHosts") or {}).get(service) or ():
        number = serves(known, aftermath.reports.get(host)) if known else None
        found[host] = "an unknown version" if number is None else f"version {number}" if number else "nothing"
    return found
