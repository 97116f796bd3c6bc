"""A database from an image that others made, beside a service of the same image that reaches it on another host."""

import base64
import contextlib
import json
import shlex
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import restic, settings
from tests.support.clone import REPOSITORY
from tests.support.docker_command import docker
from tests.support.object_store import object_store
from tests.support.secret_values import no_process_shows
from tests.support.stack import Stack
from tests.support.terminal import terminal
from tests.support.waiting import ANSWER, PATIENCE, eventually
from well_known import RELEASE_LABEL, RESTORE_LABEL

IMAGE = "slipway-test/store:1"
FIXTURE = REPOSITORY / "tests/e2e/fixtures/store"
PASSWORD = "a-database-password-of-tests"
FORMER, LATTER = "the-former-secret-of-a-file", "the-latter-secret-of-a-file"
OWN_VARIABLES = ("POSTGRES_PASSWORD", "PGPASSWORD")
"""Variables with a secret that the services have by their settings."""
DATA = "/var/lib/postgresql/data"
PSQL = "psql -h db -U postgres -tAqc"
DEVICE = "/dev/slipway-null"


def _build(version: str) -> None:
    """The image, as the operator's engine gets it from elsewhere."""
    options = ("--cache-from", IMAGE, "--build-arg", f"VERSION={version}")
    docker("build", "--quiet", "--tag", IMAGE, *options, str(FIXTURE))


def _database(**more: Any) -> dict[str, Any]:
    return {
        "image": IMAGE,
        "hosts": ["data-1"],
        "ports": {"private": [5432]},
        "volumes": {"data": DATA},
        "env": {"POSTGRES_PASSWORD": {"secret": "DB_PASSWORD"}},
        "stopSignal": "SIGINT",
        "healthTimeout": settings.HEALTH_TIMEOUT,
        **more,
    }


def _services(**of_database: Any) -> dict[str, Any]:
    web = {
        "from": "db",
        "entrypoint": ["perl", "/server.pl"],
        "needs": ["db"],
        "env": {"PGPASSWORD": {"secret": "DB_PASSWORD"}},
        "release": f"{PSQL} 'create table if not exists notes (text text)'",
        "healthTimeout": settings.HEALTH_TIMEOUT,
        "drainTimeout": 1,
    }
    worker = {
        "from": "db",
        "entrypoint": ["/bin/sh", "-c"],
        "command": ["touch /run/alive && exec sleep 1000000"],
        "health": {"command": "test -f /run/alive"},
        "hosts": ["box"],
    }
    return {"db": _database(**of_database), "web": web, "worker": worker}


FORMER_STORE = """
useradd --system --no-create-home --shell /usr/sbin/nologin slipway-backup
mkdir -p /var/lib/slipway/backups/data/registry && touch /var/lib/slipway/backups/data/registry/kept
chown -R slipway-backup: /var/lib/slipway/backups/data && touch /etc/ssh/slipway-backup-keys
"""
"""Makes a host that keeps backups as a version did in which all services had one user."""


@pytest.fixture(scope="module")
def store(one_host: Stack) -> Stack:
    """A stack of two hosts: the database on one, a service on both, a worker on the other."""
    _build("1")
    one_host.configure(
        settings.one_host()
        | {
            "hosts": {"box": {"roles": ["registry", "build", "app"]}, "data-1": {"roles": ["app"]}},
            "services": _services(),
        }
    )
    one_host.set_secret("DB_PASSWORD", PASSWORD)
    one_host.set_secret("FILE_SECRET", FORMER)
    one_host.up(seconds=2 * PATIENCE)
    return one_host


@pytest.fixture
def unseen(store: Stack) -> Iterator[None]:
    """Fails if a process shows a secret meanwhile."""
    with no_process_shows(store, more=(PASSWORD, FORMER, LATTER), variables=OWN_VARIABLES):
        yield


