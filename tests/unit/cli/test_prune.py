"""`slip prune` and the disk in `slip verify`: what the hosts' words come to."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import asyncssh
import pytest

from cli.errors import CommandError
from cli.registry import prune
from cli.registry.prune import parse
from cli.running import fleet, ssh
from cli.running.disk import Disk
from cli.running.host_report import HostReport, Serving
from cli.running.ssh import CommandResult
from cli.running.stack import Failed, RunningStack
from cli.verify.checks import CHECKS
from cli.verify.found import Warned

PLAN = (
    "image\tweb\tsha256:aaaaaaaaaaaaaaaa\tv2,v1\t1700000000\t3000\n"
    "image\tapp\tsha256:bbbbbbbbbbbbbbbb\t\t1600000000\t500\n"
    "left\tmirror/debian\tmirrored images stay\n"
    "remove\tweb/_manifests/tags/v1\n"
    "total\t7\t2\t3400\t90000\n"
)
OUTPUTS = {
    "platform": "aws",
    "hosts": {
        "web-1": {"roles": ["app"]},
        "yard": {"roles": ["build", "registry"], "address": "192.0.2.1", "sshPort": 22, "sshUser": "admin"},
    },
}
GB = 10**9


def test_a_plan_is_told_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.fromtimestamp(1700000000 + 7200, UTC)
    prune.show("local", parse(PLAN), dry_run=True, as_json=False, now=now)
    told = capsys.readouterr()
    lines = told.out.splitlines()
    # By repository, and in each the oldest first.
    assert lines[1].split() == ["app", "-", "sha256:bbbbbbbbbbbb", "500", "B", "1157", "d", "ago"]
    assert lines[2].split() == ["web", "v1,", "v2", "sha256:aaaaaaaaaaaa", "3.0", "kB", "2", "h", "ago"]
    assert "mirror/debian is left alone: mirrored images stay." in told.err
    assert "Would remove 2 of 9 images and free 3.4 kB of 90.0 kB." in told.err


def test_a_plan_is_told_to_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    prune.show("local", parse(PLAN), dry_run=False, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["stack"], told["dryRun"], told["kept"], told["freed"], told["used"]) == (
        "local",
        False,
        7,
        3400,
        90000,
    )
    assert told["images"][1] == {
        "repository": "web",
        "digest": "sha256:aaaaaaaaaaaaaaaa",
        "tags": ["v1", "v2"],
        "pushed": "2023-11-14T22:13:20+00:00",
        "size": 3000,
    }


@pytest.mark.parametrize("text", ["", PLAN.partition("total")[0], PLAN.partition("\n")[2]])
def test_a_plan_that_is_not_whole_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="incomplete"):
        parse(text)


def _saying(monkeypatch: pytest.MonkeyPatch, said: CommandResult) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []

    def run(outputs: Any, host: str, command: str, patience: float = 0) -> CommandResult:
        asked.append((host, command))
        return said

    monkeypatch.setattr(ssh, "run", run)
    return asked


def test_the_registrys_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _saying(monkeypatch, CommandResult(0, PLAN, ""))
    assert prune.ask(OUTPUTS, "", "plan").freed == 3400
    ((host, command),) = asked
    assert host == "yard"
    assert command.endswith("; /usr/local/lib/slipway/retention plan'")


FLEET = {
    "registryAddress": "yard:5000",
    "hosts": {
        "web-1": {"roles": ["app"]},
        "web-2": {"roles": ["app"]},
        "web-3": {"roles": ["app"]},
        "yard": {"roles": ["build", "registry"]},
    },
}


def _fleet(monkeypatch: pytest.MonkeyPatch, *reports: HostReport) -> list[list[str]]:
    """What the hosts report."""
    asked: list[list[str]] = []

    def ask(_: Any, hosts: list[str]) -> dict[str, HostReport]:
        asked.append(hosts)
        return {report.host: report for report in reports}

    monkeypatch.setattr(fleet, "ask", ask)
    return asked


def _serves(host: str, **images: str) -> HostReport:
    services = {
        name: Serving(name, f"{name}-1", tuple(filter(None, [image])), None, "", None)
        for name, image in images.items()
    }
    return HostReport(host, engine_version="28", proxy_answers=True, services=services)


def test_what_the_hosts_serve_is_handed_to_the_registrys_host(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _saying(monkeypatch, CommandResult(0, PLAN, ""))
    asked = _fleet(
        monkeypatch,
        _serves("web-1", web="yard:5000/team/web@sha256:aa", old="elsewhere/web@sha256:cc"),
        _serves("web-2", api="yard:5000/api@sha256:bb", odd="yard:5000/$(x)@sha256:dd"),
        _serves("web-3", web="yard:5000/team/web@sha256:aa"),
    )
    images, problems = prune.served_images(FLEET)
    assert (images, problems) == (["api@sha256:bb", "team/web@sha256:aa"], [])
    assert asked == [["web-1", "web-2", "web-3"]]
    prune.ask(FLEET, "", "now", ["--complete", *images])
    assert said[-1][1].endswith("retention now --complete api@sha256:bb team/web@sha256:aa'")


def test_a_host_that_does_not_say_what_it_serves_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _fleet(
        monkeypatch,
        HostReport("web-1", silence="SSH at 127.0.0.1:1 refuses connections"),
        _serves("web-2", web="yard:5000/web@sha256:aa", api=""),
        HostReport("web-3", engine_unit="inactive"),
    )
    images, problems = prune.served_images(FLEET)
    assert images == ["web@sha256:aa"]
    assert problems == [
        f"{problem}. The images that its last update recorded stay."
        for problem in (
            "web-1: it does not answer: SSH at 127.0.0.1:1 refuses connections",
            "web-2: api is served by an image without a digest",
            "web-3: its engine does not answer (docker.service is inactive)",
        )
    ]


def test_a_stack_without_a_rule_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _saying(monkeypatch, CommandResult(127, "", "bash: retention: not found"))
    with pytest.raises(CommandError, match="retention is not set") as caught:
        prune.ask(OUTPUTS, " -s dev", "now")
    assert "./slip up -s dev" in caught.value.remedy
    assert caught.value.status == 2


def test_a_hosts_own_words_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    _saying(
        monkeypatch,
        CommandResult(
            7, "", "Starting\nslipway: the registry does not run\nFailed to start slipway-retention\n"
        ),
    )
    with pytest.raises(
        CommandError, match=r"^removing images failed on yard: the registry does not run$"
    ) as caught:
        prune.ask(OUTPUTS, "", "now")
    assert caught.value.status == 1


def test_an_external_registry_is_not_touched() -> None:
    with pytest.raises(CommandError, match="external registry"):
        prune.ask({"hosts": {"web-1": {"roles": ["app"]}}}, "", "now")


@pytest.mark.parametrize(
    ("used", "free", "inodes", "verdict"),
    [
        (10 * GB, 90 * GB, 1.0, "ok"),
        (85 * GB, 15 * GB, 1.0, "warning"),
        (9 * GB, 1 * GB, 1.0, "warning"),
        (970 * GB, 30 * GB, 1.0, "warning"),
        (96 * GB, 4 * GB, 1.0, "full"),
        (10 * GB, 0, 1.0, "full"),
        (9000 * GB, 1000 * GB, 1.0, "ok"),
        (10 * GB, 90 * GB, 0.1, "warning"),
        (10 * GB, 90 * GB, 0.01, "full"),
    ],
)
def test_a_disk_is_told_of_before_it_is_full(used: int, free: int, inodes: float, verdict: str) -> None:
    roomy = Disk("/", 10 * GB, 90 * GB, 1.0)
    report = HostReport("yard", disks=(roomy, Disk("/var", used, free, inodes), roomy))
    (check,) = (check for check in CHECKS if "disk" in check.title)
    running = RunningStack(OUTPUTS, reports={"yard": report})
    assert check.subjects(running) == ["yard"]
    if verdict == "full":
        with pytest.raises(Failed, match="full"):
            check.look(running, "yard")
    else:
        seen = check.look(running, "yard")
        assert isinstance(seen, Warned) == (verdict == "warning")
        assert "free" in seen


def test_a_host_that_does_not_answer_is_named() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    facts = {
        "address": "127.0.0.1",
        "sshPort": 1,
        "sshUser": "root",
        "sshHostKey": key.export_public_key().decode(),
    }
    outputs = {"hosts": {"yard": facts}, "sshPrivateKey": key.export_private_key().decode()}
    # In a thread of its own, as `verify` does it: it leaves none an event loop, which Pulumi's mocks want here.
    with (
        ThreadPoolExecutor() as pool,
        pytest.raises(CommandError, match=r"yard does not answer: SSH at 127\.0\.0\.1:1"),
    ):
        pool.submit(ssh.run, outputs, "yard", "true").result()
