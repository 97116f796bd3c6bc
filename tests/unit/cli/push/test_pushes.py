"""A push deploys, or is refused: with git itself, its hook and the command."""

import json
import os
import signal
import stat

from tests.unit.cli.push.machine import ALICE, BOB, Machine, config


def test_a_push_deploys_and_shows_what_the_deployment_prints(machine: Machine) -> None:
    machine.add()
    first = machine.git("rev-parse", "HEAD")
    status, printed = machine.push()
    assert status == 0, printed
    assert f"remote: Deploying {first[:12]} to the stack dev, for alice." in printed
    assert "remote: deploying hello" in printed
    assert "remote: serving hello" in printed
    assert f"remote: {first[:12]} is deployed to the stack dev." in printed
    assert machine.said("serves") == "hello\n"
    assert machine.said("calls") == "up --stack dev --yes -- --message alice pushed main\n"
    assert machine.tip == first
    # The second one has nothing of the first but the state.
    (machine.work / "slip").chmod(0o755)
    machine.git("rm", "--quiet", "Pulumi.yaml")
    second = machine.commit("hello again", {"Pulumi.yaml": "name: slipway\n", "new": ""})
    assert machine.push()[0] == 0
    assert machine.tip == second
    assert set(machine.said("files").split()) == {
        *(".git", ".slipway", "Pulumi.dev.yaml", "Pulumi.yaml", "greeting", "new", "slip")
    }
    where = machine.clone / ".slipway/push/stacks/dev/clone"
    assert machine.said("where").strip() == str(where)
    assert (where / ".slipway").resolve() == machine.clone / ".slipway"
    listed = json.loads(machine.slip("git-remote", "list", "--json").stdout)
    assert [(row["branch"], row["stack"], row["revision"], row["by"], row["result"]) for row in listed] == [
        ("main", "dev", second, "alice", "deployed")
    ]


def test_a_failed_deployment_refuses_the_push(machine: Machine) -> None:
    machine.add()
    good = machine.git("rev-parse", "HEAD")
    machine.push()
    bad = machine.commit("bad greeting")
    status, printed = machine.push()
    assert status == 1
    assert "remote: it crashed" in printed
    assert (
        f"remote: error: {bad[:12]} was not deployed: `up` ended with status 1. main stays at {good[:12]}."
        in printed
    )
    assert "[remote rejected] main -> main (pre-receive hook declined)" in printed
    assert machine.tip == good
    assert machine.said("serves") == "hello\n"
    # The next good one goes through, with the bad one in its history.
    better = machine.commit("better")
    assert machine.push()[0] == 0
    assert machine.tip == better


def test_two_pushes_at_once_one_waits_and_is_told(machine: Machine) -> None:
    machine.add()
    other = machine.folder / "other"
    machine.git("clone", "--quiet", str(machine.work), str(other), folder=machine.folder)
    machine.commit("hold one")
    first = machine.start_push()
    machine.wait_for("the first deployment", lambda: "up" in machine.said("calls"))
    machine.commit("two", folder=other)
    second = machine.start_push(folder=other)
    lines = []
    for line in second.process.stdout or ():
        lines.append(line)
        if "Waiting" in line:
            break
    assert "Waiting for another deployment to the stack dev: `push of main at" in lines[-1]
    assert "by alice`" in lines[-1]
    assert json.loads(machine.slip("git-remote", "list", "--json").stdout)[0]["result"] == "runs"
    assert machine.said("calls").count("\n") == 1
    (machine.home / "go").touch()
    status, printed = first.end()
    assert status == 0, printed
    # It does not come after what was deployed meanwhile.
    status, printed = second.end()
    assert status == 1
    assert "error: main has moved to" in printed
    assert machine.said("serves") == "hold one\n"
    assert machine.said("calls").count("\n") == 1