def _ask(stack: Stack, what: str, host: int = 0) -> str:
    with urllib.request.urlopen(f"{stack.urls()[host]}{what}", timeout=ANSWER) as answer:
        return str(answer.read().decode().strip())


def _container(stack: Stack) -> str:
    (name,) = stack.app_containers("data-1", service="db")
    return name


def test_rows_outlive_containers_images_and_a_restart_of_the_host(store: Stack) -> None:
    # Both hosts reach the database by its name: the one that runs it, and the other one.
    for host in (0, 1):
        assert _ask(store, "add", host) == ""
    first = _container(store)
    assert PASSWORD not in store.export()

    # A changed setting makes another container.
    store.configure({"services": _services(shm=128)})
    preview = store.slip("preview")
    assert "stopped first" in " ".join(preview.output.split()), str(preview)
    assert PASSWORD not in preview.output
    store.up()
    assert _container(store) != first
    assert _ask(store, "count") == "2"

    # What the tag has by now comes with `update` only.
    _build("2")
    assert not store.up().changes
    told = store.slip("update", "db", "--yes")
    assert told.status == 0, str(told)
    assert store.on_host("data-1", "docker", "exec", _container(store), "printenv", "IMAGE_VERSION") == "2"
    assert _ask(store, "add") == ""

    docker("restart", store.container("data-1"))
    eventually("the database answers again", lambda: _ask(store, "count") == "3")
    eventually("it does on its own host, too", lambda: _ask(store, "count", 1) == "3")
    assert store.slip("preview", "--", "--refresh", "--expect-no-changes").status == 0


def test_the_old_version_starts_again_if_the_new_one_fails(store: Stack) -> None:
    before, count = _container(store), _ask(store, "count")
    broken = {"POSTGRES_PASSWORD": {"secret": "DB_PASSWORD"}, "IMAGE_VERSION": "broken"}
    store.configure({"services": _services(env=broken, healthTimeout=3)})
    result = store.slip("up", "--yes")
    assert result.status != 0
    assert "the previous version was started again" in " ".join(result.output.split()), str(result)
    assert _container(store) == before
    eventually("the database answers again", lambda: _ask(store, "count") == count)
    store.configure({"services": _services()})
    store.up()
    assert _ask(store, "count") == count


def test_a_release_command_that_is_killed_asks_before_it_runs_again(store: Stack) -> None:
    services = _services()
    # The second run ends.
    services["web"]["release"] = (
        f"{PSQL} \"insert into notes values ('released')\"; echo half way; "
        f"[ $({PSQL} \"select count(*) from notes where text = 'released'\") -gt 1 ] || exec sleep 1000"
    )
    services["web"]["env"]["LEVEL"] = "2"
    store.configure({"services": services})
    before = {host: store.app_containers(host) for host in ("box", "data-1")}
    twins = ("docker", "ps", "--quiet", "--filter", f"label={RELEASE_LABEL}=web")
    update = store.start_slip("up", "--yes")
    eventually("the release command runs", lambda: bool(store.on_host("box", *twins)))
    eventually(
        "it has begun",
        lambda: "half way" in store.on_host("box", "docker", "logs", *store.on_host("box", *twins).split()),
    )
    store.on_host("box", "docker", "kill", *store.on_host("box", *twins).split())
    for result in (update.wait(PATIENCE), store.slip("up", "--yes")):
        said = " ".join(result.output.split())
        assert result.status == 1, str(result)
        assert "its release command was interrupted, and nobody knows how far it came" in said
        assert "| half way" in said, str(result)
        assert "./slip up --release-again web" in said
    assert {host: store.app_containers(host) for host in before} == before, "something was switched"
    store.up("--release-again", "web")
    assert all(store.app_containers(host) != names for host, names in before.items())
    # It does not run again for the same version.
    count = _ask(store, "count")
    services["web"]["shm"] = 128
    store.configure({"services": services})
    store.up()
    assert _ask(store, "count") == count
    assert store.slip("preview", "--", "--refresh", "--expect-no-changes").status == 0


