"""The properties that change, in a comment."""

from typing import Any

import pytest

from cli.screen.comment.properties import changed_properties
from cli.screen.events import SECRET, UNKNOWN, Step


def step(name: str, old: Any, new: Any) -> Step:
    return Step(
        "update",
        "urn:pulumi:dev::slipway::x:index:Y::z",
        changed=frozenset({name}),
        before={} if old is None else {name: old},
        after={} if new is None else {name: new},
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("memory", 256, 512, "`memory`: `256` → `512`"),
        ("image", "a@sha256:1", UNKNOWN, "`image`: `a@sha256:1` → known after the update"),
        ("protect", False, True, "`protect`: `false` → `true`"),
        ("domain", None, "example", "`domain`: none → `example`"),
        ("gone", None, None, "`gone`"),
        ("password", SECRET, SECRET, "`password` changed (secret)"),
        ("uploads", [{"file": "/run/x", "content": SECRET}], [], "`uploads` changed (secret)"),
        # Pulumi does not know these as secrets, and people put secrets there.
        ("envs", ["A=1", "B=hunter2"], ["A=1", "B=hunter3", "C=x"], "`envs` changed (`B`, `C`)"),
        ("environment", {"KEY": "hunter2"}, {"KEY": "x"}, "`environment` changed (`KEY`)"),
        ("stdin", "TOKEN=hunter2\nrun", "TOKEN=x\nrun", "`stdin` changed"),
        ("apiToken", "hunter2", "hunter3", "`apiToken` changed"),
        (
            "build",
            {"args": {"K": "hunter2"}, "context": "a"},
            {"args": {"K": "x"}, "context": "b"},
            "`build` (`args` changed (`K`), `context`: `a` → `b`)",
        ),
        ("ports", [{"internal": 1}], [{"internal": 2}], "`ports` changed"),
        ("key", "a\nb", "c\nd\ne", "`key`: 2 lines → 3 lines"),
    ],
)
def test_one_property(name: str, old: Any, new: Any, expected: str) -> None:
    found = changed_properties(step(name, old, new))
    assert found == [expected]
    assert "hunter" not in found[0]


def test_names_alone() -> None:
    assert changed_properties(step("memory", 1, 2), values=False) == ["`memory`"]
