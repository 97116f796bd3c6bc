"""The progress of builds, pulls and pushes: the engine's messages become the resource's status line."""

import base64
import time
from collections.abc import Iterable, Mapping
from threading import Event
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from plugins.docker.stream import Watch
from plugins.protocol.messages import Failure
from plugins.protocol.provider import Engine as PulumiEngine

BUILDKIT_TRACE = "moby.buildkit.trace"
"""The id of the messages that hold BuildKit's reports, as protocol buffers."""

KEPT_LINES = 20
"""The number of last output lines that are shown of a failed build."""
_KEPT_CHARACTERS = 4000
_SECONDS_BETWEEN = 0.25

_FIELD = descriptor_pb2.FieldDescriptorProto
# The used part of `control.proto` of moby/buildkit: field numbers, names and types.
_REPORT: Mapping[str, Mapping[int, tuple[str, Any]]] = {
    "Vertex": {
        1: ("digest", _FIELD.TYPE_STRING),
        3: ("name", _FIELD.TYPE_STRING),
        4: ("cached", _FIELD.TYPE_BOOL),
        5: ("started", _FIELD.TYPE_BYTES),
        6: ("completed", _FIELD.TYPE_BYTES),
        7: ("error", _FIELD.TYPE_STRING),
    },
    "VertexStatus": {
        1: ("id", _FIELD.TYPE_STRING),
        4: ("current", _FIELD.TYPE_INT64),
        5: ("total", _FIELD.TYPE_INT64),
    },
    "VertexLog": {1: ("vertex", _FIELD.TYPE_STRING), 4: ("msg", _FIELD.TYPE_BYTES)},
    "VertexWarning": {3: ("short", _FIELD.TYPE_BYTES)},
    "StatusResponse": {
        1: ("vertexes", "Vertex"),
        2: ("statuses", "VertexStatus"),
        3: ("logs", "VertexLog"),
        4: ("warnings", "VertexWarning"),
    },
}


def _report_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="report.proto", package="report", syntax="proto3")
    for message, fields in _REPORT.items():
        described = file.message_type.add(name=message)
        for number, (name, kind) in fields.items():
            field = described.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".report.{kind}"
                field.label = _FIELD.LABEL_REPEATED
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("report.StatusResponse"))


_Report = _report_class()


class StreamError(Exception):
    """The engine ended a stream of messages with an error; the text is the engine's."""


class Progress:
    """Shows the engine's messages as the status of a resource, and keeps the last output of a build."""

    def __init__(self, engine: PulumiEngine, urn: str, cancelled: Event) -> None:
        self._engine = engine
        self._urn = urn
        self._cancelled = cancelled
        self._last = ""
        self._next = 0.0
        self._output = ""
        self._told_retry = False

    @property
    def watch(self) -> Watch:
        """Who is told that a stream stalls."""
        return Watch(self._engine, self._urn, self._cancelled)

    def status(self, text: str) -> None:
        """Show `text` as the resource's status."""
        if text and text != self._last:
            self._last = text
            self._engine.log("info", text, self._urn, ephemeral=True)

    def warn(self, text: str) -> None:
        """Show the user a warning, which stays."""
        self._engine.log("warning", text, self._urn)

    def show_output(self) -> None:
        """Show the user the last output of the build, which stays."""
        lines = self._output.strip().splitlines()[-KEPT_LINES:]
        if lines:
            self._engine.log("info", "\n".join(lines), self._urn)

    def follow(self, messages: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Show `messages` until they end, and return their data (`aux`).

        StreamError if a message is an error, Failure if the update is cancelled.
        """
        data = []
        for message in messages:
            if self._cancelled.is_set():
                raise Failure("cancelled")
            if message.get("error"):
                raise StreamError(_error_text(message))
            if message.get("id") == BUILDKIT_TRACE:
                self._show_report(message["aux"])
            elif "aux" in message:
                data.append(message["aux"])
            else:
                self._tell_retry(message.get("status", ""))
                self._show(_text(message), often=bool(message.get("progressDetail")))
                self._keep(message.get("stream", ""))
        return data

    def _tell_retry(self, status: str) -> None:
        """Tell once that the engine repeats a request. It does so for about a minute, and does not say why."""
        if status.startswith("Retrying in ") and not self._told_retry:
            self._told_retry = True
            self.warn(
                "the registry refused a layer, and the engine tries again for a minute. The registry's log has the "
                "reason; its disk may be full."
            )

    def _keep(self, output: str) -> None:
        """Keep the end of the build's output, which arrives in parts of lines."""
        self._output = (self._output + output)[-_KEPT_CHARACTERS:]

    def _show(self, text: str, *, often: bool) -> None:
        """Show `text`. Messages that come `often` are shown a few times a second at most."""
        now = time.monotonic()
        if often and now < self._next:
            return
        self._next = now + _SECONDS_BETWEEN
        self.status(text)

    def _show_report(self, encoded: str) -> None:
        report = _Report.FromString(base64.b64decode(encoded))
        for vertex in report.vertexes:
            if vertex.started and not vertex.completed:
                self._show(vertex.name, often=False)
        for status in report.statuses:
            size = f" {status.current * 100 // status.total}%" if status.total else ""
            self._show(status.id + size, often=True)
        for log in report.logs:
            text = log.msg.decode(errors="replace")
            self._keep(text)
            self._show(text.strip().rpartition("\n")[2], often=True)
        for warning in report.warnings:
            self.warn(warning.short.decode(errors="replace"))


def _error_text(message: Mapping[str, Any]) -> str:
    detail = message.get("errorDetail") or {}
    text = str(detail.get("message") or message["error"])
    if detail.get("code") == 401:
        return "authentication is required"
    if text == "EOF":
        return f"{text}: the registry's name or credentials are probably wrong"
    return text


def _text(message: Mapping[str, Any]) -> str:
    words = (message.get("id"), message.get("status"), message.get("progress"), message.get("stream"))
    return " ".join(word for word in words if word).strip()
