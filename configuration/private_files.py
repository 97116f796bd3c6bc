"""What never goes into a build context: the secrets and the state of Pulumi and Slipway, and what git keeps."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

_NAMES = re.compile(
    # The clone's state and passphrase, a backend's state or Pulumi's credentials, git's objects or a worktree's link.
    r"\.slipway|\.pulumi|\.git|"
    # Project and stack files, and what editors and Slipway's own writer leave beside them.
    r"\.?Pulumi(\..*)?\.(ya?ml|json)(\W.*)?",
    re.DOTALL,
)

_SHOWN = 5


class PrivateFiles:
    """The files of one context that are left out whatever its .dockerignore says.

    They hold secrets, or each update changes them, so that an image with them would be built and rolled out each time.
    """

    def __init__(self, context: Path, project: Path, environment: Mapping[str, str] | None = None) -> None:
        """Begin with a context, and the directory of the Pulumi project, which the context may hold."""
        self._context = context.resolve()
        self._clones = [inside for inside in [self._inside(project.resolve())] if inside is not None]
        named = _named(os.environ if environment is None else environment, project)
        self._paths = {inside for path in named if (inside := self._inside(path.resolve()))}
        self.found: list[str] = []
        """The private paths that .dockerignore does not leave out, relative to the context."""

    def _inside(self, path: Path) -> str | None:
        """A path relative to the context, empty for the context itself; None outside of it."""
        if not path.is_relative_to(self._context):
            return None
        inside = path.relative_to(self._context).as_posix()
        return "" if inside == "." else inside

    def __call__(self, path: str, ignored: bool) -> bool:
        """Whether a path of the context is private. `ignored` says that .dockerignore leaves it out anyway."""
        folder, _, name = path.rpartition("/")
        if name == "__pycache__":
            # Running a clone changes these files of it.
            return any(not clone or f"{path}/".startswith(f"{clone}/") for clone in self._clones)
        if path not in self._paths and not _NAMES.fullmatch(name):
            return False
        if name == ".slipway":
            self._clones.append(folder)
        if not ignored:
            self.found.append(path)
        return True


def _named(environment: Mapping[str, str], project: Path) -> Iterable[Path]:
    """Files and directories with secrets that the environment names."""
    for variable in ("PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_HOME"):
        if environment.get(variable):
            yield project / environment[variable]
    backend = urlsplit(environment.get("PULUMI_BACKEND_URL", ""))
    if backend.scheme == "file":
        yield project / unquote(backend.netloc + backend.path) / ".pulumi"


def is_private(folder: Path, project: Path) -> bool:
    """Whether a folder is a private one, or inside one that does not hold the project itself."""
    real, home = folder.resolve(), project.resolve()
    return any(
        _NAMES.fullmatch(part.name) and not home.is_relative_to(part) for part in (real, *real.parents)
    )


def warning(name: str, found: list[str]) -> str:
    """The line about private files in the context of an image."""
    shown = ", ".join(ascii(path[-60:])[1:-1] for path in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (
        f"{name}: the build does not get {shown}{more} of its context. State, secrets, git's files and Pulumi's files "
        "never go into an image. Name them in .dockerignore to end this warning."
    )
