"""`slip images`: what the stack's registry has, and what of it runs where."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running.registry_api import INDEXES, RegistryApi
from cli.stack.stack import Stack
from cli.verify.checks import Failed, Running

AT_ONCE = 8
"""How many requests are under way at a time."""

TAGS_SHOWN = 3
"""How many tags of an image the table shows where there are many."""

REVISION = "org.opencontainers.image.revision"
"""The label, or annotation, that names the source's commit (OCI image specification)."""


@dataclass(frozen=True)
class Image:
    """An image of the registry, under all its tags."""

    repository: str
    digest: str
    tags: tuple[str, ...]
    """Empty if it is known by its digest only, since its tag has moved on."""
    platforms: tuple[str, ...]
    """What it is for, such as `linux/amd64`. More than one for an index."""
    size: int
    """Bytes of its layers and configuration as they are stored and pulled: compressed, of all its platforms
    together, each blob once."""
    created: str
    """When it was built, RFC 3339, or empty. The newest of its platforms."""
    revision: str
    """The source's commit, or empty."""
    runs: tuple[str, ...] = ()
    """Where it runs: `service on host`."""


def run(stack: Stack, *, as_json: bool) -> None:
    """Print what the registry of a stack has."""
    running = Running.of(stack.outputs())
    try:
        account = running.account
    except Failed as failed:
        raise CommandError(str(failed), f"`./slip up{stack.option}` makes passwords.") from failed
    outputs = running.outputs
    api = RegistryApi(
        outputs["registryPublicAddress"],
        outputs["registryCaCertificate"],
        account,
        running.identity,
        mode=running.mode,
    )
    wanted = deployed(outputs)
    # Someone else's registry shows nobody its catalogue, and most of it is not ours: the stack's own repositories then.
    copies = {str(copy).partition("@")[0].partition("/")[2] for copy in outputs.get("mirror", {}).values()}
    own = sorted(copies | {name for repository, _ in wanted for name in (repository, f"{repository}-base")})
    found = images(api, wanted, own if running.mode == "external" else None)
    show(stack.name, outputs["registryPublicAddress"], found, as_json=as_json)
    for repository, digest in sorted(wanted.keys() - {(image.repository, image.digest) for image in found}):
        where = ", ".join(wanted[repository, digest])
        console.warn(f"The registry does not have {repository}@{digest}, which runs as {where}.")


def deployed(outputs: Mapping[str, Any]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Where each image runs, by its repository and digest: `service on host`, from the stack's outputs."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    running = Running(outputs)
    for service in running.services:
        digest = str(outputs["images"][service]).partition("@")[2]
        # A stack whose last `up` was by an older Slipway does not say which hosts; then it says the service alone.
        hosts = outputs.get("serviceHosts", {}).get(service, ())
        key = (running.repository(service), digest)
        found[key] = (*found.get(key, ()), *([f"{service} on {host}" for host in hosts] or [service]))
    return found


def images(
    api: RegistryApi,
    running: Mapping[tuple[str, str], tuple[str, ...]],
    repositories: Sequence[str] | None = None,
) -> list[Image]:
    """Every tagged image, and those that run without a tag. By repository, and in each the newest first.

    Args:
        api: the registry.
        running: where an image runs, by repository and digest.
        repositories: where to look; by default in all that the registry has.

    """
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        repositories = api.repositories() if repositories is None else repositories
        tags = pool.map(api.tags, repositories)
        tagged = [
            (repository, tag) for repository, names in zip(repositories, tags, strict=True) for tag in names
        ]
        references = [*tagged, *running]
        manifests = list(pool.map(lambda reference: api.manifest(*reference), references))
        found: dict[tuple[str, str], dict[str, Any]] = {}
        names: dict[tuple[str, str], list[str]] = {}
        for (repository, reference), answer in zip(references, manifests, strict=True):
            # What was deleted since it was listed is no mistake.
            if answer is None:
                continue
            digest, manifest = answer
            found[repository, digest] = manifest
            if (repository, reference) not in running:
                names.setdefault((repository, digest), []).append(reference)
        described = pool.map(lambda key: describe(api, key[0], key[1], found[key]), found)
        complete = [
            replace(
                image,
                tags=tuple(sorted(names.get((image.repository, image.digest), ()))),
                runs=running.get((image.repository, image.digest), ()),
            )
            for image in described
        ]
    newest_first = sorted(complete, key=lambda image: (image.created, image.digest), reverse=True)
    return sorted(newest_first, key=lambda image: image.repository)


def describe(api: RegistryApi, repository: str, digest: str, manifest: Mapping[str, Any]) -> Image:
    """What an image is, from its manifest, or from those of all its platforms if it is an index."""
    children = [manifest]
    if manifest.get("mediaType") in INDEXES or "manifests" in manifest:
        answers = [
            api.manifest(repository, child["digest"])
            for child in manifest.get("manifests") or ()
            if _is_image(child)
        ]
        # A registry may have some platforms of an index only.
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
    """Whether an entry of an index is an image, rather than what a builder attests of one."""
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
    """Print images, as a table or for a script."""
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
                some(image.tags),
                image.digest[:19],
                ", ".join(image.platforms) or "-",
                size(image.size),
                age(image.created, now),
                short(image.revision),
                ", ".join(image.runs),
            )
            for image in found
        ],
    )


def some(tags: Sequence[str]) -> str:
    """Tags in a table's cell: all of a few, or the first of many and how many there are besides."""
    if len(tags) <= TAGS_SHOWN + 1:
        return ", ".join(tags) or "-"
    return f"{', '.join(tags[:TAGS_SHOWN])} and {len(tags) - TAGS_SHOWN} more"


def size(count: int) -> str:
    """Bytes as people read them, in powers of ten as `docker images` has them: `12.3 MB`."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:  # what rounds to 1000 is the next unit's
        value /= 1000
        del units[0]
    digits = 0 if units[0] == "B" or value >= 99.95 else 1
    return f"{value:.{digits}f} {units[0]}"


def age(created: str, now: datetime) -> str:
    """How long ago a time (RFC 3339) was, in its largest whole unit: `5 min`. Empty if there is none."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return ""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def short(revision: str) -> str:
    """A commit by its first twelve digits; what follows a hyphen, such as `-dirty`, stays."""
    commit, hyphen, rest = revision.partition("-")
    return f"{commit[:12]}{hyphen}{rest}"
