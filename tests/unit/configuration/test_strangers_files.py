"""Untrusted files: what Slipway reads of them, and what its messages show of them."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.build_context import content_tag, files
from components.images.base_images import base_images
from configuration.files import LIMIT, UnfitFile, certificates, read, read_text
from configuration.load import validate
from configuration.problems import SettingsError
from configuration.settings import StackSettings
from tests.support.authority import Authority

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "a-secret-password"
CONTENT = "root:the-operators-own"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "credentials").write_text(CONTENT)
    context = tmp_path / "project/app"
    context.mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM debian:12\n")
    (context / "server.py").write_text("1")
    return tmp_path / "project"


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def link(target: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return make


def huge(path: Path) -> None:
    path.write_bytes(b"# " + b"x" * LIMIT)


def directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to the operator's file": (link("../../credentials"), "is a link to a file outside the context"),
    "an absolute link": (link("/etc/passwd"), "is a link to a file outside the context"),
    "a link to a device": (link("/dev/zero"), "is a link to a file outside the context"),
    "a link into /proc": (link("/proc/self/environ"), "is a link to a file outside the context"),
    "a FIFO": (fifo, "is not a regular file"),
    "a directory": (directory, "is not a regular file"),
    "a huge file": (huge, "is larger than 1 MiB"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe" + CONTENT.encode()), "is not text in UTF-8"),
}


def problems(project: Path, build: dict[str, Any] | None = None, **more: Any) -> list[str]:
    configuration = {
        "services": {"web": {"build": {"context": "app", **(build or {})}}},
        "passwords": {"hosts": PASSWORD},
        **more,
    }
    try:
        validate(configuration, project, frozenset({"passwords", "secrets"}))
    except SettingsError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_the_project_is_right_to_begin_with(project: Path) -> None:
    assert problems(project) == []


@pytest.mark.parametrize(("make", "wrong"), BAD.values(), ids=BAD)
def test_a_dockerfile_that_is_not_read(make: Callable[[Path], object], wrong: str, project: Path) -> None:
    make(project / "app/Dockerfile")
    (found,) = problems(project)
    assert found.startswith(
        f'slipway:services.web.build.dockerfile = "Dockerfile": {wrong}. Make it a text file'
    )
    assert CONTENT not in found
    with pytest.raises(UnfitFile, match=wrong):
        base_images(project / "app/Dockerfile", {}, "linux/amd64")
    if wrong != "is not text in UTF-8":  # the digest is made of bytes
        with pytest.raises(UnfitFile, match=wrong):
            content_tag(project / "app")


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore"])
@pytest.mark.parametrize(("make", "wrong"), BAD.values(), ids=BAD)
def test_a_dockerignore_that_is_not_read(
    make: Callable[[Path], object], wrong: str, name: str, project: Path
) -> None:
    make(project / "app" / name)
    (found,) = problems(project)
    assert found.startswith(
        f'slipway:services.web.build.context = "app": its {name} {wrong}. Make it a text file'
    )
    assert CONTENT not in found
    with pytest.raises(UnfitFile, match=wrong):
        content_tag(project / "app")


def test_every_mistake_is_reported_at_once(project: Path) -> None:
    fifo(project / "app/Dockerfile")
    fifo(project / "app/.dockerignore")
    assert len(problems(project, registry={"port": 0})) == 3


@pytest.mark.parametrize(
    ("make", "wrong"),
    [(loop, "cannot be read: "), (link("nowhere"), "cannot be read: No such file or directory")],
    ids=["in circles", "to nowhere"],
)
def test_a_link_that_leads_nowhere(make: Callable[[Path], object], wrong: str, project: Path) -> None:
    make(project / "app/Dockerfile")
    (found,) = problems(project)
    assert found.startswith(f'slipway:services.web.build.dockerfile = "Dockerfile": {wrong}')


def test_a_link_inside_the_context_is_followed(project: Path) -> None:
    context = project / "app"
    (context / "docker").mkdir()
    (context / "Dockerfile").rename(context / "docker/web")
    (context / "Dockerfile").symlink_to("docker/web")
    (context / "ignored").write_text("server.py\n")
    (context / ".dockerignore").symlink_to("ignored")
    assert problems(project) == []
    assert base_images(context / "Dockerfile", {}, "linux/amd64", context) == ["debian:12"]
    assert context / "server.py" not in list(files(context, context / "Dockerfile"))


def test_a_context_by_a_link_is_a_context(project: Path) -> None:
    (project / "linked").symlink_to("app")
    assert problems(project, {"context": "linked"}) == []
    assert content_tag(project / "linked") == content_tag(project / "app")


def test_special_files_of_a_context_are_not_opened(project: Path) -> None:
    before = content_tag(project / "app")
    fifo(project / "app/pipe")
    assert content_tag(project / "app") == before
    assert problems(project) == []


@pytest.mark.parametrize("field", ["context", "dockerfile"])
@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("a\0b", "a path with a control character"),
        ("a\nb", "a path with a control character"),
        ("x/" * 50_000, "a path of 100000 bytes"),
        ("x" * 300, "File name too long"),
    ],
    ids=["NUL", "two lines", "long", "a long name"],
)
def test_a_path_that_no_file_can_have(field: str, path: str, wrong: str, project: Path) -> None:
    (found,) = problems(project, {field: path})
    assert found.startswith(f"slipway:services.web.build.{field} = ")
    assert wrong in found
    assert len(found) < 800
    found.encode()


class TestAuthority:
    @pytest.fixture
    def pem(self) -> str:
        return Authority().pem

    @staticmethod
    def found(project: Path, authority: str) -> list[str]:
        external = {"server": "r.example.com", "username": "team", "certificateAuthority": authority}
        return problems(
            project,
            passwords={},
            hosts={"box": {"roles": ["build", "app"]}},
            registry={"external": external},
            secrets={"REGISTRY_PASSWORD": PASSWORD},
        )

    @pytest.mark.parametrize(
        ("make", "wrong"),
        [
            (link("/dev/zero"), "is not a regular file"),
            (fifo, "is not a regular file"),
            (directory, "is not a regular file"),
            (huge, "is larger than 1 MiB"),
            (loop, "cannot be read: "),
            (link("../credentials"), "holds no certificate"),
            (link("/proc/self/environ"), "holds no certificate"),
        ],
        ids=["a device", "a FIFO", "a directory", "a huge file", "in circles", "another file", "/proc"],
    )
    def test_a_file_that_is_not_used(self, make: Callable[[Path], object], wrong: str, project: Path) -> None:
        make(project / "ca.crt")
        (found,) = self.found(project, "ca.crt")
        assert found.startswith(f'slipway:registry.external.certificateAuthority = "ca.crt": {wrong}')
        assert "Write a" in found
        assert CONTENT not in found

    @pytest.mark.parametrize("as_file", [True, False])
    def test_a_private_key_is_refused_and_not_shown(self, as_file: bool, project: Path) -> None:
        pem, key = (made := Authority()).pem, made.key
        (project / "ca.crt").write_text(pem + key)
        (found,) = self.found(project, "ca.crt" if as_file else pem + key)
        assert "certificateAuthority" in found
        assert "holds a private key. Write a file that has the authority's certificates only" in found
        assert not [line for line in key.splitlines() if line in found]

    def test_only_certificates_are_passed_on(self, pem: str, project: Path) -> None:
        text = f"user = x\n{pem}password = a\n-----BEGIN X-----\naaaa\n-----END X-----\n{pem}\nmore"
        (project / "ca.crt").write_bytes(text.encode() + b"\xff")
        assert self.found(project, "ca.crt") == []
        assert authority("ca.crt", project) == pem + pem
        assert authority(text, project) == pem + pem

    def test_a_file_of_certificates_is_passed_on_as_it_is(self, pem: str, project: Path) -> None:
        for text in (pem, pem.rstrip(), f"\n{pem}\n\n{pem}"):
            (project / "ca.crt").write_text(text)
            assert authority("ca.crt", project) == text
            assert authority(str(project / "ca.crt"), project) == text
        (project / "ca.crt").write_text(pem.replace("\n", "\r\n"))
        assert authority("ca.crt", project) == pem

    def test_a_block_holds_nothing_but_base64(self, pem: str) -> None:
        with pytest.raises(UnfitFile, match="holds no certificate"):
            certificates(
                pem.replace("-----BEGIN CERTIFICATE-----\n", f"-----BEGIN CERTIFICATE-----\n{CONTENT}\n")
            )

    @pytest.mark.parametrize(
        ("path", "wrong"),
        [
            ("a\0b", "a control character"),
            ("x/" * 50_000, "a path of 100000 bytes"),
            ("x" * 300, "name too long"),
        ],
        ids=["NUL", "long", "a long name"],
    )
    def test_a_path_that_no_file_can_have(self, path: str, wrong: str, project: Path) -> None:
        (found,) = self.found(project, path)
        assert wrong in found
        assert len(found) < 300

    def test_a_text_has_a_limit_too(self, pem: str, project: Path) -> None:
        (found,) = self.found(project, pem * (LIMIT // len(pem) + 1))
        assert "larger than 1 MiB" in found


def authority(value: str, project: Path) -> str:
    external = {"server": "r.example.com", "username": "team", "certificateAuthority": value}
    settings = StackSettings.model_validate({"registry": {"external": external}})
    assert settings.registry.external
    return settings.registry.external.authority(project)


def test_an_exactly_large_enough_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * LIMIT)
    assert len(read(tmp_path / "x", within=tmp_path)) == LIMIT


def test_a_folder_with_the_same_beginning_is_another(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app-private").write_text(CONTENT)
    (tmp_path / "app/x").symlink_to("../app-private")
    with pytest.raises(UnfitFile, match="outside the context"):
        read_text(tmp_path / "app/x", within=tmp_path / "app")


GITLAB = ROOT / "examples/gitlab/.gitlab-ci.yml"
WORKFLOWS = [
    *(ROOT / ".github/workflows").glob("*.yml"),
    *(path for path in (ROOT / "examples").rglob("*.yml") if path != GITLAB),
]
DEPLOYS = ("./slip up", "./slip review open")
UPDATES = (*DEPLOYS, "./slip renew", "./slip review")
OWN_BRANCH = "github.event.pull_request.head.repo.full_name == github.repository"
"""The condition of a job that has secrets: a branch of the repository itself, so of someone who may write there."""


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_workflow_runs_a_strangers_change_with_secrets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    triggers = workflow[True]  # YAML 1.1 takes `on` for it
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers)
    assert workflow["permissions"] == {"contents": "read"}
    if "pull_request" in triggers:
        for job in workflow["jobs"].values():
            has_secrets = any(
                word in str(job) for word in ("secrets.", "'environment'", "self-hosted", "vars.")
            )
            assert not has_secrets or OWN_BRANCH in [one.strip() for one in job["if"].split("&&")]
        checkouts = [
            step for job in workflow["jobs"].values() for step in job["steps"] if "checkout" in str(step)
        ]
        assert checkouts
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_leave_no_token(path: Path) -> None:
    """A tag of an action can be moved to another commit by whoever owns it."""
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert used
    assert [
        line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    ] == []
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if "checkout" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_gitlab_runs_no_forks_change_with_secrets() -> None:
    """GitLab runs the pipeline of a fork in the fork, unless a member of the project starts it here."""
    jobs = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    ours = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID"
    rules = {name: job["rules"][0]["if"] for name, job in jobs.items() if "script" in job}
    of_requests = {name for name, rule in rules.items() if "CI_MERGE_REQUEST" in rule}
    assert of_requests == {"preview", "review", "review-close"}
    assert all(rules[name].endswith(f"&& {ours}") for name in of_requests)
    assert all("$CI_PIPELINE_SOURCE ==" in rule for name, rule in rules.items() if name not in of_requests)


@pytest.mark.parametrize("path", [*WORKFLOWS, GITLAB], ids=lambda path: f"{path.parent.name}-{path.name}")
def test_steps_are_commands_of_slip_or_make(path: Path) -> None:
    """So what a workflow does can be done, and is tested, without a forge."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path == GITLAB:
        commands = [line for job in jobs.values() if isinstance(job, dict) for line in job.get("script", ())]
    else:
        steps = [step for job in jobs["jobs"].values() for step in job["steps"]]
        commands = [step["run"] for step in steps if "run" in step]
    if path.name != "ci.yml":  # CI's own command needs root, and gives the cache back
        assert commands
        assert [one for one in commands if not one.startswith(("./slip ", "make "))] == []
        assert not any("\n" in one.strip() or "|" in one or "$(" in one for one in commands)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_no_update_is_ended_half_way_or_meets_another(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    for job in workflow["jobs"].values():
        commands = [str(step.get("run", "")) for step in job["steps"]]
        if not any(command.startswith(UPDATES) for command in commands):
            continue
        concurrency = job.get("concurrency") or workflow["concurrency"]
        # A group alone ends nothing that runs.
        assert isinstance(concurrency, str) or concurrency["cancel-in-progress"] is False
        full = [
            step["with"].get("fetch-depth") for step in job["steps"] if "checkout" in step.get("uses", "")
        ]
        # The others deploy nothing that the history could change.
        assert full == ([0] if any(command.startswith(DEPLOYS) for command in commands) else [None])


def test_the_workflows_are_all_looked_at() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.yml"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    found = {str(path.relative_to(ROOT)) for path in (*WORKFLOWS, GITLAB)}
    assert found
    assert {name for name in listed if name.startswith((".github/", "examples/"))} == found
