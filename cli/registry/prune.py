"""`slip prune`: removes the images that the retention rule in the stack's configuration does not keep."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running import fleet, ssh
from cli.running.disk import registry_hosts
from cli.running.host_report import HostReport
from cli.running.stack import RunningStack
from cli.stack.stack import Stack
from cli.text import age, first_tags, short_digest, size
from well_known import SCRIPTS_PATH

SCRIPT = f"{SCRIPTS_PATH}/retention"
"""Where registry.sh installs retention.sh."""

SETTINGS = "/etc/slipway/retention"
"""The installed rule (components/scripts/registry.sh)."""

QUESTION_PATIENCE = 60.0
"""Seconds until a host must have said what another rule would remove."""

REFERENCE = re.compile(r"[a-z0-9][a-z0-9._/-]*@sha(256|512):[0-9a-f]+")
"""An image without its registry: `repository@digest`."""

NOT_FOUND = 127
"""A shell's exit status for a missing command."""

PATIENCE = 3600
"""Seconds: retention.sh waits for running pushes, and reads the whole registry."""


@dataclass(frozen=True)
class Image:
    """An image that is, or would be, removed."""

    repository: str
    digest: str
    tags: tuple[str, ...]
    pushed: str
    """When it, or one of its tags, was last pushed, RFC 3339."""
    size: int
    """Bytes of its blobs, all platforms together; other images may share them."""


@dataclass(frozen=True)
class Plan:
    """The images to remove."""

    images: tuple[Image, ...]
    kept: int
    """How many images stay."""
    freed: int
    """Bytes of the blobs that no image needs then, including those of aborted pushes."""
    used: int
    """Bytes of all blobs before."""
    left: Mapping[str, str]
    """Repositories that are left alone, with the reason."""


def parse(text: str) -> Plan:
    """The plan in the lines that retention.awk prints.

    Raises:
        ValueError: lines are missing.

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
        raise ValueError("the plan is incomplete")
    images.sort(key=lambda image: (image.repository, image.pushed, image.digest))
    return Plan(tuple(images), total[0], total[2], total[3], left)


def run(stack: Stack, *, dry_run: bool, as_json: bool) -> None:
    """Remove the images that the retention rule does not keep, or only show them.

    Raises:
        CommandError: the stack has no retention rule, or the registry's host failed.

    """
    outputs = RunningStack.of(stack.outputs(), option=stack.option).outputs
    served: list[str] = []
    if registry_hosts(outputs):
        images, problems = served_images(outputs)
        for problem in problems:
            console.warn(problem)
        served = images if problems else ["--complete", *images]
    plan = ask(outputs, stack.option, "plan" if dry_run else "now", served)
    show(stack.name, plan, dry_run=dry_run, as_json=as_json)


def served_images(outputs: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The images of the stack's registry that the app hosts serve, by their proxies; and a message for each failure.

    The registry's host has in-use markers of them, unless an update was killed before it made a marker.
    """
    hosts = sorted(name for name, facts in outputs["hosts"].items() if "app" in facts["roles"])
    prefix = f"{outputs['registryAddress']}/"
    reports = fleet.ask(outputs, hosts)
    served = {
        name.removeprefix(prefix)
        for report in reports.values()
        for serving in report.services.values()
        for name in serving.images
        if name.startswith(prefix)
    }
    problems = [f"{host}: {why}" for host, report in reports.items() if (why := _unknown(report))]
    return sorted(image for image in served if REFERENCE.fullmatch(image)), [
        f"{problem}. The images that its last update recorded stay." for problem in problems
    ]


def _unknown(report: HostReport) -> str:
    """Why it is not wholly known what a host serves; empty if it is."""
    lost = sorted(serving.service for serving in report.services.values() if not serving.images)
    return report.serves_unknown or (
        f"{', '.join(lost)} is served by an image without a digest" if lost else ""
    )


