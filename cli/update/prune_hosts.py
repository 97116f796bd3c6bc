"""`slip prune --hosts`: removes images and build cache that the hosts no longer need, at once on all hosts."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from cli import console
from cli.errors import CommandError
from cli.registry.prune import NOT_FOUND, problem, run_installed
from cli.running.stack import RunningStack, running_of
from cli.stack import deployment
from cli.stack.stack import Stack
from cli.text import size
from cli.update import marker
from well_known import SCRIPTS_PATH

SCRIPT = f"{SCRIPTS_PATH}/host-images"
"""Where engine.sh installs host-images.sh."""
PATIENCE = 600.0
"""Seconds that a host may take: a large build cache takes minutes."""


@dataclass(frozen=True)
class Image:
    """An image that goes, or would go."""

    names: tuple[str, ...]
    size: str
    """As the engine says it, such as `239MB`; images share layers."""


@dataclass(frozen=True)
class Pruned:
    """What a host removed, or would remove."""

    host: str
    images: tuple[Image, ...] = ()
    freed: int | None = None
    """Bytes that its disk has more since; None if nothing was to be removed, only shown."""
    problem: str = ""
    """Why it did not; empty if it did."""


def run(stack: Stack, *, dry_run: bool, as_json: bool) -> int:
    """Remove what the hosts no longer need, or only show it. Returns the exit status: 1 if a host failed.

    Raises:
        CommandError: the stack does not run, is on the hosts of another one, or an update of it is under way.

    """
    if deployment.is_guest(stack.deployment()):
        raise CommandError(
            f"the stack '{stack.name}' is on the hosts of another stack, which says what stays there",
            "Run it for that stack: `./slip prune --hosts -s STACK`.",
        )
    if not dry_run:
        # An update pulls an image before its container has it.
        marker.hold(stack)
    running = running_of(stack)
    hosts = sorted(running.outputs["hosts"])

    def prune(host: str) -> Pruned:
        try:
            return _prune(running, host, dry_run=dry_run)
        except CommandError as error:
            return Pruned(host, problem=str(error))

    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        pruned = list(pool.map(prune, hosts))
    if as_json:
        print(json.dumps({"stack": stack.name, "dryRun": dry_run, "hosts": [*map(asdict, pruned)]}, indent=2))
    else:
        _show(stack.name, pruned, dry_run=dry_run)
    return int(any(one.problem for one in pruned))


def _prune(running: RunningStack, host: str, *, dry_run: bool) -> Pruned:
    result = run_installed(running.outputs, host, [SCRIPT, "plan" if dry_run else "now"], PATIENCE)
    if result.status == NOT_FOUND:
        return Pruned(host, problem=f"it has no {SCRIPT} yet; `./slip up{running.option}` brings it")
    if result.status:
        return Pruned(host, problem=problem(result))
    return parse(host, result.stdout)


def parse(host: str, text: str) -> Pruned:
    """What host-images.sh printed."""
    images, freed = [], None
    for line in text.splitlines():
        match line.split("\t"):
            case ["image", _, written, names]:
                images.append(Image(tuple(names.split()), written))
            case [word] if word.startswith("freed "):
                freed = max(0, int(word.removeprefix("freed ")))
    return Pruned(host, tuple(images), freed)


def _show(name: str, pruned: list[Pruned], *, dry_run: bool) -> None:
    rows = [(one.host, image.names[0], image.size) for one in pruned for image in one.images]
    if rows:
        title = f"Images of {name}'s hosts {'to remove' if dry_run else 'that were removed'}"
        console.table(title, ("host", "image", "size"), rows)
    for one in pruned:
        if one.problem:
            console.warn(f"{one.host}: {one.problem}")
        elif dry_run:
            console.say(
                f"{one.host}: would remove {_count(one)}, and build cache over slipway:cleanup.buildCache."
            )
        else:
            console.say(f"{one.host}: removed {_count(one)}, and freed {size(one.freed or 0)}.")


def _count(one: Pruned) -> str:
    return f"{len(one.images)} image{'' if len(one.images) == 1 else 's'}"
