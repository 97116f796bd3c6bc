"""What a command of `slip` asks an update for: a service's name and the details of each, in a variable, as JSON."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pulumi

_Details = TypeVar("_Details")


def order(
    variables: Mapping[str, str], variable: str, command: str, read: Callable[[str, Any], _Details]
) -> dict[str, _Details]:
    """The details by service; empty without the variable.

    Args:
        variables: the environment.
        variable: the variable's name.
        command: the command that sets it, such as `promote`.
        read: makes the details of a service of what is written. It raises ValueError, LookupError, TypeError or
            AttributeError if that does not fit.

    Raises:
        pulumi.RunError: the variable has another form than the command gives it.
    """
    text = variables.get(variable)
    if not text:
        return {}
    try:
        return {str(name): read(str(name), one) for name, one in json.loads(text).items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise pulumi.RunError(
            f"{variable} is not what `slip {command}` makes of it: unset it, and use `./slip {command}`"
        ) from None
