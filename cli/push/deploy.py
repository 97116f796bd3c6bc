"""Deploys one revision of a branch to its stack, after all others that are deployed there.

The update is a process of its own, with its own session, and prints to a file. So it comes to its end whatever becomes
of the connection of the person who pushes. It holds the stack's lock as long as it runs.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError
from cli.push import access, credentials
from cli.push.log import opened
from cli.push.remote import Deployment, Remote
from cli.push.repository import Repository, made
from cli.push.screen import Screen
from cli.stack import processes
from cli.stack.config import BACKUP_PASSWORD, StackConfig
from cli.stack.file_lock import FileLock, Held
from cli.stack.passwords import missing_passwords
from cli.stack.project import Project
from cli.text import clean
from stackfile.document import Document, UnreadableFile

PERIOD = 0.1
"""Seconds between two looks at what the update prints."""
WAITING_PERIOD = 0.5
"""Seconds between two attempts to get a turn."""
REMINDER = 20
"""Seconds after which somebody who waits is told so again. It also shows whether they are still there."""
SETTLING = 10
"""Seconds that git has to move a branch after its hook has ended well."""
LINKS = "/.slipway\n/.venv\n"
"""What `slip` puts into a clone beside what was pushed."""


@dataclass(frozen=True)
class Push:
    """A revision that somebody wants to be deployed."""

    branch: str
    stack: str
    revision: str
    by: str
    """Who: an operator's name, or another word for people."""
    source: Repository
    """Where the revision is."""
    replaces: str | None = None
    """The commit that the branch has to be at; empty for none yet, None for whatever it is at."""

    @property
    def short(self) -> str:
        """The revision, for people."""
        return self.revision[:12]


def deploy(remote: Remote, push: Push, screen: Screen, *, moves: bool) -> int:
    """Deploy a push. Returns the exit status: that of `up`, and 0 if there is nothing to do.

    Args:
        remote: the remote.
        push: what to deploy.
        screen: where it is told.
        moves: whether this moves the branch; git does so itself after its hook.

    Raises:
        CommandError: the push is refused; nothing has begun.

    """
    (remote.folder / "stacks" / push.stack).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(remote.lock(push.stack))
    _take_turn(lock, push, screen)
    try:
        bare = Repository(remote.repository)
        before = _settled(remote, bare, push)
        if refused := moved(push, before):
            raise CommandError(refused, "Fetch it, merge or rebase, and push again.", status=1)
        if before == push.revision:
            screen.say(f"{push.short} is deployed to the stack {push.stack} already.")
            return 0
        if before and not push.source.contains(push.revision, before):
            raise CommandError(
                f"{push.short} does not come after {before[:12]}, which {push.branch} is at: a push must not take "
                "back what was deployed",
                "Revert by a new commit; or `./slip rollback SERVICE` on the machine.",
                status=1,
            )
        clone = check_out(remote, push)
        environment = credentials.of_deployments(remote.credentials)
        screen.say(f"Deploying {push.short} to the stack {push.stack}, for {push.by}.")
        status = _update(remote, push, clone, environment, lock, screen)
        if status:
            screen.say(
                f"error: {push.short} was not deployed: `up` ended with status {status}. "
                f"{push.branch} stays at {before[:12] or 'nothing'}."
            )
            return status
        if moves:
            _move(bare, clone, push, before)
        screen.say(f"{push.short} is deployed to the stack {push.stack}.")
        if screen.is_gone and not moves:
            # As this last line has shown, git's own process is not there any more.
            _move(bare, clone, push, before)
        _take_operators(remote, push, clone, screen)
        with suppress(CommandError):
            Repository(clone / ".git").run("gc", "--auto", "--quiet")
        return 0
    finally:
        lock.release()


def _move(bare: Repository, clone: Path, push: Push, before: str) -> None:
    """Move the branch to what is deployed."""
    Repository(clone / ".git").send(push.revision, bare, known=before)
    bare.run("update-ref", f"refs/heads/{push.branch}", push.revision, before or "0" * len(push.revision))


def moved(push: Push, now: str) -> str:
    """Why a push is too late: the branch is somewhere else than it was when the push began. Empty if it is not."""
    if push.replaces is None or push.replaces == now:
        return ""
    return f"{push.branch} has moved to {now[:12] or 'nothing'} meanwhile, since somebody else has pushed"


def _take_turn(lock: FileLock, push: Push, screen: Screen) -> None:
    told, reminded = "", time.monotonic()
    while True:
        try:
            lock.take(f"push of {push.branch} at {push.short} by {push.by}")
            return
        except Held as held:
            holder = str(held.holder or "another deployment")
        if holder != told:
            screen.say(f"Waiting for another deployment to the stack {push.stack}: {holder}.")
            told, reminded = holder, time.monotonic()
        elif time.monotonic() - reminded > REMINDER:
            screen.say("Still waiting.")
            reminded = time.monotonic()
        if screen.is_gone:
            raise CommandError("the connection ended before this push got its turn", status=1)
        time.sleep(WAITING_PERIOD)


def _settled(remote: Remote, bare: Repository, push: Push) -> str:
    """The commit of the branch, once git has moved it to what was deployed last."""
    last = remote.last(push.stack)
    deadline = time.monotonic() + SETTLING
    while True:
        now = bare.tip(push.branch)
        if not last or last.status != 0 or last.branch != push.branch or now == last.revision:
            return now
        if time.monotonic() > deadline:
            return now
        time.sleep(PERIOD)