@pytest.mark.usefixtures("unseen")
def test_commands_run_beside_and_inside_what_runs(store: Stack) -> None:
    def run(command: str, service: str, *words: str) -> tuple[int, str]:
        result = store.slip(command, service, "--", *words)
        return result.status, result.output

    # Containers outlive a restart of the engine; those that it starts from then on know the names of others, too.
    store.on_host("box", "systemctl", "restart", "docker.service")
    # A fresh container of the deployed version, with its secrets and the way to the database.
    status, said = run("run", "web", "sh", "-c", f"{PSQL} 'select 40 + 2'; hostname; exit 7")
    assert status == 7, said
    answer, name = said.split()[-2:]
    assert (answer, name in store.on_host("box", "docker", "ps", "--all", "--quiet")) == ("42", False)
    status, said = run("exec", "db", "sh", "-c", "printenv IMAGE_VERSION; cat >/dev/null; exit 3")
    assert (status, said.split()[-1] in {"1", "2"}) == (3, True), said
    piped = f"head -c 300000 /dev/zero | ./slip exec worker --stack {store.name} -- wc -c"
    assert store.clone.start("bash", "-c", piped).wait().output.split()[-1] == "300000"
    line = ("./slip", "shell", "worker", "--stack", store.name)
    with terminal(line, store.clone.root, store.clone.environment, 90) as opened:
        opened.wait_for("# ")
        # Engines before API 1.42 give a terminal its size only after the command began.
        opened.press(b"until stty size | grep -vx '0 0'; do sleep 0.1; done; exit 5\r")
        assert opened.wait() == 5, opened.output
        assert "40 90" in opened.output


def _runs_by_a_timer(stack: Stack) -> None:
    """The job has a timer in its time zone; a run fails, is told, and leaves its output."""
    timers = stack.on_host("box", "systemctl", "list-timers", "--all", "--no-pager")
    assert "slipway-job-tidy.timer" in timers
    assert not stack.app_containers("box", service="tidy")
    (job,) = [one for one in _processes(stack) if one["service"] == "tidy"]
    assert job["healthy"], job
    assert "has not run yet; next" in job["health"]
    now = stack.slip("run", "tidy")
    assert now.status == 3, str(now)
    assert now.output.split() == ["42", "9000", "kept"]
    (job,) = [one for one in _processes(stack) if one["service"] == "tidy"]
    assert not job["healthy"], job
    assert "ended with status 3" in job["health"]
    verified = stack.slip("verify")
    assert verified.status == 1, str(verified)
    assert "ended with status 3" in " ".join(verified.output.split()), str(verified)
    assert stack.clone.read("./slip", "logs", "tidy", "--stack", stack.name).split() == ["42", "9000", "kept"]
    asked = stack.clone.start(
        "./slip", "run", "tidy", "--stack", stack.name, "--", "sh", "-c", "echo $STATUS"
    ).wait()
    assert (asked.status, asked.output.split()) == (0, ["3"]), str(asked)


def _processes(stack: Stack) -> list[dict[str, Any]]:
    # It fails if something is not healthy.
    output = stack.slip("ps", "--json").output
    found: list[dict[str, Any]]
    found, _ = json.JSONDecoder().raw_decode(output[output.index("[") :])
    return found


