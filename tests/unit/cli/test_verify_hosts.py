"""The checks of `slip verify` on what hosts report: each right value passes, each wrong one fails with its remedy."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.running.disk import Disk
from cli.running.hang import Hang
from cli.running.host_report import Container, HostReport, Retention, Serving
from cli.running.stack import Failed, RunningStack
from cli.verify import edge, engine, machine, service
from cli.verify.found import Result, Warned
from cli.verify.table import Columns, lines
from cli.verify.verify import show
from tests.unit.cli.servers import serving as http_server
from well_known import PROXY_CONTAINER, REGISTRY_DATA_PATH

OLD, NEW = (f"sha256:{digit * 64}" for digit in "12")
NOW = datetime.now(UTC)
GB = 10**9


def _container(name: str, **more: Any) -> Container:
    usual = Container(name, "", "", "running", 0, False, 0, NOW, NOW - timedelta(hours=1), ())
    return replace(usual, **more)


def _serving(digest: str = NEW, **more: Any) -> Serving:
    usual = Serving(
        "web",
        "web-1",
        (f"yard:5000/web@{digest}",),
        NOW - timedelta(hours=5, minutes=9),
        "HTTP 200 on /up",
        True,
    )
    return replace(usual, **more)


def _report(host: str, **more: Any) -> HostReport:
    usual = HostReport(
        host,
        engine_unit="active",
        engine_version="28.5.2",
        proxy_answers=True,
        disks=(Disk("/", 10 * GB, 90 * GB, 1.0),),
        containers=(_container(PROXY_CONTAINER), _container("web-1")),
        services={"web": _serving()},
    )
    return replace(usual, **more)


def _running(*reports: HostReport, **outputs: Any) -> RunningStack:
    facts = {"roles": ["app"], "address": "192.0.2.1", "sshPort": 22, "sshUser": "admin"}
    told = {
        "platform": "aws",
        "registryAddress": "yard:5000",
        "hosts": {report.host: facts for report in reports},
        "serviceUrls": {"web": [f"http://192.0.2.{number}/" for number, _ in enumerate(reports)]},
        "serviceHosts": {"web": [report.host for report in reports]},
        "images": {"web": f"yard:5000/web@{OLD}"},
        "wantedImages": {"web": f"yard:5000/web@{NEW}"},
        **outputs,
    }
    return RunningStack(told, option=" -s dev", reports={report.host: report for report in reports})


def _remedy(
    check: Callable[[RunningStack, str], str], running: RunningStack, subject: str, found: str
) -> str:
    with pytest.raises(Failed, match=found) as caught:
        check(running, subject)
    return caught.value.remedy


def _behind_an_edge(**found: bool) -> RunningStack:
    facts = {"roles": ["app"], "address": "192.0.2.1", "sshPort": 22, "sshUser": "admin"}
    names = ("web-1", "web-2")
    edge = _report(
        "edge", services={}, behind={"web": {name.replace("_", "-"): found[name] for name in found}}
    )
    return _running(
        *(_report(name) for name in names),
        edge,
        hosts={**dict.fromkeys(names, facts), "edge": facts | {"roles": ["edge"]}},
        serviceHosts={"web": list(names)},
    )


def test_an_edge_finds_the_service_well_on_every_host() -> None:
    running = _behind_an_edge(web_1=True, web_2=True)
    assert edge.subjects(running) == ["web on edge"]
    assert edge.reaches_hosts(running, "web on edge") == "well on web-1, web-2"
    assert "proxy on edge" in machine.own_containers(running)
    ill = _remedy(edge.reaches_hosts, _behind_an_edge(web_1=True, web_2=False), "web on edge", "ill on web-2")
    assert ill == "./slip logs web --host web-2 -s dev"
    assert not _remedy(edge.reaches_hosts, _behind_an_edge(web_1=True), "web on edge", "does not know web-2")


def test_without_edges_there_is_no_such_line() -> None:
    assert edge.subjects(_running(_report("web-1"))) == []


def test_the_wanted_image_that_is_healthy_passes() -> None:
    seen = service.serves_what_is_wanted(_running(_report("web-1")), "web on web-1")
    assert seen == f"{NEW[:19]} since 5 h, HTTP 200 on /up"


@pytest.mark.parametrize(
    ("services", "found"),
    [
        ({}, "serves nothing by this name"),
        ({"web": _serving(OLD)}, f"it serves {OLD[:19]} since 5 h; the last update built {NEW[:19]}"),
        ({"web": _serving(images=())}, "it serves web-1, whose image has no digest"),
        ({"web": _serving(healthy=False, health="HTTP 500 on /up")}, "not healthy: HTTP 500 on /up"),
    ],
)
def test_another_state_than_the_wanted_one_fails(services: dict[str, Serving], found: str) -> None:
    _remedy(
        service.serves_what_is_wanted, _running(_report("web-1", services=services)), "web on web-1", found
    )


def test_one_that_hung_is_a_warning_and_one_that_hangs_fails() -> None:
    def running(hang: Hang) -> RunningStack:
        return _running(_report("web-1", hangs={"web": hang}))

    check, now = service.serves_what_is_wanted, datetime.now(UTC)
    found = check(running(Hang(1, now, False, "/up takes more than 5 s")), "web on web-1")
    assert isinstance(found, Warned)
    assert found.endswith("; it hung and was restarted 0 s ago: /up takes more than 5 s")
    for hang, told in (
        (Hang(0, None, True, "it hears nothing"), "which hangs: it hears nothing"),
        (
            Hang(2, now, False, "it hears nothing"),
            "which hung and was restarted 2 times in a row, last 0 s ago",
        ),
    ):
        assert _remedy(check, running(hang), "web on web-1", told) == "./slip logs web --host web-1 -s dev"


def test_the_wanted_image_may_have_other_names_too() -> None:
    both = _serving(images=(f"yard:5000/web@{OLD}", f"yard:5000/web@{NEW}"))
    assert service.serves_what_is_wanted(_running(_report("web-1", services={"web": both})), "web on web-1")


def test_an_older_stack_says_only_what_it_ran() -> None:
    running = _running(_report("web-1", services={"web": _serving(OLD)}), wantedImages=None)
    assert service.serves_what_is_wanted(running, "web on web-1").startswith(OLD[:19])


def test_a_split_fleet_is_told_by_host() -> None:
    reports = [_report("web-1"), _report("web-2", services={"web": _serving(OLD)}), _report("web-3")]
    running = _running(*reports)
    assert service.on_several_hosts(running) == ["web"]
    expected = f"{OLD[:19]} on web-2; {NEW[:19]} on web-1, web-3"
    _remedy(service.serves_one_version, running, "web", expected)
    assert (
        service.serves_one_version(_running(reports[0], reports[2]), "web") == f"{NEW[:19]} on web-1, web-3"
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"status": "exited", "exit_code": 137, "out_of_memory": True},
            "it is exited; its last exit code is 137, out of",
        ),
        ({"status": "paused"}, "it is paused"),
        ({"status": "created"}, "it is created"),
        (
            {"status": "restarting", "restarts": 12, "exit_code": 1},
            r"restarts again and again \(12 times\); its last exit",
        ),
        ({"restarts": 3, "started": None}, "restarts again and again: 3 times"),
    ],
)
def test_a_container_that_does_not_run_steadily_fails(change: dict[str, Any], found: str) -> None:
    if "started" in change:
        change = {**change, "started": datetime.now(UTC) - timedelta(minutes=1)}
    report = _report("web-1", containers=(_container(PROXY_CONTAINER), _container("web-1", **change)))
    remedy = _remedy(machine.container_runs, _running(report), "web on web-1", found)
    assert remedy in ("", "./slip logs web --host web-1 -s dev")
    assert machine.container_runs(_running(report), "proxy on web-1") == "runs"


def test_a_container_that_is_not_there_fails() -> None:
    _remedy(
        machine.container_runs,
        _running(_report("web-1", containers=())),
        "proxy on web-1",
        "no such container",
    )


def test_a_restart_of_some_hours_ago_is_a_warning_and_of_days_ago_none() -> None:
    def seen(hours: float) -> str:
        started = datetime.now(UTC) - timedelta(hours=hours)
        containers = (_container("web-1", restarts=2, started=started),)
        return machine.container_runs(_running(_report("web-1", containers=containers)), "web on web-1")

    assert isinstance(seen(3), Warned)
    assert "restarted 2 times" in seen(3)
    assert seen(30) == "runs"


def test_a_container_that_fills_the_disk_is_a_warning() -> None:
    def seen(written: int) -> str:
        report = _report(
            "web-1", containers=(_container("web-1"),), written={_container("web-1").name: written}
        )
        return machine.container_runs(_running(report), "web on web-1")

    assert isinstance(seen(3 * 2**30), Warned)
    assert "it has written 3.2 GB into its own files" in seen(3 * 2**30)
    assert seen(2**20) == "runs"


@pytest.mark.parametrize("difference", [0.0, 59.0, -60.0])
def test_a_clock_may_differ_by_a_minute(difference: float) -> None:
    assert machine.clock_is_right(_running(_report("web-1", clock_difference=difference)), "web-1")


@pytest.mark.parametrize(
    ("difference", "said"),
    [(61.0, "61 s ahead of"), (-600.0, "10 minutes behind"), (63_072_000.0, "730 days ahead of")],
)
def test_a_clock_that_differs_by_more_fails(difference: float, said: str) -> None:
    wrong, right = _report("web-1", clock_difference=difference), _report("web-2")
    remedy = _remedy(machine.clock_is_right, _running(wrong, right), "web-1", said)
    assert remedy == "timedatectl set-ntp true   # here or on web-1, whichever is wrong"
    # If every host differs, the operator's own clock is wrong.
    all_wrong = _running(wrong, replace(wrong, host="web-2"))
    assert _remedy(machine.clock_is_right, all_wrong, "web-1", said).endswith("# here")


def test_a_full_disk_names_its_place_and_how_to_make_room() -> None:
    disks = (Disk("/", 10 * GB, 90 * GB, 1.0), Disk(REGISTRY_DATA_PATH, 99 * GB, GB, 1.0))
    report = _report("web-1", disks=disks)
    remedy = _remedy(machine.has_room, _running(report), "web-1", f"full: {REGISTRY_DATA_PATH}: 1% free")
    assert remedy == "set slipway:registry.retention, then:\n./slip up -s dev"
    kept = replace(report, retention=Retention(True, "success", ""))
    assert _remedy(machine.has_room, _running(kept), "web-1", "full") == "./slip prune -s dev"
    var = replace(report, disks=(disks[0], Disk("/var", 10 * GB, 90 * GB, 0.01)))
    assert _remedy(machine.has_room, _running(var), "web-1", "full: /var.*1% of its inodes") == (
        "./slip prune --hosts -s dev"
    )


def test_an_engine_that_is_open_stopped_or_hangs_fails() -> None:
    warning = "API is accessible on http://0.0.0.0:2375 without encryption."
    _remedy(
        machine.engine_is_closed,
        _running(_report("web-1", open_engine=(warning,))),
        "web-1",
        "root access: API",
    )
    _remedy(
        machine.engine_runs,
        _running(_report("web-1", engine_unit="failed")),
        "web-1",
        "is failed; the machine",
    )
    _remedy(
        machine.engine_runs, _running(_report("web-1", engine_version="")), "web-1", "not answered in time"
    )


def test_an_engine_that_speaks_plain_http_refuses_nobody() -> None:
    with http_server(lambda _: (200, "{}", {})) as port:
        running = _running(
            _report("web-1"), engineEndpoints={"web-1": f"tcp://127.0.0.1:{port}"}, engineCaCertificate=""
        )
        _remedy(engine.refuses_without_certificate, running, "web-1", "it does not speak TLS")


@pytest.mark.parametrize(
    ("retention", "found"),
    [
        (Retention(True, "exit-code", "Fri"), r"failed \(exit-code\), Fri"),
        (
            Retention(True, "exit-code", "Fri", "uploads are open"),
            r"failed \(exit-code\), Fri: uploads are open",
        ),
        (Retention(False, "success", ""), "timer is off"),
    ],
)
def test_a_retention_that_does_not_work_fails(retention: Retention, found: str) -> None:
    running = _running(_report("web-1", retention=retention))
    assert machine.with_retention(running) == ["web-1"]
    _remedy(machine.retention_works, running, "web-1", found)


FAILURE = Result(
    "serves what is wanted",
    "web on web-1",
    False,
    f"it serves {OLD[:19]} since 5 h; the last update built {NEW[:19]}",
    remedy="docker exec slipway-a-stack-with-a-long-name-web-1 docker image prune --all --force",
)
PASSED = Result("the certificate lasts", "engine of web-1", True, "364 days left, until 2027-11-27 16:12 UTC")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_on_a_narrow_terminal_no_word_and_no_command_is_broken(width: int) -> None:
    found = lines([FAILURE, PASSED, replace(PASSED, warned=True)], width)
    words = {
        word
        for result in (FAILURE, PASSED)
        for word in f"{result.check}: {result.subject} {result.detail}".split()
    }
    commands = [text for _, text in found if text.startswith("→ ")]
    assert commands == [f"→ {FAILURE.remedy}"]
    rest = [text for _, text in found if text not in commands]
    assert all(8 + len(text) <= width for text in rest)
    assert {word for text in rest for word in text.split()} == words
    assert [verdict for verdict, _ in found if verdict] == ["FAILED", "ok", "warning"]


def test_on_a_wide_terminal_what_passed_is_a_table() -> None:
    found = lines([PASSED, replace(PASSED, check="a", subject="b", detail="c")], 200)
    assert found[1] == ("ok", f"a{' ' * 20}  b{' ' * 14}  c")


@pytest.mark.parametrize("width", [60, 200])
def test_a_row_that_comes_alone_fits_the_columns(width: int) -> None:
    columns = Columns(checks=25, subjects=20, width=width)
    passed, failed = columns.lines(PASSED), columns.lines(FAILURE)
    assert [word for word, _ in passed + failed if word] == ["ok", "FAILED"]
    assert all(8 + len(text) <= width for _, text in passed + failed)
    assert (len(passed) == 1) == (width == 200)
    # Its remedy comes in the end, with all failures.
    assert not any("docker exec" in text for _, text in failed)


def test_what_has_been_shown_is_not_shown_again_but_for_failures(capsys: pytest.CaptureFixture[str]) -> None:
    show("local", [PASSED, FAILURE], as_json=False, only_failures=True)
    shown = capsys.readouterr()
    assert PASSED.check not in shown.out
    assert f"→ {FAILURE.remedy}" in shown.out
    assert shown.err == "1 of 2 checks failed.\n"
    show("local", [PASSED], as_json=False, only_failures=True)
    assert capsys.readouterr().out == ""
