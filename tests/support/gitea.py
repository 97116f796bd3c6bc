"""A Gitea: built from its Go module, on a port of this machine, with its files in one folder."""

import base64
import json
import os
import pwd
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.waiting import ANSWER, eventually
from toolchain import cache, go

MODULE = "code.gitea.io/gitea"
TAGS = ("sqlite", "sqlite_unlock_notify")
OWNER = "team"
"""The user whose repositories they are, who is an administrator."""
PASSWORD = "a-password-of-tests"
SETTINGS = """RUN_USER = {user}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
WORK_PATH = {folder}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {sources}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
SQLITE_JOURNAL_MODE = WAL
[repository]
ROOT = {folder}/repositories
DEFAULT_BRANCH = main
[security]
INSTALL_LOCK = true
PASSWORD_HASH_ALGO = pbkdf2$1000$50
[service]
DISABLE_REGISTRATION = true
[indexer]
ISSUE_INDEXER_TYPE = db
[webhook]
ALLOWED_HOST_LIST = loopback
[actions]
ENABLED = true
[log]
MODE = console
LEVEL = Info
"""


def program() -> Path:
    """Gitea's path; built from its Go module if it is missing, which takes eight minutes of a processor."""
    version = go.pinned("gitea", MODULE)
    target = cache.root() / "gitea" / version / "gitea"
    if not target.is_file():
        with cache.lock("gitea", lambda _: None):
            if not target.is_file():
                go.build("gitea", MODULE, target, version=version, tags=TAGS, cgo=True)
    return target


