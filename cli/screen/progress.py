"""The lines of a running update: each image, each service on each host, each host, with what happened and how long."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cli.screen.events import Began, Done, Event, Failed, Message, Step
from cli.screen.subjects import Part, Subject, subject
from toolchain.report import duration

STAYS_STOPPED = " is stopped, and stays so"
"""What switch.sh says at the end of a roll-out of a service that an operator has stopped."""
PATIENCE = 10.0
"""Seconds after which a step that is still running is worth a line of its own, where there is no status line."""
SLOW_PULL = 5.0
"""Seconds after which a pull is worth a line."""

PUSHING = "Pushing Image to the registry"
"""What the Docker plugin says when a build is done and its push begins."""

DOING = {
    Part.HOST: "starting",
    Part.HOST_IMAGE: "building",
    Part.HOST_BOOT: "waiting for the end of its first boot",
    Part.HOST_SETUP: "setting up Docker Engine",
    Part.HOST_IMAGES: "loading its first images",
    Part.PROXY: "starting",
    Part.IMAGE: "building",
    Part.PULL: "pulling the image",
    Part.CONTAINER: "starting the container",
    Part.SWITCH: "waiting until it is healthy",
    Part.RELEASE: "running its release command",
    Part.REGISTRY: "starting",
    Part.REGISTRY_SETTINGS: "putting its settings in place",
    Part.REGISTRY_ANSWERS: "waiting for its answer",
    Part.REGISTRY_LOGIN: "logging in",
    Part.MIRROR: "copying into the registry",
}
"""What a step does while it runs, by its resource's part."""

CREATES = frozenset({"create", "create-replacement", "import"})
REPLACES = frozenset({"create-replacement"})
DONE = {
    "create": "made",
    "update": "changed",
    "create-replacement": "made anew",
    "replace": "replaced",
    "delete": "removed",
    "delete-replaced": "old one removed",
    "import": "taken over",
}
"""What a step did, by its operation."""


@dataclass
class _Running:
    """A step that is running."""

    step: Step
    subject: Subject
    since: float
    stage: float
    """When its present stage began: an image's are its build and its push."""
    said: str = ""
    """The last thing that its operation said."""
    is_told: bool = False