def ask(outputs: Mapping[str, Any], option: str, command: str, served: Sequence[str] = ()) -> Plan:
    """Run retention.sh on the registry's host, which lists the images to remove (`plan`) or removes them (`now`).

    Args:
        outputs: the stack's, with their secrets.
        option: the option that names the stack on the command line.
        command: `plan` or `now`.
        served: images that hosts serve, which stay; `--complete` comes first if every host answered.

    Raises:
        CommandError: the stack has no retention rule, or the registry's host failed.

    """
    hosts = registry_hosts(outputs)
    if not hosts:
        raise CommandError(
            "the stack uses an external registry (slipway:registry.external)",
            "Set the retention at that registry.",
            status=2,
        )
    result = run_installed(outputs, hosts[0], [SCRIPT, command, *served], PATIENCE)
    if result.status == NOT_FOUND:
        raise CommandError(
            "the stack keeps all its images: slipway:registry.retention is not set",
            f"Set it, such as {{ keep: 10, days: 30 }}, and run `./slip up{option}`.",
            status=2,
        )
    if result.status:
        raise CommandError(
            f"removing images failed on {hosts[0]}: {problem(result)}",
            f"The whole output is in `journalctl -u slipway-retention` on {hosts[0]}.",
            status=1,
        )
    return parse(result.stdout)


def plan_by(outputs: Mapping[str, Any], keep: int, days: int) -> Plan:
    """What another rule than the installed one would remove. Nothing is changed.

    Args:
        outputs: the stack's, with their secrets.
        keep: how many images each repository keeps.
        days: for how many days it keeps others.

    Raises:
        CommandError: the registry's host does not answer, or cannot say it.

    """
    (host,) = registry_hosts(outputs)
    script = (
        f'rule=$(mktemp) && trap \'rm -f "$rule"\' EXIT && cat {SETTINGS} >"$rule" && '
        f"printf '\\nKEEP={keep:d}\\nDAYS={days:d}\\n' >>\"$rule\" && SLIPWAY_RETENTION=$rule {SCRIPT} plan"
    )
    result = ssh.run(outputs, host, f"bash -c {shlex.quote(script)}", QUESTION_PATIENCE)
    if result.status:
        raise CommandError(f"{host}: {problem(result)}", status=1)
    return parse(result.stdout)


def run_installed(
    outputs: Mapping[str, Any], host: str, words: Sequence[str], patience: float
) -> ssh.CommandResult:
    """Run a script that a set-up has installed on a host; its exit status is `NOT_FOUND` if it is not there.

    Args:
        outputs: the stack's, with their secrets.
        host: the host's name.
        words: the script's path and its arguments.
        patience: seconds that it may take.

    Raises:
        CommandError: the host does not answer.

    """
    # Through a shell, since `sudo` has another exit status for a missing command.
    script = f"test -x {shlex.quote(words[0])} || exit {NOT_FOUND}; {shlex.join(words)}"
    return ssh.run(outputs, host, f"bash -c {shlex.quote(script)}", patience)


def problem(result: ssh.CommandResult) -> str:
    """Why a script failed: its own last message, or else the last line, which may be systemd's."""
    lines = result.stderr.strip().splitlines() or [f"exit status {result.status}"]
    own = [line for line in lines if line.startswith("slipway: ")]
    return (own or lines)[-1].removeprefix("slipway: ")


def show(name: str, plan: Plan, *, dry_run: bool, as_json: bool, now: datetime | None = None) -> None:
    """Print a plan as a table or as JSON."""
    if as_json:
        print(json.dumps({"stack": name, "dryRun": dry_run, **asdict(plan)}, indent=2))
        return
    if plan.images:
        console.table(
            f"Images of {name} {'to remove' if dry_run else 'that were removed'}",
            ("repository", "tags", "digest", "size", "pushed"),
            [
                (
                    image.repository,
                    first_tags(image.tags),
                    short_digest(image.digest),
                    size(image.size),
                    f"{age(image.pushed, now or datetime.now(UTC))} ago",
                )
                for image in plan.images
            ],
        )
    for repository, reason in sorted(plan.left.items()):
        console.say(f"{repository} is left alone: {reason}.")
    of_all = f"{len(plan.images)} of {len(plan.images) + plan.kept} images"
    freed = f"{size(plan.freed)} of {size(plan.used)}"
    console.say(
        f"Would remove {of_all} and free {freed}." if dry_run else f"Removed {of_all} and freed {freed}."
    )
