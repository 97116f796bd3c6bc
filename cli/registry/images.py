"""`slip images`: the images in the stack's registry, and where they run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running.registry_api import INDEX_TYPES, RegistryApi
from cli.running.stack import Failed, RunningStack
from cli.stack.stack import Stack
from cli.text import age, first_tags, short_revision, size

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
    """Where it runs: `service on host`."""


def run(stack: Stack, *, as_json: bool) -> None:
    """Print the images in a stack's registry."""
    running = RunningStack.of(stack.outputs())
    try:
        endpoint = running.registry_endpoint
    except Failed as failed:
        raise CommandError(str(failed), f"`./slip up{stack.option}` makes passwords.") from failed
    deployed = deployed_images(running)
    with RegistryApi(endpoint) as api:
        # An external registry may offer no catalogue, and other projects use it too: list the stack's repositories.
        repositories = own_repositories(running) if running.registry_mode == "external" else None
        found = with_revisions(images(api, deployed, repositories), running)
    show(stack.name, endpoint.address, found, as_json=as_json)
    for repository, digest in sorted(deployed.keys() - {(image.repository, image.digest) for image in found}):
        where = ", ".join(deployed[repository, digest])
        console.warn(f"The registry does not have {repository}@{digest}, which runs as {where}.")


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


def deployed_images(running: RunningStack) -> dict[tuple[str, str], tuple[str, ...]]:
    """Where each image runs, as `service on host`, by repository and digest."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for service in running.services:
        digest = str(running.outputs["images"][service]).partition("@")[2]
        # A stack that an older Slipway updated last has no output `serviceHosts`; then only the service is shown.
        hosts = running.outputs.get("serviceHosts", {}).get(service, ())
        key = (running.repository(service), digest)
        found[key] = (*found.get(key, ()), *([f"{service} on {host}" for host in hosts] or [service]))
    return found


def images(
    api: RegistryApi,
    deployed: Mapping[tuple[str, str], tuple[str, ...]],
    repositories: Sequence[str] | None = None,
) -> list[Image]:
    """Every tagged image, and the deployed images without a tag: by repository, the newest first.

    Args:
        api: the registry.
        deployed: where an image runs, by repository and digest.
        repositories: the repositories to list; by default the registry's whole catalogue.

    """
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        repositories = list(api.repositories()) if repositories is None else repositories
        tags = pool.map(api.tags, repositories)
        tagged = [
            (repository, tag) for repository, names in zip(repositories, tags, strict=True) for tag in names
        ]
        references = [*tagged, *deployed]
        manifests = list(pool.map(lambda reference: api.manifest(*reference), references))
        found: dict[tuple[str, str], dict[str, Any]] = {}
        names: dict[tuple[str, str], list[str]] = {}
        for (repository, reference), answer in zip(references, manifests, strict=True):
            # It was deleted after it was listed.
            if answer is None:
                continue
            digest, manifest = answer
            found[repository, digest] = manifest
            if (repository, reference) not in deployed:
                names.setdefault((repository, digest), []).append(reference)
        described = pool.map(lambda key: describe(api, key[0], key[1], found[key]), found)
        complete = [
            replace(
                image,
                tags=tuple(sorted(names.get((image.repository, image.digest), ()))),
                runs=deployed.get((image.repository, image.digest), ()),
            )
            for image in described
        ]
    newest_first = sorted(complete, key=lambda image: (image.created, image.digest), reverse=True)
    return sorted(newest_first, key=lambda image: image.repository)


def describe(api: RegistryApi, repository: str, digest: str, manifest: Mapping[str, Any]) -> Image:
    """An image, from its manifest; for an index, from the manifests of all its platforms."""
    children = [manifest]
    if manifest.get("mediaType") in INDEX_TYPES or "manifests" in manifest:
        answers = [
            api.manifest(repository, child["digest"])
            for child in manifest.get("manifests") or ()
            if _is_image(child)
        ]
        # A registry may have only some of an index's platforms.
        children = [answer[1] for answer in answers if answer]
    configurations = [
        api.blob(repository, child["config"]["digest"]) for child in children if "config" in child
    ]
    blobs = {
        blob["digest"]: int(blob.get("size", 0))
        for child in children
        for blob in (child.get("config"), *(child.get("layers") or ()))
        if blob
    }
    return Image(
        repository=repository,
        digest=digest,
        tags=(),
        platforms=tuple(sorted({_platform(one) for one in configurations} - {""})),
        size=sum(blobs.values()),
        created=max((str(one.get("created") or "") for one in configurations), default=""),
        revision=_first([manifest.get("annotations"), *(_labels(one) for one in configurations)]),
    )


def _is_image(child: Mapping[str, Any]) -> bool:
    """Whether an entry of an index is an image; builders also add attestations."""
    annotations = child.get("annotations") or {}
    return annotations.get("vnd.docker.reference.type") != "attestation-manifest"


def _labels(configuration: Mapping[str, Any]) -> Mapping[str, str] | None:
    return (configuration.get("config") or {}).get("Labels")


def _first(labels: Iterable[Mapping[str, str] | None]) -> str:
    return next((one[REVISION] for one in labels if one and one.get(REVISION)), "")


def _platform(configuration: Mapping[str, Any]) -> str:
    parts = [str(configuration.get(key) or "") for key in ("os", "architecture", "variant")]
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
                image.digest[:19],
                ", ".join(image.platforms) or "-",
                size(image.size),
                age(image.created, now),
                short_revision(image.revision),
                ", ".join(image.runs),
            )
            for image in found
        ],
    )
