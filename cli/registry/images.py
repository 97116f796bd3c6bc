"""`slip images`: the images in the stack's registry, and which hosts serve them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running import fleet, manifest, silence, stored_image
from cli.running.manifest import REFERRERS_TAG
from cli.running.registry_api import RegistryApi
from cli.running.stack import Failed, RunningStack, running_of
from cli.stack.stack import Stack
from cli.text import age, first_tags, short_digest, short_revision, size

AT_ONCE = 8
"""How many requests run at the same time."""

REVISION = "org.opencontainers.image.revision"
"""The label, or annotation, with the source's commit (OCI image specification)."""


@dataclass(frozen=True)
class Image:
    """An image of the registry, under all its tags."""

    repository: str
    digest: str
    tags: tuple[str, ...]
    """Empty for an image whose tag has moved on."""
    platforms: tuple[str, ...]
    """Such as `linux/amd64`. An index has several."""
    size: int
    """Bytes of its layers and configuration, compressed as they are stored: all platforms together, each blob once."""
    created: str
    """When it was built, RFC 3339, or empty. The newest build of its platforms."""
    revision: str
    """The source's commit, or empty."""
    runs: tuple[str, ...] = ()
    """Which hosts serve it, as they say themselves: `service on host`."""
    wanted: tuple[str, ...] = ()
    """The services that are to run it, by the last update."""
    missing: tuple[str, ...] = ()
    """Of an image that serves or is wanted: the digests of its blobs that the registry does not have."""


def run(stack: Stack, *, as_json: bool) -> int:
    """Print the images in a stack's registry. Returns the exit status.

    It is 1 if the registry lacks an image, or a part of one, that serves or is wanted; or if a host did not answer.
    """
    running = running_of(stack)
    try:
        endpoint = running.registry_endpoint
    except Failed as failed:
        raise CommandError(str(failed), f"`./slip up{stack.option}` makes passwords.") from failed
    running = replace(running, reports=fleet.ask(running.outputs, running.hosts_with("app")))
    needed = needed_images(running)
    with RegistryApi(endpoint) as api:
        # An external registry may offer no catalogue, and other projects use it too: list the stack's repositories.
        repositories = own_repositories(running) if running.registry_mode == "external" else None
        found = with_revisions(images(api, needed, repositories), running)
        if running.registry_mode != "external":
            found = [with_missing_blobs(api, image) for image in found]
    show(stack.name, endpoint.address, found, as_json=as_json)
    problems = missing_images(running, needed, found) + unknown_hosts(running)
    for problem in problems:
        console.warn(problem)
    return 1 if problems else 0


def missing_images(
    running: RunningStack, needed: Mapping[tuple[str, str], "Need"], found: Sequence[Image]
) -> list[str]:
    """A message for each image that is needed, and that the registry does not have as a whole; then the remedy."""
    problems = []
    there = {(image.repository, image.digest): image for image in found}
    for (repository, digest), need in sorted(needed.items()):
        image, name = there.get((repository, digest)), f"{repository}@{short_digest(digest)}"
        if image is None:
            problems.append(f"The registry does not have {name}, which {need}.")
        elif image.missing:
            count = "a blob" if len(image.missing) == 1 else f"{len(image.missing)} blobs"
            problems.append(f"The registry does not have {count} of {name}, which {need}.")
    return [*problems, f"→ ./slip repair{running.option}"] if problems else []


def unknown_hosts(running: RunningStack) -> list[str]:
    """A message for each host that did not say what it serves, and the remedy."""
    problems = []
    for host, report in running.reports.items():
        if why := report.serves_unknown:
            remedy = (
                f"./slip repair {host}{running.option}" if report.answers else silence.remedy(running, host)
            )
            problems += [
                f"{host}: {why}. What it serves is unknown.",
                *(f"→ {line}" for line in remedy.splitlines()),
            ]
    return problems


def with_revisions(found: Sequence[Image], running: RunningStack) -> list[Image]:
    """The images with the commits that the stack's outputs record. A label of the image itself has priority."""
    revisions = running.outputs.get("revisions") or {}
    recorded = {
        (running.repository(service) + suffix, one["tag"]): one["revision"]
        for service in running.services
        for suffix in ("", "-base")
        for one in revisions.get(service + suffix, ())
    }
    return [
        replace(
            image,
            revision=image.revision
            or next(filter(None, (recorded.get((image.repository, tag)) for tag in image.tags)), ""),
        )
        for image in found
    ]


def own_repositories(running: RunningStack) -> list[str]:
    """The repositories that the stack pushes to: services, their base images, copies of base images."""
    services = {running.repository(service) for service in running.services}
    copies = {
        str(copy).partition("@")[0].partition("/")[2] for copy in running.outputs.get("mirror", {}).values()
    }
    return sorted(services | {f"{name}-base" for name in services} | copies)


@dataclass(frozen=True)
class Need:
    """Who needs an image."""

    serves: tuple[str, ...] = ()
    """Hosts that serve it, as `service on host`."""
    wanted: tuple[str, ...] = ()
    """Services that are to run it, by the last update."""

    def __str__(self) -> str:
        """As the end of a sentence: `serves as web on web-1`."""
        if self.serves:
            return f"serves as {', '.join(self.serves)}"
        return f"{', '.join(self.wanted)} is to run"


