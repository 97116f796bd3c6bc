"""`slip stacks`: the stacks of the clone and of its backend."""

import gzip
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from cli import console, text
from cli.environments.summary import LastUpdate, Summary, from_file, summary
from cli.errors import CommandError
from cli.stack import environment, processes
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.open import open_stack
from cli.stack.project import Project
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import LOCAL

AT_A_TIME = 4
"""Stacks that are asked at once."""
NONE = "none"


def run(*, drift: bool, as_json: bool) -> int:
    """List the stacks. Returns 1 if one differs from what was made, or cannot be compared; only if asked."""
    project = Project.here()
    backend = Backend.of(project, os.environ)
    found = summaries(project, backend)
    if drift:
        found = [_compared(each) for each in found]
    if as_json:
        print(json.dumps([each.as_json() for each in found], indent=2))
    else:
        _show(found, drift=drift)
    return 1 if any(each.drift not in {"", NONE} for each in found) else 0


def summaries(project: Project, backend: Backend) -> list[Summary]:
    """Each stack that has a file in the clone or a state in the backend."""
    read: Callable[[str], Summary]
    if backend.directory is not None:
        made: Iterable[str] = in_directory(backend, project.name)
        read = partial(_of_directory, project, backend)
    else:
        pulumi = pulumi_of(project, backend)
        made = full = full_names(pulumi)
        read = partial(_of_pulumi, project, backend, pulumi, full)

    def row(name: str) -> Summary:
        """One that cannot be read must not hide the others."""
        try:
            return read(name)
        except CommandError as error:
            return Summary(name, notes=(f"cannot be read: {text.first_line(error.message)}",))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            return Summary(name, notes=(f"its state cannot be read: {text.first_line(str(error))}",))

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(row, sorted({LOCAL, *project.stacks, *made})))


def exists(project: Project, backend: Backend, name: str) -> bool:
    """Whether a backend has a stack. Without state files, the CLI is asked.

    Args:
        project: the clone.
        backend: the backend.
        name: the stack's name without an organization.

    """
    if backend.directory is not None:
        return backend.state_file(project.name, name) is not None
    return name in full_names(pulumi_of(project, backend))


def full_names(pulumi: PulumiCommand) -> dict[str, str]:
    """The names of the project's stacks with their organizations, which Pulumi's commands want, by the short name."""
    found = json.loads(pulumi.read("stack", "ls", "--json"))
    return {str(entry["name"]).rpartition("/")[2]: str(entry["name"]) for entry in found}


def in_directory(backend: Backend, project: str) -> Iterable[str]:
    """The names of a project's stacks in a file backend."""
    assert backend.directory is not None  # noqa: S101 - for the type checker
    for path in (backend.directory / ".pulumi" / "stacks" / project).glob("*.json*"):
        name = path.name.removesuffix(".gz").removesuffix(".json")
        if path.suffix in {".json", ".gz"}:
            yield name


def _of_directory(project: Project, backend: Backend, name: str) -> Summary:
    """A stack in a file backend, without a process: from its files."""
    return summary(
        project,
        backend,
        name,
        backend.deployment(project.name, name),
        last_in_directory(backend, project.name, name),
    )


def last_in_directory(backend: Backend, project: str, stack: str) -> LastUpdate | None:
    """The newest entry of a stack's history in a file backend; None without one."""
    assert backend.directory is not None  # noqa: S101 - for the type checker
    folder = backend.directory / ".pulumi" / "history" / project / stack
    entries = [*folder.glob("*.history.json"), *folder.glob("*.history.json.gz")]
    for path in sorted(entries, key=_number, reverse=True):
        content = path.read_bytes()
        plain = gzip.decompress(content) if path.suffix == ".gz" else content
        if found := from_file(plain.decode()):
            return found
    return None


def _number(path: Path) -> int:
    """The time in an entry's name, `STACK-NANOSECONDS.history.json`."""
    digits = path.name.partition(".history.json")[0].rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _of_pulumi(
    project: Project, backend: Backend, pulumi: PulumiCommand, names: Mapping[str, str], name: str
) -> Summary:
    """A stack in any other backend: from the CLI, which needs no passphrase for this."""
    full = names.get(name)
    if full is None:
        return summary(project, backend, name, None, None)
    state = json.loads(pulumi.read("stack", "export", "--stack", full))["deployment"] or {}
    entries = json.loads(
        pulumi.read("stack", "history", "--stack", full, "--json", "--page-size", "1") or "[]"
    )
    return summary(project, backend, name, state, LastUpdate.of(entries[0]) if entries else None)


def pulumi_of(project: Project, backend: Backend) -> PulumiCommand:
    """The Pulumi CLI for questions about any stack."""
    toolchain = environment.prepare_toolchain(local_hosts=False)
    added = environment.variables(toolchain, project, backend, StackConfig({}, project.name))
    return environment.pulumi_command(toolchain, project, added)


def _compared(found: Summary) -> Summary:
    """The stack with what differs from what its last update made."""
    if found.last_update is None or not found.hosts:
        return found
    from cli.update import repair
    from cli.update.run import run as run_pulumi

    try:
        stack = open_stack(found.name)
        done = run_pulumi(stack, "preview", ["--refresh"], narrate=False)
        if done.status:
            reason = done.record.errors[0].text if done.record.errors else done.stderr
            return replace(found, drift=f"unknown: {text.first_line(reason)}")
        changes = len({step.urn for step in (*done.record.changes, *done.record.gone)})
        differs = repair.found(stack)
    except CommandError as error:
        return replace(found, drift=f"unknown: {text.first_line(error.message)}")
    parts = [f"{changes} resources" if changes != 1 else "1 resource"] if changes else []
    return replace(found, drift=" and ".join([*parts, *(["files on hosts"] if differs else [])]) or NONE)


def _show(found: Sequence[Summary], *, drift: bool) -> None:
    """A table if it fits the terminal, else a paragraph for each stack."""
    now = processes.now()
    columns = [
        "stack",
        "platform",
        "last update",
        "by",
        "certificates end",
        *(["drift"] if drift else []),
        "note",
    ]
    rows = [_row(each, now, drift=drift) for each in found]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    frame = 3 * len(columns) + 1
    needed = frame + sum(max(map(len, cells)) for cells in zip(columns, *rows, strict=True))
    if needed <= console.width():
        console.table("Stacks", columns, rows)
        return
    for row in rows:
        console.facts(row[0], list(zip(columns[1:], row[1:], strict=True)))


def _row(found: Summary, now: datetime, *, drift: bool) -> list[str]:
    last = found.last_update
    result = {"succeeded": "", "failed": ", failed", "in-progress": ", unfinished"}
    kind = {"update": "", "destroy": "removed "}
    updated = (
        f"{kind.get(last.kind, f'{last.kind} ')}{text.age(last.at, now)} ago"
        f"{result.get(last.result, f', {last.result}')}"
        if last
        else ""
    )
    return [
        found.name,
        found.platform,
        updated,
        last.by if last else "",
        _until(found.certificates_end, now),
        *([found.drift] if drift else []),
        "; ".join(found.notes),
    ]


def _until(end: str, now: datetime) -> str:
    if not end:
        return ""
    days = (datetime.fromisoformat(end) - now).days
    return f"{end[:10]} ({f'in {days} days' if days >= 0 else 'expired'})"
