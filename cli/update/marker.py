"""The marker of an update: a file that exists while the update runs, and stays if it is killed."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import datetime

from cli.stack import processes
from cli.stack.project import write_private
from cli.stack.stack import Stack


@dataclass(frozen=True)
class Marker:
    """The record of an update that runs on this machine, or was killed."""

    slip: int
    """Process id of the command."""
    pulumi: int
    """Process id of its Pulumi CLI; 0 before the CLI starts."""
    host: str
    started: str
    """When, in ISO 8601."""
    command: str

    @property
    def since(self) -> datetime:
        """When the update started."""
        return datetime.fromisoformat(self.started)

    @classmethod
    def read(cls, stack: Stack) -> "Marker | None":
        """The marker of a stack, if there is one."""
        try:
            return cls(**json.loads(stack.project.marker(stack.short_name).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # Written by another version, or only in part: an update was killed, and no more is known.
            return cls(0, 0, socket.gethostname(), processes.now().isoformat(), "update")

    def write(self, stack: Stack) -> None:
        """Write the marker file."""
        write_private(stack.project.marker(stack.short_name), json.dumps(asdict(self)) + "\n")


def mark(stack: Stack, command: str, pid: int = 0) -> None:
    """Mark an update as running, with the CLI's process id once it is known."""
    Marker(os.getpid(), pid, socket.gethostname(), processes.now().isoformat(), command).write(stack)


def unmark(stack: Stack) -> None:
    """Remove the marker: the update ended, successfully or not. A killed update stays marked."""
    stack.project.marker(stack.short_name).unlink(missing_ok=True)
