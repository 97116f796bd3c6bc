"""How each tool is installed: the official one if it can be downloaded, else a replacement made here."""

import io
import os
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

import well_known
from toolchain import (
    apt,
    cache,
    commands,
    debian,
    docker_engine,
    docker_socket,
    downloads,
    environment,
    go,
    haproxy,
    images,
    language_host,
    plan,
    plugins,
    pulumi_cli,
    versions,
)
from toolchain.environment import Environment, Need
from toolchain.errors import ToolError
from toolchain.report import Report


class Machine:
    """A temporary cache, and a PATH with the system's programs and those that a test adds."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs = tmp_path / "programs"
        self.calls = tmp_path / "calls"
        self.stream = io.StringIO()
        self.report = Report(Console(file=self.stream, width=200))
        self._monkeypatch = monkeypatch
        self.programs.mkdir()
        monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("PATH", f"{self.programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
        for name in (
            "DOCKER_HOST",
            "DOCKER_CONTEXT",
            "DOCKER_CONFIG",
            "PULUMI_HOME",
            "PULUMI_CREDENTIALS_PATH",
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(commands, "_cancelled", threading.Event())
        monkeypatch.setattr(images, "_closed", threading.Event())

    def program(self, name: str, script: str) -> None:
        """Put a program on PATH that records its arguments and then runs `script`."""
        path = self.programs / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n{script}\n')
        path.chmod(0o755)

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def downloads_are(self, reachable: bool) -> None:
        self._monkeypatch.setattr(downloads, "reachable", lambda: reachable)

    def printed(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.fixture
def lock(machine: Machine) -> Iterator[int]:
    with cache.lock("toolchain", lambda holder: None) as descriptor:
        yield descriptor


GO = """
while [ $# -gt 0 ]; do
  case $1 in
  -o) printf 'built' >"$2"; chmod +x "$2"; shift ;;
  -ldflags=*) flags=$1 ;;
  esac
  shift
done
echo "$flags" >&2
"""
"""A compiler that writes a file and prints its linker flags."""


def install_as_pulumi_does(root: str) -> None:
    (Path(root) / "bin").mkdir(parents=True)
    for name in ("pulumi", "pulumi-language-python"):
        (Path(root) / "bin" / name).write_text("downloaded")


DOWNLOAD = """
import os, sys
from pathlib import Path
assert "PULUMI_CONFIG_PASSPHRASE" not in os.environ
(Path(sys.argv[1]) / "bin").mkdir(parents=True)
for name in ("pulumi", "pulumi-language-python"):
    (Path(sys.argv[1]) / "bin" / name).write_text("downloaded")
