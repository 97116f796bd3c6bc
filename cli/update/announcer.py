"""Hooks and notices of one update: what runs and who is told before and after it.

An update of several runs of Pulumi (a renewal of certificates, the way back to the last good version) is one here.
Without hooks and webhooks in the configuration nothing is read and nothing imported.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.stack import Stack
from cli.text import first_line, short_revision
from cli.update import versions

FAILED = 1


@dataclass
class Announcer:
    """What an update has to say to whom."""

    stack: Stack
    command: str
    """`up`, `rollback` or `renew`; empty for an update of which nobody is told."""
    back: Mapping[str, int] = field(default_factory=dict)
    """The version to which each service goes back, in a rollback."""
    has_begun: bool = False
    _start: float = 0
    _started: str = ""
    _before: Mapping[str, str] = field(default_factory=dict)

    @property
    def _is_silent(self) -> bool:
        config = self.stack.config
        hooked = any(config.hook(name) for name in ("before", "after", "failed"))
        return not self.command or not (hooked or config.notices)

    def begin(self) -> None:
        """Run the hook `before`, once.

        Raises:
            CommandError: it failed, so the update must not begin.

        """
        if self.has_begun or self._is_silent:
            return
        self._start, self._started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        found = self._versions()
        self._before = _deployed(found)
        if why := self._run("before", {"versions": found}):
            raise CommandError(
                f"nothing was touched: the hook `before` of the stack '{self.stack.name}' failed: {why}",
                f"Its output is above. When it succeeds, `./slip {self.command}{self.stack.option}` goes on.",
                status=FAILED,
            )
        self.has_begun = True

    def end(self, status: int, *, changed: bool = True, reasons: Sequence[str] = ()) -> int:
        """Run the hook `after` or `failed`, and tell webhooks. Returns the exit status of the command.

        Args:
            status: of the update.
            changed: whether the update has changed something.
            reasons: why it failed, one line each.

        """
        if not self.has_begun:
            return status
        found = self._versions()
        deployed = [name for name, last in _deployed(found).items() if last != self._before.get(name)]
        record = {
            "status": status,
            "seconds": round(time.monotonic() - self._start),
            "reasons": list(reasons),
            "changed": changed,
            "deployed": deployed,
            "versions": found,
        }
        event = "failed" if status else "after"
        why = self._run(event, record)
        if status or changed:
            self._tell("failed" if status else "done", record)
        if why and not status:
            console.error(
                f"the update is done, and the hook `after` of the stack '{self.stack.name}' failed: {why}",
                "Its output is above. What was deployed serves.",
            )
            return FAILED
        if why:
            console.warn(f"the hook `failed` of the stack '{self.stack.name}' failed, too: {why}")
        return status

    def _run(self, event: str, record: Mapping[str, Any]) -> str:
        words = self.stack.config.hook(event)
        if not words:
            return ""
        from cli.update import hooks

        console.say(f"Running the hook `{event}`")
        limit = self.stack.config.hook_limit
        return hooks.run(words, self._record(event, record), limit, self.stack.project.root)

    def _record(self, event: str, record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "event": event,
            "command": self.command,
            "project": self.stack.project.name,
            "stack": self.stack.short_name,
            "started": self._started,
            "back": dict(self.back),
            **record,
        }

    def _versions(self) -> dict[str, Any]:
        """The record of each service's current version, as `slip history --json` has it; none if it cannot be read."""
        try:
            outputs = deployment.stack_outputs(self.stack.deployment())
        except (CommandError, ValueError):
            return {}
        return {
            name: versions.as_record(known, known.version(known.current, self.stack.option))
            for name, known in versions.every(outputs).items()
        }

    def _tell(self, event: str, record: Mapping[str, Any]) -> None:
        wanted = [one for one in self.stack.config.notices if event in _words(one.get("on"))]
        if not wanted:
            return
        from cli.update import notices

        whole = self._record(event, record)
        text = sentence(whole)
        found = [
            notices.Notice(url, notices.body(str(one.get("format", "text")), text, whole))
            for one in wanted
            if (url := self._url(one["url"]))
        ]
        for why in notices.post(found):
            console.warn(f"a webhook of slipway:notify was not told: {why}")

    def _url(self, value: object) -> str:
        """The address of a webhook; empty if it cannot be known."""
        secret = value.get("secret") if isinstance(value, dict) else None
        if not secret:
            return str(value)
        path = f"slipway:secrets.{secret}"
        try:
            read = self.stack.pulumi.read("config", "get", "--stack", self.stack.name, "--path", path)
        except CommandError:
            console.warn(f"a webhook of slipway:notify was not told: the secret {secret} cannot be read")
            return ""
        return read.strip()


def sentence(record: Mapping[str, Any]) -> str:
    """The record in words, for a chat."""
    where = f"{record['project']}, stack {record['stack']}"
    how = "failed" if record["status"] else "is done"
    lines = [f"{where}: `slip {record['command']}` {how} after {record['seconds']} s"]
    for name in record["deployed"]:
        version = record["versions"][name]
        last = version["deployments"][-1]
        about = [short_revision(str(version["revision"])), first_line(str(version["message"]))]
        lines.append(
            f"{name}: version {version['number']}, {version['result']}, on {', '.join(last['hosts'])}, by "
            f"{last['author']}{' (' + ' '.join(filter(None, about)) + ')' if any(about) else ''}"
        )
    return "\n".join([*lines, *record["reasons"]])


def _deployed(found: Mapping[str, Any]) -> dict[str, str]:
    """Something that differs once a service is deployed again."""
    return {name: f"{one['number']} {one['deployments'][-1]}" for name, one in found.items()}


def _words(value: object) -> Sequence[str]:
    return [str(word) for word in value] if isinstance(value, list) else ("done", "failed")
