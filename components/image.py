"""A service's image: built on the build host, pushed to the registry, known by its digest."""

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker

from components.base_images import base_images
from components.content import content_tag, source
from components.engine import DockerEngine, RegistryTrust
from components.registry import Registry
from settings import BASE_IMAGE_ARGUMENT, BaseImageSettings, BuildSettings


def images_below(build: BuildSettings) -> list[str]:
    """The images of others that a service's builds stand on: its host may have to be given them."""
    steps = [build] if build.base is None else [build.base, build]
    return [image for step in steps for image in base_images(Path(step.dockerfile_path), step.args)]


@dataclass(frozen=True, kw_only=True)
class AppImageArgs:
    """What a service's image is made from."""

    engine: DockerEngine
    """The engine that builds it."""
    registry: Registry
    """The registry that keeps it."""
    account: RegistryTrust
    """The registry's address, and the account to push with."""
    build: BuildSettings
    """The app image and, if it has one of its own, the base image below it."""
    platform: str
    """For which platform to build, such as `linux/amd64`."""


class AppImage(pulumi.ComponentResource):
    """An app's image and, where there is one, the base image of its own that it stands on.

    Each has a tag that follows its content, so that changed code leaves the base image alone.
    """

    reference: pulumi.Output[str]
    """The image as the hosts pull it: `host:port/name@sha256:…`. Unknown in a preview that has to build."""

    def __init__(self, name: str, args: AppImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:AppImage", name, None, opts)
        arguments: dict[str, pulumi.Input[str]] = {}
        below: dict[str, str] = {}
        if args.build.base is not None:
            base = self._image(f"{name}-base", args, args.build.base, {}, {})
            arguments[BASE_IMAGE_ARGUMENT] = base.repo_digest
            # The reference is not known before it is pushed; its content is.
            below[BASE_IMAGE_ARGUMENT] = self._tag(args.build.base, {}, args.platform)
        self.reference = self._image(name, args, args.build, arguments, below).repo_digest
        self.register_outputs({"reference": self.reference})

    @staticmethod
    def _tag(build: BaseImageSettings, below: dict[str, str], platform: str) -> str:
        return content_tag(
            Path(build.context),
            Path(build.dockerfile_path),
            {**build.args, **below, "TARGETPLATFORM": platform},
        )

    def _image(
        self,
        name: str,
        args: AppImageArgs,
        build: BaseImageSettings,
        arguments: dict[str, pulumi.Input[str]],
        below: dict[str, str],
    ) -> docker.Image:
        origin = source(Path(build.context))
        labels = {"TITLE": name, "REVISION": origin.revision, "SOURCE": origin.url}
        return docker.Image(
            f"{name}-image",
            image_name=f"{args.account.address}/{name}:{self._tag(build, below, args.platform)}",
            build=docker.DockerBuildArgs(
                context=build.context,
                dockerfile=build.dockerfile_path,
                args={**build.args, **labels, **arguments},
                platform=args.platform,
            ),
            registry=docker.RegistryArgs(
                server=args.account.address, username=args.account.username, password=args.account.password
            ),
            opts=args.engine.runs_here(pulumi.ResourceOptions(parent=self, depends_on=args.registry.ready)),
        )