def _has_ports(stack: Stack) -> None:
    """Public ports answer on this machine, and to containers of the other host; a local one on its own host alone."""
    tcp, udp = (port.partition("/")[0].split(":") for port in stack.outputs()["servicePorts"]["worker"])
    with socket.create_connection((tcp[0], int(tcp[1])), timeout=ANSWER) as connection:
        assert connection.recv(100) == b"9000\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)

        def answered() -> bool:
            asking.sendto(b"word", (udp[0], int(udp[1])))
            return asking.recv(100) == b"9001 word"

        eventually("the port for UDP answers", answered)
    address = stack.on_host("data-1", "getent", "ahostsv4", "box").split()[0]
    ask = "exec 3<>/dev/tcp/$0/$1 && cat <&3"
    inside = ("docker", "exec", _container(stack), "timeout", "10", "bash", "-c", ask)
    assert stack.on_host("data-1", *inside, address, "9100") == "9000"
    assert stack.on_host("box", "timeout", "10", "bash", "-c", ask, "127.0.0.1", "9102") == "9002"
    # A service without their network does not know it.
    (web,) = stack.app_containers("box")
    assert stack.on_host("box", "docker", "exec", web, "sh", "-c", "getent hosts worker || true") == ""
    refused = f'timeout 10 bash -c "exec 3<>/dev/tcp/{address}/9102" 2>&1 || true'
    assert "Connection refused" in stack.on_host("data-1", "sh", "-c", refused)
    _keeps_local_ports_to_itself(stack, address)


def _keeps_local_ports_to_itself(stack: Stack, address: str) -> None:
    """Ports in `ports.local` answer their own host, and neither a container nor root of another one."""
    ask = "exec 3<>/dev/udp/$0/$1 && echo word >&3 && timeout 3 head -c 9 <&3 || true"
    assert stack.on_host("box", "bash", "-c", ask, "127.0.0.1", "9103") == "9003 word"
    assert stack.on_host("data-1", "bash", "-c", ask, address, "9001") == "9001 word"
    inside = ("docker", "exec", _container(stack), "bash", "-c", ask)
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    (name,) = stack.app_containers("box", service="worker")
    networks = stack.on_host("box", "docker", "inspect", "--format", form, name).split()
    assert networks
    for target, port in ((address, "9103"), (address, "9003"), *((one, "9003") for one in networks)):
        assert stack.on_host("data-1", *inside, target, port) == "", (target, port)
    # A neighbour sends packets for the container to its host by itself.
    for one in networks:
        stack.on_host("data-1", "ip", "route", "add", one, "via", address)
        try:
            for port, tried in (("9003", ask), ("9002", ask.replace("/udp/", "/tcp/"))):
                line = f"timeout 5 bash -c '{tried}' {one} {port} 2>/dev/null || true"
                assert stack.on_host("data-1", "sh", "-c", line) == "", port
        finally:
            stack.on_host("data-1", "ip", "route", "del", one)


