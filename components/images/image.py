"""A service's image: built on the build host, pushed to the registry, used by its digest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pulumi
import pulumi_docker as docker

from components.checkout import context_of
from components.engine import DockerEngine
from components.images.first_images import images_below, images_below_step
from components.registry.mirror import Mirror, tag_on
from components.registry.registries import AnyRegistry
from components.registry_access import RegistryAccess
from components.staged_context import StagedContext, stage, sweep
from configuration.resource_names import base_image
from configuration.services import BASE_IMAGE_ARGUMENT, TITLE_ARGUMENT, BaseImageSettings, BuildSettings
from configuration.settings import StackSettings


@dataclass(frozen=True, kw_only=True)
class AppImageArgs:
    """What a service's image is made from."""

    engine: DockerEngine
    """The engine that builds it."""
    ready: Sequence[pulumi.Resource]
    """What a push waits for."""
    access: RegistryAccess
    """The registry, and the account to push with."""
    build: BuildSettings
    """The build of the app image and, if configured, of its own base image."""
    platform: str
    """The platform to build for, such as `linux/amd64`."""
    mirror: Mirror | None = None
    """The stack's mirror of third-party images, if it has one."""
    held: Mapping[str, str] = field(default_factory=dict)
    """The digests of a version at which the service stays, by repository; none to use what is built."""
    builds: bool = True
    """Whether the image is built. A service that stays at a version uses another image than its tree would make."""


