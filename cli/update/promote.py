"""`slip promote`: the version that one stack runs is deployed in another one, by digest and without a build.

The images are copied from registry to registry. The rest is an update of the service's own resources with an order to
the program (components/promotion.py), as a rollback is.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running import fleet
from cli.running.image_copy import Copied, ImageCopy
from cli.running.registry_api import RegistryApi
from cli.running.stack import Failed, RunningStack, running_of
from cli.stack.open import open_stack
from cli.stack.stack import Stack
from cli.text import first_line, short_digest, short_revision, size
from cli.update import ps, versions
from cli.update.orders import limited_to, targets_of
from cli.update.ps import Process
from cli.update.rollback import images_on_hosts, silent_hosts
from cli.update.updates import Update, up
from cli.update.versions import Versions


@dataclass(frozen=True)
class Running:
    """A service in one of the two stacks."""

    stack: Stack
    running: RunningStack
    known: Versions

    @classmethod
    def of(cls, stack: Stack, service: str) -> "Running":
        """A service of a stack.

        Raises:
            CommandError: the stack is not up, or does not have the service, or no version of it.

        """
        running = running_of(stack)
        return cls(stack, running, versions.of(running.outputs, service, stack.option))

    @property
    def hosts(self) -> list[str]:
        """Where the service runs."""
        places = self.running.outputs.get("serviceHosts") or {}
        return list(places.get(self.known.service) or ())

    @property
    def current(self) -> Mapping[str, Any]:
        """The version that was deployed last."""
        return self.known.version(self.known.current, self.stack.option)

    def repository(self, name: str) -> str:
        """The name in the registry of one of the version's images: of the service's own or of its base image."""
        return self.running.repository(self.known.service).removesuffix(self.known.service) + name


def run(service: str, *, source: str, target: str, yes: bool, options: Sequence[str] = ()) -> int:
    """Deploy in one stack what another one runs. Returns the exit status.

    Args:
        service: the service's name, in both stacks.
        source: the name of the stack that runs the version.
        target: the name of the stack that gets it.
        yes: do not ask for confirmation.
        options: additional arguments for Pulumi.

    Raises:
        CommandError: the source does not run one healthy version on all hosts, the target cannot take it, a registry
            does not have or take it, or the answer was no.

    """
    if source == target:
        raise CommandError(
            f"--from and --to are both '{source}'", "Name two stacks: `./slip stacks` lists them.", status=2
        )
    stack = open_stack(target, edits=True, works_on_hosts=True)
    if not yes and not console.is_interactive():
        raise console.unconfirmed(
            "a promotion",
            f"To promote without one: `./slip promote {service} --from {source} --to {target} --yes`.",
        )
    there = Running.of(open_stack(source), service)
    here = Running.of(stack, service)
    version = healthy_version(there)
    _refuse_same(here, there, version)
    state = stack.deployment()
    followers = stack.config.followers(service)
    places = here.running.outputs.get("serviceHosts") or {}
    hosts = list(dict.fromkeys(host for name in (service, *followers) for host in places.get(name) or ()))
    digest = versions.image_of(version, service)
    silent = silent_hosts(
        here.running, images_on_hosts(here.running, service, digest), service, hosts, "the promotion"
    )
    _announce(here, there, version)
    for follower in followers:
        console.say(f"  {follower}, which runs its image, goes along")
    if not yes:
        console.confirm(f"Promote {service} to the stack {target}?", remedy="Pass --yes.")
    images = _copy(here, there, version)
    targets = [urn for name in (service, *followers) for urn in targets_of(state, name, silent)]
    options = (*limited_to(targets), *options)
    status = up(
        Update(
            target,
            yes=True,
            preview=False,
            options=options,
            promoted={service: _order(there, version, images)},
        )
    )
    if status == 0:
        console.say(
            f"{service} stays at this image until its code changes in a clone that updates {target}. "
            f"To deploy what a clone has: ./slip up --forward {service}{stack.option}"
        )
    return status


def healthy_version(there: Running) -> Mapping[str, Any]:
    """The version that all hosts of a service serve and that is healthy on each, as they say themselves.

    Raises:
        CommandError: there is no such version.

    """
    service, option = there.known.service, there.stack.option
    reports = fleet.ask(there.running.outputs, there.hosts)
    found = list(ps.processes(there.running.outputs, [(service, host) for host in there.hosts], reports))
    wrong = [f"  {one.host}: {problem}" for one in found if (problem := _problem(one))]
    numbers = {one.version for one in found}
    if not wrong and len(numbers) > 1:
        wrong = [f"  {one.host}: version {one.version}" for one in found]
    if wrong or not found:
        lines = "\n".join(wrong) or "  it runs on no host"
        raise CommandError(
            f"nothing was changed: the stack {there.stack.name} does not run one healthy version of {service}:\n"
            f"{lines}",
            f"`./slip status{option}` says what to do about it. `./slip up{option}` makes it one version everywhere.",
            status=1,
        )
    return there.known.version(int(found[0].version or 0), option)


def _problem(process: Process) -> str:
    """Why what a host serves cannot be promoted; empty if it can."""
    if process.stopped:
        return "stopped"
    if process.maintenance:
        return "under maintenance"
    if not process.healthy:
        return process.health
    if process.version is None:
        return "it runs on a schedule" if not process.digest else "an image that is no version of this stack"
    return ""


def _refuse_same(here: Running, there: Running, version: Mapping[str, Any]) -> None:
    service = here.known.service
    now = here.current
    if versions.is_whole(now) and versions.image_of(now, service) == versions.image_of(version, service):
        raise CommandError(
            f"the stack {here.stack.name} has this image of {service} already, as version {here.known.current}",
            f"`./slip up{here.stack.option}` deploys settings that have changed.",
            status=1,
        )
    if not str(version["source"]):
        raise CommandError(
            f"version {int(version['number'])} of {service} in the stack {there.stack.name} has no record of what it "
            "was built from",
            f"`./slip up{there.stack.option}` records what it deploys.",
            status=1,
        )


def _announce(here: Running, there: Running, version: Mapping[str, Any]) -> None:
    service, now = here.known.service, here.current
    console.say(
        f"{service} of the stack {here.stack.name} gets version {int(version['number'])} of the stack "
        f"{there.stack.name} on {', '.join(here.hosts)}, without a build:"
    )
    before, after = (short_digest(versions.image_of(one, service)) for one in (now, version))
    console.say(f"  image: {before} → {after}")
    was, is_now = (short_revision(str(one["revision"])) or "-" for one in (now, version))
    message = first_line(str(version["message"]))
    console.say(f"  commit: {was} → {is_now}{f' ({message})' if message else ''}")
    console.say(f"  settings and secrets: those of {here.stack.config_file.name}, as they are in this clone")


def _copy(here: Running, there: Running, version: Mapping[str, Any]) -> dict[str, str]:
    """Copy the version's images. Returns their digests by name, without a base image that is gone."""
    service, found, copied = here.known.service, {}, Copied()
    tag = f"{there.stack.short_name}-{int(version['number'])}".lstrip(".-")
    try:
        ends = (there.running.registry_endpoint, here.running.registry_endpoint)
        with ExitStack() as opened:
            source, target = (opened.enter_context(RegistryApi(end)) for end in ends)
            for name, digest in version["images"].items():
                pair = there.repository(name), here.repository(name)
                if name != service and source.manifest_text(pair[0], digest) is None:
                    console.warn(
                        f"The base image of {service} is not in the registry of {there.stack.name} any more."
                    )
                    continue
                found[str(name)] = str(digest)
                if (source.address, pair[0]) != (target.address, pair[1]):
                    copied += ImageCopy(source, target, *pair).copy(digest, tag)
    except (Failed, CommandError) as error:
        raise CommandError(
            f"{service} was not promoted, and nothing that serves was touched: {error}",
            getattr(error, "remedy", ""),
            status=1,
        ) from error
    also = [
        f"{number} {what if number == 1 else f'{what}s'}"
        for number, what in ((copied.signatures, "signature"), (copied.records, "record"))
        if number
    ]
    signatures = f", with {' and '.join(also)}" if also else ""
    what = f"{copied.blobs} blobs, {size(copied.size)}" if copied.blobs else "it has all blobs already"
    console.say(f"Copied to the registry of {here.stack.name}: {what}{signatures}.")
    return found


def _order(there: Running, version: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, object]:
    return {
        "images": images,
        "source": str(version["source"]),
        "revision": str(version["revision"]),
        "message": str(version["message"]),
        "origin": {"stack": there.stack.short_name, "number": int(version["number"])},
    }