def test_a_deployment_goes_on_when_the_connection_ends(machine: Machine) -> None:
    machine.add()
    held = machine.commit("hold one")
    push = machine.start_push()
    machine.wait_for("the deployment", lambda: "up" in machine.said("calls"))
    os.killpg(push.process.pid, signal.SIGKILL)
    push.process.wait()
    (machine.home / "go").touch()
    machine.wait_for("the end", lambda: machine.tip == held)
    assert machine.said("serves") == "hold one\n"
    after = machine.commit("after it")
    status, printed = machine.push()
    assert status == 0, printed
    assert machine.tip == after


def test_what_was_deployed_is_not_taken_back(machine: Machine) -> None:
    machine.add()
    machine.push()
    before = machine.tip
    machine.git("commit", "--quiet", "--amend", "--message", "another one")
    status, printed = machine.push("--force", "main")
    assert (status, "does not come after" in printed) == (1, True), printed
    assert machine.tip == before
    assert machine.said("calls").count("\n") == 1


def test_who_may_push_is_who_is_an_operator_of_what_is_deployed(machine: Machine) -> None:
    machine.add()
    assert "Permission denied" in machine.push(key=BOB)[1]
    machine.commit("bob comes", {"Pulumi.dev.yaml": config(alice=ALICE, bob=BOB)})
    assert machine.push()[0] == 0
    machine.commit("bob pushes")
    status, printed = machine.push(key=BOB)
    assert (status, "for bob." in printed) == (0, True), printed
    # A failed deployment changes nothing here, either.
    machine.commit("bad: alice goes", {"Pulumi.dev.yaml": config(bob=BOB)})
    assert machine.push()[0] == 1
    machine.commit("alice goes")
    assert machine.push()[0] == 0
    machine.commit("alice is back")
    assert "Permission denied" in machine.push(key=ALICE)[1]


def test_a_key_has_no_shell(machine: Machine) -> None:
    machine.add()
    (line,) = (machine.home / ".ssh/authorized_keys").read_text().splitlines()
    assert line.startswith("restrict,command=")
    for asked in ("", "bash", "git-receive-pack 'slipway.git'; id"):
        done = machine.run_as_key(ALICE, asked)
        assert (done.returncode, done.stdout) == (2, ""), asked
        assert "this key pushes to the repository slipway, and has no shell" in done.stderr


def test_credentials_are_for_the_deployment_alone(machine: Machine) -> None:
    machine.add(
        PULUMI_CONFIG_PASSPHRASE="correct horse", PULUMI_BACKEND_URL="s3://bucket", AWS_REGION="x", OTHER="y"
    )
    file = machine.private / "environment.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((machine.clone / ".slipway").stat().st_mode) == 0o700
    done = machine.slip("git-remote", "add", "main", "-s", "dev")
    assert "AWS_REGION, PULUMI_BACKEND_URL, PULUMI_CONFIG_PASSPHRASE" in done.stderr
    assert "correct horse" not in done.stdout + done.stderr
    status, printed = machine.push()
    assert status == 0
    assert "correct horse" not in printed
    given = machine.said("environment").splitlines()
    assert {"PULUMI_CONFIG_PASSPHRASE=correct horse", "PULUMI_BACKEND_URL=s3://bucket", "AWS_REGION=x"} <= {
        *given
    }
    assert not [line for line in given if line.startswith(("OTHER", "GIT_", "SSH_", "SLIPWAY_PUSHER"))]
    file.chmod(0o640)
    machine.commit("x")
    status, printed = machine.push()
    assert (status, "has credentials, and others may read it" in printed) == (1, True), printed


def test_a_branch_that_was_removed_deploys_nothing(machine: Machine) -> None:
    machine.add()
    machine.push()
    assert machine.slip("git-remote", "remove", "main").returncode == 0
    assert (machine.home / ".ssh/authorized_keys").read_text() == ""
    machine.commit("x")
    assert "Permission denied" in machine.push()[1]
    assert machine.slip("git-remote", "remove", "main").returncode == 2
