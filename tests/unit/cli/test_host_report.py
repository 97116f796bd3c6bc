"""What a host runs and serves: scripts/report.sh with stand-ins for its commands, and its lines as data."""

import shlex
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.running.fleet import SCRIPT
from cli.running.hang import Hang
from cli.running.host_report import HostReport, moment, parse
from cli.running.usage import CGROUPS
from cli.update.release import interrupted

OLD, NEW = (f"sha256:{digit * 64}" for digit in "12")
PROXY_LIST = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change
3 r: 2 web-web-1-1a2b 172.18.0.3 2 0 1 1 4 1 0 0 0 0 0 0 - 8080 - 0 0 - - 0
3 r: 1 web-web-1-old 172.18.0.9 2 8 1 1 4 1 0 0 0 0 0 0 - 8080 - 0 0 - - 0
4 r:api.test 1 api-web-1-3c4d 172.18.0.4 2 0 1 1 4 1 0 0 0 0 0 0 - 9000 - 0 0 - - 0
5 r:www.api.test 1 api-web-1-3c4d 172.18.0.4 2 0 1 1 4 1 0 0 0 0 0 0 - 9000 - 0 0 - - 0
"""
"""What HAProxy's process says of its servers; one of them drains."""
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
MADE = "2026-01-02T03:04:05.123456789Z"
CONTAINERS = [
    # name, id, image, role, service, status, exit code, OOM, restarts, created, started, finished, process, address
    "/slipway-proxy p1 sha256:p proxy - running 0 false 0 MADE 2026-01-02T03:04:06Z - 4711 172.18.0.2",
    "/web-web-1-1a2b w1 sha256:a - web running 0 false 2 MADE 2026-01-02T04:00:00Z - 4712 172.18.0.3",
    "/web-web-1-bad w2 sha256:b - web exited 137 true 0 2026-01-03T00:00:00Z 0001-01-01T00:00:00Z - 0 -",
    "/api-web-1-3c4d a1 sha256:c - api running 0 false 0 2026-01-02T03:04:05Z 2026-01-02T03:04:06Z - 4713 172.18.0.4",
]
IMAGES = [
    f"image sha256:a yard:5000/web@{OLD}",
    f"image sha256:c yard:5000/other@{NEW} yard:5000/api@{OLD}",
    "image sha256:p",
    f"made sha256:a {MADE}",
    "made sha256:c 0001-01-01T00:00:00Z",
]


