"""The configuration of this user's docker command: whether programs that read it can use it as it is."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolchain import cache


class Unusable(Exception):
    """The file cannot be read as a configuration; the text says why."""


def directory() -> Path:
    """The folder of the docker command's configuration."""
    if chosen := os.environ.get("DOCKER_CONFIG"):
        return Path(chosen)
    if (shutil.which("docker") or "").startswith("/snap/"):
        return Path.home() / "snap" / "docker" / "current" / ".docker"  # a snap's home
    return Path.home() / ".docker"


def read(path: Path) -> dict[str, Any]:
    """The configuration in a file; empty for a missing file.

    Raises:
        Unusable: it cannot be read, or is no JSON object.

    """
    try:
        content = json.loads(path.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Unusable(error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise Unusable(f"it is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise Unusable("it is not a JSON object")
    return content


def without_missing_helpers(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the credential helpers that are not installed, which fail every look-up."""
    usable = dict(config)
    if "credsStore" in usable and not has_helper(usable["credsStore"]):
        del usable["credsStore"]
    if "credHelpers" in usable:
        helpers = usable["credHelpers"] if isinstance(usable["credHelpers"], dict) else {}
        usable["credHelpers"] = {key: name for key, name in helpers.items() if has_helper(name)}
    return usable


def has_helper(name: object) -> bool:
    """Whether a credential helper is installed. An empty name means none."""
    return name == "" or (isinstance(name, str) and shutil.which(f"docker-credential-{name}") is not None)


def replacement() -> Path | None:
    """The folder for programs that cannot use this user's configuration; None if they can use it as it is.

    It has a copy without what fails. The user's own file stays as it is.
    """
    try:
        path = directory() / "config.json"
        config = read(path)
        usable = without_missing_helpers(config)
        if usable == config:
            return None
    except (Unusable, RuntimeError):  # RuntimeError: the user has no home
        usable = {}
    copy = cache.root() / "docker-config" / "config.json"
    text = json.dumps(usable, indent=2)
    with contextlib.suppress(OSError):
        if copy.read_text(encoding="utf-8") == text:
            return copy.parent
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # It may hold passwords of registries.
    temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(copy)
    return copy.parent


@contextlib.contextmanager
def usable() -> Iterator[None]:
    """Let this process read a usable configuration while the block runs: the Docker SDK reads it for each client."""
    folder = replacement()
    if folder is None:
        yield
        return
    before = os.environ.get("DOCKER_CONFIG")
    os.environ["DOCKER_CONFIG"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["DOCKER_CONFIG"]
        else:
            os.environ["DOCKER_CONFIG"] = before
