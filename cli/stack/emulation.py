"""`--emulate`: a stack of the platform `aws` on this machine, with an emulated AWS account of its own.

The emulated stack has its own name, configuration and state, so that it is never mistaken for the real stack.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import child_environment
from cli import console
from cli.errors import CommandError
from cli.stack import processes
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.emulated_config import emulated_config
from cli.stack.project import Project, write_private
from well_known import EMULATED

MARK = "SLIPWAY_EMULATED"
"""The variable with the real stack's name, in a shell that was prepared for its emulation (`slip env`)."""
START_SECONDS = 60.0
END_SECONDS = 120.0
UNREADABLE = 3
"""The emulation's exit status if it cannot read the saved account (emulation/__main__.py)."""


@dataclass(frozen=True)
class Daemon:
    """The emulation's process, as it describes itself in `daemon.json` (emulation/__main__.py)."""

    pid: int
    endpoint: str
    """The URL of the emulated AWS API."""
    key: str
    """The only access key that it accepts."""
    version: str
    network: str


@dataclass(frozen=True)
class Emulation:
    """The emulation of one stack of a clone."""

    project: Project
    source: str
    """The real stack's name."""

    @property
    def stack(self) -> str:
        """The emulated stack's name."""
        return f"{self.source}{EMULATED}"

    @property
    def directory(self) -> Path:
        """The directory of its account, volumes and state."""
        return self.project.private / "emulation" / self.source

    @property
    def backend(self) -> Backend:
        """The backend of its state, whatever backend the real stacks have."""
        return Backend(f"file://{self.directory / 'state'}", is_own=True)

    @property
    def exists(self) -> bool:
        """Whether the emulated stack exists, running or not."""
        return self.directory.is_dir()

    def write_config(self) -> None:
        """Write the emulated stack's configuration from the real stack's.

        Raises:
            CommandError: the real stack is not on the platform `aws`.

        """
        real = self.project.config_file(self.source)
        config = StackConfig.read(real, self.project.name)
        if config.platform != "aws":
            raise CommandError(
                f"--emulate is for stacks on the platform aws, and '{self.source}' is on {config.platform}",
                "Run it without --emulate, or name with -s a stack whose configuration has `kind: aws`.",
                status=2,
            )
        path = self.project.config_file(self.stack)
        before = StackConfig.read(path, self.project.name)
        content = emulated_config(config.content, before.content, self.project.name)
        if content != before.content:
            import yaml

            head = f"# Written by `./slip … -s {self.source} --emulate` from {real.name}: edit that file.\n"
            write_private(path, head + yaml.safe_dump(content, sort_keys=False))

    def running(self) -> Daemon | None:
        """The emulation's process, if it runs."""
        try:
            daemon = Daemon(**json.loads((self.directory / "daemon.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return daemon if processes.is_running(daemon.pid, "-m emulation") else None

    def start(self) -> Daemon:
        """Start this clone's version of the emulation, if it does not run yet. It keeps its account.

        Raises:
            CommandError: it cannot run on this machine.

        """
        from toolchain import emulator
        from toolchain.errors import ToolError
        from toolchain.report import Report

        try:
            emulator.check()
            prepared = emulator.prepare(Report())
        except ToolError as error:
            raise CommandError(str(error)) from error
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {"stack": self.stack, "image": prepared.image}
        version = _version(self.project.root / "emulation", settings)
        daemon = self.running()
        if daemon and daemon.version == version:
            return daemon
        if daemon:
            _stop(daemon)
        self._forget_lost_account()
        write_private(self.directory / "settings.json", json.dumps({**settings, "version": version}))
        started = self._run(prepared.python)
        if started == UNREADABLE:
            (self.directory / "account").unlink()
            self._forget_lost_account()
            started = self._run(prepared.python)
        daemon = self.running()
        if started or not daemon:
            said = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise CommandError(
                f"the emulation of {self.source} does not start; its last line of output: {said[0]}",
                f"The whole output is in {self.log}.",
            )
        return daemon

    @property
    def log(self) -> Path:
        """The emulation's output."""
        return self.directory / "log"

    def _run(self, python: Path) -> int:
        """Start the process, and wait until it answers (0) or has ended (its exit status)."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [python, "-P", "-m", "emulation", self.directory / "settings.json"],
                cwd=self.directory,
                # Without the user's AWS settings and passwords: the process outlives the command.
                env={**child_environment.of("emulation"), "PYTHONPATH": str(self.project.root)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            status = process.poll()
            if status is not None:
                return status or 1
            daemon = self.running()
            if daemon and daemon.pid == process.pid:
                return 0
            time.sleep(0.05)
        process.kill()
        return 1

    def _forget_lost_account(self) -> None:
        """Delete the state if the account is lost: the resources in the state are lost with it."""
        state = self.directory / "state"
        if state.exists() and not (self.directory / "account").exists():
            console.say(f"The emulated account of {self.source} is lost: starting over with an empty one.")
            shutil.rmtree(state)

    def variables(self, daemon: Daemon) -> dict[str, str]:
        """The variables with which commands on the stack use this account and no other."""
        # Separate files, so that the user's AWS settings are not read.
        profile = f"slipway-{self.stack}"
        region = StackConfig.read(self.project.config_file(self.stack), self.project.name).region
        write_private(self.directory / "aws/config", f"[profile {profile}]\nregion = {region}\n")
        keys = f"aws_access_key_id = {daemon.key}\naws_secret_access_key = emulated\n"
        write_private(self.directory / "aws/credentials", f"[{profile}]\n{keys}")
        return {
            MARK: self.source,
            "AWS_ENDPOINT_URL": daemon.endpoint,
            "AWS_ACCESS_KEY_ID": daemon.key,
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_SESSION_TOKEN": "",
            "AWS_PROFILE": profile,
            "AWS_CONFIG_FILE": str(self.directory / "aws/config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "aws/credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            **_without_proxy(f"{daemon.network}.1"),
        }

    def end(self) -> None:
        """Remove the emulated stack from this machine, including its data.

        Raises:
            CommandError: a part of it could not be removed.

        """
        import http.client
        from urllib.parse import urlsplit

        daemon = self.start()
        connection = http.client.HTTPConnection(urlsplit(daemon.endpoint).netloc, timeout=END_SECONDS)
        try:
            connection.request("POST", "/slipway/end", headers={"X-Slipway-Key": daemon.key})
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace").strip()
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(
                f"the emulation of {self.source} does not answer: {error}", "Run the command again."
            ) from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise CommandError(
                f"the emulation of {self.source} could not be ended: {said}",
                "Run the command again.",
                status=1,
            )
        _wait_for_end(daemon)
        shutil.rmtree(self.directory)
        self.project.config_file(self.stack).unlink(missing_ok=True)


def refuse_confusion(name: str, variables: Mapping[str, str]) -> None:
    """Refuse to work on a real stack if an emulated one is probably meant.

    Raises:
        CommandError: the name is an emulated stack's, or this shell was prepared for an emulated stack.

    """
    short = name.rpartition("/")[2]
    if short.endswith(EMULATED):
        source = short.removesuffix(EMULATED)
        raise CommandError(
            f"'{short}' is the emulated stack of '{source}'", f"Use: -s {source} --emulate", status=2
        )
    if prepared := variables.get(MARK):
        raise CommandError(
            f"this shell was prepared for the emulated stack of '{prepared}', and --emulate is not given",
            f"Use -s {prepared} --emulate, or work on real stacks in another shell.",
            status=2,
        )


def _without_proxy(address: str) -> dict[str, str]:
    """The variables that keep programs from using a proxy for an address; programs differ in which one they read."""
    known = (os.environ.get("no_proxy"), os.environ.get("NO_PROXY"), address)
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(filter(None, known)))


def _version(sources: Path, settings: Mapping[str, Any]) -> str:
    """A hash of the emulation's code and settings. A running process with another version is replaced."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(sources.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _stop(daemon: Daemon) -> None:
    os.kill(daemon.pid, signal.SIGTERM)
    _wait_for_end(daemon)


def _wait_for_end(daemon: Daemon) -> None:
    deadline = time.monotonic() + START_SECONDS
    while processes.is_running(daemon.pid, "-m emulation"):
        if time.monotonic() > deadline:
            raise CommandError(
                f"the emulation (process {daemon.pid}) does not end", "Kill it, and run the command again."
            )
        time.sleep(0.05)
