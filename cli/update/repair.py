"""`slip repair`: makes again what differs on the hosts from what the stack's resources made there.

A refresh does the same: Pulumi's plugins do not read back what was made over SSH.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cli import console
from cli.errors import CommandError
from cli.running import drift
from cli.running.drift import Desired, Difference, Job
from cli.running.ssh import Unreachable
from cli.stack import deployment
from cli.stack.deployment import NETWORK_TYPE, REMOTE_COMMAND, Deployment
from cli.stack.desired import desired
from cli.stack.stack import Stack
from cli.update import diagnosis, marker, missing_images, orders, records, recovery
from cli.update.aftermath import Aftermath
from cli.update.message import with_author

PATIENCE = 600.0
"""Seconds that a set-up script may take: as long as Pulumi gives it."""


@dataclass(frozen=True)
class Outcome:
    """What a comparison found, and what is left of it."""

    mended: tuple[str, ...] = ()
    """What was made again, for people."""
    left: tuple[Difference, ...] = ()
    """What still differs."""
    failures: tuple[str, ...] = ()
    """Why hosts or scripts did not do it."""

    @property
    def lost(self) -> tuple[str, ...]:
        """The URNs of the containers that do not exist, which only Pulumi can make."""
        return tuple(dict.fromkeys(item.desired.urn for item in self.left if item.desired.container))


def run(stack: Stack, host: str | None) -> int:
    """Make again what differs on a host, or on all hosts. Returns the exit status: 1 if something still differs.

    Raises:
        CommandError: there is no such host, or an update of the stack runs.

    """
    if recovery.recover(stack):
        raise CommandError(
            "the last update was killed while it changed hosts",
            f"`./slip up --refresh{stack.option}` finishes it, and repairs as this command does.",
        )
    state = stack.deployment_with_secrets()
    hosts = deployment.hosts(state)
    if host is not None and host not in hosts:
        raise CommandError(
            f"the host '{host}' is not in this stack's state",
            f"Hosts in the state: {', '.join(sorted(hosts)) or 'none'}.",
        )
    marker.mark(stack, "repair")
    try:
        outcome = mend(desired(state, host))
        _tell(outcome)
        if lost := outcome.lost:
            _make_containers(stack, state, lost)
            state = stack.deployment_with_secrets()
            outcome = mend(desired(state, host))
            _tell(outcome)
        pushed = missing_images.push_again(state)
    finally:
        marker.unmark(stack)
    for line in (*map(str, outcome.left), *outcome.failures, *pushed.failures):
        console.warn(line)
    silent = diagnosis.report(state, stack.option) if outcome.failures else False
    if outcome.left or outcome.failures or pushed.failures or silent:
        return 1
    console.say(f"{host or f'The hosts of {stack.name}'}: everything is as it was made.")
    records.forget(stack)
    records.catch_up(stack, has_changed=True)
    return 0


def before_refresh(stack: Stack) -> None:
    """Make again what differs on hosts that answer, before Pulumi refreshes the rest. Tells what was mended."""
    state = _state_with_secrets(stack)
    _tell(mend(desired(state)))
    missing_images.push_again(state)


def before_new_hosts(stack: Stack) -> None:
    """Push missing images again, which the new hosts will pull."""
    records.forget(stack)
    missing_images.push_again(_state_with_secrets(stack))


def after_refresh(stack: Stack) -> None:
    """Make again what a refresh could not: routes of a proxy that Pulumi has just made, images of a new registry."""
    records.forget(stack)
    state = _state_with_secrets(stack)
    outcome = mend(desired(state))
    _tell(outcome)
    pushed = missing_images.push_again(state)
    for line in (*map(str, outcome.left), *pushed.failures):
        console.warn(line)


def found(stack: Stack, aftermath: Aftermath | None = None) -> bool:
    """Tell what differs on hosts that answer, and how to mend it. Returns whether something does."""
    return bool(differences(stack, aftermath))


def differences(stack: Stack, aftermath: Aftermath | None = None) -> list[str]:
    """What differs on hosts that answer, a line for each thing. Tells it, and how to mend it.

    Args:
        stack: the stack.
        aftermath: what the hosts have said already, after a failed update.

    """
    state = aftermath.state if aftermath else _state_with_secrets(stack)
    if aftermath and aftermath.reports:
        different = [item for report in aftermath.reports.values() for item in report.differences]
    else:
        # Without outputs, the hosts are known from the state's connections only.
        answers = drift.differences(desired(state))
        different = [item for answer in answers.values() if isinstance(answer, list) for item in answer]
    lines = [*map(str, different), *missing_images.missing(state)]
    for line in lines:
        console.warn(line)
    if lines:
        console.warn(f"`./slip repair{stack.option}` mends {'it' if len(lines) == 1 else 'them'}.")
    return lines


def _state_with_secrets(stack: Stack) -> Deployment:
    """The state; empty if it has no hosts, or cannot be read: then Pulumi's own error says why."""
    return Aftermath(stack).state


