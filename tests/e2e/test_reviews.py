"""Review environments are opened, updated and removed, and nothing of them is left: after kills, with dead hosts."""

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import settings
from tests.support.clone import Clone
from tests.support.command import Command, Result
from tests.support.docker_command import docker
from tests.support.http_load import greeting
from tests.support.stack import Stack
from tests.support.waiting import TOOLS_LIMIT, eventually

TEMPLATE_OFFSET = 100
OVER = "2026-01-01T00:00:00Z portOffset=0"
"""The record of an environment whose time is over."""
ENVIRONMENTS = int(os.environ.get("SLIPWAY_SOAK_REVIEWS", "10"))
"""How many environments the long run opens."""
KILLED, DEAD = ENVIRONMENTS // 2, 2
"""How many of these are killed at some moment, and of how many others a host dies."""
DONE = "✓ "
"""How a line of `slip` begins that says that something is done."""
SEED = int(os.environ.get("SLIPWAY_SOAK_SEED", "1"))
SOAK_LIMIT = 2 * 3600


class Reviews:
    """The review environments of a clone, by the commands for them."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self.seen: set[str] = set()
        """Every volume that a host has had, with a name or without."""

    def write_template(self, **changes: Any) -> None:
        """Write the template: one host that is quick to make."""
        template = settings.one_host() | {"review": {"limit": ENVIRONMENTS}} | changes
        template["platform"] = {"kind": "local", "portOffset": TEMPLATE_OFFSET}
        del template["registry"]
        Stack(self.clone, "review").write_config(template)

    def start(self, *words: str) -> Command:
        return self.clone.start("./slip", "review", *words)

    def run(self, *words: str, status: int = 0) -> Result:
        result = self.start(*words).wait(TOOLS_LIMIT)
        assert result.status == status, str(result)
        return result

    def listed(self) -> dict[int, dict[str, Any]]:
        rows = json.loads(self.clone.read("./slip", "review", "list", "--json"))
        return {row["pullRequest"]: row for row in rows}

    def stack(self, pull_request: int) -> Stack:
        return Stack(self.clone, f"pr-{pull_request}")

    def kill_when_its_host_is_there(self, pull_request: int) -> None:
        command = self.start("open", str(pull_request))
        stack = self.stack(pull_request)
        eventually("its host is there", lambda: bool(stack.traces()["container"]))
        command.kill_everything()
        assert command.wait().status != 0

    def end(self, pull_request: int, record: str = OVER) -> None:
        """Let an environment's time be over."""
        line = f"pulumi stack tag set slipway:review '{record}' --stack pr-{pull_request}"
        self.clone.read(*Stack(self.clone, f"pr-{pull_request}").in_prepared_shell(line))

    def freeze(self, pull_request: int) -> None:
        """Let an environment's host answer nothing any more. The kernel may need several attempts."""
        host = self.stack(pull_request).container("box")
        eventually(f"{host} is paused", lambda: bool(docker("pause", host)))

    def note_volumes(self, pull_request: int) -> None:
        for container in self.stack(pull_request).traces()["container"]:
            mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", container))
            self.seen |= {mount["Name"] for mount in mounts if mount["Type"] == "volume"}

    def left(self, pull_request: int) -> list[str]:
        """What is there of an environment: on the engine, on the disk, in the state."""
        stack = self.stack(pull_request)
        on_engine = [f"{kind} {one}" for kind, names in stack.traces().items() for one in names]
        volumes = self.seen & set(docker("volume", "ls", "--quiet").split())
        on_disk = [str(path) for path in _files(self.clone.root, stack.name)]
        return [*on_engine, *volumes, *on_disk]


def _files(root: Path, stack: str) -> Iterator[Path]:
    """The files of a clone with a stack's name in their path or their content; the logs of others have neither."""
    for path in [*root.glob(f"*{stack}*"), *(root / ".slipway").rglob("*")]:
        if stack in str(path.relative_to(root)) or (
            path.is_file() and stack.encode() in path.read_bytes() and "backups" not in path.parts
        ):
            yield path


def kill_after(command: Command, stages: int, seconds: float) -> None:
    """Kill a command so many seconds after it has done so many stages: a busy machine is slower, and no less hit."""

    def is_there() -> bool:
        return command.has_ended or sum(line.startswith(DONE) for line in command.lines) >= stages

    eventually(f"{stages} stages are done", is_there, TOOLS_LIMIT)
    time.sleep(seconds)  # the moment itself is the test's input
    if not command.has_ended:
        command.kill_everything()


