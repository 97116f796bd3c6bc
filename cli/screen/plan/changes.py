"""What a preview changes, resource by resource."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cli.screen.events import Step
from cli.screen.subjects import Part, Subject, subject

MAKE, REMOVE, REPLACE, CHANGE = "make", "remove", "replace", "change"
_VERBS = {
    "create": MAKE,
    "import": MAKE,
    "update": CHANGE,
    "replace": REPLACE,
    "create-replacement": REPLACE,
    "delete-replaced": REPLACE,
    "import-replacement": REPLACE,
    "delete": REMOVE,
    "discard": REMOVE,
}
WORDS = {MAKE: "made", CHANGE: "changed", REPLACE: "made anew", REMOVE: "removed"}


@dataclass(frozen=True)
class Change:
    """What happens to one resource."""

    verb: str
    """`make`, `change`, `replace` or `remove`."""
    subject: Subject
    step: Step


class Notice(IntEnum):
    """What someone outside notices of a change; the worst last."""

    NOBODY = 0
    RESTART = 1
    """Something restarts, or waits, for some seconds."""
    FAILURES = 2
    """Requests may fail, or an address no longer answers."""
    HOST = 3
    """A host is replaced or removed."""
    LOSS = 4
    """Data is lost."""


@dataclass(frozen=True)
class Effect:
    """What happens, and what someone notices of it."""

    text: str
    notice: Notice = Notice.NOBODY
    seconds: int = 0
    """How long a restart takes."""


@dataclass(frozen=True)
class Sentence:
    """What happens to whom."""

    about: str
    """Whom: one name, or a kind and several names."""
    text: str
    notice: Notice = Notice.NOBODY
    seconds: int = 0
    """How long a restart takes."""


class Changes:
    """The changes of a preview, and which of them a sentence was about."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.every = changes(steps)
        self.untold = {change.step.urn for change in self.every}
        """The URNs of the resources that no sentence was about yet."""
        self.unchanged = [subject(step) for step in steps if step.operation == "same"]
        """What stays as it is."""

    def of(self, *parts: Part, verb: str = "") -> list[Change]:
        """The changes of these parts."""
        return [
            change
            for change in self.every
            if change.subject.part in parts and (not verb or change.verb == verb)
        ]

    def tell(self, changes: Iterable[Change]) -> None:
        """Note that a sentence was about these."""
        self.untold -= {change.step.urn for change in changes}

    @property
    def rest(self) -> list[Change]:
        """What no sentence was about yet."""
        return [change for change in self.every if change.step.urn in self.untold]

    @property
    def hosts(self) -> dict[str, Change]:
        """What happens to hosts' machines, by the host's name."""
        return {change.subject.host: change for change in self.of(Part.HOST)}

    @property
    def renewed(self) -> set[str]:
        """Whose certificates are renewed."""
        return {change.subject.of for change in self.of(Part.CERTIFICATE) if change.verb in {REPLACE, CHANGE}}


def changes(steps: Iterable[Step]) -> list[Change]:
    """What happens to each resource: the several steps of a replacement are one change."""
    found: dict[str, Change] = {}
    for step in steps:
        if not step.is_change or step.is_component:
            continue
        verb = _VERBS.get(step.operation, CHANGE)
        before = found.get(step.urn)
        if before is None or before.verb == REMOVE != verb:
            found[step.urn] = Change(REPLACE if before else verb, subject(step), step)
        elif before.verb != verb:
            found[step.urn] = Change(REPLACE, before.subject, step)
        elif step.changed | step.replacing and not before.step.changed:
            found[step.urn] = Change(verb, before.subject, step)
    return list(found.values())


def joined(one: str, many: str, effects: Mapping[str, Effect]) -> list[Sentence]:
    """A sentence for each effect, about all names that it is about."""
    names: dict[Effect, list[str]] = {}
    for name, effect in effects.items():
        names.setdefault(effect, []).append(name)
    return [
        Sentence(
            f"{one if len(about) == 1 else many} {', '.join(sorted(about))}",
            effect.text,
            effect.notice,
            effect.seconds,
        )
        for effect, about in names.items()
    ]


def hosts_of(changes: Iterable[Change]) -> str:
    """The hosts that changes are on."""
    return ", ".join(sorted({change.subject.host for change in changes}))


def details(change: Change) -> str:
    """The inputs for which a resource is changed or replaced, in brackets; empty without any."""
    names = sorted(change.step.replacing or change.step.changed)
    return f" ({', '.join(names)})" if names and change.verb in {CHANGE, REPLACE} else ""
