"""Stacks: backend, passphrase, accounts, and what the first use makes."""

import gzip
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.errors import CommandError
from cli.registry import accounts
from cli.stack import environment
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.open import open_stack
from cli.stack.passwords import make_missing_passwords
from cli.stack.project import Project, write_private
from cli.stack.stack import LOCAL_STACK, Stack
from configuration import settings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone, and a user with an empty home and no backend."""
    for name in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CREDENTIALS_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    return Project(tmp_path / "clone")


def credentials(project: Project, content: str) -> None:
    folder = project.root.parent / "home" / ".pulumi"
    folder.mkdir()
    (folder / "credentials.json").write_text(content)


def config(text: str) -> StackConfig:
    return StackConfig(yaml.safe_load(text) or {}, "slipway")


def test_without_a_login_the_clone_keeps_its_own_state(project: Project) -> None:
    backend = Backend.of(project, {})
    assert backend == Backend(f"file://{project.root}/.slipway/state", is_own=True)
    assert backend.directory == project.root / ".slipway" / "state"
    assert (project.root / ".slipway").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"PULUMI_BACKEND_URL": "s3://bucket"}, "s3://bucket"),
        ({"PULUMI_ACCESS_TOKEN": "t"}, ""),
        ({"PULUMI_BACKEND_URL": "file:///state", "PULUMI_ACCESS_TOKEN": "t"}, "file:///state"),
    ],
)
def test_the_users_own_backend_wins(project: Project, variables: Mapping[str, str], url: str) -> None:
    assert Backend.of(project, variables) == Backend(url)
    assert not (project.root / ".slipway").exists()


def test_a_login_counts(project: Project) -> None:
    credentials(project, '{"current": "https://api.example.org"}')
    assert Backend.of(project, {}).url == "https://api.example.org"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"current": ""}'])
def test_credentials_without_a_login_do_not_count(project: Project, content: str) -> None:
    credentials(project, content)
    assert Backend.of(project, {}).is_own


def test_a_backend_in_pulumi_yaml_counts(project: Project) -> None:
    (project.root / "Pulumi.yaml").write_text("name: slipway\nbackend:\n  url: gs://bucket\n")
    assert Backend.of(project, {}).url == "gs://bucket"


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("file:///a/b", Path("/a/b")),
        ("file:///with%20blank?no_tmp_dir=true", Path("/with blank")),
        ("file://~/state", Path.home() / "state"),
        ("s3://bucket/path", None),
        ("https://api.example.org", None),
        ("", None),
    ],
)
def test_a_file_backends_directory(url: str, directory: Path | None) -> None:
    assert Backend(url).directory == directory


@pytest.mark.parametrize("name", ["local.json", "local.json.gz"])
def test_the_state_is_read_straight_from_its_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / ".pulumi" / "stacks" / "slipway"
    folder.mkdir(parents=True)
    content = json.dumps({"checkpoint": {"latest": {"resources": [{"urn": "u"}]}}}).encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    backend = Backend(f"file://{tmp_path}")
    assert backend.deployment("slipway", "local") == {"resources": [{"urn": "u"}]}
    assert backend.deployment("slipway", "dev") is None


def test_attributes_that_a_killed_write_left_empty_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / ".pulumi" / "stacks" / "slipway"
    folder.mkdir(parents=True)
    for name, content in {"local.json": "{}", "local.json.attrs": "", "local.json.bak.attrs": "{}"}.items():
        (folder / name).write_text(content)
    (folder / "localhost.json.attrs").touch()  # another stack's
    Backend(f"file://{tmp_path}").mend("slipway", "local")
    assert {path.name for path in folder.iterdir()} == {
        "local.json",
        "local.json.bak.attrs",
        "localhost.json.attrs",
    }


def test_a_passphrase_is_made_once_and_kept_private(project: Project) -> None:
    backend = Backend.of(project, {})
    first = environment.passphrase_file(project, backend, config(""), {})
    assert first
    content = first.read_text()
    assert len(content) >= 40
    assert first.stat().st_mode & 0o777 == 0o600
    assert environment.passphrase_file(project, backend, config("encryptionsalt: v1:x"), {}) == first
    assert first.read_text() == content


@pytest.mark.parametrize(
    ("backend", "text", "user"),
    [
        ("file:///state", "", {"PULUMI_CONFIG_PASSPHRASE": ""}),
        ("file:///state", "", {"PULUMI_CONFIG_PASSPHRASE_FILE": "/p"}),
        ("file:///state", "secretsprovider: awskms://alias/x", {}),
        ("https://api.example.org", "", {}),
        ("", "", {}),
    ],
)
def test_no_passphrase_is_made_where_none_is_needed(
    project: Project, backend: str, text: str, user: Mapping[str, str]
) -> None:
    assert environment.passphrase_file(project, Backend(backend), config(text), user) is None
    assert not project.passphrase_file.exists()


def test_a_lost_passphrase_is_never_replaced(project: Project) -> None:
    backend = Backend.of(project, {})
    with pytest.raises(CommandError, match="encrypted with a passphrase") as raised:
        environment.passphrase_file(project, backend, config("encryptionsalt: v1:x"), {})
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in raised.value.remedy
    assert not project.passphrase_file.exists()


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_the_configuration_is_read_as_pulumi_would() -> None:
    read = config(
        """
        encryptionsalt: v1:x
        config:
          slipway:platform: {kind: aws}
          slipway:registry: '{"users": ["alice"]}'
          slipway:passwords: {alice: {secure: v1:y}}
          slipway:hosts: {yard: {}, web-1: {}}
          slipway:protect: true
        """
    )
    assert (read.platform, read.users, read.hosts) == ("aws", ("alice",), ("yard", "web-1"))
    assert read.accounts == ("hosts", "alice")
    assert read.accounts_with_password == {"alice"}
    assert read.has_passphrase
    assert read.is_protected


def test_an_external_registry_has_no_accounts_in_the_configuration() -> None:
    text = "config: {slipway:registry: {external: {server: docker.io, namespace: team, username: bot}}}"
    read = StackConfig(yaml.safe_load(text), "slipway")
    assert read.has_external_registry
    # So no password is made for any.
    assert read.accounts == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "config: 3", "config: {slipway:registry: 3, slipway:platform: [], slipway:hosts: x}"]
)
def test_a_configuration_of_another_shape_is_left_to_the_settings(text: str) -> None:
    loaded = yaml.safe_load(text)
    read = StackConfig(loaded if isinstance(loaded, dict) else {}, "slipway")
    assert (read.platform, read.users, read.accounts_with_password, read.hosts) == (
        "local",
        (),
        frozenset(),
        (),
    )
    assert not read.is_protected


@pytest.mark.parametrize(
    ("value", "protected"), [("true", True), ('"true"', True), ('"false"', False), ("1", False)]
)
def test_protection_survives_how_pulumi_rewrites_it(value: str, protected: bool) -> None:
    assert config(f"config: {{slipway:protect: {value}}}").is_protected == protected


def test_a_configuration_that_is_no_yaml_is_left_to_pulumi(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.local.yaml"
    path.write_text("config: {")
    assert StackConfig.read(path, "slipway").content == {}


def test_the_first_stack_satisfies_the_settings() -> None:
    root = LOCAL_STACK.parents[2]
    template = StackConfig.read(LOCAL_STACK, "slipway")
    written = {key.removeprefix("slipway:"): value for key, value in template.content["config"].items()}
    passwords = dict.fromkeys(template.accounts, "0123456789abcdef")
    read = settings.validate({**written, "passwords": passwords}, root)
    assert (read.registry_host, read.build_host, read.service_hosts("web")) == (
        "yard",
        "yard",
        ("web-1", "web-2"),
    )


class FakePulumi:
    """Records its calls, and puts passwords into the configuration as Pulumi does."""

    def __init__(self, config_file: Path, *, refuses: str = "") -> None:
        self.config_file = config_file
        self.refuses = refuses
        self.asked: list[tuple[tuple[str, ...], str | None]] = []

    def read(self, *arguments: str, stdin: str | None = None) -> str:
        self.asked.append((arguments, stdin))
        return f"{'x' * 32}\n"

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        self.asked.append((arguments, stdin))
        return subprocess.CompletedProcess(arguments, bool(self.refuses), "", self.refuses)


def make_stack(project: Project, text: str, *, url: str = "file:///state", refuses: str = "") -> Stack:
    path = project.config_file("local")
    path.write_text(text)
    return Stack(project, "local", Backend(url), FakePulumi(path, refuses=refuses))  # type: ignore[arg-type]


def asked(stack: Stack) -> list[tuple[tuple[str, ...], str | None]]:
    return stack.pulumi.asked  # type: ignore[attr-defined, no-any-return]


CONFIG = """
config:
  slipway:registry: {users: [alice, al.ice]}
  slipway:passwords: {alice: {secure: v1:x}}
