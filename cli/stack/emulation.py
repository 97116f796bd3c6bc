"""`--emulate`: a stack of the platform `aws` on this machine, with an account of its own that answers here.

The emulated stack has its own name, configuration and state, so that it is never taken for the real one.
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
from cli.stack.project import EMULATED, Project, write_private

MARK = "SLIPWAY_EMULATED"
"""Variable that says of which stack's emulation a prepared shell is."""
START_SECONDS = 60.0
END_SECONDS = 120.0
UNREADABLE = 3
"""The emulation's exit status where it cannot read its account's copy (emulation/__main__.py)."""


@dataclass(frozen=True)
class Daemon:
    """The emulation of a stack, as it announces itself (emulation/__main__.py)."""

    pid: int
    endpoint: str
    """Where it answers for AWS."""
    key: str
    """The only access key that it knows."""
    version: str
    network: str


@dataclass(frozen=True)
class Emulation:
    """The emulation of a stack in a clone."""

    project: Project
    source: str
    """The real stack's name."""

    @property
    def stack(self) -> str:
        """The emulated stack's name."""
        return f"{self.source}{EMULATED}"

    @property
    def directory(self) -> Path:
        """What it keeps: account, volumes, state."""
        return self.project.private / "emulation" / self.source

    @property
    def backend(self) -> Backend:
        """Where its state is, whatever backend the real stacks have."""
        return Backend(f"file://{self.directory / 'state'}", is_own=True)

    @property
    def exists(self) -> bool:
        """Whether there is one, running or not."""
        return self.directory.is_dir()

    def write_config(self) -> None:
        """Write the emulated stack's configuration anew, from the real one's.

        Raises:
            CommandError: there is nothing to emulate.

        """
        real = self.project.config_file(self.source)
        config = StackConfig.read(real, self.project.name)
        if config.platform != "aws":
            raise CommandError(
                f"--emulate is for stacks of the platform aws, and '{self.source}' is of {config.platform}",
                f"Run it without --emulate, or name another stack with -s (its {real.name} says `kind: aws`).",
                status=2,
            )
        path = self.project.config_file(self.stack)
        before = StackConfig.read(path, self.project.name)
        content = emulated_config(config.content, before.content, self.project.name)
        if content != before.content:
            import yaml

            head = f"# Written by `./slip … -s {self.source} --emulate` from {real.name}: edit that one.\n"
            write_private(path, head + yaml.safe_dump(content, sort_keys=False))

    def running(self) -> Daemon | None:
        """The process that emulates it, if it lives."""
        try:
            daemon = Daemon(**json.loads((self.directory / "daemon.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return daemon if processes.is_running(daemon.pid, "-m emulation") else None

    def start(self) -> Daemon:
        """See to it that it runs, as this clone's version of it. Its account is as it was, whatever ended it before.

        Raises:
            CommandError: it cannot run here.

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
                f"the emulation of {self.source} does not start; it said: {said[0]}",
                f"All of it is in {self.log}.",
            )
        return daemon

    @property
    def log(self) -> Path:
        """What it says."""
        return self.directory / "log"

    def _run(self, python: Path) -> int:
        """Start it, and wait until it answers (0) or has ended."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [python, "-P", "-m", "emulation", self.directory / "settings.json"],
                cwd=self.directory,
                # Nothing of the user's for AWS, and no passwords: it goes on running when the command has ended.
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
        """Without its account, what the state speaks of is gone."""
        state = self.directory / "state"
        if state.exists() and not (self.directory / "account").exists():
            console.say(f"The emulated account of {self.source} is lost: this starts over with an empty one.")
            shutil.rmtree(state)

    def variables(self, daemon: Daemon) -> dict[str, str]:
        """What commands on the stack run with, so that they ask this account and no other."""
        # Files of its own, so that nothing of the user's settings is read.
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
        """Remove it from this machine, data and all.

        Raises:
            CommandError: something of it could not be removed.

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
                f"the emulation of {self.source} does not answer: {error}", "Run it again."
            ) from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise CommandError(
                f"the emulation of {self.source} could not be ended: {said}", "Run it again.", status=1
            )
        _wait_for_end(daemon)
        shutil.rmtree(self.directory)
        self.project.config_file(self.stack).unlink(missing_ok=True)


def refuse_confusion(name: str, variables: Mapping[str, str]) -> None:
    """Refuse to work on a real stack where an emulated one is meant.

    Raises:
        CommandError: the name is an emulated stack's, or this shell was prepared for one.

    """
    short = name.rpartition("/")[2]
    if short.endswith(EMULATED):
        source = short.removesuffix(EMULATED)
        raise CommandError(
            f"'{short}' is the emulated stack of '{source}'", f"Name it so: -s {source} --emulate", status=2
        )
    if prepared := variables.get(MARK):
        raise CommandError(
            f"this shell was prepared for the emulated stack of '{prepared}', and --emulate is not said",
            f"Say -s {prepared} --emulate, or work on real stacks in another shell.",
            status=2,
        )


def _without_proxy(address: str) -> dict[str, str]:
    """The variables by which programs ask an address directly; some read the one, others the other."""
    known = (os.environ.get("no_proxy"), os.environ.get("NO_PROXY"), address)
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(filter(None, known)))


def _version(sources: Path, settings: Mapping[str, Any]) -> str:
    """What the process depends on: another version of it is started in its place."""
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
                f"the emulation (process {daemon.pid}) does not end", "End it, and run this again."
            )
        time.sleep(0.05)