class Progress:
    """Makes the lines of an update from the engine's events."""

    def __init__(
        self,
        show: Callable[[str, str, str], None],
        warned: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin.

        Args:
            show: gets each line: a mark (✓, ✗, … or !), whom it is about, and what happened.
            warned: warnings that were shown before.
            clock: the time in seconds.

        """
        self._show = show
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._begun: dict[str, float] = {}
        """When the first step of a host or of the registry began."""
        self._containers: dict[tuple[str, str], Step] = {}
        self._pushing: dict[str, float] = {}
        self._healthy: dict[str, str] = {}
        self._stopped: set[str] = set()
        """The switches of services that an operator has stopped, by URN."""
        self._held: list[tuple[str, str]] = []
        """Lines about what is unchanged: worth showing only in a run that changes something."""
        self._has_changed = False
        self._warned = set(warned)

    def take(self, event: Event) -> None:
        """Show what an event is worth."""
        match event:
            case Began(step):
                self._begin(step)
            case Done(step):
                self._end(step)
            case Failed(step):
                running = self._running.pop(step.urn, None)
                if running and step.is_change and not step.is_component:
                    self._line("✗", str(running.subject), f"failed after {self._since(running.since)}")
            case Message(urn, "warning", text) if text.strip() and text.strip() not in self._warned:
                self._warned.add(text.strip())
                running = self._running.get(urn)
                self._show("!", str(running.subject) if running else "warning", text.strip())
            case Message(urn, "info", text) if urn in self._running and text.strip():
                self._hear(self._running[urn], text.strip())

    def _begin(self, step: Step) -> None:
        if step.is_component:
            return
        about, now = subject(step), self._clock()
        if step.is_change:
            if about.host:
                self._begun.setdefault(about.host, now)
            if about.part in {Part.REGISTRY, Part.REGISTRY_SETTINGS}:
                self._begun.setdefault("registry", now)
        if about.part is Part.IMAGE:
            self._begun[step.urn] = now
        self._running[step.urn] = _Running(step, about, now, now)

    def _hear(self, running: _Running, text: str) -> None:
        running.said = text.rsplit("\n", 1)[-1]
        if running.subject.part is Part.IMAGE and PUSHING in text:
            self._pushing[running.step.urn] = running.stage = self._clock()
            running.is_told = False
        if running.subject.part is Part.SWITCH and text.rstrip().endswith(STAYS_STOPPED):
            self._stopped.add(running.step.urn)
        if running.subject.part is Part.SWITCH and "healthy after " in text:
            self._healthy[running.step.urn] = (
                text.rpartition("healthy after ")[2].split(",")[0].split("\n")[0]
            )

    def _end(self, step: Step) -> None:
        running = self._running.pop(step.urn, None)
        if step.is_component:
            return
        about = running.subject if running else subject(step)
        took = self._since(running.since if running else self._clock())
        if not step.is_change:
            if about.part is Part.IMAGE and step.operation == "same":
                self._hold(str(about), "unchanged")
            return
        seconds = self._clock() - running.since if running else 0.0
        if text := self._outcome(step, about, took, seconds):
            self._line("✓", str(about), text)

    def _outcome(self, step: Step, about: Subject, took: str, seconds: float) -> str:
        """What a step did, or empty if that is not worth a line."""
        operation = step.operation
        if operation in {
            "delete",
            "delete-replaced",
            "replace",
            "discard-replaced",
            "remove-pending-replace",
        }:
            gone = about.part in {Part.HOST, Part.CONTAINER, Part.REGISTRY_ANSWERS, Part.OTHER}
            return DONE["delete"] if operation == "delete" and gone else ""
        match about.part:
            case Part.IMAGE:
                return self._image(step, took)
            case Part.CONTAINER:
                self._containers[about.of, about.host] = step
                return ""
            case Part.SWITCH:
                return self._switched(step, about, took)
            case Part.RELEASE:
                return f"release command has run, {took}"
            case Part.PULL:
                return f"image pulled, {took}" if seconds > SLOW_PULL else ""
            case Part.HOST_SETUP if operation in CREATES:
                return f"ready after {self._since(self._begun.get(about.host, self._clock()))}"
            case Part.HOST_SETUP:
                return f"set up again, {took}"
            case Part.HOST_IMAGES:
                return f"first images loaded, {took}"
            case Part.HOST if operation in REPLACES:
                return f"made anew, {took}"
            case Part.HOST_IMAGE:
                return f"built, {took}" if seconds > 1 else ""
            case Part.REGISTRY_ANSWERS:
                since = self._since(self._begun.get("registry", self._clock()))
                return f"runs, ready after {since}" if operation == "create" else f"restarted, {since}"
            case Part.REGISTRY_SETTINGS if operation == "update":
                return f"settings put in place, {took}"
            case Part.REGISTRY_LOGIN:
                return f"accepts the account, {took}"
            case Part.PROXY if about.of == "Container":
                return f"runs, {took}" if operation == "create" else f"replaced, {took}"
            case Part.MIRROR:
                return f"copied into the registry, {took}"
            case Part.CERTIFICATE if operation != "create":
                return "renewed"
            case Part.AUTHORITY if operation != "create" or "generation" in about.of:
                return DONE[operation]
            case Part.OTHER:
                return f"{DONE.get(operation, operation)}, {took}"
        return ""

    def _image(self, step: Step, took: str) -> str:
        pushing, since = self._pushing.get(step.urn), self._begun.get(step.urn)
        if pushing is None or since is None:
            return f"built and pushed, {took}"
        return f"built in {duration(pushing - since)}, pushed in {self._since(pushing)}"

    def _switched(self, step: Step, about: Subject, took: str) -> str:
        if "switch --job " in str(step.after.get("create")):
            return f"its timer is set, {took}"
        container = self._containers.get((about.of, about.host))
        healthy = f"healthy after {self._healthy.get(step.urn, took)}"
        if container is None:
            return f"checked and routed again, {took}"
        if container.operation not in REPLACES:
            return healthy
        new = "new version" if "image" in container.changed | container.replacing else "new container"
        if step.urn in self._stopped:
            return f"{new} in place; the service is stopped, and stays so"
        return f"{new} {healthy}, old one drained"

    def _hold(self, about: str, text: str) -> None:
        if self._has_changed:
            self._show("✓", about, text)
        else:
            self._held.append((about, text))

    def _line(self, mark: str, about: str, text: str) -> None:
        self._has_changed = True
        for held in self._held:
            self._show("✓", *held)
        self._held.clear()
        self._show(mark, about, text)

    def _since(self, moment: float) -> str:
        return duration(self._clock() - moment)

    def tell_slow(self) -> None:
        """Show which steps are in a stage for longer than `PATIENCE`, each once. For where there is no status line."""
        for running in self._running.values():
            worth = running.step.is_change and running.subject.part in DOING
            if worth and not running.is_told and self._clock() - running.stage > PATIENCE:
                running.is_told = True
                self._show("…", str(running.subject), self._doing(running))

    @property
    def current(self) -> str:
        """What is going on right now, in a few words: the longest-running step that a person knows."""
        known = [r for r in self._running.values() if r.step.is_change and r.subject.part in DOING]
        if known:
            first = min(known, key=lambda running: running.since)
            others = len({str(running.subject) for running in known} - {str(first.subject)})
            more = f" (and {others} more)" if others else ""
            return f"{first.subject}: {self._doing(first)}{more}  {self._since(first.since)}"
        if any(running.step.operation == "refresh" for running in self._running.values()):
            return "looking at what is there"
        return "comparing what is there with the configuration"

    def _doing(self, running: _Running) -> str:
        if running.step.operation in {"delete", "delete-replaced"}:
            return "removing"
        if running.subject.part is Part.IMAGE:
            doing = "pushing" if running.step.urn in self._pushing else "building"
            return f"{doing}: {running.said}" if running.said and doing == "building" else doing
        return DOING[running.subject.part]
