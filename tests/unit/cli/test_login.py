"""`slip login` and `slip logout`, with a `docker` command that records its calls."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.registry import docker_command, login
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.stack import Stack

CA = "-----BEGIN CERTIFICATE-----\nxyz\n-----END CERTIFICATE-----\n"
ADDRESS = "10.0.0.5:5000"
OUTPUTS: dict[str, Any] = {
    "registryPublicAddress": ADDRESS,
    "registryCaCertificate": CA,
    "registryAccounts": ["hosts", "deploy", "alice"],
    "registryPasswords": {"hosts": "password-of-hosts", "deploy": "password-of-deploy", "alice": "alices"},
}
CONFIG = "config: {slipway:registry: {users: [deploy, alice, bob]}}"


class FakePulumi:
    """Answers with the outputs of a stack."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs

    def read(self, *_: str, stdin: str | None = None) -> str:
        stack = {"type": "pulumi:pulumi:Stack", "outputs": self.outputs}
        return json.dumps({"deployment": {"resources": [stack]}})


class FakeDocker(list[tuple[tuple[str, ...], str]]):
    """Records its calls."""

    said = ""
    """If this is set, it fails and says so."""

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        self.append((arguments, stdin))
        return subprocess.CompletedProcess(arguments, bool(self.said), "", self.said)


