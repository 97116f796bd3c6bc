"""Drives Slipway as a user does: a clone in a folder of its own, `./slip` in it, and Docker to look behind it."""

import contextlib
import copy
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.command import Command, Result
from tests.e2e.registry import Registry

REPOSITORY = Path(__file__).parents[2]
VERSION = "version"
"""The tag of the commit that holds the tree of which a clone was made."""
PATIENCE = 180.0
"""Seconds that a command may take once the tools are in place."""
FOREIGN = re.compile(r"^(PYTHON|PULUMI_|SLIPWAY_(?!CACHE|PYTHON)|VIRTUAL_ENV|MAKE|MFLAGS|PYTEST_)")
"""Variables that belong to whoever runs these tests, not to the user who is played here."""


def docker(*arguments: str, check: bool = True) -> str:
    """What the docker command says, on the operator's own engine."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 or not check, f"docker {' '.join(arguments)}: {result.stderr}"
    return result.stdout.strip()


def _copy_working_tree(folder: Path) -> set[str]:
    """Copy the working tree as it is, uncommitted changes included. Returns the names of its files.

    A file that has the same content already stays, with its mode, as git leaves it: images depend on modes too.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()}
    for name in names:
        source, target = REPOSITORY / name, folder / name
        if not (target.is_file() and _as_git_sees(source) == _as_git_sees(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return names


def _as_git_sees(path: Path) -> tuple[bool, bool, bytes]:
    """What git records of a file: whether it is a link, whether it can be run, and its content."""
    return path.is_symlink(), os.access(path, os.X_OK), path.read_bytes()


def _without_ciphertext(value: dict[str, Any]) -> dict[str, Any]:
    return value | {"ciphertext": "…"} if "ciphertext" in value else value


def eventually(what: str, holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds; errors of the network count as "not yet"."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if holds():
                return
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


@dataclass(frozen=True)
class Clone:
    """A clone of the working tree as it is, uncommitted changes included, with a clean git status."""

    root: Path
    home: Path
    """An empty folder for Pulumi's credentials: a login of whoever runs these tests must not be used."""
    said: list[str] = field(default_factory=list)
    """All that commands printed in this clone."""

    @classmethod
    def make(cls, folder: Path, commit: str = "") -> "Clone":
        """Copy what git knows or would add, or the tree of an older commit, and commit it."""
        root, home = folder / "clone", folder / "credentials"
        home.mkdir(parents=True)
        root.mkdir()
        if commit:
            archive = subprocess.run(
                ["git", "-c", "tar.umask=user", "archive", commit],
                cwd=REPOSITORY,
                capture_output=True,
                check=True,
            ).stdout
            subprocess.run(["tar", "--extract"], cwd=root, input=archive, check=True)
        else:
            _copy_working_tree(root)
        clone = cls(root, home)
        clone.git("init", "--quiet")
        # A user's `local` stack is left alone by git in the same way.
        with (root / ".git/info/exclude").open("a") as exclude:
            exclude.write("Pulumi.e2e*.yaml\n")
        clone.commit("The tree as it is")
        clone.git("tag", VERSION)
        return clone

    def upgrade(self) -> None:
        """Replace the tree that the clone was made of with the working tree, as a user's `git pull` does.

        What git does not know stays, and so does what the user has committed.
        """
        before = set(filter(None, self.git("ls-tree", "-r", "-z", "--name-only", VERSION).split("\0")))
        for name in before - _copy_working_tree(self.root):
            (self.root / name).unlink()
        self.commit("The new version")

    @cached_property
    def environment(self) -> dict[str, str]:
        """What commands run with: a plain login of the user's, with Pulumi's event log as the one extra."""
        own = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        return own | {"PULUMI_CREDENTIALS_PATH": str(self.home), "PULUMI_DEBUG_COMMANDS": "true"}

    def git(self, *arguments: str) -> str:
        """What git says in the clone."""
        author = ("-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "-c", "commit.gpgsign=false")
        result = subprocess.run(
            ["git", *author, *arguments], cwd=self.root, capture_output=True, text=True, timeout=60
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def commit(self, message: str) -> None:
        """Commit all that has changed."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def start(self, *arguments: str) -> Command:
        """Start a command in the clone."""
        return Command(arguments, self.root, self.environment, self.said)

    def read(self, *arguments: str) -> str:
        """What a command prints on standard output; it is not kept, so it may be secret."""
        result = subprocess.run(
            arguments, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert result.returncode == 0, f"{arguments}: {result.stderr}"
        return result.stdout

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of the clone."""
        path = self.root / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))

    def greet(self, greeting: str) -> str:
        """Give the sample app a new greeting, committed, and return the old one."""
        path = self.root / "app/config.json"
        config = json.loads(path.read_text())
        before: str = config["greeting"]
        path.write_text(json.dumps(config | {"greeting": greeting}, indent=2) + "\n")
        self.commit(greeting)
        return before

    @contextlib.contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """Change a file of the clone for a while."""
        before = (self.root / name).read_bytes()
        self.edit(name, old, new)
        try:
            yield
        finally:
            (self.root / name).write_bytes(before)


@dataclass(frozen=True)
class Stack:
    """A stack of a clone, by the words of its users."""

    clone: Clone
    name: str

    @property
    def config_file(self) -> Path:
        """Its configuration."""
        return self.clone.root / f"Pulumi.{self.name}.yaml"

    def write_config(self, settings: dict[str, Any]) -> None:
        """Write a new configuration, as a user would before the first `up`."""
        content = {"config": {f"slipway:{key}": value for key, value in settings.items()}}
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
        log = ("--", "--event-log", "{events}") if command in {"up", "preview", "down"} else ()
        return self.clone.start("./slip", command, "--stack", self.name, *options, *log)

    def slip(self, command: str, *options: str, seconds: float = PATIENCE) -> Result:
        """Run a command of `./slip` on this stack, whatever comes of it."""
        return self.start_slip(command, *options).wait(seconds)

    def up(self, *options: str, seconds: float = PATIENCE) -> Result:
        """`./slip up`, which must work."""
        result = self.slip("up", *options, seconds=seconds)
        assert result.status == 0, str(result)
        return result

    def in_prepared_shell(self, line: str) -> tuple[str, ...]:
        """A line of shell with plain `pulumi`, after `eval "$(./slip env)"`, as a command."""
        return ("bash", "-c", f'eval "$(./slip env --stack {self.name})" && {line}')

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in clear text."""
        shown = self.clone.read("./slip", "output", "--stack", self.name, "--json", "--show-secrets")
        outputs: dict[str, Any] = json.loads(shown)
        return outputs

    def export(self, *options: str) -> str:
        """The state, as `pulumi stack export` prints it."""
        line = f"pulumi stack export --stack {self.name} {' '.join(options)}"
        return self.clone.read(*self.in_prepared_shell(line))

    def resources(self) -> dict[str, dict[str, Any]]:
        """The state's resources by URN; those that wait for their deletion are left out.

        Encrypted secrets are shown as such: every export encrypts them anew.
        """
        found = json.loads(self.export(), object_hook=_without_ciphertext)["deployment"]["resources"]
        return {resource["urn"]: resource for resource in found if not resource.get("delete")}

    def registry(self) -> Registry:
        """The stack's registry, as one of its users sees it."""
        return Registry.of(self.outputs())

    def urls(self, service: str = "web") -> list[str]:
        """Where a service answers, in the order of its roll-out."""
        found: list[str] = self.outputs()["serviceUrls"][service]
        return found

    def container(self, host: str) -> str:
        """The name of the container that is a host."""
        return f"slipway-{self.name}-{host}"

    def on_host(self, host: str, *arguments: str) -> str:
        """What a command says inside a host."""
        return docker("exec", self.container(host), *arguments)

    def published(self, host: str) -> list[str]:
        """The addresses, `address:port`, at which a host answers on this machine."""
        return re.findall(r"-> (\S+)$", docker("port", self.container(host)), re.MULTILINE)

    def app_containers(self, host: str, *, all_: bool = False, service: str = "web") -> list[str]:
        """The names of a service's containers on a host: those that run, or all of them."""
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

    def traces(self) -> dict[str, list[str]]:
        """All that the operator's engine has of this stack, by kind."""
        label = f"label=slipway.stack={self.name}"
        return {
            "container": docker("ps", "--all", "--quiet", "--filter", label).split(),
            "network": docker("network", "ls", "--quiet", "--filter", label).split(),
            "volume": docker("volume", "ls", "--quiet", "--filter", label).split(),
        }

    def remove_traces(self) -> None:
        """Remove whatever is left of this stack, behind its back. No other stack has this name."""
        for kind, names in self.traces().items():
            if names:
                options = ["--force"] if kind in {"container", "volume"} else []
                docker(kind, "rm", *options, *names)
