"""A machine with a clone of Slipway that receives pushes, and people who push to it by git.

git, its hooks and the command are real. `slip` in what is pushed is a script. In place of ssh and sshd, a script
runs what `authorized_keys` allows the key.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.unit.program import ROOT

ALICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBB+olEBH+NfkBqMBaa/Q1PM9dAfF2voy076Lg7C1qsV"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKVxXQ0JmXW3y2b9dFqNsm6b0k4yL5lWbC2cZ6mQxYz"
PATIENCE = 60
"""Seconds."""
SLIP = """#!/bin/sh
echo "$@" >> "$HOME/calls"
echo "deploying $(cat greeting)"
[ -z "$(sed -n 's/^hold //p' greeting)" ] || while [ ! -e "$HOME/go" ]; do sleep 0.05; done
pwd -P > "$HOME/where"
ls -A > "$HOME/files"
env > "$HOME/environment"
case $(cat greeting) in bad*) echo "it crashed"; exit 1 ;; esac
echo "serving $(cat greeting)"
cp greeting "$HOME/serves"
"""
SSH = """#!/bin/sh
# git calls it as ssh: options, the destination, the command. The variable KEY is the key's blob.
for last in "$@"; do :; done
line=$(grep -F "$KEY" "$TEST_HOME/.ssh/authorized_keys") || { echo "Permission denied (publickey)." >&2; exit 255; }
allowed=$(printf '%s\\n' "$line" | sed -n 's/^restrict,command="\\(.*\\)" ssh-.*/\\1/p')
# sshd's processes are in a session of their own.
exec setsid --wait env -i HOME="$TEST_HOME" PATH=/usr/bin:/bin SSH_ORIGINAL_COMMAND="$last" sh -c "$allowed"
"""


def config(**operators: str) -> str:
    """A stack's file."""
    lines = "".join(f"    {name}: {key}\n" for name, key in operators.items())
    return "config:\n  slipway:passwords:\n    hosts: {secure: x}\n" + (
        f"  slipway:operators:\n{lines}" if operators else ""
    )


@dataclass
class Machine:
    """The machine, and a person's clone of what is deployed."""

    folder: Path
    pushes: list["Push"] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The user's home."""
        return self.folder / "home"

    @property
    def clone(self) -> Path:
        """The clone that receives pushes."""
        return self.folder / "a clone"

    @property
    def work(self) -> Path:
        """The person's."""
        return self.folder / "work"

    @property
    def private(self) -> Path:
        """What the machine keeps of pushes."""
        return self.clone / ".slipway/push"

    @property
    def environment(self) -> dict[str, str]:
        """Of the user's shell."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TEST_HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSH_COMMAND": str(self.folder / "ssh"),
            "GIT_SSH_VARIANT": "ssh",
        }

    def make(self) -> None:
        """Make the clones."""
        self.home.mkdir()
        # Whoever has hooks of their own for all repositories deploys all the same.
        (self.home / ".gitconfig").write_text(
            "[core]\nhooksPath = /nonexistent\n[user]\nname = x\nemail = x@example.com\n[init]\ndefaultBranch = main\n"
        )
        self.clone.mkdir()
        for name in ("cli", "stackfile"):
            shutil.copytree(ROOT / name, self.clone / name)
        for path in (*ROOT.glob("*.py"), ROOT / "Pulumi.yaml"):
            shutil.copy(path, self.clone)
        command = f"exec {shlex.quote(sys.executable)} -P -m cli"
        self._program(
            self.clone / "slip", f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(self.clone))} {command} "$@"\n'
        )
        self._program(self.folder / "ssh", SSH)
        (self.clone / "Pulumi.dev.yaml").write_text(config(alice=ALICE))
        self.work.mkdir()
        self.git("init", "--quiet")
        self._program(self.work / "slip", SLIP)
        (self.work / "Pulumi.yaml").write_text("name: slipway\n")
        (self.work / "Pulumi.dev.yaml").write_text(config(alice=ALICE))
        self.commit("hello")

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def slip(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command in the clone that receives pushes."""
        return subprocess.run(
            [str(self.clone / "slip"), *arguments],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def add(self, **variables: str) -> None:
        """Have pushes to `main` deploy `dev`."""
        done = self.slip("git-remote", "add", "main", "-s", "dev", **variables)
        assert done.returncode == 0, done.stderr

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        """What a git command in the person's clone prints."""
        done = subprocess.run(
            ["git", *arguments], cwd=folder or self.work, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(
        self, greeting: str, files: Mapping[str, str] = MappingProxyType({}), *, folder: Path | None = None
    ) -> str:
        """A new commit with another greeting. Returns its id."""
        for name, content in {"greeting": f"{greeting}\n", **files}.items():
            ((folder or self.work) / name).write_text(content)
        self.git("add", "--all", folder=folder)
        self.git("commit", "--quiet", "--message", greeting, folder=folder)
        return self.git("rev-parse", "HEAD", folder=folder)

    def start_push(self, *words: str, key: str = ALICE, folder: Path | None = None) -> "Push":
        """Begin to push."""
        push = Push(
            subprocess.Popen(
                ["git", "push", "ssh://team@machine/slipway.git", *(words or ("main",))],
                cwd=folder or self.work,
                env={**self.environment, "KEY": key.split()[1]},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        self.pushes.append(push)
        return push

    def push(self, *words: str, key: str = ALICE, folder: Path | None = None) -> tuple[int, str]:
        """Push. Returns git's exit status, and what it printed."""
        return self.start_push(*words, key=key, folder=folder).end()

    def run_as_key(self, key: str, command: str) -> subprocess.CompletedProcess[str]:
        """What a key gets that asks for a command."""
        environment = {**self.environment, "KEY": key.split()[1]}
        words = [str(self.folder / "ssh"), "team@machine", command]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE)

    @property
    def tip(self) -> str:
        """The commit of `main`; empty without one."""
        done = subprocess.run(
            [
                "git",
                f"--git-dir={self.private / 'repository.git'}",
                "rev-parse",
                "--quiet",
                "--verify",
                "main",
            ],
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def said(self, name: str) -> str:
        """What the script that is pushed has written to a file."""
        path = self.home / name
        return path.read_text() if path.exists() else ""

    def wait_for(self, what: str, reached: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < deadline, f"never came to {what}"
            time.sleep(0.02)

    def end(self) -> None:
        """End what still runs."""
        (self.home / "go").touch()
        for push in self.pushes:
            push.process.kill()
            push.process.wait()


@dataclass
class Push:
    """A push under way."""

    process: "subprocess.Popen[str]"

    def end(self) -> tuple[int, str]:
        """Wait for its end. Returns git's exit status, and what it printed."""
        printed, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, re.sub(r"\x1b\[K|[ \t]+$", "", printed, flags=re.MULTILINE)
