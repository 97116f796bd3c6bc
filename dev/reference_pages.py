"""Writes the parts of `docs/` that are generated from the code: commands, configuration and outputs.

    make reference    runs this, and writes slipway.schema.json first

Each page has text by hand around the part between the two markers. A unit test fails while a page is not current.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typing_extensions import is_typeddict

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN = "<!-- generated from the code by `make reference`: do not edit below -->\n"
END = "<!-- end of the generated part -->\n"


def commands() -> str:
    """Every command of `slip`: its help, its usage and its options."""
    import typer.main

    from cli.app import EPILOGUE, app

    root: Any = typer.main.get_command(app)
    parts = [EPILOGUE]
    for names, command in _leaves(root, ()):
        title = " ".join(names)
        context = command.context_class(command, info_name=title)
        arguments: list[str] = []
        rows: list[tuple[str, str]] = []
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                name = (parameter.metavar or parameter.name).upper()
                arguments.append(name if parameter.required else f"[{name}]")
                rows.append((f"`{name}`", parameter.help))
            elif record := parameter.get_help_record(context):
                option = record[0].replace("<str>", parameter.name.upper())
                rows.append((f"`{option}`", record[1].replace("  [", " [")))
        usage = " ".join(["./slip", title, "[OPTIONS]", *arguments])
        parts += [f"## {title}", f"```\n{usage}\n```", command.help]
        if rows:
            parts.append(_table(("option", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


def _leaves(command: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The commands that do something, with the names that lead to them; none that are for programs."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        if not command.hidden:
            yield names, command
        return
    for name, subcommand in sorted(subcommands.items()):
        yield from _leaves(subcommand, (*names, name))


def configuration() -> str:
    """Every setting, in one table for each group."""
    from configuration import reference

    return reference.markdown()


def outputs() -> str:
    """Every output, and the keys of those that are maps with fixed keys."""
    from components.output_reference import StackOutputs, described, structures

    rows = [
        (f"`{one.key}`", _type(one.type), "secret" if one.secret else "", one.since, one.meaning)
        for one in described(StackOutputs)
    ]
    parts = [_table(("key", "type", "secret", "since", "meaning"), rows)]
    for key, structure in structures().items():
        inner = [(f"`{one.key}`", _type(one.type), one.meaning) for one in described(structure)]
        about = f"Each {_type(structure)} in `{key}` has:" if key.endswith("s") else f"`{key}` has:"
        parts += [f"## {key}", about, _table(("key", "type", "meaning"), inner)]
    return "\n\n".join(parts) + "\n"


def _type(type_: Any) -> str:
    if type_ in {str, int, bool}:
        return {str: "text", int: "number", bool: "`true` or `false`"}[type_]
    if type_ is Any:
        return "values"
    arguments = get_args(type_)
    if get_origin(type_) is Literal:
        return " or ".join(f"`{word}`" for word in arguments)
    if get_origin(type_) is list:
        return f"list of {_type(arguments[0])}"
    if get_origin(type_) is dict:
        return f"map of {_type(arguments[1])}"
    if is_typeddict(type_):
        return str(type_.__name__).removesuffix("Outputs").lower()
    raise TypeError(f"an output of a type without a name for readers: {type_}")


def _table(columns: tuple[str, ...], rows: Any) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "configuration.md": configuration,
    "outputs.md": outputs,
}
"""The pages with a generated part, and what makes that part."""


def current(name: str) -> str:
    """A page as it should be: its text by hand, with the generated part made anew.

    Raises:
        ValueError: the page lacks a marker.
    """
    before, begin, rest = (DOCS / name).read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(
            f"docs/{name} lacks a marker of its generated part: {(BEGIN if not begin else END)!r}"
        )
    return f"{before}{BEGIN}\n{PAGES[name]()}\n{END}{after}"


def main() -> None:
    """Write the pages."""
    for name in PAGES:
        (DOCS / name).write_text(current(name), encoding="utf-8")


if __name__ == "__main__":
    main()
