"""What is written to a forge, and what a forge's webhook brings, with a real Gitea. `make soak` runs it.

No stack is made: of a preview, everything is real but Pulumi, whose events are a recording.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.forge.address import PullRequest, pull_request, tracker
from cli.forge.client import post
from cli.forge.issue import keep_open
from cli.screen.comment.comment import LIMITS
from cli.update import repair, updates
from cli.update.pull_request import Wanted
from tests.support.clone import REPOSITORY
from tests.support.gitea import OWNER, PASSWORD, Gitea, Job, Runner, gitea
from tests.support.waiting import ANSWER, eventually
from tests.unit.cli.push.machine import Machine
from tests.unit.cli.test_pull_request import MARK, happens
from tests.unit.cli.test_pull_request import clone as previewed  # noqa: F401 - a fixture
from tests.unit.cli.test_updates import Clone

pytestmark = pytest.mark.soak

ROBOT = "robot"
"""A user who may read the private repository, and no more: what a comment needs."""
SCOPES = ("write:issue", "read:user")
OF_CI = """on: pull_request
permissions:
  contents: read
  issues: write
  pull-requests: write
jobs:
  own:
    runs-on: ubuntu-latest
    steps:
      - run: ./slip preview --post
        env:
          GITHUB_TOKEN: ${{ github.token }}
