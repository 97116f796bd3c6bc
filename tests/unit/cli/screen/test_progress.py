"""The lines of a running update."""

import pytest

from cli.screen.events import Began, Done, Event, Failed, Message
from cli.screen.progress import Progress
from tests.unit.cli.screen import recordings
from tests.unit.cli.screen.recordings import step

CONTAINER = "slipway:index:Service$docker:index/container:Container::web-web-1"
SWITCH = "slipway:index:Service$command:remote:Command::web-web-1-switch"
SETUP = "slipway:index:DockerEngine$command:remote:Command::web-1-setup"
MACHINE = "slipway:hosts:LocalPlatform$docker:index/container:Container::web-1"
IMAGE = "slipway:index:AppImage$docker:index/image:Image::web-image"


class Screen:
    """Collects the lines. Each event takes a second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.progress = Progress(lambda *line: self.lines.append(" ".join(line)), clock=lambda: self.now)

    def take(self, *events: Event) -> list[str]:
        for event in events:
            self.now += 1
            self.progress.take(event)
        return self.lines


def test_a_first_update_tells_hosts_registry_images_and_services() -> None:
    lines = Screen().take(*recordings.events("first"))
    whom = [line.split(" ", 1)[1] for line in lines]
    for start in (
        "host yard ready after ",
        "host web-1 ready after ",
        "registry runs, ready after ",
        "image web built in ",
        "web on web-1 healthy after ",
        "web on web-2 healthy after ",
    ):
        assert any(line.startswith(start) for line in whom), lines
    assert all(line.startswith("✓ ") for line in lines)
    assert len(lines) < 20


def test_a_change_tells_what_is_new_what_stays_and_what_it_replaced() -> None:
    lines = Screen().take(*recordings.events("change"))
    assert [line.partition(" after")[0].partition(" in ")[0] for line in lines] == [
        "✓ image web-base unchanged",
        "✓ image web built",
        "✓ web on web-1 new version healthy",
        "✓ web on web-2 new version healthy",
    ]
    assert all(line.endswith(", old one drained") for line in lines[2:])


def test_nothing_is_told_where_nothing_changes() -> None:
    assert Screen().take(*recordings.events("no-change")) == []


@pytest.mark.parametrize("name", ["unhealthy", "failed-build"])
def test_a_failed_step_is_marked(name: str) -> None:
    lines = Screen().take(*recordings.events(name))
    assert [line.partition(" failed")[0] for line in lines if line.startswith("✗")] == [
        {"unhealthy": "✗ web on web-1", "failed-build": "✗ image web"}[name]
    ]


@pytest.mark.parametrize(
    ("operation", "changed", "expected"),
    [
        ("create", "", "healthy after 1.0 s"),
        ("create-replacement", "image", "new version healthy after 1.0 s, old one drained"),
        ("create-replacement", "envs", "new container healthy after 1.0 s, old one drained"),
    ],
)
def test_the_words_for_a_container(operation: str, changed: str, expected: str) -> None:
    container = step(operation, CONTAINER, "web", changed=changed)
    switch = step("update", SWITCH, "web")
    lines = Screen().take(Began(container), Done(container), Began(switch), Done(switch))
    assert lines == [f"✓ web on web-1 {expected}"]


def test_the_switch_may_say_itself_when_it_was_healthy() -> None:
    container, switch = step("create", CONTAINER, "web"), step("create", SWITCH, "web")
    said = Message(switch.urn, "info", "slipway: healthy after 0.4 s, drained after 12 s\n", True)
    lines = Screen().take(Began(container), Done(container), Began(switch), said, Done(switch))
    assert lines == ["✓ web on web-1 healthy after 0.4 s"]


def test_a_switch_without_a_new_container_changes_its_route_only() -> None:
    switch = step("update", SWITCH, "web")
    assert Screen().take(Began(switch), Done(switch)) == ["✓ web on web-1 checked and routed again, 1.0 s"]


def test_a_host_is_ready_after_the_time_since_its_machine_began() -> None:
    machine, setup = step("create", MACHINE, "hosts"), step("create", SETUP, "web-1")
    lines = Screen().take(Began(machine), Done(machine), Began(setup), Done(setup))
    assert lines == ["✓ host web-1 ready after 3.0 s"]


def test_a_warning_is_shown_once() -> None:
    warning = Message("", "warning", "the registry speaks plain HTTP\n")
    assert Screen().take(warning, warning) == ["! warning the registry speaks plain HTTP"]


def test_an_unknown_resource_is_told_by_type_and_name() -> None:
    bucket = step("update", "aws:s3/bucket:Bucket::mine")
    assert Screen().take(Began(bucket), Done(bucket)) == ["✓ aws:s3/bucket:Bucket mine changed, 1.0 s"]


def test_what_is_going_on_is_the_longest_running_step() -> None:
    screen = Screen()
    assert screen.progress.current == "comparing what is there with the configuration"
    image, setup = step("create", IMAGE, "web"), step("create", SETUP, "web-1")
    screen.take(Began(image), Began(setup), Message(image.urn, "info", "[2/4] RUN make", True))
    assert screen.progress.current == "image web: building: [2/4] RUN make (and 1 more)  2.0 s"
    screen.take(Message(image.urn, "info", "Pushing Image to the registry", True))
    assert screen.progress.current.startswith("image web: pushing (and 1 more)")
    screen.take(Failed(image))
    assert screen.progress.current == "host web-1: setting up Docker Engine  3.0 s"


def test_without_a_status_line_a_slow_step_has_one_line() -> None:
    screen = Screen()
    screen.take(Began(step("create", SETUP, "web-1")))
    screen.progress.tell_slow()
    assert screen.lines == []
    screen.now += 11
    screen.progress.tell_slow()
    screen.progress.tell_slow()
    assert screen.lines == ["… host web-1 setting up Docker Engine"]


def test_a_slow_push_has_a_line_beside_that_of_a_slow_build() -> None:
    screen = Screen()
    image = step("create", IMAGE, "web")
    screen.take(Began(image), Message(image.urn, "info", "[2/4] RUN make", True))
    screen.now += 11
    screen.progress.tell_slow()
    screen.take(Message(image.urn, "info", "Pushing Image to the registry", True))
    screen.progress.tell_slow()
    assert screen.lines == ["… image web building: [2/4] RUN make"]
    screen.now += 11
    screen.progress.tell_slow()
    screen.progress.tell_slow()
    assert screen.lines[1:] == ["… image web pushing"]
