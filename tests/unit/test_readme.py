"""README says what is so: its settings, its outputs and its commands."""

import re

import pytest

from configuration import reference
from tests.unit.program import ROOT, run

README = (ROOT / "README.md").read_text()


def test_the_settings_are_all_there() -> None:
    begin, end = "<!-- settings: python -m configuration.reference --table -->", "<!-- end of settings -->"
    assert README.partition(begin)[2].partition(end)[0].strip() == reference.table().strip()


def test_the_outputs_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])
    section = README.partition("\n## Outputs\n")[2].partition("\n## ")[0]
    first_cells = "".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", first_cells)) == run().outputs.keys()


def test_the_commands_exist() -> None:
    import typer.main

    from cli.app import app

    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    said = set(re.findall(r"\./slip ([a-z]+)", README))
    assert said <= known
    assert len(said) >= 8