@pytest.fixture(autouse=True)
def config_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration; not there yet."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("DOCKER_CONFIG", str(home / ".docker"))
    monkeypatch.setenv("SLIPWAY_CACHE", str(home / "cache"))
    return home / ".docker" / "config.json"


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the engine looks for authorities; not there yet."""
    place = tmp_path / "etc" / "certs.d"
    monkeypatch.setattr(docker_command, "certificates_directory", lambda: place)
    return place


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    fake = FakeDocker()
    monkeypatch.setattr(docker_command, "run", fake)
    return fake


@pytest.fixture
def stack(tmp_path: Path, certificates: Path) -> Stack:
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\n")
    (tmp_path / "Pulumi.local.yaml").write_text(CONFIG)
    return Stack(Project(tmp_path), "local", Backend("s3://state"), FakePulumi({**OUTPUTS}))  # type: ignore[arg-type]


def outputs(stack: Stack) -> dict[str, Any]:
    return stack.pulumi.outputs  # type: ignore[attr-defined, no-any-return]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_login_trusts_the_registry_first_and_hands_the_password_in_by_stdin(
    stack: Stack, docker: FakeDocker, certificates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login.login(stack, None)
    assert (certificates / ADDRESS / "ca.crt").read_text() == CA
    assert docker == [
        (("login", ADDRESS, "--username", "deploy", "--password-stdin"), "password-of-deploy"),
    ]
    assert files(certificates) == [ADDRESS, f"{ADDRESS}/ca.crt"]
    assert "password-of" not in "".join(capsys.readouterr())


def test_logout_undoes_a_login_without_the_stack(stack: Stack, docker: FakeDocker, tmp_path: Path) -> None:
    before = files(tmp_path)
    login.login(stack, "alice")
    login.login(stack, None)  # a second one is undone together with the first
    docker.clear()
    login.logout(stack.project, "local")
    assert docker == [(("logout", ADDRESS), "")]
    assert [name for name in files(tmp_path) if not name.startswith(".slipway")] == before


def test_logout_leaves_what_others_keep_in_the_same_place(
    stack: Stack, docker: FakeDocker, certificates: Path
) -> None:
    login.login(stack, None)
    (certificates / ADDRESS / "client.cert").write_text("somebody's")
    login.logout(stack.project, "local")
    assert files(certificates) == [ADDRESS, f"{ADDRESS}/client.cert"]


def test_logout_leaves_folders_that_were_there_before(
    stack: Stack, docker: FakeDocker, certificates: Path
) -> None:
    certificates.mkdir(parents=True)
    login.login(stack, None)
    login.logout(stack.project, "local")
    assert certificates.is_dir()
    assert files(certificates) == []


def test_a_ca_that_was_there_stays(stack: Stack, docker: FakeDocker, certificates: Path) -> None:
    file = certificates / ADDRESS / "ca.crt"
    file.parent.mkdir(parents=True)
    file.write_text(CA.rstrip())
    login.login(stack, None)
    login.logout(stack.project, "local")
    assert file.read_text() == CA.rstrip()
    assert docker[-1] == (("logout", ADDRESS), "")


def test_a_ca_that_was_changed_since_stays(
    stack: Stack, docker: FakeDocker, certificates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login.login(stack, None)
    file = certificates / ADDRESS / "ca.crt"
    file.write_text("another")
    login.logout(stack.project, "local")
    assert file.read_text() == "another"
    assert "stays, since it was changed after the login" in capsys.readouterr().err


def test_a_foreign_authority_is_not_overwritten(stack: Stack, docker: FakeDocker, certificates: Path) -> None:
    file = certificates / ADDRESS / "ca.crt"
    file.parent.mkdir(parents=True)
    file.write_text("another")
    with pytest.raises(CommandError, match="another authority") as raised:
        login.login(stack, None)
    assert str(file) in raised.value.remedy
    assert file.read_text() == "another"
    assert docker == []


def test_a_stack_that_was_made_again_replaces_its_authority(
    stack: Stack, docker: FakeDocker, certificates: Path
) -> None:
    login.login(stack, None)
    outputs(stack)["registryCaCertificate"] = "new\n"
    login.login(stack, None)
    assert (certificates / ADDRESS / "ca.crt").read_text() == "new\n"
    login.logout(stack.project, "local")
    assert not certificates.exists()


def test_a_registry_that_has_moved_is_logged_out_where_it_was(
    stack: Stack, docker: FakeDocker, certificates: Path
) -> None:
    login.login(stack, None)
    outputs(stack)["registryPublicAddress"] = "10.0.0.6:5000"
    login.login(stack, None)
    assert [arguments[:2] for arguments, _ in docker] == [
        ("login", ADDRESS),
        ("logout", ADDRESS),
        ("login", "10.0.0.6:5000"),
    ]
    assert files(certificates) == ["10.0.0.6:5000", "10.0.0.6:5000/ca.crt"]


def test_a_place_that_is_not_ours_says_what_to_run(
    stack: Stack, docker: FakeDocker, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        if self.is_relative_to(certificates):
            raise PermissionError(13, "Permission denied", str(self))
        made(self, *_, **__)

    made = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CommandError, match="you may not write") as raised:
        login.login(stack, None)
    assert f"| sudo install -D -m 644 /dev/stdin '{certificates}/{ADDRESS}/ca.crt'" in raised.value.remedy
    assert docker == []
    assert list((stack.project.private / "logins").iterdir()) == []


CERTIFICATE, KEY = "the certificate of {}\n", "the key of {}\n"
ACCOUNTS = ("hosts", "deploy", "alice")


@pytest.fixture
def asking(stack: Stack) -> Stack:
    """A stack whose registry asks for client certificates."""
    outputs(stack)["registryClientCertificates"] = {name: CERTIFICATE.format(name) for name in ACCOUNTS}
    outputs(stack)["registryClientKeys"] = {name: KEY.format(name) for name in ACCOUNTS}
    return stack


def test_login_puts_the_persons_own_certificate_in_place_and_logout_takes_it_away(
    asking: Stack, docker: FakeDocker, certificates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login.login(asking, "alice")
    folder = certificates / ADDRESS
    assert (folder / "client.cert").read_text() == CERTIFICATE.format("alice")
    assert (folder / "client.key").read_text() == KEY.format("alice")
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        "ca.crt": 0o644,
        "client.cert": 0o644,
        "client.key": 0o600,
    }
    login.login(asking, "deploy")
    assert (folder / "client.cert").read_text() == CERTIFICATE.format("deploy")
    login.logout(asking.project, "local")
    assert not certificates.exists()
    said = "".join(capsys.readouterr())
    assert "client.cert" in said
    assert "the key of" not in said


def test_a_registry_that_asks_no_more_is_shown_nothing(
    asking: Stack, docker: FakeDocker, certificates: Path
) -> None:
    login.login(asking, "alice")
    del outputs(asking)["registryClientCertificates"]
    login.login(asking, "alice")
    assert files(certificates) == [ADDRESS, f"{ADDRESS}/ca.crt"]


def test_a_foreign_certificate_is_not_overwritten(
    asking: Stack, docker: FakeDocker, certificates: Path
) -> None:
    file = certificates / ADDRESS / "client.cert"
    file.parent.mkdir(parents=True)
    file.write_text("somebody's")
    with pytest.raises(CommandError, match=r"client.cert has another certificate"):
        login.login(asking, "alice")
    assert files(certificates) == [ADDRESS, f"{ADDRESS}/client.cert"]


@pytest.mark.parametrize("address", ["127.0.0.1:5000", "[::1]:5000", "localhost:5000"])
def test_docker_shows_no_certificate_on_loopback(
    address: str, asking: Stack, docker: FakeDocker, certificates: Path
) -> None:
    outputs(asking)["registryPublicAddress"] = address
    with pytest.raises(CommandError, match="Docker presents none to a registry on"):
        login.login(asking, "alice")
    assert docker == []
    assert not certificates.exists()


def test_all_that_root_has_to_put_in_place_is_said(
    asking: Stack, docker: FakeDocker, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    asking.project.private.joinpath("logins").mkdir(parents=True)
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(CommandError, match="you may not write") as raised:
        login.login(asking, "alice")
    folder = f"{certificates}/{ADDRESS}"
    assert f"account certificate alice --key | sudo install -D -m 600 /dev/stdin '{folder}/client.key'" in (
        raised.value.remedy
    )
    assert f"account certificate alice | sudo install -D -m 644 /dev/stdin '{folder}/client.cert'" in (
        raised.value.remedy
    )


def test_a_login_noted_by_an_older_slip_can_be_undone(
    stack: Stack, docker: FakeDocker, certificates: Path
) -> None:
    login.login(stack, None)
    (note,) = (stack.project.private / "logins").iterdir()
    ((file, sha256),) = json.loads(note.read_text())["files"].items()
    folders = [str(certificates.parent), str(certificates), str(certificates / ADDRESS)]
    old = {"address": ADDRESS, "ca_file": file, "ca_sha256": sha256, "folders": folders}
    note.write_text(json.dumps(old))
    login.logout(stack.project, "local")
    assert not certificates.parent.exists()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Error response from daemon: login attempt failed with status: 401 Unauthorized", "./slip up"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "./slip verify"),
        ("x509: certificate has expired or is not yet valid", "Correct the clock"),
        ("connect: connection refused", "./slip verify"),
        ("Error saving credentials: error storing credentials - err: exit status 1", "credential store"),
    ],
)
def test_a_refused_login_leaves_nothing(
    stack: Stack, docker: FakeDocker, certificates: Path, tmp_path: Path, said: str, remedy: str
) -> None:
    before = files(tmp_path)
    docker.said = said + " password-of-deploy"
    with pytest.raises(CommandError) as raised:
        login.login(stack, None)
    assert said in raised.value.message
    assert "password-of-deploy" not in raised.value.message
    assert remedy in raised.value.remedy
    assert [name for name in files(tmp_path) if not name.startswith(".slipway")] == before
    assert not list((tmp_path / ".slipway").rglob("*.json"))


def test_a_new_login_that_fails_leaves_the_earlier_one(
    stack: Stack, docker: FakeDocker, certificates: Path
) -> None:
    login.login(stack, None)
    outputs(stack)["registryCaCertificate"] = "another CA"
    docker.said = "connection refused"
    with pytest.raises(CommandError):
        login.login(stack, None)
    docker.said = ""
    login.logout(stack.project, "local")
    assert not certificates.exists()


def test_docker_desktop_keeps_the_ca_for_its_restart(
    stack: Stack, docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ".docker" / "certs.d"
    monkeypatch.setattr(docker_command, "certificates_directory", lambda: place)
    docker.said = "x509: certificate signed by unknown authority"
    with pytest.raises(CommandError) as raised:
        login.login(stack, None)
    assert "restarted" in raised.value.remedy
    assert files(place) == [ADDRESS, f"{ADDRESS}/ca.crt"]
    docker.said = ""
    login.logout(stack.project, "local")
    assert not place.exists()


@pytest.mark.parametrize(
    ("content", "message", "remedy"),
    [
        ("[]", "not a JSON object", "would overwrite it"),
        ('"text"', "not a JSON object", "would overwrite it"),
        ('{"auths": {"a": {', "not valid JSON", "would overwrite it"),
        ('{} // "a comment"', "not valid JSON", "would overwrite it"),
        ("\x00\xff", "not valid JSON", "would overwrite it"),
        ('{"credsStore": "missing"}', "credential store 'missing' .credsStore.", "Install docker-cred"),
        ('{"credHelpers": {"10.0.0.5:5000": "none"}}', "'none' .credHelpers of 10.0.0.5:5000.", "Install"),
        (None, "cannot be used: Is a directory", "would overwrite it"),
    ],
)
def test_a_login_that_dockers_configuration_prevents(
    stack: Stack,
    docker: FakeDocker,
    certificates: Path,
    config_file: Path,
    content: str | None,
    message: str,
    remedy: str,
) -> None:
    """It says why, overwrites nothing, and leaves nothing."""
    config_file.parent.mkdir()
    if content is None:
        config_file.mkdir()
    else:
        config_file.write_text(content, encoding="latin-1")
    with pytest.raises(CommandError, match=message) as raised:
        login.login(stack, None)
    assert str(config_file) in raised.value.message
    assert remedy in raised.value.remedy
    assert raised.value.status == 3
    assert docker == []
    assert not certificates.exists()
    assert content is None or config_file.read_text(encoding="latin-1") == content


@pytest.mark.parametrize(
    "content", ["", "{}", '{"credsStore": ""}', '{"credHelpers": {"other:5000": "none"}}']
)
def test_a_configuration_that_does_no_harm(
    stack: Stack, docker: FakeDocker, config_file: Path, content: str
) -> None:
    config_file.parent.mkdir()
    config_file.write_text(content)
    login.login(stack, None)
    assert len(docker) == 1


def test_a_helper_that_is_installed_is_used(
    stack: Stack, docker: FakeDocker, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file.parent.mkdir()
    config_file.write_text('{"credsStore": "here"}')
    helper = config_file.parent / "docker-credential-here"
    helper.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(helper.parent))
    login.login(stack, None)
    assert len(docker) == 1


@pytest.mark.parametrize(
    ("wanted", "message", "remedy"),
    [
        ("hosts", "is for the stack's hosts only", "./slip account add NAME"),
        ("bob", "does not have it yet", "./slip up"),
        ("carol", "no account 'carol'", "deploy, alice"),
    ],
)
def test_an_account_that_cannot_log_in(
    stack: Stack, docker: FakeDocker, certificates: Path, wanted: str, message: str, remedy: str
) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        login.login(stack, wanted)
    assert remedy in raised.value.remedy
    assert docker == []
    assert not certificates.exists()


def test_a_registry_without_users_says_how_to_make_one(stack: Stack, docker: FakeDocker) -> None:
    outputs(stack)["registryAccounts"] = ["hosts"]
    with pytest.raises(CommandError, match="no account for people") as raised:
        login.login(stack, None)
    assert "./slip account add" in raised.value.remedy


def test_a_stack_that_is_not_up_has_no_registry(stack: Stack, docker: FakeDocker) -> None:
    outputs(stack).clear()
    with pytest.raises(CommandError, match="is not up"):
        login.login(stack, None)


def test_nothing_to_undo_is_said(
    stack: Stack, docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    login.logout(stack.project, "local")
    assert "nothing to undo" in capsys.readouterr().err
    assert docker == []


HOME = Path("/home/alice")


@pytest.mark.parametrize(
    ("info", "system", "variables", "expected"),
    [
        ({"OperatingSystem": "Debian GNU/Linux 12"}, "linux", {}, "/etc/docker/certs.d"),
        ({"SecurityOptions": ["name=seccomp,profile=builtin"]}, "linux", {}, "/etc/docker/certs.d"),
        ({"SecurityOptions": ["name=rootless"]}, "linux", {}, "/home/alice/.config/docker/certs.d"),
        ({"SecurityOptions": ["name=rootless"]}, "linux", {"XDG_CONFIG_HOME": "/c"}, "/c/docker/certs.d"),
        (
            {"DockerRootDir": "/var/snap/docker/common/var-lib-docker"},
            *("linux", {}, "/var/snap/docker/current/etc/docker/certs.d"),
        ),
        ({"OperatingSystem": "Docker Desktop"}, "darwin", {}, "/home/alice/.docker/certs.d"),
        ({"OperatingSystem": "Docker Desktop"}, "linux", {}, "/home/alice/.docker/certs.d"),
    ],
)
def test_each_kind_of_engine_has_its_place(
    info: dict[str, Any], system: str, variables: dict[str, str], expected: str
) -> None:
    assert docker_command.directory_of(info, system, variables, HOME) == Path(expected)


def test_an_engine_in_a_foreign_virtual_machine_is_refused() -> None:
    with pytest.raises(CommandError, match="virtual machine") as raised:
        docker_command.directory_of({"OperatingSystem": "Alpine Linux"}, "darwin", {}, HOME)
    assert "docs/login.md" in raised.value.remedy


@pytest.mark.parametrize(
    ("endpoint", "here"),
    [
        ("unix:///var/run/docker.sock", True),
        ("npipe:////./pipe/docker_engine", True),
        ("", True),
        ("tcp://127.0.0.1:2375", True),
        ("tcp://[::1]:2375", True),
        ("tcp://localhost:2375", True),
        ("tcp://10.0.0.5:2376", False),
        ("tcp://build.example.org:2376", False),
        ("ssh://alice@127.0.0.1", False),
    ],
)
def test_an_engine_elsewhere_is_known_as_such(endpoint: str, here: bool) -> None:
    assert docker_command.is_here(endpoint) == here


@pytest.mark.parametrize("answer", ["", "{}", '{"ServerErrors": ["Cannot connect"]}'])
def test_an_engine_that_does_not_answer(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"context": "unix:///var/run/docker.sock\n", "info": answer}
    monkeypatch.setattr(
        docker_command,
        "run",
        lambda name, *_: subprocess.CompletedProcess((), 0, said[name], "no daemon"),
    )
    with pytest.raises(CommandError, match=r"Docker does not answer: (no daemon|Cannot connect)"):
        docker_command.certificates_directory()


def test_a_machine_without_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="`docker` command is not installed"):
        docker_command.certificates_directory()
