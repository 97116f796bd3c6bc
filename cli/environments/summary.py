"""One line about a stack: what its state and its last update say. Not what its file says it is to be."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cli.stack import deployment, passphrase
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.deployment import Deployment
from cli.stack.project import Project
from cli.update.renewal import CERTIFICATES
from well_known import REVIEW_TEMPLATE

WITHOUT_FILE = "no Pulumi.{name}.yaml here"
NOT_MADE = "not made yet"
TEMPLATE = "the template of review environments"
NOT_UP = "nothing is up"
NO_PASSPHRASE = "its passphrase is missing"  # noqa: S105 - a message
WRONG_PASSPHRASE = "the passphrase is another one"  # noqa: S105 - a message


@dataclass(frozen=True)
class LastUpdate:
    """The last update in the history of a stack."""

    kind: str
    """`update`, `destroy`, `refresh`, …"""
    result: str
    """`succeeded`, `failed` or `in-progress`."""
    at: str
    """When it began, RFC 3339."""
    by: str
    """The user and the machine; without them, the commit's author, as Pulumi records it."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "LastUpdate":
        """An entry of the history, in a file backend's form or as `pulumi stack history --json` prints it."""
        begun = entry.get("startTime")
        at = datetime.fromtimestamp(begun, UTC).isoformat() if isinstance(begun, int) else str(begun or "")
        environment = entry.get("environment") or {}
        own = _AUTHOR.search(str(entry.get("message") or ""))
        who = str(own[1] if own else environment.get("git.author") or "")
        # A name is whatever its owner wrote.
        printable = "".join(character for character in who if character.isprintable())
        return cls(str(entry.get("kind") or ""), str(entry.get("result") or ""), at, printable)


_AUTHOR = re.compile(r"(?:^|\()([\w.-]+@[\w.-]+)(?:, commit [0-9a-f]+(?:-dirty)?)?\)?$")
"""The end of the message of an update by `slip` (cli/update/message.py)."""


@dataclass(frozen=True)
class Summary:
    """What is told of one stack."""

    name: str
    platform: str = ""
    hosts: int = 0
    last_update: LastUpdate | None = None
    certificates_end: str = ""
    """When the first of its certificates ends, RFC 3339; empty without certificates."""
    drift: str = ""
    """`none`, or what differs; empty if nobody asked."""
    notes: tuple[str, ...] = ()
    """What is wrong with it."""

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        found = asdict(self)
        return {
            "name": found["name"],
            "platform": found["platform"],
            "hosts": found["hosts"],
            "lastUpdate": found["last_update"],
            "certificatesEnd": found["certificates_end"],
            "drift": found["drift"],
            "notes": list(found["notes"]),
        }


def summary(
    project: Project, backend: Backend, name: str, state: Deployment | None, last: LastUpdate | None
) -> Summary:
    """What is told of a stack.

    Args:
        project: the clone.
        backend: where its state is.
        name: its name without an organization.
        state: its state with encrypted secrets; None for a stack that is not made yet.
        last: its last update.

    """
    path = project.config_file(name)
    config = StackConfig.read(path, project.name)
    if state is None:
        # Of the stack `local` the first `up` makes the file, too.
        note = TEMPLATE if name == REVIEW_TEMPLATE else NOT_MADE
        return Summary(name, config.platform, notes=(note,))
    notes = [] if path.exists() else [WITHOUT_FILE.format(name=name)]
    outputs = deployment.stack_outputs(state)
    if not deployment.resources(state):
        notes.append(NOT_UP)
    notes += _about_passphrase(project, backend, config, state)
    return Summary(
        name,
        str(outputs.get("platform") or (config.platform if path.exists() else "")),
        len(deployment.hosts(state)),
        last,
        certificates_end(state),
        notes=tuple(notes),
    )


def _about_passphrase(
    project: Project, backend: Backend, config: StackConfig, state: Deployment
) -> list[str]:
    """Whether the secrets can be read. Half a second: the passphrase is stretched."""
    salts = passphrase.salts(config, state)
    if not salts or config.has_secrets_provider or (backend.keeps_secrets and not config.has_passphrase):
        return []
    phrase = passphrase.current(project, os.environ)
    if not phrase:
        return [NO_PASSPHRASE]
    return [] if all(passphrase.fits(phrase, salt) for salt in salts) else [WRONG_PASSPHRASE]


def certificates_end(state: Deployment) -> str:
    """When the first certificate of a stack ends, RFC 3339; empty without certificates."""
    ends = [
        str((resource.get("outputs") or {}).get("validityEndTime") or "")
        for resource in deployment.resources(state)
        if resource.get("type") in CERTIFICATES and not resource.get("delete")
    ]
    moments = [datetime.fromisoformat(end).astimezone(UTC) for end in ends if end]
    return min(moments).isoformat() if moments else ""


def from_file(text: str) -> LastUpdate | None:
    """The last update from an entry of a file backend; None for one that a killed write left."""
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return LastUpdate.of(entry) if isinstance(entry, dict) else None
