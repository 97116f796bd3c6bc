"""The picture of a running stack: what it shows, and that everything in it has room."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.cells import cell_len

from cli.diagram.layout import LETTER, TEXT, Box, Drawing, drawing, wrapped
from cli.diagram.page import COLUMNS, page
from cli.diagram.picture import Node, Picture, State, picture
from cli.running.disk import Disk
from cli.running.host_report import Container, HostReport, Serving
from cli.running.stack import RunningStack

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
IMAGE = "yard:5000/web@sha256:" + "a" * 64
OTHER_IMAGE = "yard:5000/web@sha256:" + "b" * 64


def container(name: str, role: str = "", *, service: str = "", restarts: int = 0) -> Container:
    began = NOW - timedelta(hours=2)
    return Container(name, role, service, "running", 0, False, restarts, began, began, (IMAGE,))


def host(name: str, *served: str, healthy: bool = True, image: str = IMAGE) -> HostReport:
    """What an app host says that serves these services."""
    since = NOW - timedelta(hours=2)
    health = "HTTP 200 on /up" if healthy else "/up times out"
    return HostReport(
        name,
        disks=(Disk("/", 40 * 10**9, 60 * 10**9, 1.0),),
        engine_unit="active",
        engine_version="28.0",
        containers=(
            container("slipway-proxy", "proxy"),
            *(container(f"{one}-1", service=one, restarts=3) for one in served),
        ),
        proxy_answers=True,
        services={one: Serving(one, f"{one}-1", (image,), since, health, healthy) for one in served},
    )


def yard() -> HostReport:
    return HostReport(
        "yard",
        engine_unit="active",
        engine_version="28.0",
        containers=(container("slipway-registry", "registry"),),
    )


def running(reports: dict[str, HostReport], **outputs: Any) -> RunningStack:
    """The stack that these hosts make up; each host but the yard has the service `web`."""
    apps = [name for name in reports if name != "yard"]
    roles = {name: {"roles": ["registry", "build"] if name == "yard" else ["app"]} for name in reports}
    made = {
        "hosts": roles,
        "registryAddress": "yard:5000",
        "serviceUrls": {"web": [f"http://{name}/" for name in apps]},
        "serviceHosts": {"web": apps},
        "serviceEndpoints": {"web": [f"{name}:80" for name in apps]},
        "wantedImages": {"web": IMAGE},
        **outputs,
    }
    return RunningStack(made, reports=reports)


def seen(reports: dict[str, HostReport], **outputs: Any) -> Picture:
    return picture(running(reports, **outputs), [("registry CA", "364 days left", True)], NOW)


def node(found: Picture, key: str) -> Node:
    return next(node for node in found.nodes if node.key == key)


def edged(**found: bool) -> Picture:
    """A stack with an edge before two app hosts."""
    behind = {"web": {name.replace("_", "-"): found[name] for name in found}}
    reports = {"edge": replace(host("edge"), behind=behind)}
    reports |= {name: host(name, "web") for name in ("web-1", "web-2")}
    roles = {name: {"roles": ["edge" if name == "edge" else "app"]} for name in reports}
    return seen(reports, hosts=roles, serviceHosts={"web": ["web-1", "web-2"]})


class TestEdge:
    def test_it_comes_first_and_says_where_services_are_well(self) -> None:
        found = edged(web_1=True, web_2=True)
        assert [one.node.title for one in found.hosts] == ["edge", "web-1", "web-2"]
        assert node(found, "proxy-edge").lines == ("web on web-1, web on web-2",)
        assert found.is_well
        assert node(edged(web_1=True, web_2=False), "proxy-edge").state is State.ILL

    def test_requests_come_to_the_edge_and_from_there_to_app_hosts(self) -> None:
        drawn = drawing(edged(web_1=True, web_2=True), 2)
        boxes = {box.node.key: box for box in drawn.boxes}
        edge, visitors = boxes["host-edge"], boxes["visitors"]
        starts = [line.points[0] for line in drawn.lines if line.kind == "requests" and not line.has_arrow]
        assert [start[1] for start in starts] == [
            visitors.y + visitors.height / 2,
            edge.y + edge.height / 2,
        ]


class TestPicture:
    def test_a_service_shows_its_image_age_health_and_restarts(self) -> None:
        found = node(seen({"web-1": host("web-1", "web"), "yard": yard()}), "service-web-web-1")
        assert found.lines == (
            "sha256:aaaaaaaaaaaa",
            "since 2 h",
            "HTTP 200 on /up",
            "restarted 3 times by itself",
        )
        assert found.state is State.WELL
        assert found.command == "./slip logs web --host web-1"

    @pytest.mark.parametrize(
        ("report", "state", "line"),
        [
            (host("web-1", "web", healthy=False), State.ILL, "/up times out"),
            (
                host("web-1", "web", image=OTHER_IMAGE),
                State.ILL,
                "not the wanted sha256:aaaaaaaaaaaa",
            ),
            (host("web-1"), State.ILL, "does not run here"),
            (
                HostReport("web-1", silence="SSH gives no answer"),
                State.UNKNOWN,
                "unknown: its host does not answer",
            ),
            (
                HostReport("web-1", engine_unit="failed"),
                State.UNKNOWN,
                "unknown: its engine does not answer (docker.service is failed)",
            ),
        ],
    )
    def test_what_is_not_as_wanted_is_no_well_service(
        self, report: HostReport, state: State, line: str
    ) -> None:
        found = seen({"web-1": report, "yard": yard()})
        service = node(found, "service-web-web-1")
        assert service.state is state
        assert line in service.lines
        assert not found.is_well

    def test_a_service_that_only_the_host_knows_is_shown(self) -> None:
        found = seen({"web-1": host("web-1", "web", "old"), "yard": yard()})
        assert node(found, "service-old-web-1").state is State.WELL

    def test_a_full_disk_is_told(self) -> None:
        full = HostReport(
            "yard", disks=(Disk("/", 99 * 10**9, 10**9, 1.0),), engine_unit="active", engine_version="28"
        )
        found = node(seen({"web-1": host("web-1", "web"), "yard": full}), "host-yard")
        assert found.state is State.ILL
        assert "disk /: 99 % used, 1.0 GB free" in found.lines

    def test_a_registry_that_is_missing_is_ill(self) -> None:
        empty = HostReport("yard", engine_unit="active", engine_version="28")
        found = node(seen({"web-1": host("web-1", "web"), "yard": empty}), "registry-yard")
        assert (found.state, found.lines) == (State.ILL, ("yard:5000", "is missing"))

    def test_a_certificate_that_is_not_valid_makes_the_picture_ill(self) -> None:
        good = running({"web-1": host("web-1", "web"), "yard": yard()})
        assert picture(good, [("registry", "364 days left", True)], NOW).is_well
        assert not picture(good, [("registry", "expired 2 days ago", False)], NOW).is_well

    def test_words_from_elsewhere_are_cleaned(self) -> None:
        silent = HostReport("web-1", silence="SSH says \x1b[2Jhello")
        assert "\x1b" not in "".join(node(seen({"web-1": silent}), "host-web-1").lines)


def fleet_of(count: int) -> dict[str, HostReport]:
    return {f"web-{number}": host(f"web-{number}", "web") for number in range(1, count + 1)}


SHAPES = {
    "three hosts": {**fleet_of(2), "yard": yard()},
    "eight hosts": {**fleet_of(8), "yard": yard()},
    "many services": {
        "web-1": host("web-1", "web", *(f"worker-{number}" for number in range(9))),
        "yard": yard(),
    },
    "a silent host": {
        **fleet_of(1),
        "web-2": HostReport("web-2", silence="SSH refuses " * 20),
        "yard": yard(),
    },
    "long names": {"w" * 63: host("w" * 63, "web", "s" * 63), "yard": yard()},
    "wide letters": {"web-1": HostReport("web-1", silence="接続が拒否されました" * 8), "yard": yard()},
}


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.bottom
        and other.y < one.bottom
    )


def contains(outer: Box, inner: Box) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.bottom <= outer.bottom
    )


def crossed(drawn: Drawing) -> list[str]:
    """The boxes that a line from elsewhere runs through."""
    found = []
    for line in drawn.lines:
        for (x0, y0), (x1, y1) in zip(line.points, line.points[1:], strict=False):
            for box in drawn.boxes:
                inside = (
                    max(x0, x1) > box.x + 1
                    and min(x0, x1) < box.x + box.width - 1
                    and max(y0, y1) > box.y + 1
                    and min(y0, y1) < box.bottom - 1
                )
                # The lines of a host's proxy run within the host.
                within = box.is_host and all(
                    box.x <= x <= box.x + box.width and box.y <= y <= box.bottom for x, y in line.points
                )
                if inside and not within:
                    found.append(box.node.key)
    return found


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("shape", SHAPES)
class TestLayout:
    def test_no_box_lies_on_another(self, shape: str, columns: int) -> None:
        boxes = drawing(seen(SHAPES[shape]), columns).boxes
        for number, one in enumerate(boxes):
            for other in boxes[number + 1 :]:
                assert not overlap(one, other) or (one.is_host and contains(one, other)), (one, other)

    def test_everything_is_inside(self, shape: str, columns: int) -> None:
        drawn = drawing(seen(SHAPES[shape]), columns)
        places = [point for line in drawn.lines for point in line.points]
        places += [(box.x + box.width, box.bottom) for box in drawn.boxes]
        assert all(0 <= x <= drawn.width and 0 <= y <= drawn.height for x, y in places)

    def test_every_line_fits_into_its_box(self, shape: str, columns: int) -> None:
        for box in drawing(seen(SHAPES[shape]), columns).boxes:
            assert all(cell_len(line) * TEXT * LETTER <= box.width for line in box.lines), box.lines

    def test_no_line_runs_through_a_box(self, shape: str, columns: int) -> None:
        assert crossed(drawing(seen(SHAPES[shape]), columns)) == []

    def test_every_box_of_the_picture_is_drawn(self, shape: str, columns: int) -> None:
        found = seen(SHAPES[shape])
        drawn = {box.node.key for box in drawing(found, columns).boxes}
        assert drawn == {node.key for node in found.nodes} - {node.key for node in found.certificates}


def test_one_column_fits_into_a_phone() -> None:
    assert drawing(seen(SHAPES["three hosts"]), 1).width <= 360


def test_a_single_host_with_everything_is_one_box_with_its_registry() -> None:
    everything = HostReport(
        "box",
        engine_unit="active",
        engine_version="28",
        containers=(*host("box", "web").containers, container("slipway-registry", "registry")),
        proxy_answers=True,
        services=host("box", "web").services,
    )
    outputs = {"hosts": {"box": {"roles": ["app", "registry", "build"]}}}
    found = picture(running({"box": everything}, **outputs), [], NOW)
    drawn = drawing(found, 3)
    (box,) = [box for box in drawn.boxes if box.is_host]
    assert contains(box, next(box for box in drawn.boxes if box.node.title == "registry"))
    assert not [line for line in drawn.lines if line.kind == "images" and line.has_arrow]


def test_an_external_registry_has_a_box_outside_of_the_hosts() -> None:
    found = seen(fleet_of(2), registryMode="external", registryAddress="registry.example.com")
    drawn = drawing(found, 2)
    outside = next(box for box in drawn.boxes if box.node.key == "registry")
    assert outside.lines == ("registry.example.com",)
    assert len([line for line in drawn.lines if line.kind == "images" and line.has_arrow]) == 2


@pytest.mark.parametrize("width", [1, 30, 268])
def test_text_is_broken_so_that_it_fits(width: float) -> None:
    text = "SSH at 127.0.0.1:2201 refuses connections " + "x" * 100
    lines = wrapped(text, width, TEXT)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(len(line) <= max(1, int(width / (TEXT * LETTER))) for line in lines)


class Reader(HTMLParser):
    """Collects what a page asks a browser for."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = {name: value or "" for name, value in attrs}
        self.links += [found[name] for name in ("href", "src", "xlink:href") if name in found]
        self.ids += [found["id"]] if "id" in found else []

    def handle_data(self, data: str) -> None:
        self.text += data


class TestPage:
    def read(self, found: Picture) -> Reader:
        reader = Reader()
        reader.feed(page(found))
        return reader

    def test_it_asks_for_nothing_else_and_runs_nothing(self) -> None:
        reader = self.read(seen(SHAPES["eight hosts"]))
        assert all(link.startswith("#") for link in reader.links)
        assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
        assert "url(" not in page(seen(SHAPES["eight hosts"]))

    def test_each_box_leads_to_a_row_with_its_command(self) -> None:
        found = seen(SHAPES["three hosts"])
        reader = self.read(found)
        assert {link[1:] for link in reader.links} <= set(reader.ids)
        assert len(reader.ids) == len(set(reader.ids))
        assert all(node.command in reader.text for node in found.nodes)

    def test_words_of_a_host_cannot_become_elements(self) -> None:
        hostile = HostReport("web-1", silence="<script>alert(1)</script>")
        reader = self.read(seen({"web-1": hostile, "yard": yard()}))
        assert "script" not in reader.tags
        assert "<script>alert(1)</script>" in reader.text
