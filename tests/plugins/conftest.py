"""Fixtures of the plugins' tests."""

from collections.abc import Iterator

import pytest

from plugins.protocol.messages import Severity
from plugins.protocol.provider import Engine
from tests.plugins.ssh_server import SSHServer


class Messages(Engine):
    """An engine that keeps the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[Severity, str, str, bool]] = []

    def log(self, severity: Severity, message: str, urn: str = "", *, ephemeral: bool = False) -> None:
        self.lines.append((severity, message, urn, ephemeral))


@pytest.fixture
def messages() -> Messages:
    return Messages()


@pytest.fixture
def ssh_server() -> Iterator[SSHServer]:
    server = SSHServer()
    yield server
    server.close()
