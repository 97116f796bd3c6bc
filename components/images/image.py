"""A service's image: built on the build host, pushed to the registry, known by its digest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pulumi
import pulumi_docker as docker

from components.build_context import content_tag, source
from components.engine import DockerEngine, RegistryTrust
from components.images.base_images import base_images
from components.registry.mirror import Mirror, tag_on
from configuration.services import BASE_IMAGE_ARGUMENT, BaseImageSettings, BuildSettings


def images_below(build: BuildSettings) -> list[str]:
    """The images of others that a service's builds stand on: its host may have to be given them."""
    steps = [build] if build.base is None else [build.base, build]
    return [image for step in steps for image in _below(step)]


def _below(step: BaseImageSettings) -> list[str]:
    return base_images(Path(step.dockerfile_path), step.args, Path(step.context))


@dataclass(frozen=True, kw_only=True)
class AppImageArgs:
    """What a service's image is made from."""

    engine: DockerEngine
    """The engine that builds it."""
    ready: Sequence[pulumi.Resource]
    """What has to be there before somebody pushes."""
    account: RegistryTrust
    """The registry's address, and the account to push with."""
    build: BuildSettings
    """The app image and, if it has one of its own, the base image below it."""
    platform: str
    """For which platform to build, such as `linux/amd64`."""
    mirror: Mirror | None = None
    """The stack's copies of others' images, if it keeps any."""


class AppImage(pulumi.ComponentResource):
    """An app's image and, where there is one, the base image of its own that it stands on.

    Each has a tag that follows its content, so that changed code leaves the base image alone.
    """

    reference: pulumi.Output[str]
    """The image as the hosts pull it: `host:port/name@sha256:…`. Unknown in a preview that has to build."""
    references: list[pulumi.Output[str]]
    """The same, and the base image of its own that its next build stands on."""

    def __init__(self, name: str, args: AppImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:AppImage", name, None, opts)
        base = args.build.base
        if base is None:
            self.reference = self._image(name, args, _Step.of(name, args.build, args.platform))
            self.references = [self.reference]
        else:
            below = _Step.of(f"{name}-base", base, args.platform)
            reference = self._image(f"{name}-base", args, below)
            # The reference is known once it is pushed; what it stands for, its tag, is known now.
            step = _Step.of(name, args.build, args.platform, {BASE_IMAGE_ARGUMENT: below.tag})
            self.reference = self._image(name, args, step, {BASE_IMAGE_ARGUMENT: reference})
            self.references = [self.reference, reference]
        self.register_outputs({"reference": self.reference})

    def _image(
        self,
        name: str,
        args: AppImageArgs,
        step: "_Step",
        arguments: Mapping[str, pulumi.Input[str]] = MappingProxyType({}),
    ) -> pulumi.Output[str]:
        repository = args.account.repository(name)
        # A base image of its own stands on copies, too.
        below = images_below(args.build) if arguments else _below(step.build)
        copies = args.mirror.below(below) if args.mirror else []
        tag = tag_on(step.tag, copies) if copies else step.tag
        image = docker.Image(
            f"{name}-image",
            image_name=pulumi.Output.concat(repository, ":", tag),
            build=docker.DockerBuildArgs(
                context=step.build.context,
                dockerfile=step.build.dockerfile_path,
                args={**step.arguments, **arguments},
                platform=args.platform,
            ),
            registry=docker.RegistryArgs(
                server=args.account.address, username=args.account.username, password=args.account.password
            ),
            opts=args.engine.runs_here(pulumi.ResourceOptions(parent=self, depends_on=args.ready)),
        )
        # Engines tell images of Docker Hub by shorter names, by which they are nobody's in particular.
        return image.repo_digest.apply(lambda digest: f"{repository}@{digest.partition('@')[2]}")


@dataclass(frozen=True)
class _Step:
    """One build: with which arguments, and under which tag."""

    build: BaseImageSettings
    arguments: dict[str, str]
    tag: str

    @classmethod
    def of(
        cls,
        name: str,
        build: BaseImageSettings,
        platform: str,
        below: Mapping[str, str] = MappingProxyType({}),
    ) -> "_Step":
        """A tag stands for one image for good, so it follows all that is in it: labels and what is below, too."""
        origin = source(Path(build.context), Path.cwd())
        arguments = {**build.args, "TITLE": name, "REVISION": origin.revision, "SOURCE": origin.url}
        content = {**arguments, **below, "TARGETPLATFORM": platform}
        return cls(build, arguments, content_tag(Path(build.context), Path(build.dockerfile_path), content))
