"""`make audit`: what it makes of pip-audit's answers."""

from typing import Any

import pytest

from dev import audit

FINE: dict[str, Any] = {"name": "one", "version": "1", "vulns": []}
WEAK: dict[str, Any] = FINE | {
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1", "2.0"], "aliases": []}]
}
UNKNOWN: dict[str, Any] = {
    "name": "two",
    "skip_reason": "Dependency not found on PyPI and could not be audited",
}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ({"one 1": FINE}, 0, "✓ 1 packages, no known vulnerability"),
        ({"one 1": WEAK}, audit.FOUND, "✗ one 1: PYSEC-2026-1; mended in 1.1 or 2.0"),
        # pip-audit itself calls these two a success.
        ({"one 1": FINE, "two 2": UNKNOWN}, audit.UNKNOWN, "1 of 2 packages were not looked up (two 2)"),
        ({}, audit.UNKNOWN, "0 of 0 packages were not looked up"),
        ({"one 1": WEAK, "two 2": UNKNOWN}, audit.FOUND, "1 of 2 packages were not looked up (two 2)"),
    ],
)
def test_nobody_to_ask_is_no_success(
    capsys: pytest.CaptureFixture[str], packages: dict[str, Any], status: int, said: str
) -> None:
    assert audit.report(packages) == status
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
