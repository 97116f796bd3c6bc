"""The page with the picture: HTML that needs no other file, no network and no script."""

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from cli.diagram.layout import LEADING, LETTER, PADDING, TEXT, TITLE, Box, Drawing, Line, drawing
from cli.diagram.picture import Node, Picture, State

COLUMNS = (1, 2, 3)
"""The page holds the picture once for each, and shows the widest that fits."""

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbf8; --box: #fff; --host: #f0f1ec; --ink: #1d2025; --soft: #5b626b;
  --edge: #b9bdb5; --well: #1a7f37; --ill: #c0232c; --unknown: #8a6d00; --requests: #1f5fbf; --images: #7a3fb0;
  --commands: #5b626b; }
@media (prefers-color-scheme: dark) { :root { --ground: #15171a; --box: #23262b; --host: #1b1e22; --ink: #e9eaec;
  --soft: #a2a9b2; --edge: #474d55; --well: #57c07a; --ill: #ff7b82; --unknown: #e0bd4f; --requests: #7fb0ff;
  --images: #c99bf2; --commands: #a2a9b2; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 12px 0; }
h1, h2, p, table { margin-left: 12px; margin-right: 12px; }
h1 { font-size: 20px; margin-bottom: 4px; } h2 { font-size: 16px; } p { color: var(--soft); margin-top: 0; }
svg { display: none; margin: 0 auto; max-width: 100%; height: auto; }
svg text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--ink); }
svg .fact { fill: var(--soft); } svg .label { fill: var(--soft); font-size: 11px; }
svg rect { fill: var(--box); stroke: var(--edge); } svg rect.host { fill: var(--host); }
svg .line { fill: none; stroke-width: 1.5; }
.requests { stroke: var(--requests); } .images { stroke: var(--images); }
.commands { stroke: var(--commands); stroke-dasharray: 3 3; }
path.requests.head { fill: var(--requests); } path.images.head { fill: var(--images); }
path.commands.head { fill: var(--commands); }
.well, svg .well { color: var(--well); fill: var(--well); } .ill, svg .ill { color: var(--ill); fill: var(--ill); }
.unknown, svg .unknown { color: var(--unknown); fill: var(--unknown); }
svg rect.ill-box { stroke: var(--ill); stroke-width: 2; } svg rect.unknown-box { stroke-dasharray: 4 3; }
table { border-collapse: collapse; width: calc(100% - 24px); table-layout: fixed; }
td { border-top: 1px solid var(--edge); padding: 6px 8px 6px 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { width: 34%; } code { font: 13px ui-monospace, Menlo, Consolas, monospace; display: block; }
tr:target { background: var(--host); outline: 2px solid var(--requests); }
"""


def page(picture: Picture) -> str:
    """The page, as HTML."""
    drawings = {columns: drawing(picture, columns) for columns in COLUMNS}
    html = _element("html", lang="en")
    head = _under(html, "head")
    _under(head, "meta", charset="utf-8")
    _under(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _under(head, "title").text = f"Slipway: the stack {picture.stack}"
    _under(head, "style").text = STYLE + _shown(drawings)
    main = _under(_under(html, "body"), "main")
    _under(main, "h1").text = f"The stack {picture.stack}"
    _under(main, "p").text = (
        f"What the hosts said on {picture.taken:%Y-%m-%d at %H:%M:%S} UTC. "
        "✓ works, ✗ does not, ? is unknown. Each box leads to its command."
    )
    for columns, drawn in drawings.items():
        main.append(_svg(picture, drawn, columns))
    parts = [node for node in picture.nodes if node not in picture.certificates]
    _table(main, "Parts", parts)
    if picture.certificates:
        _table(main, "Certificates", picture.certificates)
    return "<!DOCTYPE html>\n" + ET.tostring(html, encoding="unicode", method="html") + "\n"


def _shown(drawings: dict[int, Drawing]) -> str:
    """The rules by which a window shows the widest picture that fits."""
    rules = [".columns-1 { display: block; }"]
    for columns, drawn in list(drawings.items())[1:]:
        others = ", ".join(f".columns-{other}" for other in drawings if other != columns)
        rules.append(
            f"@media (min-width: {drawn.width + 20:.0f}px) {{ {others} {{ display: none; }} "
            f".columns-{columns} {{ display: block; }} }}"
        )
    return "\n".join(rules)


def _element(tag: str, **attributes: str) -> ET.Element:
    return ET.Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})


def _under(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    child = _element(tag, **attributes)
    parent.append(child)
    return child


def _svg(picture: Picture, drawn: Drawing, columns: int) -> ET.Element:
    svg = _element(
        "svg",
        class_=f"columns-{columns}",
        width=f"{drawn.width:g}",
        height=f"{drawn.height:g}",
        viewBox=f"0 0 {drawn.width:g} {drawn.height:g}",
        role="img",
        aria_label=f"The hosts of the stack {picture.stack}, and what runs on them",
    )
    for box in drawn.boxes:
        if box.is_host:
            _box(svg, box)
    for line in drawn.lines:
        _line(svg, line)
    for box in drawn.boxes:
        if not box.is_host:
            _box(svg, box)
    for label in drawn.labels:
        anchor = "end" if label.is_at_end else "start"
        text = _under(svg, "text", x=f"{label.x:g}", y=f"{label.y:g}", class_="label", text_anchor=anchor)
        text.text = label.text
    return svg


def _box(svg: ET.Element, box: Box) -> None:
    node = box.node
    link = _under(svg, "a", href=f"#{node.key}")
    _under(link, "title").text = "\n".join([node.name, *node.lines, node.command])
    kinds = ["host"] if box.is_host else []
    if node.state in {State.ILL, State.UNKNOWN}:
        kinds.append(f"{node.state.name.lower()}-box")
    _under(
        link,
        "rect",
        x=f"{box.x:g}",
        y=f"{box.y:g}",
        width=f"{box.width:g}",
        height=f"{box.height:g}",
        rx="6",
        class_=" ".join(kinds),
    )
    y = box.y + PADDING + TITLE
    title = _under(
        link, "text", x=f"{box.x + PADDING:g}", y=f"{y:g}", font_size=f"{TITLE:g}", font_weight="600"
    )
    title.text = _short(node.title, box.width)
    if node.state.value:
        sign = _under(
            link,
            "text",
            x=f"{box.x + box.width - PADDING:g}",
            y=f"{y:g}",
            font_size=f"{TITLE:g}",
            text_anchor="end",
            class_=node.state.name.lower(),
        )
        sign.text = node.state.value
    for number, line in enumerate(box.lines, 1):
        fact = _under(
            link,
            "text",
            x=f"{box.x + PADDING:g}",
            y=f"{y + number * TEXT * LEADING:g}",
            font_size=f"{TEXT:g}",
            class_="fact",
        )
        fact.text = line


def _short(title: str, width: float) -> str:
    """A title that fits beside the sign."""
    letters = int((width - 2 * PADDING) / (TITLE * LETTER)) - 2
    return title if len(title) <= letters else f"{title[: letters - 1]}…"


def _line(svg: ET.Element, line: Line) -> None:
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in line.points)
    _under(svg, "path", d=path, class_=f"line {line.kind}")
    if not line.has_arrow:
        return
    (x0, y0), (x, y) = line.points[-2:]
    right, down = (x > x0) - (x < x0), (y > y0) - (y < y0)
    back, side = (x - 7 * right, y - 7 * down), (4 * down, 4 * right)
    corners = [(x, y), (back[0] + side[0], back[1] + side[1]), (back[0] - side[0], back[1] - side[1])]
    _under(
        svg, "path", d="M" + " L".join(f"{a:g} {b:g}" for a, b in corners) + " Z", class_=f"head {line.kind}"
    )


def _table(main: ET.Element, heading: str, nodes: Iterable[Node]) -> None:
    _under(main, "h2").text = heading
    table = _under(main, "table")
    for node in nodes:
        row = _under(table, "tr", id=node.key)
        name = _under(row, "td")
        if node.state.value:
            sign = _under(name, "span", class_=node.state.name.lower())
            sign.text, sign.tail = node.state.value, f" {node.name}"
        else:
            name.text = node.name
        found = _under(row, "td")
        for line in node.lines:
            _under(found, "div").text = line
        if node.command:
            _under(found, "code").text = node.command