def check_out(remote: Remote, push: Push) -> Path:
    """Have the revision in the stack's clone, as git has it: nothing of an earlier one is left. Returns the clone.

    The clone's `.slipway` is a link to that of the remote's clone, so both have one state, one passphrase, one lock.

    Raises:
        CommandError: the revision cannot be deployed.

    """
    if refused := unfit(push):
        raise CommandError(refused[0], refused[1], status=1)
    clone = remote.clone(push.stack)
    repository = made(clone)
    # A process that was killed leaves it, and the lock of the stack is ours.
    (clone / ".git/index.lock").unlink(missing_ok=True)
    if not repository.has(push.revision):
        head = repository.run("rev-list", "--all", "--max-count=1").decode().strip()
        push.source.send(push.revision, repository, known=head)
    # A branch, so that the next push need not bring the history again.
    repository.run("update-ref", "refs/heads/deployed", push.revision)
    repository.run("symbolic-ref", "HEAD", "refs/heads/deployed")
    (clone / ".git/info").mkdir(exist_ok=True)
    (clone / ".git/info/exclude").write_text(LINKS)
    repository.run("reset", "--quiet", "--hard", push.revision, tree=clone)
    repository.run("clean", "-ffdx", "--quiet", "--exclude=/.slipway", "--exclude=/.venv", tree=clone)
    _link(clone / ".slipway", remote.project.private)
    if refused := without_password(clone, push.stack):
        raise CommandError(refused[0], refused[1], status=1)
    return clone


def unfit(push: Push) -> tuple[str, str] | None:
    """Why a revision cannot be deployed, and what to do; None if it can."""
    file = f"Pulumi.{push.stack}.yaml"
    if push.source.kind(push.revision, "slip") != "100755":
        return (
            f"{push.short} has no `slip`: it is no clone of Slipway",
            "Push a clone of Slipway that has your app and the stack's file in it.",
        )
    if push.source.kind(push.revision, file) not in {"100644", "100755"}:
        return (
            f"{push.short} has no {file}, by which the stack {push.stack} is deployed",
            f"Commit it: `git add --force {file}`. Its secrets are encrypted.",
        )
    if push.source.kind(push.revision, ".slipway") or push.source.kind(push.revision, ".venv"):
        return (
            f"{push.short} has .slipway or .venv in it",
            "Take them out: `git rm -r --cached .slipway .venv`.",
        )
    return None


def without_password(clone: Path, stack: str) -> tuple[str, str] | None:
    """Why `up` would write to the stack's file, and so would do it again at each push; None if it would not."""
    path = clone / f"Pulumi.{stack}.yaml"
    try:
        document = Document.read(path)
    except UnreadableFile:
        return None  # `up` says why, with line and key
    config = StackConfig(document.content, Project(clone).name)
    lacking = [*missing_passwords(config)]
    if config.backups and BACKUP_PASSWORD not in config.secrets:
        lacking.append("the backups")
    if not lacking:
        return None
    return (
        f"{path.name} has no password for {', '.join(lacking)}: `up` would make one at each push, and git has none",
        f"Run `./slip up -s {stack}` once where the passphrase is, and commit {path.name}.",
    )


def _link(path: Path, target: Path) -> None:
    if path.is_symlink() and path.readlink() == target:
        return
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
    path.symlink_to(target)


def _update(
    remote: Remote, push: Push, clone: Path, environment: dict[str, str], lock: FileLock, screen: Screen
) -> int:
    log = remote.log(push.stack)
    deployment = Deployment(push.branch, push.revision, push.by, processes.now().isoformat())
    # Whoever leaves must not end us before the branch is where its stack is.
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with opened(log, anew=True) as written, log.open("rb") as reading:
        process = subprocess.Popen(
            _command(clone, push),
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.descriptor],
        )
        remote.note(push.stack, deployment)
        follow(process.poll, lambda: reading.read().decode(errors="replace"), screen)
    deployment.status = abs(process.returncode)
    remote.note(push.stack, deployment)
    return deployment.status


def _command(clone: Path, push: Push) -> list[str]:
    message = f"{push.by} pushed {push.branch}"
    return [str(clone / "slip"), "up", "--stack", push.stack, "--yes", "--", "--message", message]


def follow(ended: Callable[[], int | None], read: Callable[[], str], screen: Screen) -> None:
    """Show what a process prints, by whole lines, until it ends.

    Args:
        ended: its exit status; None while it runs.
        read: what it has printed since the last call.
        screen: where it is shown.

    """
    rest = ""
    while True:
        is_over = ended() is not None
        rest += read()
        whole, newline, rest = rest.rpartition("\n")
        if newline:
            screen.copy(f"{clean(whole)}\n")
        if is_over:
            if rest:
                screen.say(rest)
            return
        time.sleep(PERIOD)


def _take_operators(remote: Remote, push: Push, clone: Path, screen: Screen) -> None:
    """Let those push who are the stack's operators now. It is deployed, so a mistake here does not fail it."""
    config = StackConfig.read(clone / f"Pulumi.{push.stack}.yaml", Project(clone).name)
    with suppress(OSError):
        try:
            for warning in access.let_in(remote, push.stack, config):
                screen.say(f"warning: {warning}")
        except CommandError as error:
            screen.say(f"warning: {error.message}")