"""
"""A workflow that comments with the token of the job."""


@pytest.fixture(scope="module", autouse=True)
def _clone_as_found() -> None:
    """These tests need neither a clone nor a Docker Engine."""


@dataclass(frozen=True)
class Project:
    """A private repository with the workflows of the examples, and an open pull request, number 1."""

    gitea: Gitea
    name: str
    jobs: dict[str, Job]
    """The jobs of the pull request, by workflow and name. They run until the tests end."""

    @property
    def comments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.gitea.ask("GET", f"repos/{self.name}/issues/1/comments")
        return found

    @property
    def issues(self) -> list[dict[str, Any]]:
        path = f"repos/{self.name}/issues?state=all&type=issues"
        found: list[dict[str, Any]] = self.gitea.ask("GET", path)
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitea]:
    with gitea(tmp_path_factory.mktemp("gitea")) as found:
        yield found


@pytest.fixture(scope="module")
def project(server: Gitea) -> Project:
    name = server.add_repository("app", private=True)
    server.add_user(ROBOT)
    server.ask("PUT", f"repos/{name}/collaborators/{ROBOT}", {"permission": "read"})
    examples = (REPOSITORY / "examples/gitea").glob("*.yml")
    workflows = {f".gitea/workflows/{file.name}": file.read_text() for file in examples}
    server.commit(name, {**workflows, ".gitea/workflows/own.yml": OF_CI}, branch="main")
    runner = Runner(server, name, ["ubuntu-latest", "self-hosted"])
    runner.register()
    # The push to `main`.
    taken(runner, "deploy.yml dev", "deploy.yml prod", ends=True)
    server.commit(name, {"greeting": "hello\n"}, branch="change", new=True)
    content = {"head": "change", "base": "main", "title": "A change"}
    assert server.ask("POST", f"repos/{name}/pulls", content)["number"] == 1
    expected = ("preview.yml dev", "own.yml own", "review.yml open", "review.yml close")
    return Project(server, name, taken(runner, *expected, ends=False))


def taken(runner: Runner, *names: str, ends: bool) -> dict[str, Job]:
    """Wait for these jobs and no others, and take them. Each is ended before the next is taken if `ends`."""
    found: list[Job] = []

    def has_all() -> bool:
        while job := runner.job():
            found.append(job)
            if ends:
                runner.end(job)
        return len(found) >= len(names)

    eventually(f"the jobs {names}", has_all)
    assert sorted(job.name for job in found) == sorted(names)
    return {job.name: job for job in found}


Runs = Callable[[Job, str, str], None]
"""Lets this process be a step of a job, with a token in a variable."""


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    def become(job: Job, variable: str, token: str) -> None:
        for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN", "GITLAB_CI"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**job.environment(tmp_path), variable: token}.items():
            monkeypatch.setenv(name, value)

    return become


@pytest.mark.parametrize("job", ["preview.yml dev", "own.yml own"])
def test_a_pull_request_has_one_comment(
    project: Project,
    previewed: Clone,  # noqa: F811 - the fixture
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    job: str,
) -> None:
    step, before = project.jobs[job], len(project.comments)
    variable, token = (
        ("GITHUB_TOKEN", step.context["token"])
        if job == "own.yml own"
        else ("GITEA_TOKEN", project.gitea.token(ROBOT, *SCOPES))
    )
    texts = []
    for recorded, status in (("secret-change", "0"), ("no-change", "0"), ("secret-change", "255")):
        happens(previewed, recorded)
        previewed.variables["STATUS"] = status
        runs(step, variable, token)
        updates.preview("local", (), wanted=Wanted(post=True))
        assert variable not in os.environ
        assert len(project.comments) == before + 1
        texts.append(project.comments[-1]["body"])
    assert all(text.startswith(f"{MARK}\n## Preview of `local`\n") for text in texts)
    assert len(set(texts)) == 3
    assert "**The preview failed.**" in texts[-1]
    said = capsys.readouterr().err
    page = project.comments[-1]["html_url"]
    assert page.startswith(f"{project.gitea.url}/{project.name}/pulls/1#issuecomment-")
    assert said.count(f"The comment: {page}") == 3
    assert token not in said


@pytest.fixture
def at(project: Project, runs: Runs) -> PullRequest:
    """The pull request, for a good token."""
    runs(project.jobs["preview.yml dev"], "GITEA_TOKEN", project.gitea.token(ROBOT, *SCOPES))
    return pull_request(os.environ)


def test_the_longest_comment_is_taken_and_updated(project: Project, at: PullRequest) -> None:
    before = len(project.comments)
    mark = "<!-- slipway preview slipway/long -->\n"
    for letter in ("a", "é"):
        line = f"- {letter * 97}\n"
        body = mark + line * ((LIMITS["gitea"] - len(mark)) // len(line))
        page = post(at, body)
        assert len(project.comments) == before + 1
        assert project.comments[-1]["body"].strip() == body.strip()
        assert project.comments[-1]["html_url"] == page
    # By the address of the page, it is the same one.
    named = pull_request({"GITEA_TOKEN": at.token}, f"{project.gitea.url}/{project.name}/pulls/1")
    assert named == at
    number = project.comments[-1]["id"]
    project.gitea.ask("DELETE", f"repos/{project.name}/issues/comments/{number}")


def test_one_issue_is_open_while_the_stack_differs(
    project: Project,
    previewed: Clone,  # noqa: F811 - the fixture
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happens(previewed, "no-change")
    looks: list[tuple[list[str], str, int, str, str]] = [
        ([], "0", 0, "", ""),
        (["daemon.json on web-1 was changed"], "0", 1, "open", "daemon.json on web-1 was changed"),
        ([], "255", 1, "open", "could not be compared"),
        ([], "0", 0, "closed", "**The stack is as its last update left it.**"),
        (["the proxy on web-1 lacks a route"], "0", 1, "open", "lacks a route"),
        ([], "0", 0, "closed", "**The stack is as its last update left it.**"),
    ]
    job, token = project.jobs["preview.yml dev"], project.gitea.token(ROBOT, *SCOPES)
    for differences, of_pulumi, status, state, words in looks:
        monkeypatch.setattr(repair, "differences", lambda _, found=tuple(differences): list(found))
        previewed.variables["STATUS"] = of_pulumi
        runs(job, "GITEA_TOKEN", token)
        assert updates.preview("local", (), wanted=Wanted(issue=True)) == status
        assert [one["state"] for one in project.issues] == ([state] if state else [])
        if state:
            (issue,) = project.issues
            assert (issue["number"], issue["title"]) == (2, "Drift of the stack local")
            assert words in issue["body"]
            run = f"/{project.name}/actions/runs/{job.context['run_id']}"
            assert f"`{project.gitea.url}{run}`" in issue["body"]
            project.gitea.ask("GET", f"repos{run}")


@contextmanager
def changed(project: Project, **settings: str | bool) -> Iterator[None]:
    """Change settings of the project for a while."""
    before = project.gitea.ask("GET", f"repos/{project.name}")
    now = project.gitea.ask("PATCH", f"repos/{project.name}", settings)["full_name"]
    try:
        yield
    finally:
        project.gitea.ask("PATCH", f"repos/{now}", {name: before[name] for name in settings})


def test_what_is_refused_has_a_sentence(project: Project, at: PullRequest) -> None:
    def refusal(of: PullRequest) -> str:
        before = project.comments
        with pytest.raises(CommandError) as refused:
            post(of, f"{MARK}\nrefused")
        assert project.comments == before
        said = f"{refused.value.message}: {refused.value.remedy}"
        assert of.token not in said
        return said

    assert "HTTP 401" in refusal(replace(at, token="0" * 40))
    for scopes in (SCOPES[:1], SCOPES[1:]):
        said = refusal(replace(at, token=project.gitea.token(ROBOT, *scopes)))
        assert "HTTP 403" in said
        assert "it needs the scopes `write:issue` and `read:user`" in said
    stranger = "stranger"
    project.gitea.add_user(stranger)
    said = refusal(replace(at, token=project.gitea.token(stranger, *SCOPES)))
    assert "HTTP 404" in said
    assert "There is no such page, or the token may not see it." in said
    said = refusal(replace(at, number=99))
    assert "HTTP 404" in said
    assert "There is no such page, or the token may not see it." in said
    with changed(project, archived=True):
        assert "The project is archived" in refusal(at)
    with changed(project, has_issues=False), pytest.raises(CommandError, match="HTTP 404") as refused:
        keep_open(tracker(os.environ), "Drift", "text")
    assert "its issues are turned off" in refused.value.remedy
    with changed(project, name="renamed"):
        assert "It has moved: use its new address." in refusal(at)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.make()
    made.add()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def receiver(machine: Machine, server: Gitea) -> Iterator[str]:
    """The receiver of a public repository's pushes, `hooked`. Gives its address."""
    if not shutil.which("webhook"):
        message = "this machine has no `webhook`: `apt-get install webhook`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    source = f"{server.url}/{OWNER}/hooked.git"
    process = subprocess.Popen(
        [
            str(machine.clone / "slip"),
            *("webhook", "serve", "--from", source, "--listen", f"127.0.0.1:{port}"),
        ],
        env=machine.environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually("it listens", lambda: _listens(port))
        yield f"http://127.0.0.1:{port}/hooks/deploy"
    finally:
        process.terminate()
        process.wait(ANSWER)


def _listens(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), ANSWER).close()
    return True


