"""Why a run failed, and the next step."""

from dataclasses import replace

import pytest

from cli.screen.events import Began, Event, Message, Step
from cli.screen.failure import Names, clean, reasons, without_hosts
from cli.screen.record import Record
from tests.unit.cli.screen import recordings
from tests.unit.cli.screen.recordings import step

IMAGE = step("create", "slipway:index:AppImage$docker:index/image:Image::web-image", "web")
SETUP = step("create", "slipway:index:DockerEngine$command:remote:Command::web-1-setup", "web-1")
MACHINE = step("create", "slipway:hosts:LocalPlatform$docker:index/container:Container::web-1", "hosts")


def failed(failing: Step, text: str, *more: Event) -> list[tuple[str, str]]:
    record = Record.of(
        [Began(failing), *more, Message(failing.urn, "error", text), Message("", "error", "update failed\n")]
    )
    return [
        (reason.text, reason.remedy) for reason in reasons(record, Names("up", " -s dev", "Pulumi.dev.yaml"))
    ]


def test_a_failed_health_check_is_told_in_the_switchs_own_words() -> None:
    (reason,) = reasons(recordings.record("unhealthy"), Names())
    assert reason.text.splitlines() == [
        "web on web-1: its health check /nope answered HTTP 404 for 3 s",
        "  the previous version continues to serve",
        "  the container's last log lines:",
        "  | 2026-11-27 16:04:37,505 Serving on http://0.0.0.0:8080",
    ]
    assert reason.remedy == "Correct the app or its settings, then run `./slip up` again."
    assert not reason.is_refusal


def test_a_failed_build_ends_with_its_output() -> None:
    (reason,) = reasons(recordings.record("failed-build"), Names())
    assert reason.text.splitlines() == [
        (
            "image web: its build failed: executor failed running [/bin/sh -c echo building-this; echo oh no >&2; "
            "exit 3]: exit code: 3"
        ),
        "  | building-this",
        "  | oh no",
    ]
    assert reason.remedy == "Correct the Dockerfile or the app, then run `./slip up` again."


def test_a_mistake_in_the_configuration_is_a_refusal() -> None:
    (reason,) = reasons(recordings.record("mistake"), Names())
    assert reason.text.splitlines() == [
        "the configuration of stack local has one mistake; nothing was touched:",
        "  slipway:services.web.port = 80800: not a TCP port. Set a whole number from 1 to 65535.",
    ]
    assert reason.remedy == "Correct Pulumi.local.yaml, then run `./slip up` again."
    assert reason.is_refusal


def test_a_refusal_for_another_reason_does_not_blame_the_configuration() -> None:
    text = "nothing was touched:\n  services.web.build.source = commit: app has files that are in no commit."
    record = recordings.record("mistake")
    record.errors[:] = [replace(record.errors[0], text=text)]
    (reason,) = reasons(record, Names())
    assert (reason.text, reason.remedy) == (text, "Correct that, then run `./slip up` again.")
    assert reason.is_refusal


@pytest.mark.parametrize(
    ("failing", "text", "expected"),
    [
        (
            IMAGE,
            'rpc error: code = Unknown desc = error reading push output: Get "http://yard:5000/v2/": dial tcp: refused',
            (
                'image web: its push failed: Get "http://yard:5000/v2/": dial tcp: refused',
                "`./slip logs registry -s dev` shows the registry's side. Then run `./slip up -s dev` again.",
            ),
        ),
        (
            SETUP,
            "after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch",
            (
                "host web-1: its set-up failed: after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch",
                "Run `./slip up -s dev` again: the set-up continues where it ended.",
            ),
        ),
        (
            MACHINE,
            (
                f"creating {MACHINE.urn}: 1 error occurred:\n\t* Unable to start container: Error response from "
                "daemon: Bind for 127.0.0.1:2201 failed: port is already allocated\n\n"
            ),
            (
                (
                    "host web-1: Unable to start container: Error response from daemon: Bind for 127.0.0.1:2201 "
                    "failed: port is already allocated"
                ),
                "Stop what holds the port, or set `platform.portOffset`; then run `./slip up -s dev` again.",
            ),
        ),
        (
            SETUP,
            'Process exited with status 3: running "bash -s":\npartial\nbad\n',
            (
                "host web-1: its set-up failed: Process exited with status 3\n  | partial\n  | bad",
                "Run `./slip up -s dev` again: the set-up continues where it ended.",
            ),
        ),
    ],
)
def test_the_reason_of_a_resource(failing: Step, text: str, expected: tuple[str, str]) -> None:
    assert failed(failing, text) == [expected]