@pytest.mark.usefixtures("unseen")
def test_containers_get_what_the_settings_say(store: Stack, tmp_path: Path) -> None:
    store.on_host("box", "sh", "-c", f"[ -e {DEVICE} ] || mknod {DEVICE} c 1 3; mkdir -p /srv/notes")
    store.on_host("box", "sh", "-c", "echo from the host >/srv/notes/note")
    # They lie in no repository.
    (tmp_path / "app.ini.j2").write_text(
        "{{ service }} {{ secrets.FILE_SECRET }} {{ settings.hosts | length }}\n"
    )
    (tmp_path / "bytes").write_bytes(b"\xff\n")
    files = {
        "/etc/app/app.ini": {"template": str(tmp_path / "app.ini.j2"), "owner": "65534", "mode": "0400"},
        "/bytes": {"file": str(tmp_path / "bytes"), "owner": "1:2"},
    }
    services = _services()
    services["worker"] |= {
        "user": "nobody:nogroup",
        "command": ["exec perl /ports.pl"],
        "health": {"command": ["test", "-d", "/scratch"]},
        "ports": {"public": ["9100:9000", "9001/udp"], "local": ["9102:9002", "9103:9003/udp"]},
        "networks": ["backend"],
        "workdir": "/usr",
        "memory": 256,
        "memoryReservation": 128,
        "cpus": "0.5",
        "pids": 99,
        "shm": 32,
        "tmpfs": {"/scratch": 8},
        "init": True,
        "ulimits": {"nofile": 2048},
        "sysctls": {"net.core.somaxconn": "1234"},
        "devices": [DEVICE],
        "labels": {"com.example.team": "store"},
        "stopSignal": "SIGINT",
        "restart": "always",
        "dns": ["10.0.0.53"],
        "extraHosts": {"legacy": "10.0.0.9"},
        "logDriver": "json-file",
        "logOptions": {"max-size": "1m"},
        "bind": {"/srv/notes": "/notes:ro"},
        "readOnly": True,
        "files": files,
        "volumes": {"work": "/work"},
    }
    services["tidy"] = {
        "from": "db",
        "entrypoint": ["/bin/sh", "-c"],
        "command": [
            (
                f"{PSQL} 'select 40 + 2'; bash -c 'cat </dev/tcp/worker/9000'; "
                "echo kept >/work/file; cat /work/file; exit $STATUS"
            )
        ],
        "networks": ["backend"],
        "env": {"PGPASSWORD": {"secret": "DB_PASSWORD"}, "STATUS": "3"},
        "volumes": {"work": "/work"},
        "hosts": ["box"],
        "schedule": "17 3 1 1 *",
        "timeZone": "Europe/Berlin",
    }

    store.configure({"services": services})
    store.up()
    _runs_by_a_timer(store)
    (name,) = store.app_containers("box", service="worker")
    script = (
        "id -un; id -gn; pwd; cd /sys/fs/cgroup; "
        # The second one of each is that of cgroup v1.
        "cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes; "
        "cat memory.low 2>/dev/null || cat memory/memory.soft_limit_in_bytes; "
        "cut -d ' ' -f 1 cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us; "
        "cat pids.max 2>/dev/null || cat pids/pids.max; df -m --output=size /dev/shm /scratch | tail -n 2 | tr -d ' '; "
        f"cat /proc/1/comm; ulimit -n; cat /proc/sys/net/core/somaxconn; test -c {DEVICE} && echo device; "
        "getent hosts legacy | tr -s ' '; cat /notes/note; touch /notes/x 2>&1 | grep -o 'Read-only.*'; "
        "grep -c ' /work ' /proc/mounts; cat /etc/app/app.ini; stat -c '%a %u:%g' /etc/app/app.ini /bytes; "
        "od -An -tx1 /bytes | tr -d ' '; grep -c ' /etc/app/app.ini .* ro,' /proc/mounts"
    )
    found = store.on_host("box", "docker", "exec", name, "sh", "-c", script).splitlines()
    assert found == [
        *("nobody", "nogroup", "/usr"),
        *(str(256 << 20), str(128 << 20), "50000", "99"),
        *("32", "8"),
        *("docker-init", "2048", "1234", "device"),
        "10.0.0.9 legacy",
        *("from the host", "Read-only file system", "1"),
        *(f"worker {FORMER} 2", "400 65534:65534", "444 1:2", "ff0a", "1"),
    ]
    _has_ports(store)
    inspected = json.loads(store.on_host("box", "docker", "inspect", name))[0]
    host = inspected["HostConfig"]
    assert inspected["Config"]["Labels"]["com.example.team"] == "store"
    assert inspected["Config"]["StopSignal"] == "SIGINT"
    assert (host["RestartPolicy"]["Name"], host["Dns"]) == ("always", ["10.0.0.53"])
    assert (host["LogConfig"]["Type"], host["LogConfig"]["Config"]["max-size"]) == ("json-file", "1m")
    assert PASSWORD not in store.export()
    assert store.slip("preview", "--", "--refresh", "--expect-no-changes").status == 0
    _replaces_a_secret_of_a_file(store, tmp_path)
    (name,) = store.app_containers("box", service="worker")

    # A changed file comes with a new container of this service, and of no other.
    others = {service: store.app_containers("box", service=service) for service in ("web", "db")}
    (tmp_path / "app.ini.j2").write_text("of the second version\n")
    preview = store.slip("preview")
    assert "new settings (volumes or files)" in " ".join(preview.output.split()), str(preview)
    store.up()
    (second,) = store.app_containers("box", service="worker")
    assert second != name
    assert (
        store.on_host("box", "docker", "exec", second, "cat", "/etc/app/app.ini") == "of the second version"
    )
    assert {service: store.app_containers("box", service=service) for service in others} == others