def mend(parts: Sequence[Desired]) -> Outcome:
    """Compare, run again what differs, and compare once more."""
    before = drift.differences(parts)
    failures = [f"{host}: {error}" for host, error in before.items() if isinstance(error, Unreachable)]
    different = [item for answer in before.values() if isinstance(answer, list) for item in answer]
    if not different:
        return Outcome(failures=tuple(failures))
    failures += _run_again(different)
    asked = {item.desired.host for item in different}
    after = drift.differences([part for part in parts if part.host in asked])
    left = [item for answer in after.values() if isinstance(answer, list) for item in answer]
    remaining = {(item.desired.urn, item.text) for item in left}
    mended = [str(item) for item in different if (item.desired.urn, item.text) not in remaining]
    return Outcome(tuple(mended), tuple(left), tuple(failures))


def _run_again(different: Iterable[Difference]) -> list[str]:
    """Run the commands of what differs, the hosts beside each other. Returns the failures.

    Set-up scripts come first, in the state's order: an engine that does not run has no containers.
    """
    parts = list({item.desired.urn: item.desired for item in different}.values())
    failures: list[str] = []
    stages: tuple[Callable[[Desired], bool], ...] = (
        lambda part: part.is_set_up,
        lambda part: bool(part.container),
        lambda part: not part.is_set_up and not part.container,
    )
    for belongs in stages:
        waiting = [part for part in parts if belongs(part)]
        while waiting:
            # One command for each host at a time.
            now = list({part.host: part for part in reversed(waiting)}.values())
            waiting = [part for part in waiting if part not in now]
            results = drift.run_all([Job(part.login, part.command, part.stdin) for part in now], PATIENCE)
            for part, result in zip(now, results, strict=True):
                if isinstance(result, Unreachable):
                    failures.append(f"{part.host}: {result}")
                elif result.status and not part.container:
                    name = deployment.name_of(part.urn)
                    failures.append(f"{name} failed on {part.host}: {result.stderr.strip()}")
    return failures


def _tell(outcome: Outcome) -> None:
    for line in outcome.mended:
        console.say(f"Mended {line}.")


def _make_containers(stack: Stack, state: Deployment, urns: Sequence[str]) -> None:
    """Have Pulumi make containers again, and what follows from a new container: its check, its route."""
    targets = [*urns]
    needed = {
        urn
        for resource in deployment.managed(state)
        if resource["urn"] in urns
        for urn in resource.get("dependencies") or ()
    }
    for resource in deployment.managed(state):
        # A network that is gone takes its containers with it.
        if resource["type"] == NETWORK_TYPE and resource["urn"] in needed:
            targets.append(resource["urn"])
        follows = resource["type"] == REMOTE_COMMAND and not (resource.get("inputs") or {}).get("stdin")
        if follows and set(urns) & set(resource.get("dependencies") or ()):
            targets.append(resource["urn"])
    names = ", ".join(deployment.name_of(urn) for urn in urns)
    console.say(f"Making again what does not exist any more: {names}.")
    options = orders.limited_to(targets)
    status = stack.pulumi.attach(
        [
            *("up", "--stack", stack.name, "--yes", "--skip-preview", "--refresh"),
            *with_author([*options, "--message", "repair"], stack.project.root),
        ],
        lambda pid: marker.mark(stack, "repair", pid),
    )
    if status:
        raise CommandError(
            f"Pulumi could not make {names} again",
            f"Its messages above say why; then run `./slip up{stack.option}`.",
            status=1,
        )
