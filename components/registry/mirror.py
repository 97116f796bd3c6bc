"""The mirror: copies of third-party images in the stack's registry, for its builds and its people."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_command as command

from components import script
from components.build_context import TAG_LENGTH
from components.engine import DockerEngine
from components.registry.registries import AnyRegistry
from components.registry_access import RegistryAccess
from configuration.image_names import ImageName
from configuration.settings import StackSettings

COPY_TIMEOUT = "60m"
"""Limit for copying an image with all its platforms."""


@dataclass(frozen=True, kw_only=True)
class MirrorArgs:
    """What a mirror is made from."""

    images: Sequence[str]
    """The images, `name:tag` or `name:tag@digest`."""
    engine: DockerEngine
    """The build host's engine. The host copies the images, and its engine gets them under their usual names."""
    access: RegistryAccess
    """The registry that keeps the copies, and the account to push with."""
    ready: Sequence[pulumi.Resource]
    """What a push waits for."""
    logins: Callable[[Collection[str]], str] = lambda _: ""
    """The accounts at these registries, as Docker's config.json; empty if none of them has one."""
    before: Mapping[str, str]
    """The copies by digest, by image name, as the last successful update left them."""


class Mirror(pulumi.ComponentResource):
    """Copies of images, each by its digest, which stays the same until the setting of that image changes.

    A tag is resolved once, when its copy is made; then the digest is in the stack's outputs. The registry is never
    asked what a copy's tag names, since whoever may push could have moved it.
    """

    references: dict[str, pulumi.Output[str]]
    """The copies, `host:port/mirror/debian@sha256:…`, by image name as configured."""
    ready: list[pulumi.Resource]
    """What builds on the copies wait for."""

    def __init__(self, name: str, args: MirrorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Mirror", name, None, opts)
        engine, host, access = args.engine, args.engine.host, args.access
        self.references, self._digests = {}, {}
        lines: list[pulumi.Output[str]] = []
        login = {
            "REGISTRY": access.address,
            "PLAIN": str(access.insecure).lower(),
            "ACCOUNT": access.username,
            "PASSWORD": access.password,
        }
        for image in args.images:
            parts = ImageName.of(image)
            repository = access.repository(parts.copy)
            logins = args.logins([parts.registry])
            copy = command.remote.Command(
                f"{name}-{_slug(image)}",
                connection=host.ssh,
                create=host.as_root("bash -s"),
                # An update for any other reason prints nothing, and keeps the copy.
                update=host.as_root("bash -s keep"),
                stdin=script.with_values(
                    "mirror-account.sh" if logins else "mirror.sh",
                    {
                        "IMAGE": image,
                        "SOURCE": parts.source,
                        "COPY": f"{repository}:{parts.tag}",
                        **login,
                        **({"SOURCE_LOGINS": logins} if logins else {}),
                    },
                ),
                triggers=[image, access.address],
                logging=command.remote.Logging.NONE,
                add_previous_output_in_env=False,
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[*engine.ready, *args.ready],
                    # Not replaced with its host: the copy is in the registry, and its tag must not be resolved again.
                    deleted_with=host.deleted_with,
                    additional_secret_outputs=["stderr"],
                    custom_timeouts=pulumi.CustomTimeouts(create=COPY_TIMEOUT, update=COPY_TIMEOUT),
                ),
            )
            # The input is secret; the output is a digest, which is not.
            digest: pulumi.Output[str] = pulumi.Output.unsecret(copy.stdout).apply(
                partial(digest_of_copy, before=args.before.get(image, ""))
            )
            self.references[image] = pulumi.Output.concat(repository, "@", digest)
            self._digests[parts.tagged] = digest
            source = f"{parts.registry}/{parts.repository}"
            lines.append(
                pulumi.Output.concat(f"{repository} {parts.tag} {source} {image.partition('@')[0]} ", digest)
            )
        logins = args.logins([ImageName.of(image).registry for image in args.images])
        use = script.remote_command(
            f"{host.name}-{name}",
            host,
            "use-mirror-accounts.sh" if logins else "use-mirror.sh",
            {
                "COPIES": pulumi.Output.all(*lines).apply("\n".join),
                **login,
                **({"SOURCE_LOGINS": logins} if logins else {}),
            },
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[*engine.ready, *args.ready],
                custom_timeouts=pulumi.CustomTimeouts(create=COPY_TIMEOUT, update=COPY_TIMEOUT),
            ),
        )
        self.ready = [use]
        self.register_outputs({"references": self.references})

    def below(self, images: Iterable[str]) -> list[pulumi.Output[str]]:
        """The digests of the mirrored ones among these images, for the tags of builds that start from them."""
        names = sorted({ImageName.of(image).tagged for image in images})
        return [self._digests[name] for name in names if name in self._digests]


def make_mirror(
    settings: StackSettings,
    engines: Mapping[str, DockerEngine],
    registry: AnyRegistry,
    previous_outputs: Mapping[str, object],
) -> Mirror | None:
    """The stack's mirror; None if neither the settings name images for it nor a service runs one of others."""
    if not settings.mirrored_images:
        return None
    before = previous_outputs.get("mirror")
    mirror = Mirror(
        "mirror",
        MirrorArgs(
            images=settings.mirrored_images,
            engine=engines[settings.copying_host],
            access=registry.access,
            ready=registry.ready,
            logins=settings.source_logins,
            before=before if isinstance(before, Mapping) else {},
        ),
    )
    if registry.markers:
        registry.markers.deployed("mirror", list(mirror.references.values()), mirror)
    return mirror


def digest_of_copy(printed: str, before: str) -> str:
    """The digest of a copy.

    Args:
        printed: what the command printed that makes copies. It prints nothing when it is run again.
        before: the copy by digest as the last successful update left it, or empty.
    """
    return printed.strip() or before.partition("@")[2]


def tag_on(tag: str, digests: Sequence[pulumi.Output[str]]) -> pulumi.Output[str]:
    """The tag of a build that starts from mirrored images: it changes with their digests."""
    return pulumi.Output.all(*digests).apply(
        lambda known: hashlib.sha256("\0".join([tag, *known]).encode()).hexdigest()[:TAG_LENGTH]
    )


def _slug(image: str) -> str:
    """The resource name of an image, without its digest: another digest updates the same resource."""
    return re.sub(r"[^A-Za-z0-9]+", "-", image.partition("@")[0])