class AppImage(pulumi.ComponentResource):
    """An app's image and, if configured, its own base image.

    The tag of each follows its content, so a change of the app's code does not rebuild the base image.
    """

    reference: pulumi.Output[str]
    """The image as the hosts pull it: `host:port/name@sha256:…`. Unknown in a preview that has to build."""
    references: list[pulumi.Output[str]]
    """The image and its own base image, by digest: the next build needs the base image again."""
    tags: dict[str, tuple[pulumi.Input[str], Path]]
    """The tag and the context of the image and of its own base image, by the name of their repository."""
    source: str
    """The content tag of the tree; empty for an image that is not built."""

    def __init__(self, name: str, args: AppImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:AppImage", name, None, opts)
        self.tags = {}
        self.source = ""
        self.references = []
        self._images: list[pulumi.Resource] = []
        if args.builds:
            self._build(name, args)
        if args.held:
            # In the state, what runs the image depends on the one that was built. Of what an update leaves out, Pulumi
            # copies what that depends on as well, and then refuses its registration by the program: that comes first.
            engine = args.engine
            set_up = [engine.setup] if engine.setup else []
            before = [*args.ready, engine.provider, *set_up, *engine.ready, *self._images]
            registered = pulumi.Output.all(*(resource.urn for resource in before))
            self.references = [
                registered.apply(partial(_after, f"{args.access.repository(repository)}@{digest}"))
                for repository, digest in sorted(args.held.items())
            ]
            self.reference = self.references[0]
        self.register_outputs({"reference": self.reference})

    def _build(self, name: str, args: AppImageArgs) -> None:
        base = args.build.base
        if base is None:
            step = _Step.of(name, args.build, args.platform, from_commit=args.build.from_commit)
            self.reference = self._image(name, args, step)
            self.references = [self.reference]
        else:
            below = _Step.of(base_image(name), base, args.platform, from_commit=args.build.from_commit)
            reference = self._image(base_image(name), args, below)
            # The reference of the base image is unknown before its push; its tag names the same content, and is known.
            step = _Step.of(
                name,
                args.build,
                args.platform,
                {BASE_IMAGE_ARGUMENT: below.staged.tag},
                from_commit=args.build.from_commit,
            )
            self.reference = self._image(name, args, step, {BASE_IMAGE_ARGUMENT: reference})
            self.references = [self.reference, reference]
        self.source = step.staged.tag

    def _image(
        self,
        name: str,
        args: AppImageArgs,
        step: "_Step",
        arguments: Mapping[str, pulumi.Input[str]] = MappingProxyType({}),
    ) -> pulumi.Output[str]:
        repository = args.access.repository(name)
        tag: pulumi.Input[str] = step.staged.tag
        if args.mirror:
            # An app image also depends on the mirrored images below its own base image.
            below = (
                images_below(args.build, args.platform)
                if arguments
                else images_below_step(step.build, args.platform)
            )
            if copies := args.mirror.below(below):
                tag = tag_on(step.staged.tag, copies)
        self.tags[name] = (tag, Path(step.build.context))
        image = docker.Image(
            f"{name}-image",
            image_name=pulumi.Output.concat(repository, ":", tag),
            build=docker.DockerBuildArgs(
                context=step.staged.context.as_posix(),
                dockerfile=step.staged.dockerfile.as_posix(),
                args={**step.arguments, **arguments},
                platform=args.platform,
            ),
            registry=docker.RegistryArgs(
                server=args.access.address, username=args.access.username, password=args.access.password
            ),
            opts=args.engine.on_engine(pulumi.ResourceOptions(parent=self, depends_on=args.ready)),
        )
        self._images.append(image)
        # For Docker Hub the engine reports a shortened name; use the full repository name.
        return image.repo_digest.apply(lambda digest: f"{repository}@{digest.partition('@')[2]}")


def _after(reference: str, _: object) -> str:
    return reference


class OthersImage:
    """An image that others made: the stack's registry has a copy, by the digest that it had at its first deployment."""

    reference: pulumi.Output[str]
    """The copy as the hosts pull it."""
    references: list[pulumi.Output[str]]
    """The copy alone."""

    def __init__(self, reference: pulumi.Output[str]) -> None:
        self.reference = reference
        self.references = [reference]


RunImage = AppImage | OthersImage
"""What a service runs."""


@dataclass(frozen=True)
class _Step:
    """One build, its arguments and its files."""

    build: BaseImageSettings
    arguments: dict[str, str]
    staged: StagedContext

    @classmethod
    def of(
        cls,
        name: str,
        build: BaseImageSettings,
        platform: str,
        below: Mapping[str, str] = MappingProxyType({}),
        *,
        from_commit: bool = False,
    ) -> "_Step":
        """A tag must always name the same image, so it also follows the title and the base image."""
        arguments = {**build.args, TITLE_ARGUMENT: name}
        content = {**arguments, **below, "TARGETPLATFORM": platform}
        context = context_of(build, from_commit=from_commit)
        staged = stage(pulumi.get_stack(), name, context, context / build.dockerfile, content)
        return cls(build, arguments, staged)


def source_of(name: str, build: BuildSettings, platform: str) -> str:
    """The content tag of what a service's image would be built from.

    Args:
        name: the service's name.
        build: its build.
        platform: the platform to build for.
    """
    of_step = partial(_Step.of, from_commit=build.from_commit)
    if build.base is None:
        return of_step(name, build, platform).staged.tag
    below = of_step(base_image(name), build.base, platform)
    return of_step(name, build, platform, {BASE_IMAGE_ARGUMENT: below.staged.tag}).staged.tag


class HeldImages(Protocol):
    """The images of a version at which a service stays."""

    @property
    def images(self) -> Mapping[str, str]:
        """Their digests, by repository."""

    @property
    def builds(self) -> bool:
        """Whether the resource of the image that the tree has stays as well."""


def make_images(
    settings: StackSettings,
    engines: Mapping[str, DockerEngine],
    registry: AnyRegistry,
    mirror: Mirror | None,
    held: Mapping[str, HeldImages] = MappingProxyType({}),
) -> dict[str, RunImage]:
    """The image of each service, by the service's name; without a build host, only images of others.

    Args:
        settings: the stack's.
        engines: by host.
        registry: where images are pushed.
        mirror: the copies of third-party images.
        held: the services that stay at a version.

    """
    images: dict[str, RunImage] = {
        name: OthersImage(mirror.references[settings.mirrored_as(service.image)])
        for name, service in settings.services.items()
        if service.image and mirror
    }
    builds = settings.built_services if settings.build_host else {}
    for name, build in builds.items():
        engine = engines[settings.build_host or ""]
        images[name] = AppImage(
            name,
            AppImageArgs(
                engine=engine,
                ready=[*registry.ready, *(mirror.ready if mirror else [])],
                access=registry.access,
                mirror=mirror,
                build=build,
                platform=build.platform or engine.host.platform,
                held=held[name].images if name in held else {},
                builds=held[name].builds if name in held else True,
            ),
        )
    if builds:
        sweep(pulumi.get_stack())
    return {
        name: images[source]
        for name in settings.services
        if (source := settings.image_source(name)) in images
    }
