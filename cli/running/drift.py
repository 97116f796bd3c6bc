"""Drift on the hosts: what differs from what the stack's resources made there, as `drift.sh` finds it on each host."""

import asyncio
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.running import ssh
from cli.running.ssh import Command, CommandResult, Unreachable

SCRIPT = Path(__file__).parent / "scripts/drift.sh"
PATIENCE = 30.0
"""Seconds that a host has to compare. It takes some tenths of a second."""
CONNECT_PATIENCE = 8.0
"""Seconds until a host must have let us in."""


@dataclass(frozen=True)
class Login:
    """How a host is reached over SSH."""

    host: str
    """The host's name."""
    address: str
    port: int
    user: str
    private_key: str = field(repr=False)
    """The operator's key, in OpenSSH's format."""
    host_key: str
    """The host's own key, the only one that is accepted."""

    @property
    def outputs(self) -> dict[str, object]:
        """The login as the outputs of a stack have it."""
        facts = {
            "address": self.address,
            "sshPort": self.port,
            "sshUser": self.user,
            "sshHostKey": self.host_key,
        }
        return {"hosts": {self.host: facts}, "sshPrivateKey": self.private_key}


@dataclass(frozen=True)
class Job:
    """A command that runs as root on a host."""

    login: Login
    command: str
    """For the host's shell; no secrets, as the host's process list shows it."""
    stdin: str = field(default="", repr=False)


@dataclass(frozen=True)
class Desired:
    """What one resource of the state has made on a host."""

    login: Login
    """The login to the host."""
    urn: str
    """The resource."""
    made: tuple[str, ...]
    """What it made: lines for `drift.sh`. They come from the state, so a change on the host cannot change them, too."""
    command: str = ""
    """The command that makes it again, as root on the host."""
    stdin: str = field(default="", repr=False)
    """The command's standard input. It has secrets."""

    @property
    def host(self) -> str:
        """The host's name."""
        return self.login.host

    @property
    def is_set_up(self) -> bool:
        """Whether it is a set-up script, which comes by standard input and can run again at any time."""
        return bool(self.stdin)

    @property
    def container(self) -> str:
        """The container's name, if it is a container."""
        kind, name, *_ = self.made[0].split()
        return name if kind == "container" else ""


@dataclass(frozen=True)
class Difference:
    """Something on a host that is not as it was made."""

    desired: Desired
    text: str

    def __str__(self) -> str:
        """The difference in a message."""
        return f"{self.desired.host}: {self.text}"


def differences(desired: Sequence[Desired]) -> dict[str, list[Difference] | Unreachable]:
    """Compare all hosts at the same time. Returns what differs, or why a host could not be compared, by host."""
    parts = by_host(desired)
    questions = {host: comparison(of_host) for host, of_host in parts.items()}
    jobs = [Job(parts[host][0].login, asked.text, asked.stdin) for host, asked in questions.items()]
    answers = run_all(jobs, PATIENCE)
    return {host: differing(parts[host], answer) for host, answer in zip(parts, answers, strict=True)}


def run_all(jobs: Sequence[Job], patience: float) -> list[CommandResult | Unreachable]:
    """Run commands at the same time. Returns the result of each, or why it has none.

    Args:
        jobs: the commands.
        patience: seconds that each may take.

    """

    async def attempt(job: Job) -> CommandResult | Unreachable:
        login = job.login
        try:
            return await ssh.execute(
                login.outputs, login.host, job.command, patience, CONNECT_PATIENCE, job.stdin
            )
        except Unreachable as error:
            return error

    async def all_() -> list[CommandResult | Unreachable]:
        return await asyncio.gather(*(attempt(job) for job in jobs))

    return asyncio.run(all_())


def by_host(desired: Iterable[Desired]) -> Mapping[str, list[Desired]]:
    """What was made on each host."""
    found: dict[str, list[Desired]] = {}
    for part in desired:
        found.setdefault(part.host, []).append(part)
    return found


def comparison(parts: Sequence[Desired]) -> Command:
    """The command that compares a host with what was made there."""
    expected = "\n".join(f"{number} {line}" for number, part in enumerate(parts) for line in part.made)
    return Command("bash -s", f"EXPECTED={shlex.quote(expected)}\n{SCRIPT.read_text()}", PATIENCE)


def differing(
    parts: Sequence[Desired], answer: CommandResult | Unreachable
) -> list[Difference] | Unreachable:
    """What `comparison` found on a host, or why it could not compare."""
    if isinstance(answer, Unreachable):
        return answer
    if answer.status:
        reason = (answer.stderr.strip().splitlines() or [f"exit status {answer.status}"])[-1]
        return Unreachable(f"the comparison with its set-up failed: {reason}")
    found = []
    for line in answer.stdout.splitlines():
        number, _, text = line.partition(": ")
        found.append(Difference(parts[int(number)], text))
    return found
