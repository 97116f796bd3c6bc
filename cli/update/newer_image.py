"""`slip update`: takes what an image's tag has by now. Until then, a service keeps the digest that it began with."""

import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import child_environment
from cli import console
from cli.errors import CommandError
from cli.running import drift
from cli.running.drift import Job
from cli.running.ssh import Unreachable
from cli.running.stack import RunningStack
from cli.stack import deployment
from cli.stack.deployment import Deployment
from cli.stack.desired import command
from cli.stack.open import open_stack
from cli.stack.stack import Stack
from cli.text import short_digest

SCRIPT = Path(__file__).parent.parent / "running/scripts/newest.sh"
PATIENCE = 40.0
"""Seconds that a host has to ask an image's source."""
LOAD_PATIENCE = 3600
"""Seconds in which this machine's engine has to hand an image over."""


@dataclass(frozen=True)
class Copy:
    """The resource that copies an image into the stack's registry."""

    urn: str
    job: Job
    """Its command."""
    source: str
    """The image's whole name."""
    logins: str = field(default="", repr=False)
    """The account at its registry, as a line of the command's input; empty without one."""


def prepare(name: str, service: str, *, yes: bool) -> tuple[str, ...] | None:
    """Show which digest a service has and which it gets, and ask. Returns Pulumi's options; None if nothing is newer.

    Args:
        name: the stack.
        service: the service.
        yes: whether not to ask.

    Raises:
        CommandError: the service's image is none of others, or is not deployed yet; or the answer was no.

    """
    stack = open_stack(name, works_on_hosts=True)
    image = image_of(stack.config.setting("services") or {}, service)
    if "@" in image:
        raise CommandError(
            f"the service {service} is to run {image}, which is one digest for good",
            f"Change it in {stack.edited_file.name}, and run `./slip up{stack.option}`.",
        )
    state: Deployment = stack.export(show_secrets=True)["deployment"]
    before = str((deployment.stack_outputs(state).get("mirror") or {}).get(image) or "").partition("@")[2]
    found = _copy(state, image)
    if found is None or not before:
        raise CommandError(f"{image} is not deployed yet", f"Run `./slip up{stack.option}` first.")
    newest = _newest(found)
    if newest == before:
        console.say(
            f"{image} has the digest {short_digest(before)}, which the service {service} runs already."
        )
        return None
    after = short_digest(newest) if newest else _hand_over(stack, state, found, image)
    console.say(f"{image}, of the service {service}:")
    console.say(f"  until now {short_digest(before)}")
    console.say(f"  from now  {after}")
    if not yes:
        console.confirm("Update?", remedy="Pass --yes.")
    return ("--replace", found.urn)


def image_of(services: dict[str, Any], service: str) -> str:
    """The image of others that a service runs.

    Raises:
        CommandError: there is no such service, or its image is built.

    """
    seen: list[str] = []
    name = service
    while name not in seen:
        seen.append(name)
        settings = services.get(name)
        if not isinstance(settings, dict):
            raise CommandError(
                f"there is no service {name}", f"Services: {', '.join(sorted(services)) or 'none'}.", status=2
            )
        if image := settings.get("image"):
            return str(image)
        name = str(settings.get("from") or name)
    raise CommandError(
        f"the image of the service {service} is built here, so no tag of others decides what it is",
        "`./slip up` builds it when its files change.",
        status=2,
    )


def _copy(state: Deployment, image: str) -> Copy | None:
    for resource in deployment.managed(state):
        if resource["type"] != deployment.REMOTE_COMMAND or resource.get("delete"):
            continue
        part = command(state, resource)
        if part is None or f"IMAGE={shlex.quote(image)}\n" not in part.stdin:
            continue
        source = next(line for line in part.stdin.splitlines() if line.startswith("SOURCE="))
        (name,) = shlex.split(source.removeprefix("SOURCE="))
        logins = next((line for line in part.stdin.splitlines() if line.startswith("SOURCE_LOGINS=")), "")
        return Copy(part.urn, Job(part.login, part.command, part.stdin), name, logins)
    return None


def _newest(copy: Copy) -> str:
    """The digest that the image's tag has at its source; empty if the host that copies it cannot read that."""
    stdin = f"SOURCE={shlex.quote(copy.source)}\n{copy.logins}\n{SCRIPT.read_text()}"
    (result,) = drift.run_all([Job(copy.job.login, "bash -s", stdin)], PATIENCE)
    if isinstance(result, Unreachable):
        raise CommandError(f"{copy.job.login.host}: {result}", status=1)
    return result.stdout.strip()


def _hand_over(stack: Stack, state: Deployment, copy: Copy, image: str) -> str:
    """Give the host that copies the image what this machine's engine has of it. Returns what that is."""
    host = copy.job.login.host
    about = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Id}} {{.Created}}", image],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment.of("docker"),
    )
    if about.returncode:
        raise CommandError(
            f"{host} cannot read {copy.source}, and this machine's engine does not have {image}",
            f"Run `docker pull {image}` here, or let {host} reach its registry.",
            status=1,
        )
    running = RunningStack.of(deployment.outputs_with_secrets(state), option=stack.option)
    with running.docker(host) as engine:
        engine.timeout = LOAD_PATIENCE
        environment = child_environment.of("docker")
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE, env=environment) as saving:
            for _ in engine.load_image(saving.stdout):  # type: ignore[no-untyped-call]
                pass
        if saving.returncode:
            raise CommandError(f"this machine's engine could not save {image}", status=1)
    identity, created = about.stdout.split()
    return f"image {short_digest(identity)} of {created[:10]}, which this machine's engine has"