"""


def test_the_cli_is_downloaded_where_that_is_possible(
    machine: Machine, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.downloads_are(reachable=True)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a-secret")
    monkeypatch.setattr(pulumi_cli, "_DOWNLOAD", DOWNLOAD)
    cli = pulumi_cli.prepare(machine.report, lock)
    assert cli.read_text() == "downloaded"
    assert (cli.parent / "pulumi-language-python").exists()
    assert machine.printed().startswith("✓ Pulumi CLI         downloaded 3.259.0 from Pulumi")
    assert pulumi_cli.prepare(machine.report, lock) == cli
    assert machine.printed().count("\n") == 1


def test_a_download_that_breaks_off_is_replaced_by_a_build(
    machine: Machine, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.downloads_are(reachable=True)
    machine.program("go", GO)

    monkeypatch.setattr(pulumi_cli, "_DOWNLOAD", "raise OSError('connection reset')")
    cli = pulumi_cli.prepare(machine.report, lock)
    assert cli.read_text() == "built"
    assert "OSError: connection reset" in machine.printed()


def test_without_downloads_the_cli_is_built(
    machine: Machine, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.downloads_are(reachable=False)
    machine.program("go", GO)
    monkeypatch.setattr(pulumi_cli, "_DOWNLOAD", "raise SystemExit('tried to download')")
    assert pulumi_cli.prepare(machine.report, lock).read_text() == "built"
    log = (cache.root() / "logs" / "build-pulumi.log").read_text()
    assert not (cache.root() / "logs" / "download-pulumi.log").exists()
    assert "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0" in log


def test_a_build_that_fails_names_the_compilers_words_and_leaves_nothing(machine: Machine, lock: int) -> None:
    machine.downloads_are(reachable=False)
    machine.program("go", "echo 'go: no space left on device' >&2; exit 1")
    with pytest.raises(ToolError, match=r"pulumi v3.259.0 cannot be built: go build said: go: no space left"):
        pulumi_cli.prepare(machine.report, lock)
    assert list(pulumi_cli.directory().iterdir()) == []


def fake_cli(machine: Machine, script: str) -> Path:
    machine.program("pulumi", script)
    return machine.programs / "pulumi"


def test_official_plugins_are_downloaded_into_a_home_of_our_own(machine: Machine) -> None:
    machine.downloads_are(reachable=True)
    cli = fake_cli(machine, 'mkdir -p "$PULUMI_HOME/plugins/$4"')
    home = plugins.prepare(machine.report, cli)
    assert plugins.is_official(home)
    assert home.is_relative_to(cache.root())
    assert sorted(path.name for path in (home / "plugins").iterdir()) == sorted(versions.plugins())
    assert machine.called() == [
        f"pulumi plugin install resource {name} {version}" for name, version in versions.plugins().items()
    ]


def test_one_plugin_that_cannot_be_downloaded_makes_all_of_them_stand_ins(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mixture would be harder to understand than one kind."""
    machine.downloads_are(reachable=True)
    cli = fake_cli(machine, 'case "$*" in *--file*) exit 0 ;; *docker*) echo "404" >&2; exit 1 ;; esac')
    stand_ins: list[str] = []

    def install(pulumi: Path, home: Path, python: Path, pins: dict[str, str]) -> None:
        home.mkdir()
        stand_ins.extend(pins)

    monkeypatch.setattr("plugins.install.install", install)
    home = plugins.prepare(machine.report, cli)
    assert not plugins.is_official(home)
    assert stand_ins == list(versions.plugins())
    assert "docker 5.1.0 cannot be downloaded" in machine.printed()
    assert "using the stand-ins instead" in machine.printed()
    assert not plugins._official_home().exists()


