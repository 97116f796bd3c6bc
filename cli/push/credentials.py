"""The environment of deployments by push: backend, passphrase and cloud, in a file for its owner alone."""

import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import child_environment
from cli.errors import CommandError
from cli.stack.project import write_private

_RECORDED = re.compile(
    r"PULUMI_(?:BACKEND_URL|ACCESS_TOKEN|CREDENTIALS_PATH|CONFIG_PASSPHRASE|CONFIG_PASSPHRASE_FILE)"
    r"|(?:AWS|AZURE|GOOGLE)_[A-Z0-9_]+|DOCKER_(?:HOST|CONFIG)|(?i:(?:https?|all|no)_proxy)"
)
"""The variables that an update may need of a shell."""


def record(path: Path, environment: Mapping[str, str]) -> list[str]:
    """Keep what an update needs of this environment, beside what is there. Returns the names of all the variables."""
    now = {name: value for name, value in environment.items() if _RECORDED.fullmatch(name) and value}
    kept = {**_read(path), **now}
    write_private(path, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    return sorted(kept)


def of_deployments(path: Path) -> dict[str, str]:
    """The environment in which a pushed revision is deployed.

    Raises:
        CommandError: the file is not private, or has something else in it.

    """
    return {**child_environment.of("pushed"), **_read(path)}


def _read(path: Path) -> dict[str, str]:
    try:
        status = path.stat()
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{path} cannot be read: {type(error).__name__}", 'Write {"NAME": "value"} for each variable.'
        ) from None
    if status.st_mode & 0o077 or status.st_uid != os.geteuid():
        raise CommandError(
            f"{path} has credentials, and others may read it",
            f"Make it yours alone: `chmod 600 {shlex.quote(str(path))}`.",
        )
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise CommandError(f"{path} is not a map of variables to texts", 'Write {"NAME": "value"}.')
    return content