def test_pushes_to_it_are_deployed_by_its_webhook(server: Gitea, machine: Machine, receiver: str) -> None:
    server.ask("POST", "user/repos", {"name": "hooked"})
    origin = server.url.replace("//", f"//{OWNER}:{PASSWORD}@") + f"/{OWNER}/hooked.git"

    def push(*branches: str) -> None:
        machine.git("push", "--quiet", origin, *branches)

    def hook(key: str) -> int:
        settings = {"url": receiver, "content_type": "json", "secret": key}
        content = {"type": "gitea", "config": settings, "events": ["push"], "active": True}
        return int(server.ask("POST", f"repos/{OWNER}/hooked/hooks", content)["id"])

    def answer(number: int) -> tuple[int, str]:
        eventually(f"{number} deliveries", lambda: len(server.deliveries()) >= number)
        return server.deliveries()[number - 1]

    wrong = hook("another secret")
    push("main")
    assert answer(1)[0] == 403
    assert not (machine.home / "calls").exists()
    # Its deliveries would go with the webhook.
    server.ask("PATCH", f"repos/{OWNER}/hooked/hooks/{wrong}", {"active": False})

    hook(machine.slip("webhook", "secret").stdout.strip())
    revision = machine.commit("two")
    push("main")
    status, text = answer(2)
    assert (status, f"{revision[:12]} is to be deployed to the stack dev" in text) == (200, True), text
    log = machine.private / "stacks/dev/webhook-log"
    eventually("it is deployed", lambda: f"{revision[:12]} is deployed to" in log.read_text())
    assert (machine.said("serves"), machine.tip) == ("two\n", revision)

    push("main:other")
    status, text = answer(3)
    assert (status, "refs/heads/other is not deployed to any stack" in text) == (200, True), text
    assert machine.said("calls").count("\n") == 1


def test_the_other_workflows_of_the_examples_are_taken(project: Project) -> None:
    """Those that are started by hand or by a timetable."""
    path = f"repos/{project.name}/actions/workflows"
    known = {one["path"]: one["state"] for one in project.gitea.ask("GET", path)["workflows"]}
    assert set(known.values()) == {"active"}, json.dumps(known)
    assert len(known) == 6
    assert project.gitea.timetables() == {"43 3 * * *", "17 * * * *"}
    runner = Runner(project.gitea, project.name, ["ubuntu-latest"])
    runner.register()
    project.gitea.ask("POST", f"{path}/drift.yml/dispatches", {"ref": "main"})
    taken(runner, *["drift.yml look"] * 2, ends=True)
    content = {"ref": "main", "inputs": {"plan": "abc"}}
    project.gitea.ask("POST", f"{path}/deploy.yml/dispatches", content)
    prod = taken(runner, "deploy.yml prod", "deploy.yml dev", ends=True)["deploy.yml prod"]
    assert prod.context["event"]["inputs"] == {"plan": "abc"}
