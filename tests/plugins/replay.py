"""Send a stand-in plugin the calls that were recorded with the official one, and compare the responses.

    for call in recorded("tls", method="Check"):
        assert differences(call, answer(Tls(), call)) == []

Values that depend on time, chance or the machine are compared by shape: `shapes` maps a path in the response (a
`fnmatch` pattern) to a regular expression, which the recorded *and* the new value must match in full.
"""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import json_format

from plugins.protocol.messages import Failure, InitFailure, Unimplemented
from plugins.protocol.properties import SECRET, SIGNATURE
from plugins.protocol.provider import Provider
from plugins.protocol.service import Service

RECORDINGS = Path(__file__).parent / "recordings"


class Call(NamedTuple):
    """One line of a recording."""

    file: str
    line: int
    plugin: str
    method: str
    request: dict[str, Any]
    response: dict[str, Any] | None
    """None if the call failed."""
    errors: list[str]

    def __str__(self) -> str:
        name = self.request.get("urn", self.request.get("tok", "")).split("::", 2)[-1]
        return f"{self.file}:{self.line} {self.method} {name}"

    @property
    def type(self) -> str:
        """The resource's type, such as `tls:index/privateKey:PrivateKey`; empty for a function call."""
        return str(self.request.get("type", ""))


def recorded(
    plugin: str, *, method: str = "*", kind: str = "*", file: str = "*", preview: bool | None = None
) -> list[Call]:
    """Return the recorded calls of `plugin` that match the patterns (`fnmatch`); `kind` is a resource type."""
    return [
        call
        for path in sorted(RECORDINGS.glob(f"{file}.jsonl"))
        for call in _lines(path)
        if call.plugin == plugin
        and fnmatchcase(call.method, method)
        and fnmatchcase(call.type, kind)
        and preview in (None, call.request.get("preview", False))
    ]


def _lines(path: Path) -> Iterator[Call]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        entry = json.loads(line)
        yield Call(
            path.stem,
            number,
            entry["plugin"],
            entry["method"],
            entry["request"],
            entry.get("response"),
            entry.get("errors", []),
        )


def answer(provider: Provider, call: Call) -> dict[str, Any]:
    """Send `call` to `provider`, and return its response, or `{"errors": […]}` in the recordings' form."""
    request_type, respond = Service(provider).methods()[call.method]
    request = json_format.ParseDict(call.request, request_type())
    try:
        return json_format.MessageToDict(respond(request))
    except Unimplemented as error:
        return {"errors": [f"rpc error: code = Unimplemented desc = {error}"]}
    except (Failure, InitFailure) as error:
        return {"errors": [f"rpc error: code = Unknown desc = {error}"]}


def differences(call: Call, got: dict[str, Any], shapes: Mapping[str, str] | None = None) -> list[str]:
    """Return the differences between `got` and the recorded response, path by path."""
    expected = {"errors": call.errors} if call.errors else (call.response or {})
    return list(_compare("", expected, got, shapes or {}))


def _compare(path: str, expected: Any, got: Any, shapes: Mapping[str, str]) -> Iterator[str]:
    for pattern, shape in shapes.items():
        if fnmatchcase(path, pattern):
            for whose, value in (("the recorded", expected), ("our", got)):
                if not isinstance(value, str) or not re.fullmatch(shape, value, re.DOTALL):
                    yield f"{path}: {whose} {value!r} has not the shape {shape}"
            return
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted(expected.keys() | got.keys()):
            where = f"{path}.{key}" if path else key
            if key not in got:
                yield f"{where}: missing, recorded as {expected[key]!r}"
            elif key not in expected:
                yield f"{where}: not recorded, but {got[key]!r}"
            else:
                yield from _compare(where, expected[key], got[key], shapes)
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _compare(f"{path}[{index}]", one, other, shapes)
    elif expected != got:
        yield f"{path}: recorded {expected!r}, got {got!r}"


def bare(value: Any) -> Any:
    """Return recorded JSON with its secrets unwrapped."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return bare(value["value"])
        return {key: bare(item) for key, item in value.items()}
    return [bare(item) for item in value] if isinstance(value, list) else value
