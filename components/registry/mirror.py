"""Base images of our own: copies of others' images in the stack's registry, for its builds and its people."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components import script
from components.build_context import TAG_LENGTH
from components.engine import DockerEngine, RegistryTrust
from configuration.image_names import ImageName

COPY_TIMEOUT = "60m"
"""Longest that copying an image with all its platforms may take."""


@dataclass(frozen=True, kw_only=True)
class MirrorArgs:
    """What a mirror is made from."""

    images: Sequence[str]
    """The images, `name:tag` or `name:tag@digest`."""
    engine: DockerEngine
    """The engine whose host copies them, and which then has them under their usual names: the build host's."""
    account: RegistryTrust
    """The registry that keeps the copies, and who to be there."""
    ready: Sequence[pulumi.Resource]
    """What has to be there before somebody pushes."""


class Mirror(pulumi.ComponentResource):
    """Copies of images, each by its digest, which stays until somebody changes what is asked for.

    A tag is looked up once, when its copy is made; the state then knows the digest.
    """

    references: dict[str, pulumi.Output[str]]
    """The copies by digest, `host:port/mirror/debian@sha256:…`, by the images as they were asked for."""
    ready: list[pulumi.Resource]
    """What has to be there before somebody builds on the copies."""

    def __init__(self, name: str, args: MirrorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Mirror", name, None, opts)
        engine, host, account = args.engine, args.engine.host, args.account
        self.references, self._digests = {}, {}
        who = {"REGISTRY": account.address, "ACCOUNT": account.username, "PASSWORD": account.password}
        for image in args.images:
            parts = ImageName.of(image)
            repository = account.repository(parts.copy)
            copy = command.remote.Command(
                f"{name}-{_slug(image)}",
                connection=host.ssh,
                create=host.as_root("bash -s"),
                # Whatever else changes, a copy stays as it is.
                update=host.as_root("bash -s keep"),
                stdin=script.with_values(
                    "mirror.sh",
                    {
                        "IMAGE": image,
                        "SOURCE": parts.source,
                        "COPY": f"{repository}:{parts.tag}",
                        "PLAIN": str(account.insecure).lower(),
                        **who,
                    },
                ),
                triggers=[image, account.address],
                logging=command.remote.Logging.NONE,
                add_previous_output_in_env=False,
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[*engine.ready, *args.ready],
                    # Not replaced with its host: the copy is the registry's, and a tag must not be looked up again.
                    deleted_with=host.ends_with,
                    additional_secret_outputs=["stderr"],
                    custom_timeouts=pulumi.CustomTimeouts(create=COPY_TIMEOUT, update=COPY_TIMEOUT),
                ),
            )
            # Secret goes in, but only a digest comes out.
            digest: pulumi.Output[str] = pulumi.Output.unsecret(copy.stdout).apply(str.strip)
            self.references[image] = pulumi.Output.concat(repository, "@", digest)
            self._digests[parts.tagged] = digest
        lines = pulumi.Output.all(
            *(
                pulumi.Output.concat(reference, " ", image.partition("@")[0])
                for image, reference in self.references.items()
            )
        )
        use = script.on_host(
            f"{host.name}-{name}",
            host,
            "use-mirror.sh",
            {"IMAGES": lines.apply("\n".join), **who},
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[*engine.ready, *args.ready],
                custom_timeouts=pulumi.CustomTimeouts(create=COPY_TIMEOUT, update=COPY_TIMEOUT),
            ),
        )
        self.ready = [use]
        self.register_outputs({"references": self.references})

    def below(self, images: Iterable[str]) -> list[pulumi.Output[str]]:
        """The digests of those of the images that are copies of ours: what stands on them changes with them."""
        names = sorted({ImageName.of(image).tagged for image in images})
        return [self._digests[name] for name in names if name in self._digests]


def is_mirrored(image: str, mirror: Iterable[str]) -> bool:
    """Whether an image, by whatever way its name is written, is one of those that the stack keeps copies of."""
    return ImageName.of(image).tagged in {ImageName.of(one).tagged for one in mirror}


def tag_on(tag: str, digests: Sequence[pulumi.Output[str]]) -> pulumi.Output[str]:
    """The tag of a build that also stands on copies: another one for other copies."""
    return pulumi.Output.all(*digests).apply(
        lambda known: hashlib.sha256("\0".join([tag, *known]).encode()).hexdigest()[:TAG_LENGTH]
    )


def _slug(image: str) -> str:
    """A resource's name for an image, without its digest: that the digest changes is a change of the same copy."""
    return re.sub(r"[^A-Za-z0-9]+", "-", image.partition("@")[0])
