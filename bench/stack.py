"""What is measured: a stack in a temporary clone, a plain script on the same hosts, and an empty program."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

import child_environment
from bench.measure import BenchError, run
from well_known import PROXY_CONTAINER, STACK_LABEL

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = "bench"
PORT_OFFSET = 600
"""Separates the hosts' ports from those of a developer's stack."""
PLAIN_DOMAIN = "plain.test"
"""The domain of the plain script's service. Slipway's service is behind the same proxies."""
FOREIGN = re.compile(r"^(PYTHON|PULUMI_|DOCKER_|SLIPWAY_(?!CACHE|PYTHON)|VIRTUAL_ENV|MAKE|MFLAGS)")
"""The operator's variables that would change the measurement."""
CERTIFICATES = "slipway:certificates"
EMPTY_PROGRAM = '"""A Pulumi program that does nothing."""\n\nimport pulumi\n'


@dataclass(frozen=True)
class Stack:
    """The stack `bench` of a clone."""

    root: Path
    """The clone."""
    folder: Path
    """The directory of everything else: the empty program, the docker command's settings."""

    @cached_property
    def environment(self) -> dict[str, str]:
        """The operator's environment, without a Pulumi login."""
        own = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        credentials = self.folder / "credentials"
        credentials.mkdir(exist_ok=True)
        # Without PULUMI_DEBUG_COMMANDS, the CLI has no option --event-log.
        return own | {"PULUMI_CREDENTIALS_PATH": str(credentials), "PULUMI_DEBUG_COMMANDS": "true"}

    @cached_property
    def pulumi_environment(self) -> dict[str, str]:
        """The environment for plain `pulumi`, as `eval "$(./slip env)"` sets it."""
        line = f'eval "$(./slip env --stack {NAME})" && env --null'
        listed = _read(["bash", "-c", line], self.root, self.environment)
        return dict(entry.split("=", 1) for entry in listed.split("\0") if "=" in entry)

    # ------------------------------------------------------------------------------------ commands

    def configure(
        self,
        app_hosts: int,
        parallel: str = "",
        more: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """Write the stack's configuration: the default stack `local`, with this number of app hosts.

        Args:
            app_hosts: how many.
            parallel: how many hosts get a version at the same time, as `rollout.parallel` has it; by default, one.
            more: services beside `web`, with their settings, by name.
        """
        template = yaml.safe_load((self.root / "cli/stack/local-stack.yaml").read_text())
        settings = template["config"]
        settings["slipway:platform"]["portOffset"] = PORT_OFFSET
        hosts = {name: host for name, host in settings["slipway:hosts"].items() if host["roles"] != ["app"]}
        for number in range(1, app_hosts + 1):
            hosts[f"web-{number}"] = {"roles": ["app"]}
        settings["slipway:hosts"] = hosts
        if parallel:
            settings["slipway:services"]["web"]["rollout"] = {"parallel": parallel}
        settings["slipway:services"] |= {name: dict(service) for name, service in more.items()}
        if self.is_configured:
            # Hosts cannot go back to an authority that a rotation has dropped.
            before = yaml.safe_load(self._config_file.read_text())["config"]
            settings |= {key: value for key, value in before.items() if key == CERTIFICATES}
        self._config_file.write_text(yaml.safe_dump(template, sort_keys=False))

    def set_registry_ca(self, generation: int) -> None:
        """Ask for another generation of the registry's certificate authority. The next `up` begins the rotation."""
        content = yaml.safe_load(self._config_file.read_text())
        content["config"][CERTIFICATES] = {"registryCaGeneration": generation}
        self._config_file.write_text(yaml.safe_dump(content, sort_keys=False))

    @property
    def is_configured(self) -> bool:
        """Whether the stack has a configuration, and so may have resources."""
        return self._config_file.exists()

    @property
    def _config_file(self) -> Path:
        return self.root / f"Pulumi.{NAME}.yaml"

    def slip(
        self,
        *arguments: str,
        started: Callable[[int], None] = lambda _: None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> float:
        """Run a command of `./slip` on the stack, with more variables. Returns the seconds that it took."""
        command = ["./slip", arguments[0], "--stack", NAME, *arguments[1:]]
        return run(command, self.root, {**self.environment, **more}, started)

    def version(self, service: str) -> int:
        """The number of a service's current version."""
        return int(self.outputs["versions"][service]["current"])

    def slip_up(self, started: Callable[[int], None] = lambda _: None) -> float:
        """Run `./slip up`. Returns the seconds that it took."""
        return self.slip("up", started=started)

    def pulumi_up(
        self,
        *options: str,
        started: Callable[[int], None] = lambda _: None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> float:
        """Run plain `pulumi up` of the same stack, with more variables. Returns the seconds that it took."""
        command = ["pulumi", "up", "--stack", NAME, "--yes", "--skip-preview", *options]
        return run(command, self.root, {**self.pulumi_environment, **more}, started)

    def down(self) -> float:
        """Remove the stack and its data. Returns the seconds that it took."""
        return self.slip("down", "--purge", "--yes")

    # ------------------------------------------------------------------------------------ the app

    def change_code(self, greeting: str) -> None:
        """Change one line of the sample app."""
        path = self.root / "app/config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps(config | {"greeting": greeting}, indent=2) + "\n")

    def urls(self, service: str = "web") -> list[str]:
        """The URL on each host of a service, by address: no name server knows the domains."""
        return [f"http://{endpoint}/" for endpoint in self.outputs["serviceEndpoints"][service]]

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets included."""
        command = ["./slip", "output", "--stack", NAME, "--json", "--show-secrets"]
        outputs: dict[str, Any] = json.loads(_read(command, self.root, self.environment))
        return outputs


@dataclass(frozen=True)
class PlainScript:
    """`plain.sh`, set up for a stack's hosts."""

    stack: Stack
    environment: dict[str, str]

    @classmethod
    def of(cls, stack: Stack) -> "PlainScript":
        """Make a docker context for each host and log in to the registry, which is done once."""
        outputs = stack.outputs
        folder = stack.folder / "plain"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        environment = stack.environment | {"DOCKER_CONFIG": str(folder)}

        def docker(*arguments: str, stdin: str = "") -> str:
            return _read(["docker", *arguments], stack.root, environment, stdin).strip()

        options = []
        for option, key in (("ca", "CaCertificate"), ("cert", "ClientCertificate"), ("key", "ClientKey")):
            file = folder / f"{option}.pem"
            file.touch(mode=0o600)
            file.write_text(outputs[f"engine{key}"])
            options.append(f"{option}={file}")
        for host, endpoint in outputs["engineEndpoints"].items():
            docker("context", "create", host, "--docker", ",".join([f"host={endpoint}", *options]))
        roles = {host: facts["roles"] for host, facts in outputs["hosts"].items()}
        build_host = next(host for host in roles if "build" in roles[host])
        registry, account = outputs["registryAddress"], outputs["registryAccounts"][0]
        docker(
            *("--context", build_host, "login", registry, "--username", account, "--password-stdin"),
            stdin=outputs["registryPasswords"][account],
        )
        networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}"
        pairs = [
            f"{host}={docker('--context', host, 'inspect', '--format', networks, PROXY_CONTAINER)}"
            for host in roles
            if "app" in roles[host]
        ]
        tagged = docker(
            "--context", build_host, "images", "--format", "{{.Repository}}:{{.Tag}}", f"{registry}/web-base"
        )
        return cls(
            stack,
            environment
            | {
                "CONTEXT": "app",
                "BASE_IMAGE": tagged.splitlines()[0],
                "REGISTRY": registry,
                "BUILD_HOST": build_host,
                "APP_HOSTS": " ".join(pairs),
                "DOMAIN": PLAIN_DOMAIN,
                "PREFIX": f"slipway-{NAME}-",
            },
        )

    def up(self) -> float:
        """Roll out the current code. Returns the seconds that it took."""
        return self._run({})

    def roll_back(self, reference: str) -> float:
        """Roll out an image that the hosts have. Returns the seconds that it took."""
        return self._run({"REFERENCE": reference})

    def _run(self, more: dict[str, str]) -> float:
        return run([str(Path(__file__).with_name("plain.sh"))], self.stack.root, self.environment | more)

    def reference(self) -> str:
        """The image that the first host runs, by digest."""
        host = self.environment["APP_HOSTS"].partition("=")[0]
        label = "label=bench.service=plain"
        command = [
            "docker",
            "--context",
            host,
            "ps",
            "--no-trunc",
            "--filter",
            label,
            "--format",
            "{{.Image}}",
        ]
        return _read(command, self.stack.root, self.environment).strip()


@dataclass(frozen=True)
class EmptyProgram:
    """A Pulumi program that does nothing, with the stack's own CLI, interpreter, packages and backend."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def of(cls, stack: Stack) -> "EmptyProgram":
        """Make the program and run it once."""
        folder = stack.folder / "empty"
        if not folder.exists():
            folder.mkdir()
            (folder / "Pulumi.yaml").write_text("name: empty\nruntime:\n  name: python\n")
            (folder / "__main__.py").write_text(EMPTY_PROGRAM)
            run(["pulumi", "stack", "init", NAME], folder, stack.pulumi_environment)
        program = cls(folder, stack.pulumi_environment)
        program.up()
        return program

    def up(self, started: Callable[[int], None] = lambda _: None) -> float:
        """Run `pulumi up`. Returns the seconds that it took."""
        command = ["pulumi", "up", "--stack", NAME, "--yes", "--skip-preview"]
        return run(command, self.folder, self.environment, started)


@contextmanager
def prepared() -> Iterator[Stack]:
    """A stack in a copy of the working tree. It is removed at the end, also after a failure."""
    with _alone(), tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        root = Path(folder) / "clone"
        _clone(root)
        stack = Stack(root, Path(folder))
        _remove_traces()
        try:
            yield stack
        finally:
            try:
                if stack.is_configured:
                    stack.down()
            finally:
                _remove_traces()


@contextmanager
def _alone() -> Iterator[None]:
    """Hold this machine's lock: two runs at once would disturb each other's times, and use the same stack's name."""
    path = Path(tempfile.gettempdir()) / f"slipway-bench-{os.getuid()}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError(
                f"another run uses this machine (it holds the lock {path}); wait for it to end"
            ) from None
        yield


def _remove_traces() -> None:
    """Remove what a killed run left on the engine. Its clone is gone, and the stack's state with it."""
    label = f"label={STACK_LABEL}={NAME}"
    for kind, every in (("container", ["--all"]), ("network", []), ("volume", [])):
        listed = _read(
            ["docker", kind, "ls", *every, "--quiet", "--filter", label],
            REPOSITORY,
            child_environment.of("docker"),
        )
        if names := listed.split():
            force = ["--force"] if kind == "container" else []
            _read(["docker", kind, "rm", *force, *names], REPOSITORY, child_environment.of("docker"))


def _clone(root: Path) -> None:
    """Copy the files that git tracks or would add, and commit them, so that git sees the first change."""
    listed = _read(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        REPOSITORY,
        child_environment.of("git"),
    )
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name, follow_symlinks=False)
    author = ["-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "As it is"]):
        _read(["git", *author, *command], root, child_environment.of("git"))


def _read(command: list[str], folder: Path, environment: dict[str, str], stdin: str = "") -> str:
    """A command's standard output. It may be secret, so errors do not contain it."""
    result = subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BenchError(f"{' '.join(command)} ended with status {result.returncode}:\n{result.stderr}")
    return result.stdout
