"""The images that the operator's engine needs: pulled, or made here under the same names if they cannot be pulled."""

import contextlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from toolchain import cache, commands, debian, docker_socket, go, haproxy
from toolchain.errors import ToolError
from toolchain.report import Report
from well_known import DEBIAN_IMAGE, PROXY_IMAGE, REGISTRY_IMAGE, REGISTRY_VERSION, by_digest

PULL_PATIENCE = 20.0
"""Seconds to wait for the registry's first answer. Closed networks often drop the request."""

PULL_TIMEOUT = 900.0
"""Longest time of a pull in seconds."""

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Image:
    """An image and how to make it without a registry."""

    name: str
    title: str
    making: str
    """The step's text while the image is made."""
    made: str
    """The step's text once the image is made."""
    estimate: str
    """Duration on two cores, in words."""
    build: Callable[[Path, int], None]
    """Makes the root file system, a tar archive, at a path. The number is the cache's lock."""
    changes: tuple[str, ...]
    """The image's configuration, as lines of a Dockerfile."""

    @property
    def archive(self) -> Path:
        """The path of the root file system's archive, kept in case the engine loses the image."""
        return cache.root() / "images" / f"{self.name.replace('/', '-').replace(':', '-')}.tar"


def missing() -> list[Image]:
    """The images that the engine does not have.

    Raises:
        EngineUnreachable: the engine does not answer.
    """
    there = docker_socket.tags([image.name for image in IMAGES])
    return [image for image in IMAGES if image.name not in there]


def prepare(report: Report, image: Image, lock: int) -> None:
    """Pull the image, or make and import it.

    Raises:
        ToolError: both failed.
    """
    with report.step(image.title, f"pulling {image.name}") as step:
        if _pull(image):
            step.done(f"pulled {image.name}")
            return
        step.say(f"{image.making}, about {image.estimate}")
        if not image.archive.exists():
            image.build(image.archive, lock)
        _import(image)
        step.done(f"{image.made} (no registry answers)")


def _pull(image: Image) -> bool:
    """Pull the image. Returns whether that worked. After one failure, no other image is pulled."""
    if _closed.is_set():
        return False
    try:
        commands.run(
            ["docker", "pull", by_digest(image.name)],
            log=f"pull-{image.archive.stem}",
            failure=f"{image.name} cannot be pulled",
            environment=docker_socket.command_environment(),
            timeout=PULL_TIMEOUT,
            patience=PULL_PATIENCE,
        )
        if by_digest(image.name) != image.name:
            commands.run(
                ["docker", "tag", by_digest(image.name), image.name],
                log=f"tag-{image.archive.stem}",
                failure=f"{image.name} was pulled, but the engine cannot name it",
                environment=docker_socket.command_environment(),
            )
    except ToolError:
        _closed.set()
        return False
    return True


def _import(image: Image) -> None:
    changes = [part for change in image.changes for part in ("--change", change)]
    commands.run(
        ["docker", "import", *changes, image.archive, image.name],
        log=f"import-{image.archive.stem}",
        failure=f"{image.name} was made, but the engine cannot import it",
        environment=docker_socket.command_environment(),
    )


def _registry(target: Path, lock: int) -> None:
    """Make the registry's image: its program and a default configuration, at the official image's paths."""
    with cache.staged(target) as directory:
        program = directory / "registry"
        go.build(
            "registry",
            "github.com/distribution/distribution/v3/cmd/registry",
            program,
            version_variable="github.com/distribution/distribution/v3/version.version",
            version=REGISTRY_VERSION,
            lock=lock,
        )
        with _root_file_system(directory / target.name) as tree:
            tree.program("bin/registry", program)
            tree.text("etc/distribution/config.yml", _REGISTRY_CONFIGURATION)
            tree.directory("var/lib/registry")
        cache.publish(directory / target.name, target)


class _Tree:
    """A root file system, written into a tar archive."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._directories: set[str] = set()

    def directory(self, name: str, owner: int = 0, mode: int = 0o755) -> None:
        if name in self._directories:
            return
        self._parents(name)
        self._directories.add(name)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._archive.addfile(entry)

    def text(self, name: str, content: str) -> None:
        self._parents(name)
        entry = tarfile.TarInfo(name)
        entry.mode, entry.size = 0o644, len(content.encode())
        self._archive.addfile(entry, io.BytesIO(content.encode()))

    def program(self, name: str, source: Path) -> None:
        self._parents(name)
        entry = tarfile.TarInfo(name)
        entry.mode, entry.size = 0o755, source.stat().st_size
        with source.open("rb") as file:
            self._archive.addfile(entry, file)

    def _parents(self, name: str) -> None:
        parent = name.rpartition("/")[0]
        if parent:
            self.directory(parent)


@contextlib.contextmanager
def _root_file_system(path: Path) -> Iterator[_Tree]:
    """Begin a minimal image: /tmp, and the certificate authorities that this machine trusts."""
    with tarfile.open(path, "w") as archive:
        tree = _Tree(archive)
        tree.directory("tmp", mode=0o1777)
        if AUTHORITIES.exists():
            tree.text("etc/ssl/certs/ca-certificates.crt", AUTHORITIES.read_text())
        yield tree


_closed = threading.Event()
"""Set when a pull failed."""

_REGISTRY_CONFIGURATION = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
http:
  addr: :5000
"""

IMAGES = (
    Image(
        name=DEBIAN_IMAGE,
        title="Debian image",
        making=f"making {DEBIAN_IMAGE} with debootstrap",
        made=f"made {DEBIAN_IMAGE} with debootstrap",
        estimate="40 seconds",
        build=debian.build,
        changes=('CMD ["bash"]',),
    ),
    Image(
        name=REGISTRY_IMAGE,
        title="Registry image",
        making=f"building {REGISTRY_IMAGE} from its Go module",
        made=f"built {REGISTRY_IMAGE} from its Go module",
        estimate="a minute",
        build=_registry,
        changes=(
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ENV OTEL_TRACES_EXPORTER=none",
            "VOLUME /var/lib/registry",
            "EXPOSE 5000",
            'ENTRYPOINT ["registry"]',
            'CMD ["serve", "/etc/distribution/config.yml"]',
        ),
    ),
    Image(
        name=PROXY_IMAGE,
        title="Proxy image",
        making=f"making {PROXY_IMAGE} from Debian's packages",
        made=f"made {PROXY_IMAGE} from Debian's packages",
        estimate="30 seconds",
        build=haproxy.build,
        changes=(
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "USER haproxy",
            "WORKDIR /var/lib/haproxy",
            'CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]',
        ),
    ),
)
"""The images that the operator's engine needs."""