def _replaces_a_secret_of_a_file(store: Stack, folder: Path) -> None:
    """Neither value is in what is printed, logged, stored in clear text or inspected."""
    seen = {}

    def run(what: str, *words: str) -> None:
        events = folder / f"{what}.events"
        line = ("./slip", *words, "--stack", store.name, "--", "--event-log", str(events))
        result = store.clone.start(*line).wait()
        assert result.status == 0, str(result)
        seen[what] = result.output
        seen[events.name] = events.read_text()
        assert "worker-box-files" in seen[events.name], "the file does not change"

    store.set_secret("FILE_SECRET", LATTER)
    run("preview", "preview")
    run("every property", "preview", "--diff")
    run("Pulumi's display", "preview", "--verbose")
    run("update", "up", "--yes", "--verbose")
    (name,) = store.app_containers("box", service="worker")
    found = store.on_host("box", "docker", "exec", name, "cat", "/etc/app/app.ini")
    assert found == f"worker {LATTER} 2"
    seen["state"] = store.export()
    seen["configuration"] = store.config_file.read_text()
    for command in ("verify", "ps", "history", "output"):
        seen[command] = store.slip(command, *(["worker"] if command == "history" else [])).output
    every = "docker inspect $(docker ps -aq) $(docker images -q); journalctl --no-pager -q"
    for host in ("box", "data-1"):
        seen[f"what {host} shows"] = store.on_host(host, "sh", "-c", every)
    seen["hosts"] = docker("inspect", *(store.container(host) for host in ("box", "data-1")))
    for value in (FORMER, LATTER):
        for text in (value, base64.b64encode(value.encode()).decode()):
            assert [what for what, content in seen.items() if text in content] == []


def test_one_that_hangs_is_restarted_and_told(store: Stack) -> None:
    (name,) = store.app_containers("box")
    assert _ask(store, "up") == "well"
    process = store.on_host("box", "docker", "inspect", "--format", "{{.State.Pid}}", name)
    store.on_host("box", "kill", "-STOP", process)
    eventually("it answers again", lambda: _ask(store, "up") == "well")
    assert store.app_containers("box") == [name]
    (found,) = [one for one in _processes(store) if (one["service"], one["host"]) == ("web", "box")]
    assert "; hung and was restarted " in found["health"]
    assert "/up takes more than 5 s" in found["health"]
    assert "hung and was restarted" in " ".join(store.slip("verify").output.split())


def test_an_image_of_a_registry_that_wants_an_account(store: Stack) -> None:
    # The stack's own registry is such a one.
    server, password = store.outputs()["registryAddress"], store.outputs()["registryPasswords"]["hosts"]
    services = _services()
    del services["worker"]["from"]
    services["worker"]["image"] = f"{server}/mirror/{IMAGE}"
    sources = {server: {"username": "hosts", "password": {"secret": "SOURCE_PASSWORD"}}}
    with store.configured(lambda _: None):
        store.set_secret("SOURCE_PASSWORD", password)
        store.configure({"registry": {**settings.REGISTRY, "sources": sources}, "services": services})
        previewed, made = store.slip("preview"), store.up()
        assert store.outputs()["mirror"][services["worker"]["image"]].startswith(f"{server}/mirror/")
        (name,) = store.app_containers("box", service="worker")
        assert store.on_host("box", "docker", "exec", name, "printenv", "IMAGE_VERSION") in {"1", "2"}
        for text in (password, base64.b64encode(f"hosts:{password}".encode()).decode()):
            assert text not in store.export() + previewed.output + made.output
            left = f"grep -rlF -- {text} /etc /root /var/lib/slipway /run/slipway-* 2>/dev/null || true"
            assert store.on_host("box", "sh", "-c", left) == ""
        assert not store.up().changes
    store.up()


