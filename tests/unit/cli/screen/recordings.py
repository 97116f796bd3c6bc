"""Event logs that CLI 3.259 wrote for a stack of three hosts, without inputs, outputs and most unchanged resources."""

from pathlib import Path

from cli.screen.events import Event, Step, parse
from cli.screen.record import Record

FOLDER = Path(__file__).parent / "recorded"


def events(name: str) -> list[Event]:
    """The events of a recorded run."""
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
    return [event for line in lines if (event := parse(line))]


def record(name: str) -> Record:
    """The record of a recorded run."""
    return Record.of(events(name))


def step(operation: str, path: str, parent: str = "", *, changed: str = "", retained: bool = False) -> Step:
    """A step on a resource, by types and name: `slipway:index:Service$docker:index/container:Container::web-web-1`."""
    urn = f"urn:pulumi:local::slipway::{path}"
    above = path.partition("::")[0].rpartition("$")[0]
    return Step(
        operation,
        urn,
        f"urn:pulumi:local::slipway::{above}::{parent}" if parent else "",
        frozenset(changed.split()),
        retained=retained,
    )
