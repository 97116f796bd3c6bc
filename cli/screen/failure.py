"""The end of a failed run: why it failed, in the words of whatever failed, and the next step. Pure functions."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cli.screen.events import Step
from cli.screen.record import STACK_TYPE, Record
from cli.screen.subjects import Part, Subject, subject

MENDS = "to mend it: "
"""What switch.sh puts before a remedy. It is said last."""
LINES = 20
"""How many lines of a failed operation's output are shown."""
OWN_LINES = 30
"""How many lines are shown of a script of Slipway, which picks them itself."""

_WRAPPERS = (
    r"^error: ",
    r"^rpc error: code = \w+ desc = ",
    r"^error reading (?:build|push) output: ",
    r"^(?:creating|updating|deleting|refreshing) urn:\S+ ",
    r"^\d+ errors? occurred:\s*\* ",
    r"^(?:sdk-v\d/)?provider\d?\.go:\d+: sdk\.\w+: ",
    r"^docker native provider returned an unexpected error from \w+: ",
)
"""What Pulumi, its SDKs and its plugins put before a reason."""
_NOISE = (
    r"^(?:update|preview|destroy|refresh) failed$",
    r"^(?:one or more )?(?:resource )?(?:creations|changes|operations)? ?failed$",
    r"^resource operation was cancell?ed",
    r"^an unhandled error occurred: program exited with",
    r"^(?:preview|update) cancell?ed",
    r"^Running program .* failed with an unhandled exception:$",
)
"""Messages that only say that something failed. The reason is another message."""


@dataclass(frozen=True)
class Reason:
    """Why something failed."""

    text: str
    """Who and why: the first line. More lines may follow."""
    remedy: str = ""
    """The next step."""
    is_refusal: bool = False
    """Whether the program refused to go on. If it had begun nothing, nothing was changed."""
    host: str = ""
    """The host that it is about, if it is about one."""


@dataclass(frozen=True)
class Names:
    """The names that remedies use."""

    command: str = "up"
    """The command that failed."""
    option: str = ""
    """The option that names the stack on the command line, such as ` -s dev`."""
    config_file: str = "Pulumi.local.yaml"
    """The name of the stack's configuration."""

    @property
    def again(self) -> str:
        """What to do once the cause is gone."""
        return f"run `./slip {self.command}{self.option}` again"


def reasons(record: Record, names: Names) -> list[Reason]:
    """Every reason of a failed run, each once."""
    found: dict[str, Reason] = {}
    for message in record.errors:
        text = clean(message.text)
        if not text or any(re.search(pattern, text) for pattern in _NOISE):
            continue
        step = record.by_urn.get(message.urn)
        reason = (
            _of_program(text, names)
            if step is None or step.type == STACK_TYPE
            else _of_resource(message.text, step, record, names)
        )
        found.setdefault(reason.text, reason)
    if not found and record.crash:
        found[""] = _of_crash(record.crash[-1].strip(), names)
    # A reason that another one repeats with more words says nothing new.
    texts = list(found)
    return [
        reason
        for text, reason in found.items()
        if not any(text != other and text in other for other in texts)
    ]


def clean(text: str) -> str:
    """A message without what Pulumi and the plugins wrap it in."""
    text = text.strip()
    before = ""
    while text != before:
        before = text
        for pattern in _WRAPPERS:
            text = re.sub(pattern, "", text).strip()
    return text


def _of_program(text: str, names: Names) -> Reason:
    if text.startswith("the configuration of stack "):
        return Reason(text, f"Correct {names.config_file}, then {names.again}.", is_refusal=True)
    if "Traceback (most recent call last)" in text:
        return _of_crash(text.strip().splitlines()[-1].strip(), names)
    # The text says what: not every reason lies in the configuration.
    return Reason(text, f"Correct that, then {names.again}.", is_refusal=True)


def _of_crash(why: str, names: Names) -> Reason:
    return Reason(
        f"Slipway's program stopped: {why}",
        f"This is a bug in Slipway. `SLIPWAY_DEBUG=1 ./slip {names.command}{names.option}` shows the stack trace.",
    )