class Machine:
    """A folder with stand-ins for the commands of a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.command("systemctl", 'case "$1" in is-active) echo active ;; esac')
        self.command("df", "echo head; echo 30 70 1000 900 /; echo 1 2 - - /run; echo 30 70 1000 900 /")
        self.command("curl", 'case "$*" in *172.18.0.3:8080/up*) printf 200 ;; *) printf 000; exit 7 ;; esac')
        self.docker()

    def command(self, name: str, body: str) -> None:
        path = self.root / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.root}/called"\n{body}\n')
        path.chmod(0o755)

    def docker(self, *, info: str = "echo 28.5.2", listing: str | None = PROXY_LIST) -> None:
        (self.root / "containers").write_text(
            "".join(_tabbed(line) for line in CONTAINERS).replace("MADE", MADE)
        )
        (self.root / "images").write_text("".join(_tabbed(line) for line in IMAGES))
        (self.root / "listing").write_text(listing or "")
        self.command(
            "docker",
            f"""case "$1 $2" in
              info*) {info} ;;
              ps*) printf 'p1\\nw1\\n' ;;
              "inspect --size") printf 'written\t/web-web-1-1a2b\t4096\n' ;;
              inspect*) case "$*" in
                *"Name}}}} {{{{.State.Pid}}}}"*) printf '/web-web-1-1a2b 4711\n/web-web-1-gone 4712\n' ;;
                *) cat {self.root}/containers ;;
              esac ;;
              "image inspect") cat {self.root}/images ;;
              container*) exit 1 ;;
            esac""",
        )
        self.command("nsenter", f"cat {self.root}/listing")

    def report(self, checks: str = "web\t/up\t\napi\t/health\tapi.test", *, sizes: str = "") -> HostReport:
        asked = time.time()
        result = subprocess.run(
            ["/bin/bash", "-s"],
            input=f"CHECKS={shlex.quote(checks)}\n{sizes}\n"
            + (CGROUPS.read_text() + SCRIPT.read_text())
            .replace("/sys/fs/cgroup", f"{self.root}/cgroup")
            .replace('"/proc/', f'"{self.root}/proc/')
            .replace("/etc/slipway/releases", f"{self.root}/releases")
            .replace("/etc/slipway/jobs", f"{self.root}/jobs")
            .replace("/etc/slipway/hangs", f"{self.root}/hangs")
            .replace("/run/slipway-silent", f"{self.root}/silent"),
            env={"PATH": f"{self.root}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert result.stderr == ""
        return parse("web-1", result.stdout, asked=asked, answered=time.time())

    def calls(self, name: str) -> list[str]:
        return [line for line in (self.root / "called").read_text().splitlines() if line.startswith(name)]


def _tabbed(line: str) -> str:
    return "\t".join("" if word == "-" else word for word in line.split(" ")) + "\n"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_host_says_what_its_proxy_serves(machine: Machine) -> None:
    report = machine.report()
    assert report.answers
    assert report.knows_services
    assert report.engine_version == "28.5.2"
    assert report.open_engine == ()
    web, api = report.services["web"], report.services["api"]
    assert (web.container, web.digest, web.healthy, web.health) == (
        "web-web-1-1a2b",
        OLD,
        True,
        "HTTP 200 on /up",
    )
    assert web.since == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    # Of several names of an image, the service's own counts.
    assert api.digest == OLD
    assert api.digests == {OLD, NEW}
    assert (api.healthy, api.health) == (False, "/health refuses the connection")
    assert [disk.path for disk in report.disks] == ["/", "/run"]
    assert report.disks[0].free_inodes_share == 0.9
    assert report.retention is None
    assert abs(report.clock_difference) < 1


@pytest.mark.parametrize(
    ("record", "units", "said", "is_well"),
    [
        ("", "active inactive", "has not run yet; next Sat", True),
        ("0 100 200 twin", "active inactive", "ended with status 0 ", True),
        ("3 100 200 twin", "active failed", "ended with status 3 ", False),
        ("timeout 100 200 twin", "active failed", "took too long and was ended ", False),
        ("running 100 0 twin", "active activating", "runs for ", True),
        ("running 100 0 twin", "active failed", "was interrupted; next Sat", False),
        ("0 100 200 twin", "inactive inactive", "its timer is not active", False),
    ],
)
def test_a_job_is_told_by_its_timer_and_its_last_run(
    machine: Machine, record: str, units: str, said: str, is_well: bool
) -> None:
    folder = machine.root / "jobs"
    folder.mkdir()
    (folder / "tidy").write_text("web-1-tidy 60 10\n")
    if record:
        (folder / ".tidy.last").write_text(f"{record}\n")
    timer, unit = units.split()
    machine.command(
        "systemctl",
        f"""case "$*" in "show "*) echo Sat ;; *.timer) echo {timer} ;; *job*) echo {unit} ;; *) echo active ;; esac""",
    )
    found = machine.report().jobs["tidy"]
    assert said in str(found)
    assert found.is_well == is_well


@pytest.mark.parametrize(
    ("twin", "expected"), [("exited 137", {"web"}), ("", {"web"}), ("running 0", set()), ("exited 0", set())]
)
def test_release_commands_that_were_interrupted_are_told(
    machine: Machine, twin: str, expected: set[str]
) -> None:
    folder = machine.root / "releases"
    folder.mkdir()
    (folder / "web").write_text("one done -\ntwo begun slipway-release-web-1\n")
    (folder / "api").write_text("one failed slipway-release-api-1\n")
    body = (
        (machine.root / "docker")
        .read_text()
        .replace("container*)", f"*release-web-1*) echo {twin} ;; container*)")
    )
    (machine.root / "docker").write_text(body.replace('case "$1 $2" in', 'case "$*" in'))
    report = machine.report()
    assert report.interrupted == expected
    assert interrupted({"web-1": report}) == [(service, "web-1") for service in expected]


def test_services_that_hang_or_hung_are_told(machine: Machine) -> None:
    assert machine.report().hangs == {}
    for file, text in (
        ("hangs/web", "3 1767322800 web-1a2b /up takes more than 5 s\n"),
        ("hangs/db", "1 1767322800 db-1a2b it refuses connections on port 5432\n"),
        ("silent/web", "/up gets no HTTP answer\n"),
        ("silent/mail", "its health check fails\n"),
    ):
        (machine.root / file).parent.mkdir(exist_ok=True)
        (machine.root / file).write_text(text)
    moment = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
    assert machine.report().hangs == {
        "web": Hang(3, moment, True, "/up gets no HTTP answer"),
        "mail": Hang(0, None, True, "its health check fails"),
        "db": Hang(1, moment, False, "it refuses connections on port 5432"),
    }


@pytest.mark.parametrize(
    ("hang", "minutes", "is_well", "told"),
    [
        (Hang(0, None, True, "x fails"), 0, False, "hangs: x fails"),
        (Hang(1, NOON, False, "x fails"), 5, True, "hung and was restarted 5 min ago: x fails"),
        (Hang(1, NOON, False, "x fails"), 2000, True, ""),
        (Hang(1, NOON, True, "x fails"), 2000, False, "hangs: x fails; restarted 1 d ago"),
        (
            Hang(3, NOON, False, "x fails"),
            59,
            False,
            "hung and was restarted 3 times in a row, last 59 min ago: x fails",
        ),
        (
            Hang(3, NOON, False, "x fails"),
            61,
            True,
            "hung and was restarted 3 times in a row, last 1 h ago: x fails",
        ),
    ],
)
def test_one_restart_is_told_and_several_are_no_good(
    hang: Hang, minutes: int, is_well: bool, told: str
) -> None:
    now = NOON + timedelta(minutes=minutes)
    assert (hang.is_well(now), hang.told(now)) == (is_well, told)


def test_what_containers_have_written_is_counted_on_demand(machine: Machine) -> None:
    assert machine.report().written == {}
    assert not [call for call in machine.calls("docker") if "--size" in call]
    assert machine.report(sizes="SIZES=yes").written == {"web-web-1-1a2b": 4096}


def test_the_health_check_is_that_of_a_roll_out(machine: Machine) -> None:
    machine.report()
    (asked,) = (call for call in machine.calls("curl") if "172.18.0.4" in call)
    assert "-H Host: api.test http://172.18.0.4:9000/health" in asked


def test_containers_that_do_not_serve_are_listed_too(machine: Machine) -> None:
    report = machine.report()
    bad = report.container("web-web-1-bad")
    assert bad is not None
    assert (bad.status, bad.exit_code, bad.out_of_memory, bad.started, bad.images) == (
        "exited",
        137,
        True,
        None,
        (),
    )
    web = report.container("web-web-1-1a2b")
    assert web is not None
    assert (web.restarts, web.service, web.role) == (2, "web", "")
    assert report.proxy is not None
    assert report.proxy.role == "proxy"


def test_the_image_says_when_it_was_built(machine: Machine) -> None:
    web, api = (machine.report().container(name) for name in ("web-web-1-1a2b", "api-web-1-3c4d"))
    assert web
    assert api
    assert web.image_made == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert api.image_made is None


def test_containers_are_asked_for_their_cpu_and_memory_only_on_wish(machine: Machine) -> None:
    """The CPU time grows while the host gives its other answers: its command does it here."""
    (machine.root / "proc/4711").mkdir(parents=True)
    (machine.root / "proc/4711/cgroup").write_text("0::/one\n")
    folder = machine.root / "cgroup/one"
    folder.mkdir(parents=True)
    (folder / "memory.current").write_text("5000\n")
    (folder / "memory.stat").write_text("inactive_file 1000\n")
    (folder / "cpu.stat").write_text("usage_usec 1000000\n")
    machine.command(
        "curl", f"sleep 0.3; echo usage_usec 1600000 >{folder}/cpu.stat; printf 200; exec >&-; sleep 0.1"
    )
    report = machine.report(sizes="USAGE=yes")
    assert report.memory == {"web-web-1-1a2b": 4000}
    assert 0 < report.cpu["web-web-1-1a2b"] < 2
    asleep = machine.report()
    assert (asleep.memory, asleep.cpu) == ({}, {})


def test_a_stopped_engine_is_not_asked(machine: Machine) -> None:
    # Its socket would start it.
    machine.command("systemctl", 'case "$1" in is-active) echo inactive; exit 3 ;; esac')
    report = machine.report()
    assert report.answers
    assert (report.engine_unit, report.engine_answers, report.knows_services) == ("inactive", False, False)
    assert not machine.calls("docker")
    assert report.disks


def test_an_engine_that_hangs_is_told_from_one_that_is_stopped(machine: Machine) -> None:
    machine.command("docker", "exit 124")
    report = machine.report()
    assert (report.engine_unit, report.engine_answers) == ("active", False)


def test_a_proxy_that_does_not_answer_leaves_the_services_unknown(machine: Machine) -> None:
    machine.docker(listing=None)
    report = machine.report()
    assert (report.engine_answers, report.proxy_answers, report.knows_services) == (True, False, False)
    assert report.services == {}
    # A proxy without routes is another thing: it serves nothing.
    machine.docker(listing="1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n")
    report = machine.report()
    assert (report.knows_services, report.services) == (True, {})


def test_an_edge_says_where_it_finds_services_well(machine: Machine) -> None:
    servers = (
        ("web", "web-1", "2 0"),
        ("web", "web-2", "0 0"),
        ("shop", "web-1", "2 32"),
    )
    lines = [
        f"{number} e:{service} 1 {host} 10.0.0.7 {state} 1 1 4"
        for number, (service, host, state) in enumerate(servers)
    ]
    machine.docker(listing="\n".join(["# be_id be_name srv_id srv_admin_state", *lines, ""]))
    report = machine.report()
    # 32: its address is unknown.
    assert report.behind == {"web": {"web-1": True, "web-2": False}, "shop": {"web-1": False}}
    assert (report.knows_services, report.services) == (True, {})


def test_an_open_engine_is_reported_in_its_own_words(machine: Machine) -> None:
    warning = "[DEPRECATION NOTICE]: API is accessible on http://0.0.0.0:2375 without encryption."
    machine.docker(info=f'echo 28.5.2; echo "{warning}"; echo "  Access to the remote API is root access"')
    assert machine.report().open_engine == ("API is accessible on http://0.0.0.0:2375 without encryption.",)


def test_an_answer_that_is_cut_off_is_none() -> None:
    with pytest.raises(ValueError, match="not whole"):
        parse("web-1", "clock\t1.5\nunit\tactive\n", asked=1, answered=2)


@pytest.mark.parametrize(
    ("clock", "difference"), [(99.0, -1.0), (100.0, 0.0), (104.0, 0.0), (105.0, 0.0), (705.0, 600.0)]
)
def test_a_clock_differs_by_what_the_answer_cannot_explain(clock: float, difference: float) -> None:
    text = f"clock\t{clock}\nunit\tactive\nend\n"
    assert parse("web-1", text, asked=100, answered=105).clock_difference == difference


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T03:04:05.1Z", datetime(2026, 1, 2, 3, 4, 5, 100000, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_docker_writes_times_in_several_ways(text: str, found: datetime | None) -> None:
    assert moment(text) == found


def test_services_under_maintenance_are_told() -> None:
    text = "clock\t1\nunit\tactive\nmaintenance\tweb\nmaintenance\tapi\nend\n"
    assert parse("web-1", text, asked=1, answered=1).maintained == {"api", "web"}


def test_the_last_run_of_the_timer_is_read() -> None:
    text = "clock\t1\nunit\tactive\nretention\tactive\texit-code\tFri 2026-01-02 03:04:05 UTC\nend\n"
    retention = parse("yard", text, asked=1, answered=1).retention
    assert retention is not None
    assert (retention.is_scheduled, retention.result) == (True, "exit-code")
    assert replace(retention, result="success").ended == "Fri 2026-01-02 03:04:05 UTC"
