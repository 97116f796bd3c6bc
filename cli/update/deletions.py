"""What an update would delete or replace, and the question about it.

Compares the configuration with the state, which takes milliseconds: a preview would take seconds, also in the everyday
update that deletes nothing.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.deployment import CONTAINER_TYPE, Deployment, Resource
from cli.stack.project import write_private
from cli.stack.stack import Stack
from cli.stack.wanted import Wanted, wanted
from cli.update import service_data
from stackfile.mistakes import has_other_sources

REFUSED = 3
SERVICE_COMPONENT = "slipway:index:Service"
REGISTRY_COMPONENT = "slipway:index:Registry"
SETTINGS_RESOURCE = "registry-settings"
"""The resource that installs the rule of retention on the registry's host."""
SHOWN = 5
"""How many images a question names."""
CLOUD_VOLUME = "aws:ebs/volume:Volume"


@dataclass(frozen=True)
class Deletion:
    """One thing that goes."""

    text: str
    urns: tuple[str, ...]
    """Its resources, which `--target` may leave out."""
    rule: tuple[int, int] | None = None
    """For images that another rule of retention no longer keeps: how many it keeps, and for how many days."""


def ask(
    stack: Stack, options: Sequence[str], *, pulumi_asks: bool, preview: Callable[[], int] = lambda: 0
) -> int:
    """Name what the update deletes, and ask for it. Silent if that is nothing. Returns 0, or the status to end with.

    Args:
        stack: the stack.
        options: Pulumi's options.
        pulumi_asks: whether Pulumi asks before the update, so that a second question is none too many.
        preview: says what the update does, before the question. Returns a status: a configuration with mistakes
            deletes nothing.

    Raises:
        CommandError: the answer was no, or there is nobody to answer.

    """
    if stack.emulates:
        return 0  # nothing of it is real
    config = stack.config
    # What is not in the stack's file is not missed.
    want = None if has_other_sources(config.content, stack.project.file.content) else wanted(config)
    if want is None or (stack.backend.directory is None and (pulumi_asks or _is_recorded(stack, want))):
        return 0
    found = [deletion for deletion in deletions(want, stack.deployment()) if _is_targeted(deletion, options)]
    found = [named for one in found if (named := _with_images(stack, one))]
    if found:
        if not pulumi_asks and (status := preview()):
            return status
        _ask(stack, found, pulumi_asks=pulumi_asks)
    if stack.backend.directory is None:
        write_private(_record(stack), _tag(want))
    return 0


def refuse(stack: Stack, options: Sequence[str]) -> None:
    """End a command that must not remove anything.

    Raises:
        CommandError: by the configuration, the update removes or replaces something.

    """
    config = stack.config
    if stack.emulates or has_other_sources(config.content, stack.project.file.content):
        return
    want = wanted(config)
    gone = deletions(want, stack.deployment()) if want else ()
    found = [one for one in gone if not one.rule and _is_targeted(one, options)]
    if found:
        listed = "".join(f"\n  {deletion.text}" for deletion in found)
        raise CommandError(
            f"by {stack.edited_file.name}, an update removes or interrupts what runs, and nothing was changed:{listed}",
            f"If that is meant: `./slip up{stack.option}`. If not, correct {stack.edited_file.name}.",
            status=REFUSED,
        )


def _with_images(stack: Stack, deletion: Deletion) -> Deletion | None:
    """For a rule of retention: with the images that it would remove, as the registry's host says; None without any."""
    if deletion.rule is None:
        return deletion
    from cli.registry import prune  # slow to import, and few updates change the rule
    from cli.text import short_digest, size

    try:
        plan = prune.plan_by(stack.outputs(), *deletion.rule)
    except (CommandError, LookupError, ValueError) as error:
        return replace(deletion, text=f"{deletion.text}. The registry's host does not say which: {error}")
    if not plan.images:
        return None
    names = [
        f"{image.repository}@{short_digest(image.digest)}"
        + (f" ({', '.join(image.tags)})" if image.tags else "")
        for image in plan.images
    ]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return replace(
        deletion,
        text=f"{deletion.text}. Now it would remove {len(names)} of {len(names) + plan.kept} images, "
        f"{size(plan.freed)}: {', '.join(names[:SHOWN])}{more}",
    )


def _record(stack: Stack) -> Path:
    """A file with what was wanted last. It saves reading the state of a remote backend in each update."""
    return stack.project.private / "wanted" / stack.key


def _is_recorded(stack: Stack, want: Wanted) -> bool:
    record = _record(stack)
    return record.is_file() and record.read_text() == _tag(want)


def _tag(want: Wanted) -> str:
    content = {**asdict(want), "hosts": {name: sorted(roles) for name, roles in want.hosts.items()}}
    content["ports"] = {name: sorted(ports) for name, ports in want.ports.items()}
    content["https"] = sorted(want.https)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _ask(stack: Stack, found: Sequence[Deletion], *, pulumi_asks: bool) -> None:
    listed = "".join(f"\n  {deletion.text}" for deletion in found)
    file = stack.edited_file.name
    if pulumi_asks:
        console.warn(f"By {file}, this update removes or interrupts what runs:{listed}")
        return
    if not console.is_interactive():
        raise CommandError(
            f"by {file}, this update removes or interrupts what runs, and nothing was changed:{listed}",
            f"If that is meant, pass --yes: `./slip up --yes{stack.option}`. If not, correct {file}.",
            status=REFUSED,
        )
    console.warn(f"By {file}, this update removes or interrupts what runs:{listed}")
    console.confirm("Go on?", remedy="Pass --yes.")


