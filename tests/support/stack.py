"""A stack of a clone: `./slip` commands on it, its configuration and state, and what the engine has of it."""

import contextlib
import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cli.stack.backend import Backend
from cli.stack.decryption import decrypted
from cli.stack.deployment import outputs_with_secrets
from tests.support.clone import Clone
from tests.support.command import Command, Result
from tests.support.docker_command import docker
from tests.support.registry import Registry
from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Stack:
    """A stack of a clone, as its users see it."""

    clone: Clone
    name: str
    _read: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict, init=False, repr=False)
    """The outputs, with the value of `clone.commands` at that time."""

    @property
    def config_file(self) -> Path:
        """The stack's configuration."""
        return self.clone.root / f"Pulumi.{self.name}.yaml"

    def write_config(self, settings: dict[str, Any]) -> None:
        """Write a new configuration, as a user would before the first `up`."""
        content = {"config": {f"slipway:{key}": value for key, value in settings.items()}}
        self.config_file.write_text(yaml.safe_dump(content, sort_keys=False))

    def configure(self, settings: dict[str, Any]) -> None:
        """Replace these settings for good. What `slip` has added to the configuration stays."""
        content = yaml.safe_load(self.config_file.read_text())
        content["config"] |= {f"slipway:{key}": value for key, value in settings.items()}
        self.config_file.write_text(yaml.safe_dump(content, sort_keys=False))

    @contextlib.contextmanager
    def configured(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Change the configuration for a while; `change` gets what is below `config`, without `slipway:`."""
        before = self.config_file.read_text()
        content = yaml.safe_load(before)
        settings = {
            key.removeprefix("slipway:"): copy.deepcopy(value) for key, value in content["config"].items()
        }
        change(settings)
        content["config"] = {f"slipway:{key}": value for key, value in settings.items()}
        self.config_file.write_text(yaml.safe_dump(content, sort_keys=False))
        try:
            yield
        finally:
            self.config_file.write_text(before)

    def start_slip(self, command: str, *options: str) -> Command:
        """Start a command of `./slip` on this stack."""
        log: tuple[str, ...] = ()
        if command in {"up", "preview", "down", "rollback", "restart", "renew"}:
            log = ("--event-log", "{events}") if "--" in options else ("--", "--event-log", "{events}")
        return self.clone.start("./slip", command, "--stack", self.name, *options, *log)

    def slip(self, command: str, *options: str, seconds: float = PATIENCE) -> Result:
        """Run a command of `./slip` on this stack, which may fail."""
        return self.start_slip(command, *options).wait(seconds)

    def up(self, *options: str, seconds: float = PATIENCE) -> Result:
        """`./slip up --yes`, which must succeed. Without --yes it would ask before it removes anything."""
        result = self.slip("up", "--yes", *options, seconds=seconds)
        assert result.status == 0, str(result)
        return result

    def set_secret(self, name: str, value: str) -> None:
        """Set a secret of the configuration, in no argument of a command."""
        self.clone.read("./slip", "secret", "set", name, "--stack", self.name, given=value)

    def in_prepared_shell(self, line: str) -> tuple[str, ...]:
        """The command for a shell line with plain `pulumi`, after `eval "$(./slip env)"`."""
        return ("bash", "-c", f'eval "$(./slip env --stack {self.name})" && {line}')

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in clear text. They are read again only after another command."""
        number, outputs = self._read.get("outputs", (-1, {}))
        if number != self.clone.commands:
            outputs = outputs_with_secrets(self.state_with_secrets())
            self._read["outputs"] = (self.clone.commands, outputs)
        return outputs

    @property
    def _state_of(self) -> tuple[Path, str]:
        """The folder of the backend that has the state, and the stack's name there."""
        return self.clone.root / ".slipway/state", self.name

    @property
    def state_file(self) -> Path:
        """The backend's file with the state."""
        folder, name = self._state_of
        path = Backend.in_directory(folder).state_file("slipway", name)
        assert path, f"{folder} has no state of {name}"
        return path

    def state(self) -> dict[str, Any]:
        """The state with encrypted secrets, from the backend's file: every start of the CLI takes half a second."""
        folder, name = self._state_of
        state = Backend.in_directory(folder).deployment("slipway", name)
        assert state, f"{folder} has no state of {name}"
        return state

    def state_with_secrets(self) -> dict[str, Any]:
        """The state with secrets in clear text, which must not be printed."""
        phrase = (self.clone.root / ".slipway/passphrase").read_text().strip()
        state = decrypted(self.state(), phrase, self.clone.home / "keys" / self.name)
        assert state, "the clone's passphrase does not decrypt the state"
        return state

    def export(self, *options: str) -> str:
        """The state, as `pulumi stack export` prints it."""
        line = f"pulumi stack export --stack {self._state_of[1]} {' '.join(options)}"
        return self.clone.read(*self.in_prepared_shell(line))

    def resources(self) -> dict[str, dict[str, Any]]:
        """The state's resources by URN, without those that wait for their deletion.

        Ciphertexts are masked, since every update encrypts the secrets anew.
        """
        found = json.loads(json.dumps(self.state()), object_hook=_without_ciphertext)["resources"]
        return {resource["urn"]: resource for resource in found if not resource.get("delete")}

    def registry(self) -> Registry:
        """The stack's registry, for one of its accounts."""
        return Registry.of(self.outputs())

    def urls(self, service: str = "web") -> list[str]:
        """The URLs of a service's hosts, in the order of its roll-out. No name server knows its domain."""
        outputs = self.outputs()
        # Stacks of an older version have no such output.
        endpoints = outputs.get("serviceEndpoints")
        if not endpoints:
            return list(outputs["serviceUrls"][service])
        scheme = "https" if service in outputs.get("serviceTls", ()) else "http"
        return [f"{scheme}://{one}/" for one in endpoints[service]]

    def container(self, host: str) -> str:
        """The name of the container that is a host."""
        return f"slipway-{self.name}-{host}"

    def on_host(self, host: str, *arguments: str) -> str:
        """The standard output of a command inside a host."""
        return docker("exec", self.container(host), *arguments)

    def published(self, host: str) -> list[str]:
        """The addresses, `address:port`, at which a host answers on this machine."""
        return re.findall(r"-> (\S+)$", docker("port", self.container(host)), re.MULTILINE)

    def app_containers(self, host: str, *, all_: bool = False, service: str = "web") -> list[str]:
        """The names of a service's containers on a host: the running ones, or all of them."""
        listed = self.on_host(
            host,
            *("docker", "ps", *(["--all"] if all_ else [])),
            *("--filter", f"label=slipway.service={service}", "--format", "{{.Names}}"),
        )
        return listed.split()

    def volumes(self) -> list[str]:
        """The names of the stack's volumes on the operator's engine."""
        label = f"label=slipway.stack={self.name}"
        return docker("volume", "ls", "--format", "{{.Name}}", "--filter", label).split()

    def is_there(self) -> bool:
        """Whether the operator's engine has anything of this stack."""
        return any(self.traces().values())

    def traces(self) -> dict[str, list[str]]:
        """The stack's containers, networks and volumes on the operator's engine, by kind."""
        label = f"label=slipway.stack={self.name}"
        return {
            "container": docker("ps", "--all", "--quiet", "--filter", label).split(),
            "network": docker("network", "ls", "--quiet", "--filter", label).split(),
            "volume": docker("volume", "ls", "--quiet", "--filter", label).split(),
        }

    def remove_traces(self) -> None:
        """Remove the stack's containers, networks and volumes without Pulumi. No other stack has this name."""
        for kind, names in self.traces().items():
            if names:
                options = ["--force"] if kind in {"container", "volume"} else []
                docker(kind, "rm", *options, *names)

    def forget(self) -> None:
        """Remove the stack, its configuration and its state without Pulumi: no command knows of it afterwards.

        `down` takes ten times as long. It ends the stacks that show what it does.
        """
        self.remove_traces()
        self.config_file.unlink(missing_ok=True)
        backend = self.clone.root / ".slipway/state/.pulumi"
        for path in (backend / "stacks/slipway").glob(f"{self.name}.json*"):
            path.unlink()
        for path in (self.clone.root / ".slipway/running").glob(f"{self.name}.*"):
            path.unlink()
        for folder in ("history", "backups", "locks/organization"):
            shutil.rmtree(backend / folder / "slipway" / self.name, ignore_errors=True)

    def take_down(self) -> None:
        """Remove the stack as a user would, and fail if that leaves anything; remove that too."""
        try:
            result = self.slip("down", "--purge", "--yes")
            left = {kind: names for kind, names in self.traces().items() if names}
        finally:
            self.remove_traces()
        assert result.status == 0, str(result)
        assert not left, f"`down --purge` left {left}"


def _without_ciphertext(value: dict[str, Any]) -> dict[str, Any]:
    return value | {"ciphertext": "…"} if "ciphertext" in value else value