def image(name: str, built: list[str]) -> images.Image:
    def build(target: Path, lock: int) -> None:
        built.append(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("archive")

    return images.Image(name, "An image", f"making {name}", f"made {name}", "a second", build, ("USER x",))


def test_an_image_is_pulled_where_that_is_possible(machine: Machine, lock: int) -> None:
    machine.program("docker", "echo pulled")
    built: list[str] = []
    images.prepare(machine.report, image("a:1", built), lock)
    assert machine.called() == ["docker pull a:1"]
    assert built == []


def test_a_known_image_is_pulled_by_its_digest_and_gets_its_usual_name(
    machine: Machine, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(well_known.IMAGE_DIGESTS, "b/c:2", "sha256:1234")
    machine.program("docker", "echo pulled")
    built: list[str] = []
    images.prepare(machine.report, image("b/c:2", built), lock)
    assert machine.called() == ["docker pull b/c@sha256:1234", "docker tag b/c@sha256:1234 b/c:2"]
    assert built == []


def test_a_digest_that_cannot_be_pulled_is_built_under_the_usual_name(
    machine: Machine, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(well_known.IMAGE_DIGESTS, "a:1", "sha256:1234")
    machine.program("docker", '[ "$1" = import ]')
    built: list[str] = []
    images.prepare(machine.report, image("a:1", built), lock)
    assert built == ["a:1"]
    archive = cache.root() / "images/a-1.tar"
    assert machine.called()[1:] == [f"docker import --change USER x {archive} a:1"]


def test_every_image_of_the_toolchain_has_a_digest() -> None:
    assert {image.name for image in images.IMAGES} == set(well_known.IMAGE_DIGESTS)
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in well_known.IMAGE_DIGESTS.values())


def test_debian_is_made_with_the_keys_of_its_archive_only(
    machine: Machine, lock: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(apt, "allowed", lambda: True)
    monkeypatch.setattr(apt, "debian_sources", lambda _: [])
    asked: list[str] = []
    monkeypatch.setattr(apt, "install", lambda *names, failure: asked.extend(names))
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "keys.gpg")
    machine.program("debootstrap", "exit 1")
    target = cache.root() / "images" / "debian.tar"
    with pytest.raises(ToolError, match=r"keys\.gpg, which has the keys of Debian's archive, is missing"):
        debian.build(target, lock)
    assert asked == ["debian-archive-keyring"]
    assert machine.called() == []
    (tmp_path / "keys.gpg").touch()
    with pytest.raises(ToolError, match="cannot be made: debootstrap"):
        debian.build(target, lock)
    assert f"--force-check-gpg --keyring={tmp_path}/keys.gpg" in machine.called()[0]


def test_a_registry_that_refuses_is_asked_once(machine: Machine, lock: int) -> None:
    machine.program("docker", '[ "$1" = import ] || { echo "no such host" >&2; exit 1; }')
    built: list[str] = []
    for name in ("a:1", "b/c:2"):
        images.prepare(machine.report, image(name, built), lock)
    assert built == ["a:1", "b/c:2"]
    archives = cache.root() / "images"
    assert machine.called() == [
        "docker pull a:1",
        f"docker import --change USER x {archives}/a-1.tar a:1",
        f"docker import --change USER x {archives}/b-c-2.tar b/c:2",
    ]


def test_a_registry_that_never_answers_is_given_up(
    machine: Machine, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "PULL_PATIENCE", 0.2)
    machine.program("docker", '[ "$1" = import ] || exec sleep 30')
    built: list[str] = []
    images.prepare(machine.report, image("a:1", built), lock)
    assert built == ["a:1"]


def test_an_image_that_the_engine_lost_is_imported_again_without_a_build(machine: Machine, lock: int) -> None:
    machine.program("docker", '[ "$1" = import ]')
    built: list[str] = []
    for _ in range(2):
        images.prepare(machine.report, image("a:1", built), lock)
    assert built == ["a:1"]
    assert [call.split()[1] for call in machine.called()] == ["pull", "import", "import"]


def entries(path: Path) -> dict[str, tuple[int, int, str]]:
    with tarfile.open(path) as archive:
        return {entry.name: (entry.mode, entry.uid, entry.name) for entry in archive.getmembers()}


def test_the_proxys_image_has_the_program_and_the_libraries_that_it_loads() -> None:
    depends = {
        "haproxy": ("libc6", "libssl3t64", "adduser", "liblua5.4-0"),
        "libssl3t64": ("libc6", "zlib1g"),
        "libc6": ("libgcc-s1",),
        "libgcc-s1": ("gcc-14-base", "libc6"),
        "zlib1g": (),
        "adduser": ("passwd",),
        "libsystemd0": (),
    }
    packages = {name: haproxy.Package(Path(name), "1", names) for name, names in depends.items()}
    assert haproxy.needed(packages) == ["haproxy", "libc6", "libgcc-s1", "libssl3t64", "zlib1g"]


def test_a_mirror_with_another_version_of_the_proxy_is_refused(
    machine: Machine, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "mirrors", lambda codename, image: [])
    machine.program(
        "debootstrap", 'mkdir -p "$7/var/cache/apt/archives" && touch "$7/var/cache/apt/archives/a.deb"'
    )
    machine.program("dpkg-deb", "printf 'Package: haproxy\\nVersion: 3.2.1-1\\n'")
    with pytest.raises(ToolError, match=r"Debian's mirror has HAProxy 3\.2\.1-1"):
        haproxy.build(cache.root() / "images" / "proxy.tar", lock)
    assert not (cache.root() / "images" / "proxy.tar").exists()


def test_the_registrys_image_has_the_official_layout(machine: Machine, lock: int) -> None:
    machine.program("go", GO)
    images._registry(cache.root() / "images" / "registry.tar", lock)
    found = entries(cache.root() / "images" / "registry.tar")
    assert found["bin/registry"][:2] == (0o755, 0)
    assert {"etc/distribution/config.yml", "var/lib/registry"} <= found.keys()


@pytest.fixture
def steps(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The plan with steps that only record their names."""
    ran: list[str] = []
    cli = machine.programs / "pulumi"

    def note(name: str, result: Path | None = None) -> Callable[..., Path | None]:
        def step(*_: object) -> Path | None:
            ran.append(name)
            return result

        return step

    monkeypatch.setattr(pulumi_cli, "find", lambda: None)
    monkeypatch.setattr(pulumi_cli, "accept_from_path", lambda: None)
    monkeypatch.setattr(pulumi_cli, "prepare", note("cli", cli))
    monkeypatch.setattr(language_host, "prepare", note("language host"))
    monkeypatch.setattr(language_host, "find", lambda cli: None)
    monkeypatch.setattr(plugins, "prepare", note("plugins"))
    monkeypatch.setattr(docker_engine, "prepare", note("engine"))
    monkeypatch.setattr(images, "missing", lambda: [image("a:1", [])])
    monkeypatch.setattr(images, "prepare", note("image"))
    machine.downloads_are(reachable=False)
    return ran


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (["pulumi"], {"cli", "language host", "plugins"}),
        (["engine"], {"engine"}),
        (["images"], {"engine", "image"}),
        (environment.EVERYTHING, {"cli", "language host", "plugins", "engine", "image"}),
    ],
)
def test_only_what_is_needed_is_prepared(
    machine: Machine, steps: list[str], needs: Sequence[Need], expected: set[str]
) -> None:
    plan.Plan(machine.report, 0, needs).run()
    assert set(steps) == expected
    assert len(steps) == len(expected)


def test_a_downloaded_cli_brings_its_language_host(
    machine: Machine, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.downloads_are(reachable=True)
    monkeypatch.setattr(language_host, "find", lambda cli: cli)
    plan.Plan(machine.report, 0, ["pulumi"]).run()
    assert steps == ["cli", "plugins"]


def test_a_language_host_that_an_interrupted_run_did_not_reach_is_made(
    machine: Machine, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi_cli, "find", lambda: machine.programs / "pulumi")
    plan.Plan(machine.report, 0, ["pulumi"]).run()
    assert steps == ["cli", "language host", "plugins"]


def test_the_first_failure_stops_the_others_and_is_the_one_that_is_shown(
    machine: Machine, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ToolError("there is no Go")

    def build_for_long(*_: object) -> None:
        commands.run(["sleep", "30"], log="x", failure="-")

    monkeypatch.setattr(pulumi_cli, "prepare", fail)
    monkeypatch.setattr(docker_engine, "prepare", build_for_long)
    with pytest.raises(ToolError, match="there is no Go"):
        plan.Plan(machine.report, 0, environment.EVERYTHING).run()


def test_nothing_is_printed_and_no_lock_taken_where_all_is_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_ready", lambda needs: Environment(Path("/p"), "official", {}))
    assert environment.prepare(machine.report).pulumi == Path("/p")
    assert machine.printed() == ""
    assert not cache.root().exists()


def test_ready_needs_every_part(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"debian:12", "registry:3.1.1", "haproxy:3.0.11"}
    monkeypatch.setattr(docker_socket, "tags", lambda wanted: there & set(wanted))
    monkeypatch.setattr(docker_socket, "ping", lambda timeout=5.0: None)
    machine.program("docker", "")
    assert environment._ready(["images", "engine"]) is not None
    assert environment._ready(environment.EVERYTHING) is None
    install_as_pulumi_does(str(pulumi_cli.directory().parent))
    assert environment._ready(["pulumi"]) is None
    plugins._official_home().mkdir(parents=True)
    ready = environment._ready(environment.EVERYTHING)
    assert ready is not None
    assert ready.plugins == "official"
    assert ready.variables["PULUMI_HOME"] == str(plugins._official_home())
    there.remove("debian:12")
    assert environment._ready(environment.EVERYTHING) is None
    assert environment._ready(["pulumi"]) == ready


def test_the_probe_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer must not delay the command."""
    monkeypatch.setattr(downloads, "PATIENCE", 0.1)
    never = threading.Event()
    monkeypatch.setattr(downloads, "_ask", lambda url: never.wait(20))
    assert downloads.reachable.__wrapped__() is False
    never.set()


def test_the_probe_asks_for_this_machines_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(url: str) -> bool:
        asked.append(url)
        return True

    monkeypatch.setattr(downloads, "_ask", ask)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert downloads.reachable.__wrapped__() is True
    assert asked[0].endswith("/pulumi-v3.259.0-darwin-arm64.tar.gz")


def test_a_build_ignores_the_users_go_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    assert go.variables()["GOFLAGS"] == ""
