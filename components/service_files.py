"""The files that a service's containers get besides its image: on their host, and mounted from there."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import script
from components.engine import DockerEngine
from configuration.rendering import RenderedFile, rendered
from configuration.resource_names import container as container_name
from configuration.settings import StackSettings
from well_known import SERVICE_FILES_PATH


@dataclass(frozen=True)
class ServiceFiles:
    """The files of one service."""

    service: str
    """The service's name."""
    files: Sequence[RenderedFile]
    """By path."""
    version: pulumi.Output[str]
    """Another one with any other content, owner or mode."""

    @classmethod
    def of(cls, settings: StackSettings, name: str, key: pulumi.Input[str]) -> "ServiceFiles | None":
        """A service's files; None if it has none.

        Args:
            settings: the stack's.
            name: the service's name.
            key: a secret of the stack's state: nobody can guess a content by its version.
        """
        paths = sorted(settings.services[name].files)
        if not paths:
            return None
        files = [rendered(settings, name, path, Path.cwd(), pulumi.get_stack()) for path in paths]
        version = pulumi.Output.from_input(key).apply(lambda known: version_of(files, known))
        return cls(name, files, pulumi.Output.unsecret(version))

    def bring(self, engine: DockerEngine, parent: pulumi.Resource) -> command.remote.Command:
        """Bring them to a host. Their contents are secret, whatever they are."""
        return script.remote_command(
            f"{container_name(self.service, engine.host.name)}-files",
            engine.host,
            "files.sh",
            {
                "SERVICE": self.service,
                "VERSION": self.version,
                "FILES": pulumi.Output.secret("\n".join(lines(self.files))),
            },
            # The switch removes them with the service.
            pulumi.ResourceOptions(parent=parent, depends_on=engine.ready, retain_on_delete=True),
        )

    @property
    def mounts(self) -> list[docker.ContainerVolumeArgs]:
        """Where containers get them from. Another version makes another container."""
        return [
            docker.ContainerVolumeArgs(
                host_path=pulumi.Output.concat(
                    f"{SERVICE_FILES_PATH}/{self.service}/", self.version, f"/{number}"
                ),
                container_path=file.path,
                read_only=True,
            )
            for number, file in enumerate(self.files)
        ]


def version_of(files: Sequence[RenderedFile], key: str) -> str:
    """A keyed hash of the files."""
    return _keyed([[file.path, _text(file), file.owner, file.mode] for file in files], key)


def hashes(settings: StackSettings, name: str, key: str) -> dict[str, str]:
    """A keyed hash of each of a service's files, for the versions of the service."""
    files = [
        rendered(settings, name, path, Path.cwd(), pulumi.get_stack())
        for path in sorted(settings.services[name].files)
    ]
    return {f"file {file.path}": _keyed([name, file.path, _text(file)], key) for file in files}


def lines(files: Sequence[RenderedFile]) -> list[str]:
    """The files for scripts/files.sh. Their names on the host are numbers, which fit any path."""
    return [f"{number} {file.mode} {file.owner} {_text(file)}" for number, file in enumerate(files)]


def _text(file: RenderedFile) -> str:
    return base64.b64encode(file.content).decode()


def _keyed(value: object, key: str) -> str:
    return hmac.new(key.encode(), json.dumps(value).encode(), hashlib.sha256).hexdigest()[:16]
