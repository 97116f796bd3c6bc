"""`slip prune`: what the registry need not keep, by the rule in the stack's configuration."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.registry.images import age, size, some
from cli.running import ssh
from cli.running.disk import registry_hosts
from cli.stack.stack import Stack
from cli.verify.checks import Running

SCRIPT = "/usr/local/lib/slipway/retention"
"""Where registry.sh installs retention.sh."""

SWITCH = "/usr/local/lib/slipway/switch"
"""Where engine.sh installs switch.sh on every host."""

REFERENCE = re.compile(r"[a-z0-9][a-z0-9._/-]*@sha(256|512):[0-9a-f]+")
"""An image without its registry: `repository@digest`."""

NOT_THERE = 127
"""A shell's exit status where there is no such command."""

PATIENCE = 3600
"""Seconds: it waits until nobody pushes, and the registry looks at all that it has."""


@dataclass(frozen=True)
class Image:
    """An image that goes, or went."""

    repository: str
    digest: str
    tags: tuple[str, ...]
    pushed: str
    """When it, or a tag of it, was pushed last, RFC 3339."""
    size: int
    """Bytes of its blobs, of all its platforms; others may share them."""


@dataclass(frozen=True)
class Plan:
    """What goes."""

    images: tuple[Image, ...]
    kept: int
    """How many images stay."""
    freed: int
    """Bytes of the blobs that nobody needs then, those of pushes that were given up among them."""
    used: int
    """Bytes of all blobs before."""
    left: Mapping[str, str]
    """Repositories of which nothing goes, with the reason."""


def parse(text: str) -> Plan:
    """A plan from the lines that retention.awk writes.

    Raises:
        ValueError: they are not whole.

    """
    images, left, total = [], {}, None
    for line in text.splitlines():
        kind, *fields = line.split("\t")
        if kind == "image":
            repository, digest, tags, pushed, count = fields
            moment = datetime.fromtimestamp(int(pushed), UTC).isoformat()
            names = tuple(sorted(filter(None, tags.split(","))))
            images.append(Image(repository, digest, names, moment, int(count)))
        elif kind == "left":
            left[fields[0]] = fields[1]
        elif kind == "total":
            total = [int(field) for field in fields]
    if total is None or total[1] != len(images):
        raise ValueError("the plan is not whole")
    images.sort(key=lambda image: (image.repository, image.pushed, image.digest))
    return Plan(tuple(images), total[0], total[2], total[3], left)


def run(stack: Stack, *, dry_run: bool, as_json: bool) -> None:
    """Remove what the registry need not keep, or only say what that is.

    Raises:
        CommandError: the stack has no rule for it, or its host could not do it.

    """
    outputs = Running.of(stack.outputs()).outputs
    seen: list[str] = []
    if registry_hosts(outputs):
        images, problems = serving(outputs)
        for problem in problems:
            console.warn(problem)
        seen = images if problems else ["--complete", *images]
    plan = ask(outputs, stack.option, "plan" if dry_run else "now", seen)
    show(stack.name, plan, dry_run=dry_run, as_json=as_json)


def serving(outputs: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The images of the stack's registry that its app hosts serve, by their proxies, and what could not be found out.

    The registry's host has marks of them. This is for one that an update could not make, since it was killed.
    """
    hosts = sorted(name for name, facts in outputs["hosts"].items() if "app" in facts["roles"])
    prefix = f"{outputs['registryAddress']}/"

    def look(host: str) -> tuple[list[str], str]:
        try:
            said = ssh.run(outputs, host, f"{SWITCH} --serving")
        except CommandError as error:
            return [], str(error)
        known = [line.removeprefix(prefix) for line in said.stdout.split() if line.startswith(prefix)]
        words = said.stderr.strip().splitlines() or [f"exit status {said.status}"]
        why = (
            f"{host} does not say what it serves: {words[-1].removeprefix('slipway: ')}"
            if said.status
            else ""
        )
        return [image for image in known if REFERENCE.fullmatch(image)], why

    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        answers = list(pool.map(look, hosts))
    images = sorted({image for known, _ in answers for image in known})
    return images, [f"{why}. What its last update recorded stays." for _, why in answers if why]


def ask(outputs: Mapping[str, Any], option: str, command: str, seen: Sequence[str] = ()) -> Plan:
    """Have the registry's host say what would go (`plan`), or remove it (`now`).

    Args:
        outputs: the stack's, with their secrets.
        option: which names the stack on a command line.
        command: `plan` or `now`.
        seen: images that hosts serve, after `--complete` if every host said so: they stay.

    """
    hosts = registry_hosts(outputs)
    if not hosts:
        raise CommandError(
            "the stack's registry is somebody else's", "What it keeps is decided there.", status=2
        )
    # Through a shell, since `sudo` has a status of its own for what is not there.
    script = f"test -x {SCRIPT} || exit {NOT_THERE}; {shlex.join([SCRIPT, command, *seen])}"
    line = f"bash -c {shlex.quote(script)}"
    said = ssh.run(outputs, hosts[0], line, PATIENCE)
    if said.status == NOT_THERE:
        raise CommandError(
            "the stack keeps all its images: slipway:registry.retention is not set",
            f"Set it, such as {{ keep: 10, days: 30 }}, and run `./slip up{option}`.",
            status=2,
        )
    if said.status:
        lines = said.stderr.strip().splitlines() or [f"exit status {said.status}"]
        # systemd has the last word in its journal, and the script the one that says why.
        words = [line for line in lines if line.startswith("slipway: ")] or lines
        raise CommandError(
            f"{hosts[0]} could not do it: {words[-1].removeprefix('slipway: ')}",
            f"All it said is in `journalctl -u slipway-retention` on {hosts[0]}.",
            status=1,
        )
    return parse(said.stdout)


def show(name: str, plan: Plan, *, dry_run: bool, as_json: bool, now: datetime | None = None) -> None:
    """Print a plan, as a table or for a script."""
    if as_json:
        print(json.dumps({"stack": name, "dryRun": dry_run, **asdict(plan)}, indent=2))
        return
    if plan.images:
        console.table(
            f"Images of {name} that {'would go' if dry_run else 'went'}",
            ("repository", "tags", "digest", "size", "pushed"),
            [
                (
                    image.repository,
                    some(image.tags),
                    image.digest[:19],
                    size(image.size),
                    f"{age(image.pushed, now or datetime.now(UTC))} ago",
                )
                for image in plan.images
            ],
        )
    for repository, why in sorted(plan.left.items()):
        console.say(f"{repository} is left alone: {why}.")
    would = "would go and free" if dry_run else "went, which freed"
    console.say(
        f"{len(plan.images)} of {len(plan.images) + plan.kept} images {would} {size(plan.freed)} of {size(plan.used)}."
    )