def needed_images(running: RunningStack) -> dict[tuple[str, str], Need]:
    """The images that hosts serve and services are to run, by repository and digest."""
    found: dict[tuple[str, str], Need] = {}
    for service, host in running.places:
        report = running.reports.get(host)
        serving = report.services.get(service) if report else None
        if serving and serving.digest:
            key = (running.repository(service), serving.digest)
            need = found.get(key, Need())
            found[key] = replace(need, serves=(*need.serves, f"{service} on {host}"))
    for service in running.services:
        if wanted := running.wanted(service).partition("@")[2]:
            key = (running.repository(service), wanted)
            need = found.get(key, Need())
            found[key] = replace(need, wanted=(*need.wanted, service))
    return found


def with_missing_blobs(api: RegistryApi, image: Image) -> Image:
    """The image, with the blobs that the registry lacks if it serves or is wanted. Others may be incomplete."""
    if not image.runs and not image.wanted:
        return image
    return replace(image, missing=stored_image.look(api, image.repository, image.digest).lacking)


def images(
    api: RegistryApi,
    needed: Mapping[tuple[str, str], Need],
    repositories: Sequence[str] | None = None,
) -> list[Image]:
    """Every tagged image, and the needed images without a tag: by repository, the newest first.

    Args:
        api: the registry.
        needed: who needs an image, by repository and digest.
        repositories: the repositories to list; by default the registry's whole catalogue.

    """
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        repositories = list(api.repositories()) if repositories is None else repositories
        tags = pool.map(api.tags, repositories)
        tagged = [
            (repository, tag)
            for repository, names in zip(repositories, tags, strict=True)
            for tag in names
            # What refers to an image is none: a version's record, a signature.
            if not REFERRERS_TAG.fullmatch(tag)
        ]
        references = [*tagged, *needed]
        manifests = list(pool.map(lambda reference: api.manifest(*reference), references))
        found: dict[tuple[str, str], dict[str, Any]] = {}
        names: dict[tuple[str, str], list[str]] = {}
        for (repository, reference), answer in zip(references, manifests, strict=True):
            # It was deleted after it was listed.
            if answer is None:
                continue
            digest, document = answer
            found[repository, digest] = document
            if (repository, reference) not in needed:
                names.setdefault((repository, digest), []).append(reference)
        described = pool.map(lambda key: describe(api, key[0], key[1], found[key]), found)
        complete = [
            replace(
                image,
                tags=tuple(sorted(names.get((image.repository, image.digest), ()))),
                runs=needed.get((image.repository, image.digest), Need()).serves,
                wanted=needed.get((image.repository, image.digest), Need()).wanted,
            )
            for image in described
        ]
    newest_first = sorted(complete, key=lambda image: (image.created, image.digest), reverse=True)
    return sorted(newest_first, key=lambda image: image.repository)


def describe(api: RegistryApi, repository: str, digest: str, document: Mapping[str, Any]) -> Image:
    """An image, from its manifest; for an index, from the manifests of all its platforms.

    Whoever may push chose all that they say. What makes no sense is left out.
    """
    children = [document]
    if stored_image.is_index(document):
        answers = [
            api.manifest(repository, child.digest)
            for child in manifest.children(document)
            if not child.is_attestation
        ]
        # A registry may have only some of an index's platforms.
        children = [answer[1] for answer in answers if answer]
    configurations = [
        api.blob(repository, config.digest) for child in children if (config := manifest.config(child))
    ]
    blobs = {blob.digest: blob.size for child in children for blob in manifest.blobs(child)}
    return Image(
        repository=repository,
        digest=digest,
        tags=(),
        platforms=tuple(sorted({_platform(one) for one in configurations} - {""})),
        size=sum(blobs.values()),
        created=max((manifest.words(one.get("created")) for one in configurations), default=""),
        revision=_first([document.get("annotations"), *(_labels(one) for one in configurations)]),
    )


def _labels(configuration: Mapping[str, Any]) -> object:
    return manifest.mapping(configuration.get("config")).get("Labels")


def _first(labels: Iterable[object]) -> str:
    return next(filter(None, (manifest.words(manifest.mapping(one).get(REVISION)) for one in labels)), "")


def _platform(configuration: Mapping[str, Any]) -> str:
    parts = [manifest.words(configuration.get(key)) for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if part)


def show(
    name: str, address: str, found: Sequence[Image], *, as_json: bool, now: datetime | None = None
) -> None:
    """Print images as a table or as JSON."""
    if as_json:
        print(
            json.dumps(
                {"stack": name, "registry": address, "images": [asdict(image) for image in found]}, indent=2
            )
        )
        return
    if not found:
        print(f"The registry of {name} at {address} has no images yet.")
        return
    now = now or datetime.now(UTC)
    console.table(
        f"Images of {name} at {address}",
        ("repository", "tags", "digest", "platforms", "size", "age", "revision", "runs"),
        [
            (
                image.repository,
                first_tags(image.tags),
                short_digest(image.digest),
                ", ".join(image.platforms) or "-",
                size(image.size),
                age(image.created, now),
                short_revision(image.revision),
                _use(image),
            )
            for image in found
        ],
    )


def _use(image: Image) -> str:
    """The last column: where the image serves, or which service is to run it."""
    waiting = [f"{service} is to run it" for service in image.wanted if not image.runs]
    return ", ".join([*image.runs, *waiting])
