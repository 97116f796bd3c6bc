"""`slip events`: what happened to the stack's containers, from the engines of all hosts, in the order of time."""

import json
import queue
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.logs import Line, Wanted, in_parallel, print_in_order, write
from cli.running.stack import Failed, running_of
from cli.stack.stack import Stack
from well_known import ROLE_LABEL, SERVICE_LABEL, STACK_LABEL

DAY = 86_400.0
"""Seconds that are looked back. An engine remembers its last 256 events, and none from before its start."""
SENTENCES = {
    "create": "made",
    "start": "started",
    "oom": "reached its memory limit",
    "pause": "paused",
    "unpause": "goes on",
    "destroy": "removed",
}


def run(stack: Stack, wanted: Wanted, *, as_json: bool = False) -> int:
    """Print the events. Returns the exit status: 1 if a host did not answer.

    Args:
        stack: the stack.
        wanted: since when, which, and whether to go on with new ones.
        as_json: whether each event is an object of JSON.

    """
    running = running_of(stack)
    found: queue.SimpleQueue[Line] = queue.SimpleQueue()
    failures: list[str] = []
    now = time.time()
    since = now - DAY if wanted.since is None else wanted.since
    # The engine goes on for ever without an end.
    until = {} if wanted.follow else {"until": int(now) + 1}

    def read(host: str) -> None:
        try:
            with running.docker(host) as engine:
                filters = {"type": ["container"], "label": [f"{STACK_LABEL}={running.name}"]}
                for event in engine.events(since=int(since), decode=True, filters=filters, **until):
                    line = told(host, event)
                    if line and (wanted.pattern is None or wanted.pattern.search(line.text)):
                        found.put(line)
        except Failed as failed:
            failures.append(f"{failed}. `./slip verify{running.option}` shows what is wrong.")

    def show(line: Line) -> None:
        moment = f"{line.time[:19].replace('T', ' ')}  {line.host}  {line.container}: {line.text}"
        write(json.dumps(asdict(line)) if as_json else moment, as_json=as_json)

    print_in_order(in_parallel(read, running.hosts), found, show, follow=wanted.follow)
    for failure in sorted(failures):
        console.warn(failure)
    return 1 if failures else 0


def told(host: str, event: Mapping[str, Any]) -> Line | None:
    """An event as a line; None for one that says nothing about what runs."""
    action, known = str(event.get("Action", "")), event.get("Actor", {}).get("Attributes", {})
    if action == "die":
        text = f"ended with exit code {known.get('exitCode', 'unknown')}"
    elif action.startswith("health_status: "):
        text = f"its image's health check says {action.partition(': ')[2]}"
    else:
        text = SENTENCES.get(action, "")
    if not text:
        return None
    nanoseconds = int(event.get("timeNano", 0))
    seconds = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return Line(
        time=f"{seconds:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09}Z",
        service=str(known.get(SERVICE_LABEL) or known.get(ROLE_LABEL) or ""),
        host=host,
        container=str(known.get("name", "")),
        text=text,
    )