@dataclass(frozen=True)
class Gitea:
    """A running Gitea."""

    url: str
    """Its address, without a slash at its end."""
    folder: Path
    """Its files."""
    log: Path

    def ask(
        self, method: str, path: str, content: Mapping[str, Any] | None = None, *, user: str = OWNER
    ) -> Any:
        """The answer of its API to a user, who has the password of all; it must be a good one."""
        answer = requests.request(
            method, f"{self.url}/api/v1/{path}", json=content, auth=(user, PASSWORD), timeout=ANSWER
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def add_user(self, name: str) -> None:
        """Make a user with no rights."""
        content = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        self.ask("POST", "admin/users", {**content, "must_change_password": False})

    def token(self, user: str, *scopes: str) -> str:
        """A new token of a user."""
        name = f"token {len(self.ask('GET', f'users/{user}/tokens', user=user))}"
        content = {"name": name, "scopes": scopes}
        return str(self.ask("POST", f"users/{user}/tokens", content, user=user)["sha1"])

    def add_repository(self, name: str, *, private: bool) -> str:
        """Make a repository with one commit. Returns its full name."""
        self.ask("POST", "user/repos", {"name": name, "private": private, "auto_init": True})
        return f"{OWNER}/{name}"

    def commit(self, repository: str, files: Mapping[str, str], *, branch: str, new: bool = False) -> None:
        """Commit new files to a branch, or to a new one that comes from `main`."""
        changes = [
            {"operation": "create", "path": path, "content": base64.b64encode(text.encode()).decode()}
            for path, text in files.items()
        ]
        where = {"branch": "main", "new_branch": branch} if new else {"branch": branch}
        content = {"files": changes, "message": "A change", **where}
        self.ask("POST", f"repos/{repository}/contents", content)

    def deliveries(self) -> list[tuple[int, str]]:
        """Status and text of what webhooks have answered, the oldest first."""
        rows = self._rows("SELECT response_content FROM hook_task WHERE response_content != '' ORDER BY id")
        return [(int(answer["status"]), str(answer["body"])) for answer in map(json.loads, rows)]

    def timetables(self) -> set[str]:
        """When workflows run by themselves, as lines of cron."""
        return {*self._rows("SELECT spec FROM action_schedule_spec")}

    def _rows(self, query: str) -> list[str]:
        """One column of its database: its API does not tell this."""
        with closing(sqlite3.connect(f"file:{self.folder}/gitea.db?mode=ro", uri=True)) as database:
            return [str(value) for (value,) in database.execute(query)]


@contextmanager
def gitea(folder: Path) -> Iterator[Gitea]:
    """Run Gitea, with the user `OWNER`.

    Args:
        folder: an empty one for its files.
    """
    executable, sources = program(), go.module_directory("gitea", MODULE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = folder / "app.ini"
    user = pwd.getpwuid(os.getuid()).pw_name
    settings.write_text(SETTINGS.format(user=user, folder=folder, port=port, sources=sources))
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

    def command(*words: str) -> list[str]:
        return [str(executable), "--config", str(settings), *words]

    def run(*words: str) -> None:
        done = subprocess.run(command(*words), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"

    run("migrate")
    owner = ("--username", OWNER, "--password", PASSWORD, "--email", f"{OWNER}@example.com")
    run("admin", "user", "create", "--admin", "--must-change-password=false", *owner)
    log = folder / "gitea.log"
    with log.open("w") as file:
        process = subprocess.Popen(command("web"), env=environment, stdout=file, stderr=subprocess.STDOUT)
        found = Gitea(f"http://127.0.0.1:{port}", folder, log)
        try:
            eventually("Gitea answers", lambda: _answers(process, found))
            yield found
        finally:
            process.terminate()
            process.wait(ANSWER)


def _answers(process: "subprocess.Popen[bytes]", found: Gitea) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"Gitea has ended: {found.log.read_text()[-2000:]}")
    return requests.get(f"{found.url}/api/healthz", timeout=ANSWER).ok


@dataclass
class Runner:
    """A runner of Gitea's CI that runs nothing: it takes jobs, and says that they have ended.

    Its protocol is that of code.gitea.io/actions-proto-go, in JSON.
    """

    gitea: Gitea
    repository: str
    labels: Sequence[str]
    _headers: dict[str, str] = field(default_factory=dict)

    def register(self) -> None:
        """Become a runner of the repository."""
        path = f"repos/{self.repository}/actions/runners/registration-token"
        token = self.gitea.ask("POST", path)["token"]
        words = {"name": "runner", "token": token, "version": "1", "labels": list(self.labels)}
        runner = self._ask("Register", words)["runner"]
        self._headers = {"x-runner-uuid": runner["uuid"], "x-runner-token": runner["token"]}

    def job(self) -> "Job | None":
        """The next job that waits; None without one. It runs until it is ended."""
        task = self._ask("FetchTask", {"tasksVersion": 0}).get("task")
        return Job(int(task["id"]), task["context"]) if task else None

    def end(self, job: "Job") -> None:
        """Say that a job has succeeded."""
        self._ask("UpdateTask", {"state": {"id": job.number, "result": "RESULT_SUCCESS"}})

    def _ask(self, method: str, content: Mapping[str, Any]) -> Any:
        url = f"{self.gitea.url}/api/actions/runner.v1.RunnerService/{method}"
        answer = requests.post(url, json=content, headers=self._headers, timeout=ANSWER)
        assert answer.ok, f"{method}: {answer.status_code} {answer.text}"
        return answer.json()


@dataclass(frozen=True)
class Job:
    """A job of Gitea's CI."""

    number: int
    context: Mapping[str, Any]
    """What a workflow has as `github`."""

    @property
    def name(self) -> str:
        """The workflow's file and the job, such as `preview.yml dev`."""
        return f"{self.context['workflow']} {self.context['job']}"

    def environment(self, folder: Path) -> dict[str, str]:
        """The variables of the job's steps, as Gitea's runner sets them (gitea.com/gitea/act, `withGithubEnv`)."""
        event = folder / f"event-{self.number}.json"
        event.write_text(json.dumps(self.context["event"]))
        server = str(self.context["server_url"]).rstrip("/")
        taken = (
            "repository",
            "ref",
            "sha",
            "run_id",
            "event_name",
            "job",
            "workflow",
            "head_ref",
            "base_ref",
        )
        return {
            "CI": "true",
            "GITEA_ACTIONS": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": server,
            "GITHUB_API_URL": f"{server}/api/v1",
            "GITHUB_EVENT_PATH": str(event),
            **{f"GITHUB_{name.upper()}": str(self.context[name]) for name in taken},
        }
