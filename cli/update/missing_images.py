"""Images of the stack that its registry should have and has not, or not whole: found, and pushed again.

Pulumi does not see this, since its `docker.Image` has no read. A host's engine still has the image: it pushes it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cli import console
from cli.errors import CommandError
from cli.running import drift, stored_image
from cli.running.disk import registry_hosts
from cli.running.drift import Job, Login
from cli.running.registry_api import RegistryApi
from cli.running.ssh import Unreachable
from cli.running.stack import NEEDED, Failed, RunningStack
from cli.stack import deployment
from cli.stack.deployment import Deployment
from cli.stack.desired import command
from cli.text import short_digest
from well_known import REGISTRY_DATA_PATH

IMAGE_TYPE = "docker:index/image:Image"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
COPY_PATIENCE = 3600.0
"""Seconds that a copy may take: as long as Pulumi gives it."""
PATIENCE = 60.0
"""Seconds that the registry's host may take to remove damaged blobs."""


@dataclass(frozen=True)
class Wanted:
    """An image that the registry should have."""

    urn: str
    """The resource that pushed it."""
    host: str
    """The host that built it."""
    name: str
    """`host:port/repository`"""
    tag: str
    digest: str
    copy: Job | None = field(default=None, repr=False)
    """For a copy of someone else's image: the command on the host that makes it again by its digest."""

    @property
    def repository(self) -> str:
        """The repository, without the registry's address."""
        return self.name.partition("/")[2]


@dataclass(frozen=True)
class Gap:
    """What the registry lacks of an image."""

    image: Wanted
    text: str
    damaged: tuple[str, ...] = ()
    """Digests of blobs that the registry has with another size. It would not take them again."""

    def __str__(self) -> str:
        """The gap in a message."""
        return f"the registry: {self.image.repository}@{self.image.digest[:19]}: {self.text}"


@dataclass(frozen=True)
class Pushed:
    """The result of `push_again`."""

    failures: tuple[str, ...] = ()


def wanted(state: Deployment) -> Iterator[Wanted]:
    """The images in the state that were pushed to a registry, and that the next update would not push again."""
    hosts = {resource["urn"]: name for name, resource in deployment.hosts(state).items()}
    yield from _copies(state)
    for resource in deployment.managed(state):
        if resource["type"] != IMAGE_TYPE or resource.get("delete"):
            continue
        outputs = deployment.plain(resource.get("outputs") or {})
        host = hosts.get(deployment.host_urn(state, resource))
        name, _, tag = str(outputs.get("imageName") or "").rpartition(":")
        digest = str(outputs.get("repoDigest") or "").partition("@")[2]
        if host and name and DIGEST.fullmatch(digest):
            yield Wanted(resource["urn"], host, name, tag, digest)


def _copies(state: Deployment) -> Iterator[Wanted]:
    """The copies of someone else's images: their digests are in the outputs."""
    copies = deployment.stack_outputs(state).get("mirror") or {}
    commands = [
        part
        for resource in deployment.managed(state)
        if copies and resource["type"] == deployment.REMOTE_COMMAND and not resource.get("delete")
        if (part := command(state, resource))
    ]
    for image, reference in copies.items():
        name, _, digest = str(reference).partition("@")
        tag = str(image).partition("@")[0].rpartition(":")[2]
        for part in commands:
            # The one that pulls them: components/scripts/use-mirror.sh. That of an older version has no COPIES.
            if "COPIES=" in part.stdin and f"{name} {tag} " in part.stdin and digest in part.stdin:
                job = Job(part.login, f"{part.command} again", part.stdin)
                yield Wanted(part.urn, part.host, name, tag, digest, job)


def missing(state: Deployment) -> list[str]:
    """What the registry lacks, for people; nothing if the registry does not answer."""
    try:
        return [str(gap) for gap in _gaps(state)]
    except (CommandError, Failed):
        return []


def push_again(state: Deployment) -> Pushed:
    """Push what the registry lacks, from a host that has it. Tells what was pushed. `state` has its secrets."""
    try:
        gaps = _gaps(state)
    except (CommandError, Failed) as error:
        return Pushed((f"the registry's images could not be checked: {error}",))
    if not gaps:
        return Pushed()
    running = RunningStack.of(deployment.outputs_with_secrets(state))
    _remove_damaged(running, {digest for gap in gaps for digest in gap.damaged})
    failures = []
    for gap in gaps:
        problem = _push(running, gap.image)
        if problem:
            anew = (
                "`./slip up -- --replace '**::mirror-*'` copies what its source has now."
                if gap.image.copy
                else f"`./slip up -- --replace '{gap.image.urn}'` builds it."
            )
            failures.append(f"{gap}. It could not be pushed again: {problem}. {anew}")
        else:
            console.say(f"Mended {gap}. It was pushed again.")
    return Pushed(tuple(failures))


