"""`slip top`: what the stack's containers use, all hosts at once, over one connection each."""

import asyncio
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from cli import console
from cli.running import usage
from cli.running.ssh import Unreachable
from cli.running.stack import running_of
from cli.running.usage import Use
from cli.stack.stack import Stack
from cli.text import size

PAUSE = 2.0
"""Seconds between two samples of the live table."""
FIRST_PAUSE = 1.0
"""Seconds between the two samples of `--once`."""
CLEAR = "\x1b[H\x1b[J"
"""Moves the cursor home, and clears what is below."""


def run(stack: Stack, *, once: bool, as_json: bool) -> int:
    """Print what is used. Returns the exit status: 1 if a host did not answer."""
    running = running_of(stack)
    live = not (once or as_json) and sys.stdout.isatty()
    found: dict[str, list[Use]] = {}
    silent: dict[str, str] = {}

    async def watch(host: str) -> None:
        try:
            async for sample in usage.samples(
                running.outputs, host, count=0 if live else 2, pause=PAUSE if live else FIRST_PAUSE
            ):
                found[host] = sample
                if live:
                    draw(stack.name, found, silent)
        except (Unreachable, ValueError) as error:
            silent[host] = str(error)

    async def watch_all() -> None:
        await asyncio.gather(*(watch(host) for host in running.hosts))

    asyncio.run(watch_all())
    if as_json:
        print(json.dumps([asdict(use) for use in ordered(found)], indent=2))
    else:
        console.table(f"Containers of the stack '{stack.name}'", COLUMNS, map(row, ordered(found)))
    for host, why in sorted(silent.items()):
        console.warn(f"{host} does not answer: {why}. `./slip verify{running.option}` shows what is wrong.")
    return 1 if silent else 0


COLUMNS = ("service", "host", "CPU", "memory", "container")


def ordered(found: Mapping[str, Iterable[Use]]) -> list[Use]:
    """The containers, the busiest first."""
    every = [use for uses in found.values() for use in uses]
    return sorted(every, key=lambda use: (-(use.cpu or 0), -use.memory, use.host, use.container))


def row(use: Use) -> tuple[str, ...]:
    """A line of the table."""
    cpu = "-" if use.cpu is None else f"{use.cpu:.1%}"
    return use.service, use.host, cpu, size(use.memory), use.container


def draw(name: str, found: Mapping[str, list[Use]], silent: Mapping[str, Any]) -> None:
    """Show the table in place of the one before, as much of it as fits."""
    sys.stdout.write(CLEAR)
    rows = [row(use) for use in ordered(found)]
    room = max(1, shutil.get_terminal_size().lines - 6 - len(silent))
    console.table(f"Containers of the stack '{name}' (Ctrl-C ends this)", COLUMNS, rows[:room])
    for host, why in sorted(silent.items()):
        console.result(f"{host} does not answer: {why}")
