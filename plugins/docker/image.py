"""docker.Image: an image that is built on the engine and pushed to a registry."""

import os
import platform
import posixpath
from pathlib import Path
from threading import Event
from typing import Any

from plugins.docker.context import digest
from plugins.docker.engine import Account, Engine
from plugins.protocol.inputs import Field, validate
from plugins.protocol.messages import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    CreateResponse,
    DiffRequest,
    DiffResponse,
    Failure,
    PropertyDiff,
)
from plugins.protocol.properties import Properties, Secret, Unknown, has_unknown, plain
from plugins.protocol.provider import Engine as PulumiEngine

_TEXTS = Field(list, items=Field())
_BUILD = {
    "addHosts": _TEXTS,
    "args": Field(dict, items=Field()),
    "builderVersion": Field(choices=("BuilderV1", "BuilderBuildKit")),
    "cacheFrom": Field(dict, fields={"images": _TEXTS}),
    "context": Field(),
    "contextDigest": Field(),
    "dockerfile": Field(),
    "network": Field(),
    "platform": Field(),
    "target": Field(),
}
_INPUTS = {
    "build": Field(dict, fields=_BUILD),
    "buildOnPreview": Field(bool),
    "imageName": Field(required=True),
    "registry": Field(dict, fields={name: Field() for name in ("password", "server", "username")}),
    "skipPush": Field(bool),
}

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def check(request: CheckRequest, pulumi: PulumiEngine) -> CheckResponse:
    """Validate the inputs, and add the Dockerfile, the platform and the digest of the context's files."""
    failures = validate(request, _INPUTS, "Image")
    failures += _unqualified(request.news)
    if failures:
        return CheckResponse({}, failures)
    inputs = {name: value for name, value in request.news.items() if value is not None}
    inputs.setdefault("buildOnPreview", False)
    build = inputs.get("build", {})
    if not isinstance(build, Unknown):
        inputs["build"] = _completed(build, request.urn, pulumi)
    return CheckResponse(inputs)


def _unqualified(news: Properties) -> list[CheckFailure]:
    """Refuse to push an image whose name has no registry."""
    name, registry = plain(news.get("imageName")), plain(news.get("registry"))
    if news.get("skipPush") or not isinstance(name, str) or isinstance(registry, Unknown):
        return []
    first, slash, _ = name.partition("/")
    if (registry or {}).get("server") or (slash and (first == "localhost" or "." in first or ":" in first)):
        return []
    return [
        CheckFailure(
            "imageName",
            f"{name!r} names no registry to push to: put one in front, as in `docker.io/{name}`, set "
            "`registry.server`, or set `skipPush`",
        )
    ]


def _completed(build: Properties, urn: str, pulumi: PulumiEngine) -> Properties:
    build = {name: value for name, value in build.items() if value is not None}
    context = build.setdefault("context", ".")
    if not isinstance(context, Unknown):
        dockerfile = build.setdefault("dockerfile", posixpath.join(posixpath.normpath(context), "Dockerfile"))
        if not isinstance(dockerfile, Unknown):
            _require_dockerfile(context, dockerfile)
            build["contextDigest"] = digest(Path(context), Path(dockerfile))
    if "platform" not in build:
        machine = platform.machine().lower()
        build["platform"] = f"linux/{_ARCHITECTURES.get(machine, machine)}"
        pulumi.log("info", f"Building for {build['platform']}; set `platform` for another one.", urn)
    return build


def _require_dockerfile(context: str, dockerfile: str) -> None:
    if Path(dockerfile).exists():
        return
    inside = posixpath.join(context, dockerfile)
    hint = f". Try setting `dockerfile` to {inside!r}" if Path(inside).exists() else ""
    raise Failure(f"could not open dockerfile at relative path {dockerfile!r}{hint}")


def diff(request: DiffRequest) -> DiffResponse:
    """Compare the inputs of the last build with the new ones. Changed credentials are no reason to build again."""
    old: Properties = plain(request.olds.get("__inputs", request.old_inputs))
    detailed = {}
    for name in sorted(old.keys() | request.news.keys()):
        before, after = old.get(name), plain(request.news.get(name))
        if before == after or name in request.ignore_changes:
            continue
        if name == "registry" and before and after and before.get("server") == after.get("server"):
            continue
        kind = "ADD" if before is None else "DELETE" if after is None else "UPDATE"
        detailed[name] = PropertyDiff(kind)  # type: ignore[arg-type]
    return DiffResponse(changes=True, detailed=detailed) if detailed else DiffResponse(changes=False)


def can_preview(properties: Properties, urn: str, pulumi: PulumiEngine) -> bool:
    """Say whether a preview must build the image, and knows all inputs."""
    wanted = properties.get("buildOnPreview")
    build = properties.get("build")
    if wanted is False or wanted is None:
        return False
    parts = [wanted, properties.get("imageName"), build]
    if has_unknown(parts) or not isinstance(build, dict):
        pulumi.log("warning", "This preview does not build the image: not all inputs are known yet.", urn)
        return False
    return True


def build(
    urn: str,
    properties: Properties,
    engine: Engine,
    pulumi: PulumiEngine,
    cancelled: Event,
    *,
    preview: bool = False,
) -> CreateResponse:
    """Build the image and, unless it is a preview or `skipPush`, push it."""
    from plugins.docker.builder import Builder
    from plugins.docker.progress import Progress

    name, settings = properties["imageName"], properties["build"]
    registry = properties.get("registry") or {}
    progress = Progress(pulumi, urn, cancelled)
    builder = Builder(engine, progress, _account(registry, progress))
    image_id = builder.build(name, settings)
    outputs = {
        "baseImageName": name,
        "context": settings["context"],
        "dockerfile": os.path.relpath(settings["dockerfile"], settings["context"]),
        "imageName": name,
        "platform": settings["platform"],
        "registryServer": registry.get("server", ""),
    }
    if not preview:
        outputs["repoDigest"] = image_id if properties.get("skipPush") else builder.push(name)
    return CreateResponse(name, {"__inputs": Secret(properties), **outputs})


def _account(registry: Any, progress: Any) -> Account | None:
    """Return the account at the image's registry; None means the provider's or Docker's own configuration."""
    username, password = registry.get("username"), registry.get("password")
    if username and password:
        return Account(username, password)
    if username or password:
        given, missing = ("username", "password") if username else ("password", "username")
        progress.warn(f"{missing} was not set, although {given} was; using host credentials file")
    return None
