"""Refuses a stack's file with mistakes that Pulumi does not see, or tells without file, line and key."""

from cli.errors import CommandError
from cli.stack.project import Project
from stackfile.document import Document, Mistake, UnreadableFile


def check(project: Project, stack: str, *, changes: bool) -> None:
    """Refuse a file that cannot be read; with `changes`, also one with other mistakes.

    Pulumi writes the values that it has read when it changes a file, so a text such as 0022 would be lost.

    Args:
        project: the clone.
        stack: the stack whose file people edit, without an organization.
        changes: whether the command goes by the file, or changes it.

    Raises:
        CommandError: the file has mistakes; the message has all of them, each with its line and key.

    """
    path = project.config_file(stack)
    try:
        document = Document.read(path)
    except UnreadableFile as error:
        raise _refusal(path.name, error.mistakes) from None
    if not changes or not path.exists():
        return
    from stackfile.mistakes import is_empty, mistakes_in, without_settings

    found = sorted(mistakes_in(document, project.name, stack), key=lambda mistake: mistake.line)
    if not found and is_empty(document, project.file):
        found = [without_settings(stack)]
    if found:
        raise _refusal(path.name, found)


def _refusal(name: str, mistakes: list[Mistake]) -> CommandError:
    count = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    lines = (f"  {name}, {mistake}" if mistake.line else f"  {mistake}" for mistake in mistakes)
    return CommandError(f"{name} has {count}; nothing was touched:\n" + "\n".join(lines))