def test_the_remedy_of_a_script_is_the_last_line() -> None:
    printed = "slipway: web on web-1: why\nslipway: to mend it: listen on 0.0.0.0\nslipway: old one serves\n  | log\n"
    ((text, remedy),) = failed(SETUP, f'Process exited with status 6: running "x":\n{printed}')
    assert text == "web on web-1: why\n  old one serves\n  | log"
    assert remedy == "To mend it: listen on 0.0.0.0. Then run `./slip up -s dev` again."


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (
            "words of apt\nslipway: cloud-init failed on web-1\nslipway: its own words:\nE: no package\n",
            "cloud-init failed on web-1\n  | words of apt\n  its own words:\n  | E: no package",
        ),
        (
            "slipway:registry.external.certificateAuthority is not set\n",
            "slipway:registry.external.certificateAuthority is not set",
        ),
        ("\n".join(str(number) for number in range(100)) + "\nslipway: why\n", None),
    ],
)
def test_a_script_of_ours_says_the_reason_itself(printed: str, expected: str | None) -> None:
    ((text, _),) = failed(SETUP, f'Process exited with status 6: running "bash -s":\n{printed}')
    if expected is None:
        assert text.splitlines()[0] == "why"
        assert text.splitlines()[-1] == "  | 99"
        assert len(text.splitlines()) == 31
    else:
        assert text == expected


@pytest.mark.parametrize("severity", ["error", "info#err"])
def test_a_crash_of_the_program_is_one_sentence(severity: str) -> None:
    trace = "Program failed with an unhandled exception:\nTraceback (most recent call last):\n  File x\nKeyError: 'a'\n"
    record = Record.of([Message("", severity, trace)])
    (reason,) = reasons(record, Names())
    assert reason.text == "Slipway's program stopped: KeyError: 'a'"
    assert "SLIPWAY_DEBUG=1" in reason.remedy
    assert not reason.is_refusal


def test_the_next_step_repeats_the_command_that_failed() -> None:
    found = reasons(recordings.record("unhealthy"), Names("down", " -s dev", "Pulumi.dev.yaml"))
    assert found[0].remedy.endswith("then run `./slip down -s dev` again.")


def test_several_failures_are_told_each_once() -> None:
    record = Record.of(
        [
            Began(IMAGE),
            Began(SETUP),
            *(
                Message(one.urn, "error", text)
                for one, text in ((IMAGE, "error reading build output: a"), (SETUP, "b")) * 2
            ),
        ]
    )
    assert [reason.text for reason in reasons(record, Names())] == [
        "image web: its build failed: a",
        "host web-1: its set-up failed: b",
    ]


def test_what_follows_from_a_dead_host_is_left_out() -> None:
    record = Record.of(
        [
            Began(SETUP),
            Began(IMAGE),
            Message(
                SETUP.urn, "error", "after 1 failed attempts: dial tcp 127.0.0.1:2201: connection refused"
            ),
            Message(IMAGE.urn, "error", "error reading build output: no such file"),
        ]
    )
    found = reasons(record, Names())
    assert [reason.text for reason in without_hosts(found, ["web-1"])] == [
        "image web: its build failed: no such file"
    ]
    assert without_hosts(found, []) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("error: rpc error: code = Unknown desc = why\n", "why"),
        (
            "sdk-v2/provider2.go:509: sdk.helper_schema: why: provider=docker@5.1.0",
            "why: provider=docker@5.1.0",
        ),
        (
            "docker native provider returned an unexpected error from Configure: failed to connect",
            "failed to connect",
        ),
        ("2 errors occurred:\n\t* a\n\t* b\n\n", "a\n\t* b"),
    ],
)
def test_a_reason_is_unwrapped(text: str, expected: str) -> None:
    assert clean(text) == expected
