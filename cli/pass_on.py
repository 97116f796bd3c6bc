"""What goes to Pulumi: only the arguments after `--`, and of these none that `slip` decides itself."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from typer.core import TyperCommand

from cli.errors import CommandError

if TYPE_CHECKING:
    from cli.stack.project import Project

SEPARATOR = "--"

OWN = {
    "--stack": "Use slip's own option: -s STACK, before the `--`.",
    "-s": "Use slip's own option: -s STACK, before the `--`.",
    "--yes": "Use slip's own option: --yes, before the `--`.",
    "-y": "Use slip's own option: --yes, before the `--`.",
    "--skip-preview": "Use slip's own option: --skip-preview, before the `--`.",
    "-f": "Use slip's own option: --skip-preview, before the `--`.",
    "--preview-only": "Use `./slip preview`.",
    "--cwd": "Leave it out: slip works in its own clone.",
    "-C": "Leave it out: slip works in its own clone.",
    "--non-interactive": "Leave it out: without a terminal, slip asks nothing.",
    "--color": "Leave it out, and set NO_COLOR=1 for plain text.",
    "--config-file": "Leave it out: a stack's configuration is Pulumi.STACK.yaml.",
    "--remove": "Use `./slip down --purge`.",
    "--suppress-outputs": "Leave it out: slip never prints the outputs while it works.",
    "--show-secrets": "Leave it out: `./slip output --show-secrets` prints secrets.",
    "--secrets-provider": "Leave it out, and set `secretsprovider` in the stack's configuration.",
    "--remote": "Leave it out: slip runs the update on this machine.",
    "--run-program": "Leave it out: slip decides when the program runs.",
}
"""Options of Pulumi that would break what `slip` does around it, each with what to do instead."""

WITH_VALUE = frozenset(
    {
        *(
            "--config",
            "-c",
            "--exclude",
            "-x",
            "--event-log",
            "--message",
            "-m",
            "--override-env",
            "--parallel",
            "-p",
        ),
        *(
            "--policy-pack",
            "--policy-pack-config",
            "--replace",
            "--target",
            "-t",
            "--target-replace",
            "--save-plan",
        ),
        *(
            "--plan",
            "--import-file",
            "--memprofilerate",
            "--otel-traces",
            "--profiling",
            "--tracing",
            "--verbose",
            "-v",
        ),
    }
)
"""Options of Pulumi whose value may be the next word."""


class PassingCommand(TyperCommand):
    """A command that runs Pulumi. Words before `--` must be its own."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse what comes before `--`, and keep the rest for Pulumi."""
        at = args.index(SEPARATOR) if SEPARATOR in args else len(args)
        before, after = args[:at], args[at + 1 :]
        rest: list[str] = super().parse_args(ctx, before)
        if ctx.args and not ctx.resilient_parsing:
            raise _stray(ctx.args[0], ctx.info_name or "")
        ctx.args = after
        if not ctx.resilient_parsing:
            check(after)
        return rest


class WordsCommand(TyperCommand):
    """A command that runs another program. Its words come after `--`."""

    needs_words = True

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse what comes before `--`, and keep the rest for the program."""
        at = args.index(SEPARATOR) if SEPARATOR in args else len(args)
        rest: list[str] = super().parse_args(ctx, args[:at])
        words = args[at + 1 :]
        if not ctx.resilient_parsing and (ctx.args or (self.needs_words and not words)):
            name = ctx.info_name or ""
            wrong = f"'{ctx.args[0]}' comes before --" if ctx.args else "there is no command"
            raise CommandError(wrong, f"Write: ./slip {name} SERVICE -- PROGRAM ARGUMENTS", status=2)
        ctx.args = words
        return rest


class PossibleWordsCommand(WordsCommand):
    """A command that runs another program, or what it runs without words."""

    needs_words = False


def check(options: Sequence[str]) -> None:
    """Refuse options that `slip` decides itself, and words that are no options.

    Pulumi takes a word for the name of a template, which it fetches from the internet.

    Raises:
        CommandError: with status 2.

    """
    words = iter(options)
    for word in words:
        name, _, value = word.partition("=")
        if name in OWN:
            raise CommandError(f"{name} cannot be passed on to Pulumi", OWN[name], status=2)
        if not word.startswith("-") or word == "-":
            raise CommandError(
                f"'{word}' after -- is no option of Pulumi",
                "Pass on options only, such as: -- --debug",
                status=2,
            )
        if name in WITH_VALUE and not value and "=" not in word:
            next(words, "")


def _stray(word: str, command: str) -> CommandError:
    # Slow to import, and only for this message.
    from cli.stack.project import Project
    from cli.stack.stack import LOCAL

    project = Project.here()
    stacks = sorted({LOCAL, *project.stacks})
    option = f"./slip {command} -s "
    if word in stacks:
        remedy = f"Did you mean `{option}{word}`?"
    elif owners := [stack for stack in stacks if word in _services(project, stack)]:
        chosen = "" if LOCAL in owners else f" -s {owners[0]}"
        remedy = (
            f"'{word}' is a service, and a service cannot be worked on alone: `./slip {command}{chosen}` changes only "
            "what differs."
        )
    elif close := difflib.get_close_matches(word, stacks, 1):
        remedy = f"Did you mean `{option}{close[0]}`?"
    else:
        remedy = f"Stacks here: {', '.join(stacks)}. Name one with -s; options for Pulumi come after `--`."
    return CommandError(f"`{command}` takes no argument '{word}'", remedy, status=2)


def _services(project: "Project", stack: str) -> list[str]:
    """The names of a stack's services."""
    from cli.stack.config import StackConfig
    from cli.stack.stack import LOCAL, LOCAL_STACK

    path = project.config_file(stack)
    # The first `up` writes the stack `local`'s file.
    file = path if path.exists() or stack != LOCAL else LOCAL_STACK
    found = StackConfig.read(file, project.name).setting("services")
    return [str(name) for name in found] if isinstance(found, dict) else []