def _gaps(state: Deployment) -> list[Gap]:
    outputs = deployment.outputs_with_secrets(state)
    images = list(wanted(state))
    # Without outputs the stack has never been up.
    if not images or not outputs.keys() >= NEEDED:
        return []
    running = RunningStack.of(outputs)
    with RegistryApi(running.registry_endpoint) as registry:
        return [gap for image in images if (gap := _gap(registry, image))]


def _gap(registry: RegistryApi, image: Wanted) -> Gap | None:
    found = stored_image.look(registry, image.repository, image.digest)
    if not found.has_manifest:
        return Gap(image, "its manifest is missing")
    # People pull a copy by its tag, and whoever may push can move it.
    if (
        image.copy
        and (tagged := registry.manifest(image.repository, image.tag) or ("nothing",))[0] != image.digest
    ):
        return Gap(image, f"its tag {image.tag} names {short_digest(tagged[0])}")
    texts = [
        f"{number} {'blob is' if number == 1 else 'blobs are'} {what}"
        for number, what in ((len(found.missing), "missing"), (len(found.damaged), "damaged"))
        if number
    ]
    return Gap(image, " and ".join(texts), found.damaged) if texts else None


def _remove_damaged(running: RunningStack, digests: set[str]) -> None:
    """Remove blobs of another size from the registry's disk: it skips an upload of what it has already."""
    hosts = registry_hosts(running.outputs)
    if not digests or not hosts:
        return
    facts = running.outputs["hosts"][hosts[0]]
    login = Login(
        hosts[0],
        facts["address"],
        int(facts["sshPort"]),
        facts["sshUser"],
        running.outputs["sshPrivateKey"],
        facts["sshHostKey"],
    )
    folder = f"{REGISTRY_DATA_PATH}/docker/registry/v2/blobs/sha256"
    paths = [f"{folder}/{digest[7:9]}/{digest[7:]}/data" for digest in sorted(digests)]
    drift.run_all([Job(login, f"rm -f {' '.join(paths)}")], PATIENCE)


def _push(running: RunningStack, image: Wanted) -> str:
    """Push an image from the host that built it, else from any other that has it. Returns why it was not, or empty."""
    if image.copy:
        return _copy_again(running, image, image.copy)
    problem = "no host has it"
    # A client certificate goes with its own account, and only the build host's may push.
    others = () if running.asks_for_client_certificates else running.hosts
    for host in dict.fromkeys([image.host, *others]):
        try:
            problem = _push_from(running, host, image) or ""
        except Failed as error:
            problem = str(error)
        if not problem:
            return ""
    return problem


def _copy_again(running: RunningStack, image: Wanted, job: Job) -> str:
    (result,) = drift.run_all([job], COPY_PATIENCE)
    if isinstance(result, Unreachable):
        return f"{image.host}: {result}"
    if result.status:
        return (result.stderr.strip().splitlines() or [f"exit status {result.status}"])[-1]
    with RegistryApi(running.registry_endpoint) as registry:
        return str(_gap(registry, image) or "")


def _push_from(running: RunningStack, host: str, image: Wanted) -> str | None:
    from docker.errors import APIError, ImageNotFound

    username, password = running.account
    account = {"username": username, "password": password}
    with running.docker(host) as engine:
        try:
            engine.tag(f"{image.name}@{image.digest}", image.name, image.tag)
            lines = list(
                engine.push(image.name, tag=image.tag, auth_config=account, stream=True, decode=True)
            )
        except ImageNotFound:
            return "no host has it"
        except APIError as error:
            return str(error.explanation or error)
    if problem := next((str(line["error"]) for line in lines if line.get("error")), ""):
        return problem
    digests = {line["aux"]["Digest"] for line in lines if "Digest" in (line.get("aux") or {})}
    return None if image.digest in digests else f"{host} has pushed it as {', '.join(digests) or 'nothing'}"