def deletions(want: Wanted, state: Deployment) -> Iterator[Deletion]:
    """What goes if a state becomes what is wanted.

    Args:
        want: what the configuration asks for.
        state: the state.

    """
    hosts = deployment.hosts(state)
    kind = deployment.stack_outputs(state).get("platform", want.platform)
    services = _services(state)
    data = service_data.volumes(state)
    gone = [name for name in hosts if name not in want.hosts or kind != want.platform]
    for name in gone:
        here = [service for service, places in services.items() if name in places]
        on_it = f" and the service {_words(here)} on it" if here else " and what is on it"
        lost = f", and {text}" if (text := service_data.named(data, [name])) else ""
        yield Deletion(f"the host {name}, with its disk{on_it}{lost}", (hosts[name]["urn"],))
    yield from _replaced(want, {name: host for name, host in hosts.items() if name not in gone})
    yield from _registry(want, state, kind)
    yield from _images(want, state)
    for service, places in services.items():
        # Those on hosts that go are named with the hosts.
        left = want.services.get(service, ())
        ended = {host: urn for host, urn in places.items() if host not in left and host not in gone}
        if ended:
            extent = "" if service in want.services else "the whole "
            stays = [v for host in ended for v in data.get(host, ()) if v.startswith(f"{service}.")]
            kept = f"; its data stays in {_words(stays)}" if stays else ""
            yield Deletion(f"{extent}service {service} on {_words(list(ended))}{kept}", tuple(ended.values()))


def _services(state: Deployment) -> dict[str, dict[str, str]]:
    """The URN of each service's container, by service and host."""
    found: dict[str, dict[str, str]] = {}
    for resource in deployment.managed(state):
        parent = str(resource.get("parent") or "")
        if (
            resource.get("type") != CONTAINER_TYPE
            or resource.get("delete")
            or not _is_component(parent, SERVICE_COMPONENT)
        ):
            continue
        service = deployment.name_of(parent)
        host = deployment.name_of(str(resource["urn"])).removeprefix(f"{service}-")
        found.setdefault(service, {})[host] = resource["urn"]
    return found


def _replaced(want: Wanted, hosts: dict[str, Resource]) -> Iterator[Deletion]:
    """Local hosts whose published ports change: Docker cannot change them, so the host is made anew."""
    for name, host in hosts.items():
        ports = (host.get("inputs") or {}).get("ports")
        if host.get("type") != CONTAINER_TYPE or not isinstance(ports, list):
            continue
        now = {int(port["external"]) for port in ports if isinstance(port, dict) and port.get("external")}
        if now != want.ports[name]:
            lost, new = sorted(now - want.ports[name]), sorted(want.ports[name] - now)
            change = " ".join(
                f"{what} {', '.join(map(str, numbers))}."
                for what, numbers in (("Closed:", lost), ("Opened:", new))
                if numbers
            )
            yield Deletion(
                f"the host {name}, which is replaced: its ports change, and it serves nothing meanwhile. {change}",
                (host["urn"],),
            )


def _registry(want: Wanted, state: Deployment, kind: str) -> Iterator[Deletion]:
    """The stack's own registry, if no host keeps it any more."""
    own = [resource for resource in deployment.resources(state) if resource.get("type") == REGISTRY_COMPONENT]
    if not own or (any("registry" in roles for roles in want.hosts.values()) and kind == want.platform):
        return
    volumes = tuple(
        resource["urn"]
        for resource in deployment.managed(state)
        if resource.get("type") == CLOUD_VOLUME and not resource.get("delete")
    )
    data = "with the volume of its images" if volumes else "whose images stay on their volume"
    yield Deletion(f"the stack's own registry, {data}", (own[0]["urn"], *volumes))


def _images(want: Wanted, state: Deployment) -> Iterator[Deletion]:
    """Images that the stack's own registry keeps until now. A state of an older version does not say by which rule."""
    before = deployment.stack_outputs(state).get("registryRetention")
    owner = [
        resource["urn"]
        for resource in deployment.managed(state)
        if deployment.name_of(resource["urn"]) == SETTINGS_RESOURCE
    ]
    if want.retention is None or not isinstance(before, dict) or not owner:
        return
    keep, days = want.retention
    rule = f"{{keep: {keep}, days: {days}}}"
    if not before:
        yield Deletion(
            f"images of the registry, which keeps all of them now: it removes each day what {rule} does not keep. "
            f"`./slip prune --dry-run` names them once the update has made the rule",
            tuple(owner),
        )
    elif keep < before["keep"] or days < before["days"]:
        yield Deletion(
            f"images of the registry, each day: it keeps by {rule}, and not by "
            f"{{keep: {before['keep']:g}, days: {before['days']:g}}} any more",
            tuple(owner),
            want.retention,
        )


def _is_component(urn: str, kind: str) -> bool:
    return urn.split("::")[2:3] != [] and urn.split("::")[2].rpartition("$")[2] == kind


def _is_targeted(deletion: Deletion, options: Sequence[str]) -> bool:
    """Whether the options `--target` and `--exclude` leave the deletion in."""
    targets, excluded = _patterns(options, "--target", "-t"), _patterns(options, "--exclude")
    left = [urn for urn in deletion.urns if not any(pattern.fullmatch(urn) for pattern in excluded)]
    if not left and deletion.urns:
        return False
    return not targets or any(pattern.fullmatch(urn) for pattern in targets for urn in left)


def _patterns(options: Sequence[str], *names: str) -> list[re.Pattern[str]]:
    """The values of an option. Pulumi's wildcards: `**` is anything, `*` anything without a colon."""
    values = [
        option.partition("=")[2] or (options[index + 1] if index + 1 < len(options) else "")
        for index, option in enumerate(options)
        if option.split("=", 1)[0] in names
    ]
    return [re.compile(re.escape(value).replace(r"\*\*", ".*").replace(r"\*", "[^:]*")) for value in values]


def _words(items: Sequence[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last
