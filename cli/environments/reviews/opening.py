"""`slip review open`: makes or updates the review environment of a pull request."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta

from cli import console
from cli.environments import ports
from cli.environments.reviews import guests, removal, tags
from cli.environments.reviews.file import HostStack, guests_text, port_offset, text
from cli.environments.reviews.known import Environment, environments, opened, refuse_other_stack
from cli.environments.reviews.record import CLOSING, FORMAT, TAG, Record, stack_of
from cli.errors import CommandError
from cli.settings.program import in_force
from cli.stack import processes
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.file_lock import in_turn
from cli.stack.open import open_stack
from cli.stack.project import Project, write_private
from cli.stack.stack import Stack
from cli.stack.wanted import wanted
from cli.update import recovery, updates
from stackfile.document import Document, UnreadableFile
from stackfile.edit import CannotEdit
from well_known import REVIEW_TEMPLATE

LIMIT, TTL_HOURS = 5, 72
"""The defaults of `review.limit` and `review.ttlHours`, as in `configuration/review.py`, which is slow to import."""


def run(pull_request: int, lifetime: timedelta | None) -> int:
    """Make or update an environment. Returns the exit status of its update.

    Args:
        pull_request: the number of the pull request.
        lifetime: how long it stays; None for the template's time.

    Raises:
        CommandError: the template has mistakes, there are as many environments as may be, another command works on
            this one, or its name is another stack's. Nothing was changed.

    """
    project = Project.here()
    backend = Backend.of(project, os.environ)
    template = _Template.read(project)
    before = _found(environments(project, backend, only=pull_request), pull_request)
    stack = opened(project, backend, before)
    refuse_other_stack(stack, before)
    if before.record and before.record.until == CLOSING:
        removal.remove(project, backend, before)
        before = _found((), pull_request)
    # The file must not change under an update of it. From here on, nobody else works on this environment.
    recovery.stop(stack)
    hosts = guests.host_stack(project, backend, template.hosts_of) if template.hosts_of else None
    if before.record and before.record.hosts_of != template.hosts_of:
        raise CommandError(
            f"the review environment of pull request {pull_request} is on other hosts than {REVIEW_TEMPLATE} says now",
            f"`./slip review close {pull_request}` removes it; then open it again.",
        )
    with _turn(project, backend):
        known = environments(project, backend)
        before = _found(known, pull_request)
        others = [one for one in known if one.pull_request != pull_request and one.record]
        _refuse_more(others, template.limit)
        until = processes.now().replace(microsecond=0) + (lifetime or template.lifetime)
        record = (
            Record(until, hosts_of=hosts.name, slot=_slot(hosts, before, others))
            if hosts
            else Record(until, _offset(project, template, before, others))
        )
        content = template.of(pull_request, record, StackConfig.read(stack.config_file, project.name), hosts)
        write_private(stack.config_file, content)
        stack = open_stack(before.stack, create=True, project=project)
        tags.set_tag(stack, TAG, str(record))
    # The hosts of another stack may have been made anew without what was there.
    options = ("--refresh",) if hosts and before.is_made else ()
    status = updates.up(updates.Update(stack.name, yes=True, options=options))
    _tell(stack, pull_request, record, status)
    return status


def _found(known: Sequence[Environment], pull_request: int) -> Environment:
    """The environment of a pull request among those that are known; else one of which nothing is there."""
    none = Environment(pull_request, stack_of(pull_request))
    return next((one for one in known if one.pull_request == pull_request), none)


class _Template:
    """The file that environments are made from."""

    def __init__(self, project: Project, content: str) -> None:
        self.project = project
        self.content = content
        self.config = StackConfig.read_text(content, project.name)
        review = self.config.setting("review")
        own = review if isinstance(review, dict) else {}
        limit, hours = own.get("limit"), own.get("ttlHours")
        self.limit = limit if isinstance(limit, int) else LIMIT
        hosts = own.get("hostsOf")
        self.hosts_of = hosts if isinstance(hosts, str) else ""
        self.lifetime = timedelta(hours=hours if isinstance(hours, int) else TTL_HOURS)

    @classmethod
    def read(cls, project: Project) -> "_Template":
        """The template of a clone.

        Raises:
            CommandError: it is missing, is not on the platform `local`, or lacks secrets.

        """
        path = project.config_file(REVIEW_TEMPLATE)
        if not path.exists():
            raise CommandError(
                f"{path.name} is missing, which review environments are made from",
                f"`./slip new {REVIEW_TEMPLATE} --like STACK` writes it.",
                status=2,
            )
        try:
            Document.read(path)
        except UnreadableFile as error:
            raise CommandError(
                f"{path.name}, {error.mistakes[0]}", f"Correct {path.name}.", status=2
            ) from None
        found = cls(project, path.read_text(encoding="utf-8"))
        if found.config.platform != "local" and not found.hosts_of:
            raise CommandError(
                f"{path.name} is on the platform {found.config.platform}, and review environments are on local only",
                f"Set slipway:platform.kind to local in {path.name}.",
                status=2,
            )
        if unset := [name for name in found.config.secret_users if name not in found.config.secrets]:
            raise CommandError(
                f"services of {path.name} use secrets that have no value: {', '.join(unset)}",
                f"`./slip secret set {' '.join(unset)} -s {REVIEW_TEMPLATE}` sets them for all review environments.",
            )
        return found

    def of(
        self, pull_request: int, record: Record, before: StackConfig, hosts: HostStack | None = None
    ) -> str:
        """The file of an environment, on hosts of its own or on those of another stack.

        Raises:
            CommandError: the template has mistakes.

        """
        name = self.project.config_file(REVIEW_TEMPLATE).name
        try:
            made = (
                guests_text(self.content, pull_request, record, before, self.project.name, hosts)
                if hosts
                else text(self.content, pull_request, record, before, self.project.name)
            )
        except CannotEdit as error:
            raise CommandError(f"{name} cannot be copied: {error}", f"Correct {name}.", status=2) from None
        if problems := in_force(self.project, stack_of(pull_request), made).problems:
            lines = "".join(f"\n  {problem.text}" for problem in problems)
            raise CommandError(
                f"{name} has mistakes, and nothing was changed:{lines}", f"Correct {name}.", status=2
            )
        return made


@contextlib.contextmanager
def _turn(project: Project, backend: Backend) -> Iterator[None]:
    """Let commands that choose ports work one after the other: of this clone, and of others with the same backend."""
    with contextlib.ExitStack() as held:
        held.enter_context(in_turn(project.private / "new.creation"))
        shared = backend.directory
        if shared and shared.is_dir() and not shared.is_relative_to(project.private):
            held.enter_context(in_turn(shared / ".slipway" / project.name / "review.creation"))
        yield


def _refuse_more(others: Sequence[Environment], limit: int) -> None:
    if len(others) < limit:
        return
    now = processes.now()
    over = [one for one in others if one.record and one.record.is_over(now)]
    remedy = (
        f"The time of {len(over)} of them is over: `./slip review sweep` removes these."
        if over
        else "Close one, such as `./slip review close "
        f"{min(others, key=_until).pull_request}`, or raise slipway:review.limit in Pulumi.{REVIEW_TEMPLATE}.yaml."
    )
    listed = ", ".join(str(one.pull_request) for one in others)
    raise CommandError(
        f"there are {len(others)} review environments, and slipway:review.limit is {limit}: {listed}", remedy
    )


def _until(environment: Environment) -> str:
    return str(environment.record)


def _offset(project: Project, template: _Template, mine: Environment, others: Sequence[Environment]) -> int:
    """The environment's port offset: the one that it has, unless somebody else has its ports by now.

    Raises:
        CommandError: no ports are free.

    """
    asked, current = wanted(template.config), port_offset(template.config)
    if asked is None:
        return 0  # the program says what is wrong
    name = stack_of(mine.pull_request)
    configurations = [
        StackConfig.read(project.config_file(stack), project.name)
        for stack in project.stacks
        if stack != name
    ]
    on_engine = ports.of_hosts()
    own = on_engine.pop(name, set())
    # Those that have just been opened in another clone have no hosts yet.
    planned = {
        port + one.record.port_offset
        for one in others
        if one.record
        for port in ports.ports_at_zero(asked, current)
    }
    taken = ports.of_configurations(configurations).union(planned, *on_engine.values())
    found = ports.offset(
        asked,
        current,
        taken,
        lambda port: port not in own and ports.is_held(port),
        preferred=[mine.record.port_offset] if mine.record else [],
    )
    if found is None:
        raise CommandError(
            "127.0.0.1 has no free ports for one more stack",
            "Close a review environment that nobody needs: `./slip review list` lists them.",
        )
    return found


def _slot(hosts: HostStack, mine: Environment, others: Sequence[Environment]) -> int:
    """Which guest an environment is: the one that it was, or the first that no other environment is.

    Raises:
        CommandError: there are as many guests as may be.

    """
    if mine.record and mine.record.slot:
        return mine.record.slot
    there = {one.record.slot: one for one in others if one.record and one.record.hosts_of == hosts.name}
    free = next((slot for slot in range(1, hosts.guests + 1) if slot not in there), None)
    if free is None:
        listed = ", ".join(str(one.pull_request) for one in there.values())
        raise CommandError(
            f"the hosts of {hosts.name} have room for {hosts.guests} review environments, which are there: {listed}",
            f"Close one, or raise slipway:review.guests of {hosts.name} and run `./slip up -s {hosts.name}`.",
        )
    return free


def _tell(stack: Stack, pull_request: int, record: Record, status: int) -> None:
    until = f"{record.until:{FORMAT}}"
    if status:
        console.warn(
            f"the review environment of pull request {pull_request} is not as it should be. It stays until {until}; "
            f"`./slip review close {pull_request}` removes what there is."
        )
        return
    console.say(f"The review environment of pull request {pull_request} stays until {until}.")
