"""The stack's file as it is written, beside what Pulumi passes of it."""

from pathlib import Path

from configuration.problems import Problem
from stackfile.document import Document, UnreadableFile
from stackfile.mistakes import NO_VALUE, is_empty, mistakes_in, without_settings
from well_known import NAMESPACE


def read_file(directory: Path, project: str, stack: str) -> tuple[Document, list[str]]:
    """The stack's file, and the mistakes in it that Pulumi does not see.

    A configuration may come from elsewhere (`--config-file`, an environment of Pulumi Cloud): a missing file is empty
    and has no mistakes.

    Args:
        directory: the project's.
        project: the project's name.
        stack: the stack's name, without an organization.
    """
    path = directory / f"Pulumi.{stack}.yaml"
    try:
        document = Document.read(path)
    except UnreadableFile:
        return Document(), []  # Pulumi has read another file, or this one is of no use to anybody
    if not path.exists():
        return document, []
    # The settings report a key without a value, wherever it comes from.
    found = sorted(
        (mistake for mistake in mistakes_in(document, project, stack) if NO_VALUE not in mistake.text),
        key=lambda mistake: mistake.line,
    )
    if not found and is_empty(document, _project(directory)):
        found = [without_settings(stack)]
    return document, [f"{path.name}, {mistake}" if mistake.line else str(mistake) for mistake in found]


def _project(directory: Path) -> Document:
    try:
        return Document.read(directory / "Pulumi.yaml")
    except UnreadableFile:
        return Document()


def with_line(problem: Problem, document: Document, stack: str) -> str:
    """A problem with the file and line of its key, or of the nearest key above it."""
    first, *rest = problem.location or ("",)
    at = ("config", f"{NAMESPACE}:{first}", *rest)
    line = next((document.lines[at[:end]] for end in range(len(at), 1, -1) if at[:end] in document.lines), 0)
    return f"{problem} (Pulumi.{stack}.yaml, line {line})" if line else str(problem)
