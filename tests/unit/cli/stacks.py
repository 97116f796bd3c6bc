"""A stack whose Pulumi CLI is a recorder."""

import subprocess
from pathlib import Path

from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.stack import Stack


class FakePulumi:
    """Records its calls, and puts passwords into the configuration as Pulumi does."""

    def __init__(self, config_file: Path, *, refuses: str = "") -> None:
        self.config_file = config_file
        self.refuses = refuses
        self.variables: dict[str, str] = {}
        self.asked: list[tuple[tuple[str, ...], str | None]] = []

    def read(self, *arguments: str, stdin: str | None = None) -> str:
        self.asked.append((arguments, stdin))
        return f"{'x' * 32}\n"

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        self.asked.append((arguments, stdin))
        return subprocess.CompletedProcess(arguments, bool(self.refuses), "", self.refuses)


def make_stack(project: Project, text: str, *, url: str = "file:///state", refuses: str = "") -> Stack:
    path = project.config_file("local")
    path.write_text(text)
    return Stack(project, "local", Backend(url), FakePulumi(path, refuses=refuses))  # type: ignore[arg-type]


def asked(stack: Stack) -> list[tuple[tuple[str, ...], str | None]]:
    return stack.pulumi.asked  # type: ignore[attr-defined, no-any-return]


CONFIG = """
config:
  slipway:registry: {users: [alice, al.ice]}
  slipway:passwords: {alice: {secure: v1:x}}
"""
