"""Where each box and line of a picture is. Pure functions.

Hosts stand in rows. Above each row a line brings the visitors' requests, below it one brings the images and one the
operator's commands. So no line crosses a box, however many hosts there are.
"""

import textwrap
from dataclasses import dataclass, field

from cli.diagram.picture import Host, Node, Picture

GUTTER = 28.0
"""Pixels at the left and at the right, where the lines run between the rows."""
COLUMN, GAP = 288.0, 20.0
"""Pixels: the width of a host, and the distance between two. With both gutters, one column fits into a phone's 360."""
ROW_GAP = 64.0
"""Pixels between two rows: room for the three lines."""
PADDING = 10.0
TITLE, TEXT = 14.0, 12.0
"""Sizes of letters in pixels."""
LETTER = 0.61
"""The width of a letter of a fixed-width typeface, as a share of its size: 0.55 (Consolas) to 0.61 (DejaVu)."""
LEADING = 1.4
"""The distance of two lines of text, as a share of their size."""
REQUESTS, COMMANDS, IMAGES = 8.0, 18.0, 8.0
"""How far from the left, the left and the right edge the lines between the rows are."""


@dataclass(frozen=True)
class Box:
    """A box at its place, in pixels from the left upper corner."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    """Its facts, broken so that they fit."""
    is_host: bool = False

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """Half-way between its left and its right side."""
        return self.x + self.width / 2


@dataclass(frozen=True)
class Line:
    """A line between boxes, by its corners. It ends with an arrow, if it leads to a box."""

    points: tuple[tuple[float, float], ...]
    kind: str
    """`requests`, `images` or `commands`."""
    has_arrow: bool = True


@dataclass(frozen=True)
class Label:
    """A word beside a line."""

    x: float
    y: float
    text: str
    is_at_end: bool = False
    """Whether the text ends at the place, instead of beginning there."""


@dataclass
class Drawing:
    """A picture with a place for everything."""

    width: float
    height: float = 0.0
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


def drawing(picture: Picture, columns: int) -> Drawing:
    """Place everything of a picture.

    Args:
        picture: what to draw.
        columns: how many hosts may stand beside each other, at least 1.

    """
    columns = max(1, min(columns, len(picture.hosts)))
    made = Drawing(2 * GUTTER + columns * COLUMN + (columns - 1) * GAP)
    visitors = _add(made, picture.visitors, GUTTER, 8.0, COLUMN)
    registry_host = picture.registry_host
    apart = registry_host if registry_host and not registry_host.services else None
    shown = [host for host in picture.hosts if host is not apart]
    edges = _rows([host for host in shown if host.is_edge], columns)
    rows = edges + _rows([host for host in shown if not host.is_edge], columns)
    y = visitors.bottom + ROW_GAP
    ends: list[float] = []
    behind: list[float] = []
    edge: Box | None = None
    for row in rows:
        boxes = [_host(made, host, GUTTER + at * (COLUMN + GAP), y) for at, host in enumerate(row)]
        bottom = max(box.bottom for box in boxes)
        served = [box for box, host in zip(boxes, row, strict=True) if host.proxy or host.services]
        _lead(made, served, y - 14)
        if served:
            (behind if edges and row not in edges else ends).append(y - 14)
        if row in edges:
            edge = boxes[0]
        pulling = [(box, host is not registry_host) for box, host in zip(boxes, row, strict=True)]
        _rise(made, pulling, bottom)
        _command(made, boxes, bottom)
        y = bottom + ROW_GAP
    _requests_from(made, visitors, ends)
    if edge:
        _requests_from(made, edge, behind)
    source = None
    if apart:
        source = _host(made, apart, GUTTER, y)
    elif picture.external_registry:
        source = _add(made, picture.external_registry, GUTTER, y, COLUMN)
    if source:
        _images_from(made, source)
        if apart:
            _command(made, [source], source.bottom)
        y = source.bottom + ROW_GAP
    operator = _add(made, picture.operator, GUTTER, y, COLUMN)
    _commands_from(made, operator)
    made.height = operator.bottom + 8
    return made


def _rows(hosts: list[Host], columns: int) -> list[list[Host]]:
    return [hosts[at : at + columns] for at in range(0, len(hosts), columns)]


def wrapped(text: str, width: float, size: float) -> list[str]:
    """A text in lines that fit into a width.

    Args:
        text: the text.
        width: pixels.
        size: of its letters, in pixels.

    """
    from rich.cells import cell_len, chop_cells

    letters = max(1, int(width / (size * LETTER)))
    lines = textwrap.wrap(text, letters, break_on_hyphens=False) or [""]
    # Letters of some scripts are two columns wide.
    return [
        part for line in lines for part in (chop_cells(line, letters) if cell_len(line) > letters else [line])
    ]


def _size(node: Node, width: float) -> tuple[tuple[str, ...], float]:
    lines = tuple(line for fact in node.lines for line in wrapped(fact, width - 2 * PADDING, TEXT))
    return lines, 2 * PADDING + TITLE * LEADING + len(lines) * TEXT * LEADING


def _add(made: Drawing, node: Node, x: float, y: float, width: float) -> Box:
    lines, height = _size(node, width)
    box = Box(node, x, y, width, height, lines)
    made.boxes.append(box)
    return box


def _host(made: Drawing, host: Host, x: float, y: float) -> Box:
    """Place a host with what runs there. Its own box is drawn first, since the others lie on it."""
    lines, height = _size(host.node, COLUMN)
    at = len(made.boxes)
    inner, left, below = COLUMN - 3 * PADDING, x + 2 * PADDING, y + height
    proxy = None
    for node in [host.proxy, *host.services, host.registry]:
        if node is None:
            continue
        box = _add(made, node, left, below, inner)
        if node is host.proxy:
            proxy = box
        elif proxy and node is not host.registry:
            middle = box.y + box.height / 2
            start = (left - 8, proxy.y + proxy.height / 2)
            made.lines.append(
                Line(
                    ((left, start[1]), start, (left - 8, middle), (left, middle)),
                    "requests",
                )
            )
        below = box.bottom + PADDING
    own = Box(host.node, x, y, COLUMN, below - y, lines, is_host=True)
    made.boxes.insert(at, own)
    return own


def _lead(made: Drawing, boxes: list[Box], y: float) -> None:
    """Lead the requests' line from the left edge to the top of each box."""
    for box in boxes:
        made.lines.append(Line(((REQUESTS, y), (box.middle, y), (box.middle, box.y)), "requests"))


