"""`slip output`."""

import json
from typing import Any

import pytest

from cli.errors import CommandError
from cli.stack.project import Project
from tests.unit.cli.stacks import asked, make_stack


def test_the_outputs_secrets_are_hidden_unless_asked_for(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli import outputs

    secret: dict[str, Any] = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "ciphertext": "v1:xyz",
    }
    state = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": {"a": "one", "b": secret, "c": [1]}}]}
    folder = project.root / "state" / ".pulumi" / "stacks" / "slipway"
    folder.mkdir(parents=True)
    (folder / "local.json").write_text(json.dumps({"checkpoint": {"latest": state}}))
    stack = make_stack(project, "", url=f"file://{project.root}/state")
    outputs.show(stack, None, show_secrets=False, as_json=False)
    outputs.show(stack, "a", show_secrets=False, as_json=False)
    outputs.show(stack, "c", show_secrets=False, as_json=True)
    shown = capsys.readouterr().out
    assert shown == "Outputs of local\n  a: one\n  b: [secret]\n  c: [1]\none\n[1]\n"
    with pytest.raises(CommandError, match="the output 'b' is secret"):
        outputs.show(stack, "b", show_secrets=False, as_json=False)
    with pytest.raises(CommandError, match="no output 'd'"):
        outputs.show(stack, "d", show_secrets=False, as_json=False)
    assert asked(stack) == []
