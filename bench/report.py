"""The results as tables and as JSON."""

import json
import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import child_environment
from bench.experiments import Measurement, Results
from bench.timeline import Entry
from toolchain import versions

FOLDER = Path(__file__).with_name("results")
TIMES = "\N{MULTIPLICATION SIGN}"
WIDTH = 120
"""The width of the tables without a terminal."""
BY_SIZE = {
    "growth": "Growth with the number of app hosts, medians",
    "fleet": "What an update costs by the number of app hosts, medians",
}
"""The experiments whose tables have a column for each number of app hosts, and their titles."""
WORTH_A_LINE = 0.005
"""A timeline's table shows the steps that take at least this part of the whole. The JSON has all steps."""


def console() -> Console:
    """Standard output: coloured on a terminal; else plain, and wide enough for the tables."""
    probe = Console()
    return probe if probe.is_terminal else Console(width=WIDTH, color_system=None)


def show(results: Results, to: Console) -> None:
    """Print the results as tables."""
    single = [line for line in results.measurements if line.experiment not in BY_SIZE]
    if single:
        to.print(_measurements(single))
    if results.ratios:
        to.print(_ratios(results))
    for experiment, title in BY_SIZE.items():
        if lines := [line for line in results.measurements if line.experiment == experiment]:
            to.print(_growth(title, lines))
    for what, entries in results.timelines.items():
        to.print(_timeline(what, entries))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in {"", "measured"} else "right")
    return table


def _number(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    return f"{value:.0f} {unit}".rstrip()


def _measurements(lines: list[Measurement]) -> Table:
    table = _table("Medians", "", "measured", "app hosts", "runs", "median", "min", "max")
    before = ""
    for line in lines:
        values = line.series.values
        table.add_row(
            line.experiment if line.experiment != before else "",
            line.what,
            str(line.app_hosts),
            str(len(values)),
            *(_number(value, line.unit) for value in (line.series.median, min(values), max(values))),
        )
        before = line.experiment
    return table


def _ratios(results: Results) -> Table:
    table = _table("Ratios, pair by pair", "", "measured", "median", "min", "max", "at most", "held")
    for ratio in results.ratios:
        held = ratio.target is None or ratio.series.median <= ratio.target
        table.add_row(
            ratio.experiment,
            ratio.what,
            *(
                f"{v:.2f}{TIMES}"
                for v in (ratio.series.median, min(ratio.series.values), max(ratio.series.values))
            ),
            "" if ratio.target is None else f"{ratio.target:.1f}{TIMES}",
            "" if ratio.target is None else "yes" if held else "[red]no[/red]",
        )
    return table


def _growth(title: str, lines: list[Measurement]) -> Table:
    sizes = sorted({line.app_hosts for line in lines})
    table = _table(title, "measured", "runs", *map(str, sizes))
    for what in dict.fromkeys(line.what for line in lines):
        by_size = {line.app_hosts: line for line in lines if line.what == what}
        one = next(iter(by_size.values()))
        table.add_row(
            what,
            str(len(one.series.values)),
            *(_number(by_size[size].series.median, one.unit) if size in by_size else "" for size in sizes),
        )
    return table


def _timeline(what: str, entries: list[Entry]) -> Table:
    table = _table(f"Where the time goes: {what}, medians", "at", "took", "measured")
    least = max(entry.seconds for entry in entries) * WORTH_A_LINE
    for entry in entries:
        if entry.seconds >= least:
            table.add_row(f"{entry.at:.2f} s", f"{entry.seconds:.2f} s", entry.what)
    return table


def write(results: Results, runs: int) -> Path:
    """Write the results to a file that has the date in its name. Returns its path."""
    now = datetime.now(UTC)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    content = {
        "date": now.isoformat(timespec="seconds"),
        "revision": _output("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "machine": _machine(),
        "pulumi": versions.pulumi(),
        "plugins": versions.plugins(),
        "python": platform.python_version(),
        # The plain script builds with this Docker.
        "docker": _output(
            "docker", "version", "--format", "{{.Client.Version}} client, {{.Server.Version}} engine"
        ),
        "runs": runs,
        "measurements": [
            {
                **{key: getattr(line, key) for key in ("experiment", "what", "unit", "app_hosts")},
                **line.series.as_json(),
            }
            for line in results.measurements
        ],
        "ratios": [
            {
                "experiment": ratio.experiment,
                "what": ratio.what,
                "target": ratio.target,
                **ratio.series.as_json(),
            }
            for ratio in results.ratios
        ],
        "timelines": {
            what: [asdict(entry) for entry in entries] for what, entries in results.timelines.items()
        },
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processors": os.cpu_count(),
        "memory_mib": memory // 2**20,
        "kernel": platform.release(),
        # If this exceeds the number of processors, other programs were running, and the times are too long.
        "load_average_at_end": [round(value, 2) for value in os.getloadavg()],
    }


def _output(*command: str) -> str:
    variables = child_environment.of(command[0])
    result = subprocess.run(
        command, cwd=FOLDER.parent, env=variables, capture_output=True, text=True, check=False
    )
    return result.stdout.strip()
