"""What happened in one run of Pulumi, for what is said at its end."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cli.screen.events import Began, Done, Event, Failed, Message, Step, Summary

STACK_TYPE = "pulumi:pulumi:Stack"
FOREIGN_KEY = "ssh: host key mismatch"
"""What the command plugin says of a host with another key. It dials again, as it does after every failure."""
OUTPUT_LINES = 30
"""How many of a resource's last output lines are kept."""


@dataclass
class Record:
    """The steps and messages of a run."""

    steps: list[Step] = field(default_factory=list)
    """Every step that began."""
    done: list[Step] = field(default_factory=list)
    failed: list[Step] = field(default_factory=list)
    errors: list[Message] = field(default_factory=list)
    """Each once."""
    warnings: list[Message] = field(default_factory=list)
    """Each once."""
    output: dict[str, deque[str]] = field(default_factory=dict)
    """The last lines that a resource's operation printed for good, by URN."""
    status: dict[str, deque[str]] = field(default_factory=dict)
    """The last lines that a resource's operation said about its progress, by URN."""
    foreign_keys: dict[str, None] = field(default_factory=dict)
    """The resources whose host presents another SSH host key than the stack's, by URN."""
    crash: list[str] = field(default_factory=list)
    """What the program wrote to standard error: of its own accord it writes nothing there."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many resources each operation had; empty if the run did not come to its end."""
    by_urn: dict[str, Step] = field(default_factory=dict)
    """A step of each resource."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Record":
        """The record of these events."""
        record = cls()
        for event in events:
            record.take(event)
        return record

    def take(self, event: Event) -> None:
        """Note an event."""
        if isinstance(event, Message) and FOREIGN_KEY in event.text:
            self.foreign_keys[event.urn] = None
        match event:
            case Began(step):
                self.steps.append(step)
                self.by_urn[step.urn] = step
            case Done(step):
                self.done.append(step)
            case Failed(step):
                self.failed.append(step)
            case Message(urn, "error", text) if text.strip():
                _add(self.errors, Message(urn, "error", text.strip("\n")))
            case Message(urn, "warning", text) if text.strip():
                _add(self.warnings, Message(urn, "warning", text.strip()))
            case Message(_, "info#err", text) if text.strip():
                self.crash += text.strip().splitlines()
            case Message(urn, "info", text, is_status) if urn and text.strip():
                kept = self.status if is_status else self.output
                kept.setdefault(urn, deque(maxlen=OUTPUT_LINES)).extend(text.rstrip("\n").split("\n"))
            case Summary(counts):
                self.counts = dict(counts)

    @property
    def changes(self) -> list[Step]:
        """The steps that change something, without those of components."""
        return [step for step in self.steps if step.is_change and not step.is_component]

    @property
    def is_cancelled(self) -> bool:
        """Whether the engine stopped because of an interrupt."""
        return any(re.match(r"(?:update|preview|destroy) cancell?ed", error.text) for error in self.errors)

    @property
    def gone(self) -> list[Step]:
        """What a refresh did not find any more."""
        return [step for step in self.done if step.is_gone]

    @property
    def is_first(self) -> bool:
        """Whether the stack itself was made in this run."""
        return any(step.operation == "create" and step.type == STACK_TYPE for step in self.steps)

    @property
    def number(self) -> int:
        """How many resources there are."""
        return sum(self.counts.values())


def _add(messages: list[Message], message: Message) -> None:
    if message not in messages:
        messages.append(message)