"""


def test_missing_passwords_are_made_and_go_in_by_stdin(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = make_stack(project, CONFIG)
    assert make_missing_passwords(stack, stack.config) == ("hosts", "al.ice")
    paths = [arguments[-1] for arguments, _ in asked(stack)]
    assert paths == ['slipway:passwords["hosts"]', 'slipway:passwords["al.ice"]']
    secrets = [stdin or "" for _, stdin in asked(stack)]
    assert len(set(secrets)) == 2
    for (arguments, _), secret in zip(asked(stack), secrets, strict=True):
        assert "--secret" in arguments
        assert secret not in " ".join(arguments)
        settings.validate(
            {"passwords": {"hosts": secret}}, project.root
        )  # as long and printable as they must be
    shown = "".join(capsys.readouterr())
    assert "hosts, al.ice" in shown
    assert not any(secret in shown for secret in secrets)


def test_no_password_is_made_twice(project: Project) -> None:
    stack = make_stack(project, "config: {slipway:passwords: {hosts: {secure: v1:x}}}")
    assert make_missing_passwords(stack, stack.config) == ()
    assert asked(stack) == []


def test_a_password_is_printed_as_it_is(project: Project) -> None:
    assert accounts.password(make_stack(project, CONFIG), "alice") == "x" * 32


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bob", "the account 'bob' is not in Pulumi.local.yaml"),
        ("al.ice", "the account 'al.ice' has no password yet"),
    ],
)
def test_a_password_that_is_not_there_is_no_empty_answer(project: Project, name: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        accounts.password(make_stack(project, CONFIG), name)


def test_a_new_account_gets_a_password_before_it_is_let_in(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = make_stack(project, CONFIG)
    accounts.add(stack, "123")
    (password, secret), (user, nothing) = asked(stack)
    assert password[-1] == 'slipway:passwords["123"]'
    assert "--secret" in password
    assert user[-2:] == ("slipway:registry.users[2]", "123")
    assert user[user.index("--type") + 1] == "string"
    assert nothing is None
    settings.validate({"passwords": {"hosts": secret}}, project.root)
    shown = "".join(capsys.readouterr())
    assert "./slip up" in shown
    assert secret
    assert secret not in shown


def test_a_new_account_does_not_inherit_a_password_that_was_left(project: Project) -> None:
    stack = make_stack(project, "config: {slipway:passwords: {bob: {secure: v1:x}}}")
    accounts.add(stack, "bob")
    assert [arguments[-1] for arguments, _ in asked(stack)] == ['slipway:passwords["bob"]', "bob"]


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("alice", "'alice' is in Pulumi.local.yaml already", "./slip account rotate alice"),
        ("hosts", "'hosts' exists already", "./slip account rotate hosts"),
        ("", "'' is not a valid account name", "letters, digits"),
        ("-x", "'-x' is not a valid account name", "with a letter or a digit first"),
        ('a"]', "is not a valid account name", "letters, digits"),
        ("a" * 65, "is not a valid account name", "up to 64"),
    ],
)
def test_a_name_that_no_account_can_have_changes_nothing(
    project: Project, name: str, message: str, remedy: str
) -> None:
    stack = make_stack(project, CONFIG)
    with pytest.raises(CommandError, match=message) as raised:
        accounts.add(stack, name)
    assert remedy in raised.value.remedy
    assert asked(stack) == []


def test_a_password_written_after_the_name_is_not_repeated(project: Project) -> None:
    with pytest.raises(CommandError) as raised:
        accounts.add(make_stack(project, CONFIG), "alice:hunter2")
    assert "hunter2" not in raised.value.message + raised.value.remedy


@pytest.mark.parametrize(
    "name", ["a", "123", "al.ice@example.org", "a" * 64, "_a", "a" * 65, "ä", "a\n", "a b", ""]
)
def test_names_are_the_settings_own(project: Project, name: str) -> None:
    configuration = {"registry": {"users": [name]}, "passwords": {"hosts": "x" * 16, name: "x" * 16}}
    try:
        settings.validate(configuration, project.root)
        accepted = True
    except settings.SettingsError:
        accepted = False
    assert bool(accounts._NEW_NAME.fullmatch(name)) == accepted


def test_a_removed_account_leaves_nothing(project: Project) -> None:
    stack = make_stack(project, CONFIG.replace("[alice, al.ice]", "[alice, bob, alice]"))
    accounts.remove(stack, "alice")
    assert [(arguments[1], arguments[-1]) for arguments, _ in asked(stack)] == [
        ("rm", "slipway:registry.users[2]"),
        ("rm", "slipway:registry.users[0]"),
        ("rm", 'slipway:passwords["alice"]'),
    ]


def test_an_account_that_has_no_password_yet_can_be_removed(project: Project) -> None:
    stack = make_stack(project, CONFIG)
    accounts.remove(stack, "al.ice")
    assert [arguments[-1] for arguments, _ in asked(stack)] == ["slipway:registry.users[1]"]


def test_a_removal_that_was_killed_goes_on(project: Project) -> None:
    stack = make_stack(project, CONFIG.replace("[alice, al.ice]", "[]"))
    accounts.remove(stack, "alice")
    assert [arguments[-1] for arguments, _ in asked(stack)] == ['slipway:passwords["alice"]']


def test_the_hosts_account_stays(project: Project) -> None:
    stack = make_stack(project, CONFIG)
    with pytest.raises(CommandError, match="cannot be removed") as raised:
        accounts.remove(stack, "hosts")
    assert "./slip account rotate hosts" in raised.value.remedy
    assert asked(stack) == []


@pytest.mark.parametrize("name", ["alice", "hosts"])
def test_a_rotated_password_is_a_new_secret(
    project: Project, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = make_stack(project, CONFIG)
    accounts.rotate(stack, name)
    accounts.rotate(stack, name)
    first, second = (secret for _, secret in asked(stack))
    assert first
    assert second
    assert first != second
    assert {arguments[-1] for arguments, _ in asked(stack)} == {f'slipway:passwords["{name}"]'}
    assert all("--secret" in arguments for arguments, _ in asked(stack))
    shown = "".join(capsys.readouterr())
    assert name in shown
    assert first not in shown
    assert second not in shown


@pytest.mark.parametrize("change", [accounts.remove, accounts.rotate])
def test_an_unknown_account_is_told_the_known_ones(
    project: Project, change: Callable[[Stack, str], None]
) -> None:
    stack = make_stack(project, CONFIG)
    with pytest.raises(CommandError, match=r"the account 'bob' is not in Pulumi\.local\.yaml") as raised:
        change(stack, "bob")
    assert raised.value.remedy == "Accounts: hosts, alice, al.ice."
    assert asked(stack) == []


@pytest.mark.parametrize(
    "registry", ["""'{"users": ["alice"]}'""", "3", "{users: alice}", "{users: [1]}", "{users: {}}"]
)
def test_a_list_that_pulumi_would_destroy_is_not_edited(project: Project, registry: str) -> None:
    stack = make_stack(project, f"config: {{slipway:registry: {registry}}}")
    for change in (accounts.add, accounts.remove):
        with pytest.raises(CommandError, match="is not YAML with a list of `users`"):
            change(stack, "bob")
    assert asked(stack) == []


def test_the_list_of_accounts_has_no_password(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    accounts.show(make_stack(project, CONFIG))
    assert capsys.readouterr().out.splitlines() == [
        "account  password",
        "hosts    made by the next up",
        "alice    set",
        "al.ice   made by the next up",
    ]


def test_a_stack_that_is_there_already_is_taken(project: Project) -> None:
    make_stack(project, "", refuses="error: stack 'local' already exists").create()


def test_a_stack_that_cannot_be_made_says_why(project: Project) -> None:
    with pytest.raises(CommandError, match="could not create the stack 'local': error: no access"):
        make_stack(project, "", refuses="error: no access").create()


def test_a_stacks_key_service_is_kept(project: Project) -> None:
    stack = make_stack(project, "secretsprovider: awskms://alias/x")
    stack.create()
    assert asked(stack)[0][0][-2:] == ("--secrets-provider", "awskms://alias/x")


def test_a_stack_elsewhere_is_asked_for_once(project: Project) -> None:
    stack = make_stack(project, "", url="https://api.example.org")
    assert stack.exists()
    assert stack.exists()
    assert len(asked(stack)) == 1


class Toolchain:
    """A toolchain whose CLI makes stacks in a file backend, as far as these tests look."""

    def __init__(self, root: Path) -> None:
        self.pulumi = root / "pulumi"
        self.pulumi.write_text(
            "#!/bin/sh\n"
            'state="${PULUMI_BACKEND_URL#file://}/.pulumi/stacks/slipway"\n'
            'echo "$*" >> "$CALLS"\n'
            'if [ "$1 $2" = "stack init" ]; then mkdir -p "$state"; echo "{}" > "$state/$4.json"; fi\n'
        )
        self.pulumi.chmod(0o755)
        self.variables = {"PATH": "/tools", "CALLS": str(root / "calls"), "PULUMI_HOME": "/home-of-ours"}


@pytest.fixture
def calls(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    toolchain = Toolchain(project.root.parent)
    monkeypatch.setattr(environment, "prepare_toolchain", lambda **_: toolchain)
    return Path(toolchain.variables["CALLS"])


def test_the_first_use_makes_everything(project: Project, calls: Path) -> None:
    stack = open_stack("local", create=True, project=project)
    template = LOCAL_STACK
    assert project.config_file("local").read_bytes() == template.read_bytes()
    assert stack.exists()
    assert calls.read_text().splitlines()[0].startswith("stack init --stack local --no-select")
    added = stack.added_variables
    assert added["PULUMI_BACKEND_URL"] == f"file://{project.root}/.slipway/state"
    assert added["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(project.passphrase_file)
    assert added["PATH"].startswith("/tools:")
    assert "PULUMI_CONFIG_PASSPHRASE" not in added


def test_the_second_use_calls_nothing(project: Project, calls: Path) -> None:
    open_stack("local", create=True, project=project)
    project.config_file("local").write_text("config: {slipway:passwords: {hosts: {secure: v1:x}}}")
    calls.unlink()
    open_stack("local", create=True, project=project)
    assert not calls.exists()


def test_a_configuration_that_is_there_is_left_alone(project: Project, calls: Path) -> None:
    project.config_file("local").write_text("config: {}\n")
    open_stack("local", create=True, project=project)
    assert project.config_file("local").read_text() == "config: {}\n"


@pytest.mark.usefixtures("calls")
def test_a_misspelt_stack_is_not_made(project: Project) -> None:
    project.config_file("prod").write_text("config: {}\n")
    with pytest.raises(CommandError, match="the stack 'prdo' has no configuration") as raised:
        open_stack("prdo", create=True, project=project)
    assert raised.value.remedy == "Stacks here: local, prod."
    assert raised.value.status == 2


@pytest.mark.usefixtures("calls")
def test_a_stack_that_is_not_up_is_not_made_by_looking_at_it(project: Project) -> None:
    with pytest.raises(CommandError, match="the stack 'local' does not exist yet") as raised:
        open_stack("local", project=project)
    assert "./slip up" in raised.value.remedy
    assert not project.config_file("local").exists()


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("name", ["", "../x", "a b", "-s", "a/b/c/d"])
def test_what_cannot_be_a_stacks_name_is_refused(project: Project, name: str) -> None:
    with pytest.raises(CommandError, match=r"is not a valid stack name|has no configuration") as raised:
        open_stack(name, create=True, project=project)
    assert raised.value.status == 2


def test_a_search_path_has_each_directory_once() -> None:
    from cli.stack.pulumi_command import search_path

    assert search_path("/a:/b", "/b:/c::/a") == "/a:/b:/c"


def test_the_outputs_secrets_are_hidden_unless_asked_for(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli import outputs

    secret: dict[str, Any] = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "ciphertext": "v1:xyz",
    }
    state = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": {"a": "one", "b": secret, "c": [1]}}]}
    folder = project.root / "state" / ".pulumi" / "stacks" / "slipway"
    folder.mkdir(parents=True)
    (folder / "local.json").write_text(json.dumps({"checkpoint": {"latest": state}}))
    stack = make_stack(project, "", url=f"file://{project.root}/state")
    outputs.show(stack, None, show_secrets=False, as_json=False)
    outputs.show(stack, "a", show_secrets=False, as_json=False)
    outputs.show(stack, "c", show_secrets=False, as_json=True)
    shown = capsys.readouterr().out
    assert shown == "Outputs of local\n  a: one\n  b: [secret]\n  c: [1]\none\n[1]\n"
    with pytest.raises(CommandError, match="the output 'b' is secret"):
        outputs.show(stack, "b", show_secrets=False, as_json=False)
    with pytest.raises(CommandError, match="no output 'd'"):
        outputs.show(stack, "d", show_secrets=False, as_json=False)
    assert asked(stack) == []