def test_rows_images_and_state_come_back_from_their_backups(
    store: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def select(sql: str) -> str:
        psql = f"PGPASSWORD=$POSTGRES_PASSWORD psql -h /tmp -U postgres -tAqc {shlex.quote(sql)}"
        return store.on_host("data-1", "docker", "exec", _container(store), "sh", "-c", psql)

    def volumes() -> set[str]:
        listed = store.on_host("data-1", "docker", "volume", "ls", "--quiet")
        return {name for name in listed.split() if name.startswith("db.data.")}

    monkeypatch.setitem(store.clone.environment, "PATH", _with_restic(store.clone.environment["PATH"]))
    (state := tmp_path / "state").mkdir()
    before, container = volumes(), _container(store)
    networks = "{{ range .NetworkSettings.Networks }}{{ .Gateway }}{{ end }}"
    gateway = docker("inspect", store.container("data-1"), "--format", networks).strip()
    with store.configured(lambda _: None), object_store(gateway) as bucket, contextlib.ExitStack() as watched:
        passwords = [PASSWORD, bucket.key]
        backup = {
            "command": "PGPASSWORD=$POSTGRES_PASSWORD pg_dumpall -h /tmp -U postgres",
            "restoreCommand": "PGPASSWORD=$POSTGRES_PASSWORD psql -h /tmp -U postgres",
            "check": "PGPASSWORD=$POSTGRES_PASSWORD psql -h /tmp -U postgres -tAc 'select 1/count(*) from notes'",
            "to": {"s3": f"{bucket.bucket}/team", "keyId": "BUCKET_ID", "key": "BUCKET_KEY"},
        }
        for name, value in {"BUCKET_ID": bucket.key_id, "BUCKET_KEY": bucket.key}.items():
            store.set_secret(name, value)
        services = _services(backup=backup)
        services["worker"] |= {
            "volumes": {"work": "/work"},
            "backup": {"volumes": ["work"], "to": {"host": "data-1"}},
        }
        store.on_host("data-1", "bash", "-c", FORMER_STORE)
        store.configure(
            {
                "services": services,
                "registry": settings.REGISTRY | {"backup": {"to": {"host": "data-1"}}},
                "stateBackup": {"to": {"path": str(state)}},
            }
        )
        updated = store.up()
        assert "The state is backed up" in updated.output, str(updated)
        assert _container(store) == container
        assert _ask(store, "add") == ""
        rows = select("select text from notes order by 1")
        for name in ("DB", "REGISTRY", "STATE"):
            line = f"pulumi config get --path slipway:secrets.BACKUP_PASSWORD_{name} --stack {store.name}"
            passwords.append(store.clone.read(*store.in_prepared_shell(line)).strip())
        watched.enter_context(
            no_process_shows(store, more=passwords, variables=(*OWN_VARIABLES, "AWS_SECRET_ACCESS_KEY"))
        )

        made = store.slip("backup", "db")
        assert made.status == 0, str(made)
        listed = store.slip("backups", "db", "--json")
        (kept,) = json.loads(listed.output[listed.output.index("{") :])["db"]
        assert [name for name in bucket.names() if name.startswith(f"team/{store.name}/db/data/")]
        assert not any(secret in store.export() for secret in (bucket.key, bucket.key_id))
        select("truncate notes")
        assert _ask(store, "count") == "0"

        restored = store.slip("restore", "db", "--at", kept["id"], "--yes")
        assert restored.status == 0, str(restored)
        assert select("select text from notes order by 1") == rows
        (old,) = volumes() - before
        assert old in restored.output
        assert store.on_host("data-1", "sh", "-c", f"ls /var/lib/docker/volumes/{old}/_data/PG_VERSION")

        _loses_the_registry(store)
        _loses_the_state(store)

        drilled = store.slip("drill")
        assert drilled.status == 0, str(drilled)
        for word in ("registry on box", "state: the backup", "db on data-1"):
            assert word in drilled.output, str(drilled)
        assert volumes() - before == {old}, "the drill has left a volume"
        tried = ("docker", "ps", "--all", "--quiet", "--filter", f"label={RESTORE_LABEL}")
        assert store.on_host("data-1", *tried).strip() == "", "the drill has left a container"
        assert _container(store) == container
        assert store.slip("preview", "--", "--refresh", "--expect-no-changes").status == 0

    store.on_host("data-1", "docker", "volume", "rm", old)
    store.up()
    assert store.on_host("data-1", "sh", "-c", "ls /etc/slipway/backups") == ""
    assert store.on_host("box", "sh", "-c", "ls /etc/slipway/backups") == ""


def _with_restic(path: str) -> str:
    return f"{restic.program().parent}:{path}"


def _keeps_backups_apart(store: Stack) -> None:
    """Root on a service's host gets at the backups of this service, and at no others that the same host keeps."""
    made = store.slip("backup", "worker")
    assert made.status == 0, str(made)
    script = """
        . /etc/slipway/backups/worker
        own=/var/lib/slipway/backup/worker
        words=(-q -F none -i "$own/id" -o UserKnownHostsFile="$own/known_hosts")
        words+=(-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o BatchMode=yes)
        try() { printf '%s\n' "${@:2}" | sftp "${words[@]}" -b - "$1" 2>/dev/null | grep -v '^sftp>' || true; }
        try "$target" 'ls -1 /' '-ls -1 /data/registry' '-rm /data/registry/config' '-ls -1 /../slipway-backup-registry'
        try "${target/worker/registry}" 'ls -1 /'
        try "slipway-backup@${target#*@}" 'ls -1 /'
        ssh "${words[@]}" "$target" id 2>/dev/null || true
    """
    answer = "This service allows sftp connections only."
    assert store.on_host("box", "bash", "-c", script).splitlines() == ["/data", answer]
    # What an older version kept there has moved, and its user of all services is gone.
    moved = "/var/lib/slipway/backups/of/slipway-backup-registry/data/registry/kept"
    assert store.on_host("data-1", "stat", "-c", "%U", moved).strip() == "slipway-backup-registry"
    left = "ls /var/lib/slipway/backups; id slipway-backup 2>/dev/null; ls /etc/ssh/slipway-backup-keys 2>/dev/null"
    assert store.on_host("data-1", "sh", "-c", f"{left} || true").split() == ["of"]


def _loses_the_registry(store: Stack) -> None:
    """The registry's folder is gone; all its images come back from the other host, while it runs."""
    images = store.registry().images()
    assert images
    made = store.slip("backup", "registry")
    assert made.status == 0, str(made)
    _keeps_backups_apart(store)
    # Nobody who keeps it can read it.
    search = "grep -rl sha256: /var/lib/slipway/backups || true"
    assert store.on_host("data-1", "sh", "-c", search) == ""
    store.on_host("box", "rm", "-rf", "/var/lib/slipway/registry/docker")
    assert store.registry().lacks(images) == images
    restored = store.slip("restore", "registry", "--yes")
    assert restored.status == 0, str(restored)
    assert not store.registry().lacks(images)


def _loses_the_state(store: Stack) -> None:
    """The state's file is gone; the last backup knows every resource."""
    known = store.resources().keys()
    lost = store.state_file
    for path in lost.parent.glob(f"{lost.name}*"):
        path.unlink()
    restored = store.slip("restore", "state", "--yes")
    assert restored.status == 0, str(restored)
    assert store.resources().keys() == known
