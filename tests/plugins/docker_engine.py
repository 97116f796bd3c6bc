"""Shared by the tests of the docker stand-in: the engine's log, and a tiny image for a real Docker Engine."""

import io
import platform
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from plugins.docker.plugin import Docker
from plugins.protocol.messages import ConfigureRequest, Failure
from plugins.protocol.provider import Engine as PulumiEngine

# A program for Linux on x86-64. With one argument it ends at once with status 0, else it waits for ever.
_CODE = bytes.fromhex(
    "833c2402"  # cmp dword [rsp], 2     argc
    "7409"  # je end
    "b822000000"  # mov eax, 34          pause
    "0f05"  # syscall
    "ebf7"  # jmp to the mov
    "b83c000000"  # end: mov eax, 60     exit
    "31ff"  # xor edi, edi
    "0f05"  # syscall
)
_ADDRESS = 0x400000
_HEADERS = 64 + 56


def _program() -> bytes:
    size = _HEADERS + len(_CODE)
    elf = b"\x7fELF\x02\x01\x01" + bytes(9)
    elf += b"".join(
        value.to_bytes(length, "little")
        for value, length in (
            *((2, 2), (62, 2), (1, 4), (_ADDRESS + _HEADERS, 8), (64, 8), (0, 8), (0, 4)),
            *((64, 2), (56, 2), (1, 2), (0, 2), (0, 2), (0, 2)),
        )
    )
    segment = ((1, 4), (5, 4), (0, 8), (_ADDRESS, 8), (_ADDRESS, 8), (size, 8), (size, 8), (4096, 8))
    return elf + b"".join(value.to_bytes(length, "little") for value, length in segment) + _CODE


class Listener(PulumiEngine):
    """The part of Pulumi's engine that takes messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, str, bool]] = []

    def log(self, severity: Any, message: str, urn: str = "", *, ephemeral: bool = False) -> None:
        self.messages.append((severity, message, ephemeral))


def docker(*arguments: str, stdin: bytes | None = None) -> str:
    """Run the docker CLI and return its output. The test fails if the command fails."""
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@contextmanager
def tiny_image() -> Iterator[str]:
    """An image with one program, which waits for ever with the arguments of the recorded registry."""
    if platform.machine() != "x86_64":
        pytest.skip("the tiny program is for x86-64")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("bin/registry")
        program = _program()
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    name = f"slipway-test-{uuid.uuid4().hex[:8]}:1"
    changes = ['ENTRYPOINT ["/bin/registry"]', 'CMD ["serve", "/etc/distribution/config.yml"]']
    options = [part for change in changes for part in ("--change", change)]
    docker("import", *options, "-", name, stdin=layer.getvalue())
    try:
        yield name
    finally:
        docker("image", "rm", "--force", name)


def configured() -> Docker:
    """The plugin with this machine's Docker Engine; without an engine the test is skipped."""
    plugin = Docker()
    try:
        plugin.configure(ConfigureRequest({}, "urn", "default", "id"))
    except Failure as error:
        pytest.skip(str(error))
    return plugin
