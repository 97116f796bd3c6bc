"""`./slip verify` runs the checks of the official guides, and its exit status says whether all pass."""

import json
import re
from typing import Any

from tests.support.stack import Stack


def _verify(stack: Stack, status: int) -> dict[str, Any]:
    result = stack.slip("verify", "--json")
    assert result.status == status, str(result)
    report: dict[str, Any] = json.loads(result.output)
    return report


def test_every_check_passes_on_a_running_stack(stack: Stack) -> None:
    report = _verify(stack, 0)
    assert report["passed"]
    checks = {(check["check"], check["subject"]) for check in report["checks"] if check["passed"]}
    assert len(checks) == len(report["checks"])
    for title, number in {
        "/v2/ with CA and account": 1,
        "/v2/ without the CA": 1,
        "/v2/ without account": 1,
        "the catalogue lists": 1,
        "pulls by digest": 3,
        "a missing image": 3,
        "engine refuses no certificate": 3,
        "engine refuses a foreign CA": 3,
        "answers its health path": 2,
    }.items():
        assert sum(name.startswith(title) for name, _ in checks) == number, (title, checks)


def test_table_has_a_line_for_each_check(stack: Stack) -> None:
    result = stack.slip("verify")
    assert result.status == 0, str(result)
    assert len(re.findall(r"\bok\b", result.output)) >= 18, str(result)
    assert "FAILED" not in result.output


def test_a_stopped_app_fails_its_check_and_the_command(stack: Stack) -> None:
    (container,) = stack.app_containers("web-2")
    stack.on_host("web-2", "systemctl", "stop", "slipway-keep")
    stack.on_host("web-2", "docker", "stop", container)
    report = _verify(stack, 1)
    assert not report["passed"]
    failed = {(check["check"], check["subject"]) for check in report["checks"] if not check["passed"]}
    assert failed == {
        ("the container runs", "web on web-2"),
        ("serves what is wanted", "web on web-2"),
        ("answers its health path", "web on web-2"),
        # The service that would start it again was stopped, too.
        ("the host is as it was set up", "web-2"),
    }
    stack.up("--refresh")
    assert _verify(stack, 0)["passed"]