def _of_resource(message: str, step: Step, record: Record, names: Names) -> Reason:
    text = clean(message)
    about = subject(step)
    is_push = "error reading push output" in message
    why, printed = _split(text)
    output = [line for line in printed if line.strip()]
    if first := next((line for line in output if _is_own(line)), ""):
        # The script has said it all: whom, why, what serves now, and its container's last lines.
        mends = next(
            (_plain(line).removeprefix(MENDS) for line in output if _plain(line).startswith(MENDS)), ""
        )
        rest = [line for line in output if line != first and not _plain(line).startswith(MENDS)]
        shown = [_plain(line) if _is_own(line) else _quoted(line) for line in rest[-OWN_LINES:]]
        lines = [_plain(first), *(f"  {line}" for line in shown)]
        remedy = f"To mend it: {mends.rstrip('.')}. Then {names.again}." if mends else ""
        return Reason("\n".join(lines), remedy or _remedy(about, why, names, is_push), host=about.host)
    if about.part is Part.IMAGE and not output:
        output = list(record.output.get(step.urn) or record.status.get(step.urn) or ())
    lines = [
        f"{about}: {_what_failed(about, is_push)}{why}",
        *(f"  {_quoted(line)}" for line in output[-LINES:]),
    ]
    return Reason("\n".join(lines), _remedy(about, why, names, is_push), host=about.host)


def _split(text: str) -> tuple[str, list[str]]:
    """Why a command failed, and what it printed: `Process exited with status 6: running "…":` and lines."""
    found = re.match(r'(?P<why>.*?)(?:: running\s+".*?":)\n(?P<printed>.*)\Z', text, re.DOTALL)
    if found:
        return found["why"], found["printed"].rstrip().splitlines()
    first, *more = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    return first.removeprefix("* "), [line.removeprefix("* ") for line in more]


def _is_own(line: str) -> bool:
    """Whether a script of Slipway says it: `slipway: why`, or a setting such as `slipway:registry.mirror: why`."""
    return line.startswith("slipway:")


def _plain(line: str) -> str:
    return line.removeprefix("slipway: ").rstrip()


def _quoted(line: str) -> str:
    return line.strip() if line.lstrip().startswith("| ") else f"| {line.rstrip()}"


def _what_failed(about: Subject, is_push: bool) -> str:
    """What failed, where the reason itself does not say it."""
    if about.part is Part.IMAGE:
        return "its push failed: " if is_push else "its build failed: "
    what = {
        Part.HOST_SETUP: "its set-up failed: ",
        Part.HOST_BOOT: "its first boot failed: ",
        Part.HOST_IMAGES: "loading its first images failed: ",
        Part.PULL: "the pull of its image failed: ",
        Part.CONTAINER: "the container did not start: ",
        Part.MIRROR: "the copy failed: ",
        Part.REGISTRY_SETTINGS: "its settings were not put in place: ",
        Part.REGISTRY_ANSWERS: "it did not answer: ",
    }
    return what.get(about.part, "")


def _remedy(about: Subject, why: str, names: Names, is_push: bool) -> str:
    again = names.again
    if "port is already allocated" in why or "address already in use" in why:
        return f"Stop what holds the port, or set `platform.portOffset`; then {again}."
    if "no space left on device" in why:
        return f"Free space on that disk; then {again}."
    match about.part:
        case Part.IMAGE if is_push:
            return f"`./slip logs registry{names.option}` shows the registry's side. Then {again}."
        case Part.IMAGE:
            return f"Correct the Dockerfile or the app, then {again}."
        case Part.CONTAINER | Part.SWITCH | Part.RELEASE:
            return f"Correct the app or its settings, then {again}."
        case Part.HOST_BOOT:
            return f"Correct the cause, then {again}."
        case Part.HOST_SETUP | Part.HOST_IMAGES:
            return f"{again[0].upper()}{again[1:]}: the set-up continues where it ended."
        case Part.REGISTRY | Part.REGISTRY_SETTINGS | Part.REGISTRY_ANSWERS:
            return f"`./slip logs registry{names.option}` shows the registry's log. Then {again}."
    return f"{again[0].upper()}{again[1:]}. With --verbose it shows Pulumi's own output."


def without_hosts(found: Sequence[Reason], hosts: Collection[str]) -> list[Reason]:
    """The reasons, without those that only follow from hosts that do not answer."""
    consequences = (
        "failed to connect to any docker daemon",
        "No Docker Engine answers",
        "dial tcp",
        "failed attempts",
        "i/o timeout",
    )
    return [reason for reason in found if not (hosts and any(text in reason.text for text in consequences))]
