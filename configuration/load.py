"""`load` reads the settings of the running stack; `validate` makes settings from any configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configuration.problems import Problem, SettingsError
from configuration.settings import StackSettings
from configuration.validation import validated


def validate(
    configuration: Mapping[str, Any],
    directory: Path | None = None,
    secret_keys: frozenset[str] | None = None,
    stack: str = "STACK",
) -> StackSettings:
    """The settings that a configuration describes.

    Args:
        configuration: what the user wrote, by key without `slipway:`.
        directory: the project's; paths in the configuration are relative to it. By default the current one.
        secret_keys: the keys that Pulumi keeps secret; None if that is not known.
        stack: the stack's name, for the commands that messages suggest.

    Raises:
        SettingsError: with every mistake, not only the first.
    """
    return validated(configuration, directory or Path.cwd(), secret_keys, stack)


def load(directory: Path | None = None, check_ports: bool = True) -> StackSettings:
    """The settings of the stack that runs this program.

    Args:
        directory: the project's. By default the current one, in which Pulumi runs programs.
        check_ports: whether to refuse ports of this machine that another program holds.

    Raises:
        pulumi.RunError: with every mistake in the configuration.
    """
    import pulumi

    from configuration import local_ports
    from configuration.pulumi_config import secret_keys, written
    from configuration.stack_file import read_file, with_line

    project, stack = pulumi.get_project(), pulumi.get_stack()
    directory = directory or Path.cwd()
    document, mistakes = read_file(directory, project, stack)
    settings: StackSettings | None = None
    problems: Sequence[Problem] = ()
    try:
        settings = validate(written(), directory, secret_keys(), stack)
        if (
            check_ports
            and settings.platform.kind == "local"
            and (taken := local_ports.occupied(settings, project, stack))
        ):
            raise SettingsError(taken)
    except SettingsError as error:
        problems = error.problems
    if settings is None or problems or mistakes:
        lines = [*mistakes, *(with_line(problem, document, stack) for problem in problems)]
        count = "one mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        raise pulumi.RunError(
            f"the configuration of stack {stack} has {count}; nothing was touched:\n"
            + "\n".join(f"  {line}" for line in lines)
        ) from None
    return settings
