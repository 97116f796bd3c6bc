"""The registry's accounts and their passwords."""

from collections.abc import Callable

import pytest

from cli.errors import CommandError
from cli.registry import accounts
from cli.stack.passwords import make_missing_passwords
from cli.stack.project import Project
from cli.stack.stack import Stack
from configuration import load as settings
from configuration.problems import SettingsError
from tests.unit.cli.stacks import CONFIG, asked, make_stack


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


def test_an_external_registry_has_its_own_accounts(project: Project) -> None:
    external = "config: {slipway:registry: {external: {server: docker.io, username: team}}}"
    with pytest.raises(CommandError) as raised:
        accounts.show(make_stack(project, external))
    assert "`./slip secret set REGISTRY_PASSWORD`" in raised.value.remedy


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
    except SettingsError:
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


def test_accounts_with_rights_come_and_go_in_their_map(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = make_stack(
        project, CONFIG.replace("[alice, al.ice]", "{ alice: { push: [team/*] }, al.ice: {} }")
    )
    accounts.add(stack, "bob")
    accounts.remove(stack, "al.ice")
    assert [arguments[-2:] for arguments, _ in asked(stack)][1:] == [
        # The same as no rights at all, which Pulumi cannot write.
        ('slipway:registry.users["bob"].pull[0]', "*"),
        ("--path", 'slipway:registry.users["al.ice"]'),
    ]
    assert "may pull everything and push nothing" in "".join(capsys.readouterr())


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
    "registry", ["""'{"users": ["alice"]}'""", "3", "{users: alice}", "{users: [1]}", "{users: true}"]
)
def test_a_list_that_pulumi_would_destroy_is_not_edited(project: Project, registry: str) -> None:
    stack = make_stack(project, f"config: {{slipway:registry: {registry}}}")
    for change in (accounts.add, accounts.remove):
        with pytest.raises(CommandError, match="is not YAML with a list or map of `users`"):
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
