"""Stacks: their existence in the backend, and what the first use makes."""

from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.stack import environment
from cli.stack.draft import drafted
from cli.stack.open import open_stack
from cli.stack.project import Project, write_private
from cli.stack.stack import LOCAL_STACK
from tests.unit.cli.stacks import asked, make_stack


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
    project.config_file("local").write_text(
        "config: {slipway:protect: false, slipway:passwords: {hosts: {secure: 'v1:eA==:eA=='}}}"
    )
    calls.unlink()
    open_stack("local", create=True, project=project)
    assert not calls.exists()


def test_a_configuration_that_is_there_is_left_alone(project: Project, calls: Path) -> None:
    project.config_file("local").write_text("config: {slipway:protect: false}\n")
    open_stack("local", create=True, project=project)
    assert project.config_file("local").read_text() == "config: {slipway:protect: false}\n"


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
@pytest.mark.parametrize("name", ["", "../x", "a b", "-s", "a/b/c/d", "x" * 100_000])
def test_what_cannot_be_a_stacks_name_is_refused(project: Project, name: str) -> None:
    with pytest.raises(CommandError, match=r"is not a valid stack name|has no configuration") as raised:
        open_stack(name, create=True, project=project)
    assert raised.value.status == 2
    assert len(str(raised.value)) < 200


def test_a_preview_leaves_the_clone_as_it_is(project: Project, calls: Path) -> None:
    (project.root / "Pulumi.yaml").write_text("name: slipway\n")
    stack = open_stack("local", edits=True, missing_ok=True, project=project)
    with drafted(stack) as draft:
        assert draft.config_file.is_relative_to(project.private / "preview")
        assert draft.config_file.read_bytes() == LOCAL_STACK.read_bytes()
        assert draft.config_option == ("--config-file", str(draft.config_file))
    made, *set_, removed = calls.read_text().splitlines()
    assert made.startswith("stack init --stack local --no-select")
    assert all(
        line.startswith("config set") and f"--config-file {draft.config_file}" in line for line in set_
    )
    assert len(set_) == 2
    assert removed.startswith("stack rm --stack local --yes --preserve-config")
    assert not project.config_file("local").exists()
    assert not draft.config_file.exists()


def test_a_preview_leaves_a_stack_that_an_update_uses_meanwhile(project: Project, calls: Path) -> None:
    stack = open_stack("local", edits=True, missing_ok=True, project=project)
    with drafted(stack):
        write_private(project.marker("local"), "{}")
    assert "stack rm" not in calls.read_text()


def test_a_preview_of_a_complete_stack_uses_the_stack_itself(project: Project, calls: Path) -> None:
    stack = open_stack("local", create=True, project=project)
    accounts = "{hosts: {secure: 'v1:eA==:eA=='}}"
    project.config_file("local").write_text(
        f"config: {{slipway:protect: false, slipway:passwords: {accounts}}}"
    )
    calls.unlink()
    with drafted(stack) as draft:
        assert draft is stack
    assert not calls.exists()


def test_hosts_on_an_engine_that_wants_a_certificate_are_refused(
    project: Project, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The docker plugin would show the operator's certificate to the hosts' engines, too."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker:2376")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/certs/client")
    with pytest.raises(
        CommandError, match=r"the Docker Engine in use is tcp://docker:2376, with client"
    ) as raised:
        open_stack("local", create=True, project=project)
    assert (raised.value.status, "DOCKER_HOST=unix://" in raised.value.remedy) == (3, True)
    assert not calls.exists()
