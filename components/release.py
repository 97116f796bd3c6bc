"""A service's release command: it runs once a version, on one host, before anything of that version serves."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.containers import PLENTY_OF_PROCESSES
from components.host import Host
from components.service_files import ServiceFiles
from components.versions import secret_hashes
from configuration.services import ServiceSettings
from configuration.settings import StackSettings
from well_known import SWITCH_SCRIPT_PATH


@dataclass(frozen=True, kw_only=True)
class ReleaseCommand:
    """What runs before a version serves."""

    words: Sequence[str]
    """The program and its arguments."""
    key: pulumi.Input[str]
    """Another one for each version."""
    timeout_seconds: int
    """Limit for the command."""
    stop_grace_seconds: int
    """How long it may take to end after SIGTERM."""
    runs_again: bool
    """Whether it may run again after it was interrupted."""
    is_known: bool
    """Whether the version has served before, so that the command has run."""
    processes: int
    """Limit of its processes."""

    @classmethod
    def of(
        cls,
        settings: StackSettings,
        name: str,
        reference: pulumi.Input[str],
        key: pulumi.Input[str],
        files: ServiceFiles | None = None,
        *,
        is_known: bool,
    ) -> "ReleaseCommand | None":
        """The release command of a service; None if it has none.

        Args:
            settings: the stack's.
            name: the service's name.
            reference: its image by digest.
            key: a secret of the stack's state, for the hashes of secrets.
            files: what the service has besides its image.
            is_known: whether this update takes the service back to a version that it had.
        """
        service = settings.services[name]
        if service.release is None:
            return None
        names = {*service.secrets, *service.secret_env.values()}
        secrets = {one: settings.secrets[one].get_secret_value() for one in names}
        return cls(
            words=service.release.words,
            key=pulumi.Output.unsecret(
                pulumi.Output.all(reference, key, files.version if files else "").apply(
                    lambda known: version_key(
                        service, known[0], {**secret_hashes(name, secrets, known[1]), "": known[2]}
                    )
                )
            ),
            timeout_seconds=service.release_timeout,
            stop_grace_seconds=service.stop_grace,
            runs_again=service.release_again,
            is_known=is_known,
            processes=service.pids,
        )

    def on(
        self, service: str, host: Host, container: docker.Container, parent: pulumi.Resource
    ) -> command.remote.Command:
        """Run it on a host, in a twin of the service's new container there (scripts/once.sh)."""
        options = [
            *(["again=yes"] if self.runs_again else []),
            *(["known=yes"] if self.is_known else []),
            *([f"pids={self.processes}"] if self.processes != PLENTY_OF_PROCESSES else []),
        ]
        limits = [str(self.timeout_seconds), str(self.stop_grace_seconds)]
        return command.remote.Command(
            f"{service}-release",
            connection=host.ssh,
            create=pulumi.Output.concat(
                host.as_root(f"{shlex.join([SWITCH_SCRIPT_PATH, '--release', service])} "),
                container.name,
                " ",
                self.key,
                " ",
                shlex.join([*limits, *options, "--", *self.words]),
            ),
            add_previous_output_in_env=False,
            opts=host.on_host(pulumi.ResourceOptions(parent=parent)),
        )


def version_key(service: ServiceSettings, reference: str, secrets: Mapping[str, str]) -> str:
    """A word that is another one with another image, command, environment or secret, and with nothing else.

    Args:
        service: the settings.
        reference: the image by digest; which registry has it says nothing.
        secrets: a hash of each secret, and of the files.
    """
    known = [
        reference.rpartition("@")[2],
        service.release and list(service.release.words),
        service.user,
        service.workdir,
        {name: value if isinstance(value, str) else value.secret for name, value in service.env.items()},
        dict(secrets),
    ]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
