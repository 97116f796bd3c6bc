"""The CLI's own errors, in Slipway's words. The texts are from its sources and from runs of CLI 3.259."""

import pytest

from cli.stack.pulumi_errors import last_error, trouble

LOCK = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n  file:///w/.slipway/state/.pulumi/locks/organization/slipway/local/0a.json: "
    "created by ann@box (pid 4711) at 2026-11-27T16:00:00Z"
)


@pytest.mark.parametrize(
    ("text", "reason", "remedy"),
    [
        (
            LOCK,
            "another update of the stack 'dev' runs: process 4711 of ann on box, since ",
            "Wait until it ends",
        ),
        (
            "error: [409] Conflict: Another update is currently in progress.",
            "another update of the stack 'dev' runs",
            "Wait",
        ),
        (
            "error: getting secrets manager: incorrect passphrase",
            "the passphrase does not decrypt",
            "PULUMI_CONFIG_PASSPHRASE_FILE",
        ),
        (
            (
                "error: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE "
                "environment variables"
            ),
            "encrypted with a passphrase, and none is set",
            "PULUMI_CONFIG_PASSPHRASE_FILE",
        ),
        (
            "error: no resource plugin 'pulumi-resource-docker' found in the workspace at version v5.1.0",
            "Pulumi did not find pulumi-resource-docker",
            "Unset PULUMI_HOME",
        ),
        (
            "error: could not list bucket: blob (code=Unknown): dial tcp 10.0.0.1:443: i/o timeout",
            "the backend of the stack 'dev' does not answer, or refuses: could not list bucket",
            "PULUMI_BACKEND_URL",
        ),
    ],
)
def test_a_known_error_has_a_reason_and_a_remedy(text: str, reason: str, remedy: str) -> None:
    found = trouble(text, "dev", " -s dev")
    assert found
    assert reason in found.reason
    assert remedy in found.remedy
    assert "pulumi cancel" not in found.reason + found.remedy


def test_an_unknown_error_is_left_as_it_is() -> None:
    assert trouble("error: something new", "dev") is None


def test_the_last_error_ended_it() -> None:
    assert last_error("warning: a\nerror: b\nerror: c\n  more\n") == "c\n  more"
    assert last_error("no\nerror\nat\nall") == "error\nat\nall"