def _requests_from(made: Drawing, visitors: Box, heights: list[float]) -> None:
    if heights:
        middle = visitors.y + visitors.height / 2
        points = ((visitors.x, middle), (REQUESTS, middle), (REQUESTS, max(heights)))
        made.lines.append(Line(points, "requests", has_arrow=False))
        made.labels.append(Label(REQUESTS + 6, heights[0] - 5, "requests"))


def _rise(made: Drawing, boxes: list[tuple[Box, bool]], bottom: float) -> None:
    """Lead the images' line from the right edge to the bottom of each box. A host's own registry gives them."""
    y, edge = bottom + 14, made.width - IMAGES
    for box, is_pulling in boxes:
        at = box.middle + 24
        points = ((edge, y), (at, y), (at, box.bottom))
        made.lines.append(Line(points, "images", has_arrow=is_pulling))


def _images_from(made: Drawing, source: Box) -> None:
    edge, middle = made.width - IMAGES, source.y + source.height / 2
    heights = [line.points[0][1] for line in made.lines if line.kind == "images"]
    if heights:
        made.lines.append(
            Line(
                ((source.x + source.width, middle), (edge, middle), (edge, min(heights))),
                "images",
                has_arrow=False,
            )
        )
        made.labels.append(Label(edge - 6, max(heights) + 12, "images by digest", is_at_end=True))


def _command(made: Drawing, boxes: list[Box], bottom: float) -> None:
    y = bottom + 30
    for box in boxes:
        at = box.middle - 24
        made.lines.append(Line(((COMMANDS, y), (at, y), (at, box.bottom)), "commands"))


def _commands_from(made: Drawing, operator: Box) -> None:
    middle = operator.y + operator.height / 2
    highest = min((line.points[0][1] for line in made.lines if line.kind == "commands"), default=middle)
    points = ((operator.x, middle), (COMMANDS, middle), (COMMANDS, highest))
    made.lines.append(Line(points, "commands", has_arrow=False))
    made.labels.append(Label(COMMANDS + 6, operator.y - 12, "commands"))
