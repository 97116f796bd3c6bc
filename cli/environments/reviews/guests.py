"""Review environments on the hosts of another stack: what these hosts and their registry have of them, and its removal.

What a guest has on a host is known by its name, in labels and paths. So it is found by asking the hosts, without the
guest's state.
"""

import asyncio
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.environments.reviews.file import HostStack
from cli.environments.reviews.known import environments
from cli.environments.reviews.record import pull_request_of
from cli.environments.stacks import exists
from cli.errors import CommandError
from cli.running import ssh
from cli.running.ssh import Command, CommandResult, Unreachable
from cli.stack import deployment
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.environment import prepare_toolchain, pulumi_command, variables
from cli.stack.project import Project
from cli.stack.stack import Stack
from well_known import REVIEW_TEMPLATE

SCRIPT = Path(__file__).parent / "scripts/guests.sh"
CONNECT_PATIENCE = 10.0
"""Seconds until a host must have let us in."""
PATIENCE = 300.0
"""Seconds that a host has to end containers, with their grace, and to remove what they had."""


def _stack(project: Project, backend: Backend, name: str) -> Stack:
    toolchain = prepare_toolchain(local_hosts=False)
    backend.make()
    backend.mend(project.name, name)
    config = StackConfig.read(project.config_file(name), project.name)
    added = variables(toolchain, project, backend, config, dict(os.environ), name=name)
    return Stack(project, name, backend, pulumi_command(toolchain, project, added), added)


def host_stack(project: Project, backend: Backend, name: str) -> HostStack:
    """What an environment's file says of the stack on whose hosts it is. It needs no passphrase.

    Raises:
        CommandError: that stack does not run, or has no guests.

    """
    outputs = (
        deployment.stack_outputs(_stack(project, backend, name).deployment())
        if exists(project, backend, name)
        else {}
    )
    hosts = outputs.get("hosts")
    if not isinstance(hosts, dict) or not hosts:
        raise CommandError(
            f"the stack {name} does not run, on whose hosts review environments are to be (slipway:review.hostsOf)",
            f"Run `./slip up -s {name}` first.",
        )
    guests = int(outputs.get("reviewGuests") or 0)
    if not guests:
        raise CommandError(
            f"the stack {name} takes no review environments on its hosts",
            f"Set slipway:review to {{guests: 3}} in Pulumi.{name}.yaml, and run `./slip up -s {name}`.",
        )
    roles = {host: tuple(facts.get("roles", ())) for host, facts in sorted(hosts.items())}
    has_https = outputs.get("platform") != "local" or bool(outputs.get("serviceTls"))
    return HostStack(name, roles, str(outputs["registryAddress"]), guests, has_https)


def refuse_guests(name: str) -> None:
    """Refuse to remove a stack on whose hosts review environments are.

    Raises:
        CommandError: there are such environments.

    """
    project = Project.here()
    short = name.rpartition("/")[2]
    found = environments(project, Backend.of(project, os.environ))
    there = [str(one.pull_request) for one in found if one.record and one.record.hosts_of == short]
    if there:
        raise CommandError(
            f"review environments are on the hosts of the stack '{short}': {', '.join(there)}",
            "Close them first: " + ", ".join(f"`./slip review close {number}`" for number in there) + ".",
        )


def hosts_in_template(project: Project) -> str:
    """The stack on whose hosts the template has environments; empty for hosts of their own."""
    review = StackConfig.read(project.config_file(REVIEW_TEMPLATE), project.name).setting("review")
    name = review.get("hostsOf") if isinstance(review, dict) else None
    return name if isinstance(name, str) else ""


def outputs_of(project: Project, backend: Backend, name: str) -> Mapping[str, Any]:
    """The outputs of the stack on whose hosts environments are, with its secrets; none if it does not exist any more.

    They must not leave this process.

    Raises:
        CommandError: they cannot be decrypted.

    """
    if not exists(project, backend, name):
        return {}
    outputs = _stack(project, backend, name).outputs()
    return outputs if outputs.get("hosts") else {}


def there(outputs: Mapping[str, Any]) -> set[int]:
    """The pull requests of which the hosts of a stack have anything.

    Raises:
        CommandError: a host does not answer.

    """
    answers = _ask(outputs, "list", "")
    words = [word for result in answers.values() for word in result.stdout.split()]
    return {number for word in words if (number := pull_request_of(word)) is not None}


def remove(outputs: Mapping[str, Any], stack: str) -> bool:
    """Remove what the hosts of a stack have of a guest, then look again. Returns whether there was anything.

    Args:
        outputs: those of the stack on whose hosts it is, with secrets.
        stack: the guest's.

    Raises:
        CommandError: a host does not answer, or something is left there.

    """
    answers = _ask(outputs, "remove", stack)
    if left := [
        f"{line.removeprefix('left ')} on {host}"
        for host, result in answers.items()
        for line in result.stdout.splitlines()
        if line.startswith("left ")
    ]:
        raise CommandError(
            f"this is left of the review environment {stack}: {', '.join(left)}",
            f"Run `./slip review close {stack.removeprefix('pr-')}` again.",
            status=1,
        )
    return any("removed" in result.stdout.splitlines() for result in answers.values())


def _ask(outputs: Mapping[str, Any], action: str, stack: str) -> dict[str, CommandResult]:
    """Run the script on all hosts at once.

    Raises:
        CommandError: names each host that does not answer, or where the script fails, once all others are done.

    """
    names = sorted(outputs.get("hosts") or {})
    values = {"ACTION": action, "STACK": stack}
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
    command = Command("bash -s", text + SCRIPT.read_text(), PATIENCE)

    async def ask_one(host: str) -> CommandResult | Unreachable:
        try:
            (result,) = await ssh.execute_all(outputs, host, [command], CONNECT_PATIENCE)
        except Unreachable as error:
            return error
        return result

    async def ask_all() -> list[CommandResult | Unreachable]:
        return await asyncio.gather(*map(ask_one, names))

    answers, problems = {}, []
    for host, result in zip(names, asyncio.run(ask_all()), strict=True):
        if isinstance(result, Unreachable):
            problems.append(f"{host} does not answer: {result}")
        elif result.status:
            problems.append(f"{host}: {result.stderr.strip() or f'exit status {result.status}'}")
        else:
            answers[host] = result
    if problems:
        raise CommandError(
            f"what {stack or 'review environments'} may have on hosts is not known: {'; '.join(problems)}",
            "Run the command again once the host answers, or after `./slip forget HOST` for the stack that lost it.",
            status=1,
        )
    return answers