@pytest.fixture
def reviews(clone: Clone) -> Iterator[Reviews]:
    """A clone with a template, in which no environment is open."""
    found = Reviews(clone)
    found.write_template()
    yield found
    for row in found.listed():
        found.start("close", str(row)).wait()
    Stack(clone, "review").forget()


def test_an_environment_comes_and_goes_whole(reviews: Reviews) -> None:
    stack = reviews.stack(581)
    reviews.kill_when_its_host_is_there(581)
    assert "never up" in reviews.listed()[581]["notes"][0]

    opened = reviews.run("open", "581", "--ttl", "2h")
    assert "stays until" in opened.output
    (url,) = stack.urls()
    assert greeting(url) == "tiny version 1"
    row = reviews.listed()[581]
    assert (row["urls"], row["notes"]) == ([url], [])
    platform = yaml.safe_load(stack.config_file.read_text())["config"]["slipway:platform"]
    assert platform["portOffset"] not in {0, TEMPLATE_OFFSET}
    assert reviews.clone.git("status", "--porcelain", "--", stack.config_file.name) == ""

    reviews.write_template(review={"limit": 1})
    refused = reviews.run("open", "582", status=3)
    assert "slipway:review.limit is 1: 581" in refused.output
    assert "is not the number" in reviews.run("close", "581;id", status=2).output

    reviews.note_volumes(581)
    assert reviews.seen
    reviews.freeze(581)
    assert "nothing to remove" in reviews.run("sweep").output
    reviews.end(581)
    assert "Removed the review environment of pull request 581" in reviews.run("sweep").output
    assert reviews.left(581) == []
    assert reviews.listed() == {}
    assert "nothing to remove" in reviews.run("close", "581").output
    assert reviews.left(581) == []


@pytest.mark.soak
@pytest.mark.timeout(SOAK_LIMIT, func_only=True)
def test_of_many_that_were_killed_or_lost_their_hosts_nothing_is_left(reviews: Reviews) -> None:
    moments = random.Random(SEED)
    first = reviews.run("open", "1")
    # The image of the hosts is built once.
    stages = sum(line.startswith(DONE) and "image of hosts" not in line for line in first.output.splitlines())
    assert stages > 1, str(first)
    numbers = range(1, ENVIRONMENTS + 1)
    killed = moments.sample(numbers[1:], KILLED)
    dead = moments.sample([number for number in numbers if number not in killed], DEAD)
    # Two at a time, so that they also meet each other.
    for pair in (numbers[at : at + 2] for at in range(1, ENVIRONMENTS, 2)):
        commands = {number: reviews.start("open", str(number)) for number in pair}
        until = {number: moments.randrange(stages) for number in pair if number in killed}
        for number in sorted(until, key=until.__getitem__):
            kill_after(commands[number], until[number], moments.uniform(0, first.seconds / stages))
            print(f"killed the opening of {number} after stage {until[number]} of {stages}")
        for number, command in commands.items():
            result = command.wait(TOOLS_LIMIT)
            assert result.status == 0 or number in killed, str(result)
    before = reviews.listed()
    offsets = [
        yaml.safe_load(file.read_text())["config"]["slipway:platform"]["portOffset"]
        for number in numbers
        if (file := reviews.stack(number).config_file).exists()
    ]
    assert len(offsets) == len(set(offsets)), "two have the same ports"
    for number in numbers:
        reviews.note_volumes(number)
    for number in dead:
        if number == dead[0]:
            docker("kill", reviews.stack(number).container("box"))
        else:
            reviews.freeze(number)
        assert "box does not run" in reviews.listed()[number]["notes"]
    for number in before:
        if (reviews.clone.root / f".slipway/state/.pulumi/stacks/slipway/pr-{number}.json").exists():
            reviews.end(number)
    # Of one, a sweep itself is killed.
    sweep = reviews.start("sweep")
    time.sleep(moments.uniform(1, 6))
    sweep.kill_everything()
    sweep.wait()
    for number in [one for one in before if one in reviews.listed()]:
        if not (reviews.clone.root / f".slipway/state/.pulumi/stacks/slipway/pr-{number}.json").exists():
            # Killed before its stack was there: by its file, its time has three days to go.
            reviews.run("close", str(number))
    reviews.run("sweep")
    assert {number: left for number in numbers if (left := reviews.left(number))} == {}
    assert reviews.listed() == {}
