"""Markdown that GitHub, GitLab, Gitea and Forgejo show alike, with nothing in it that a foreign text could start.

Names and values come from configurations, images and commits. Text that could be markup, a link or a mention is put
into a code span: the forges make nothing of what is in one.
"""

import html
import re
import unicodedata

_PROSE = re.compile(r"[\w .,;:()/+'…→-]*")
"""Characters that are no markup in the middle of a line."""
_RISKY = re.compile(r"_|://|www\.|\bmailto:", re.IGNORECASE)
"""Emphasis, and what the forges make links of."""
LONGEST = 120
"""Characters of a value that are shown."""


def code(text: str, longest: int = LONGEST) -> str:
    """A code span of one line, cut to a length."""
    line = _line(text, longest).replace("`", "'")
    return f"`{line}`" if line else "(empty)"


def prose(text: str) -> str:
    """A text of one line as it is; a code span if there could be markup in it."""
    line = _line(text, 10 * LONGEST)
    return line if _PROSE.fullmatch(line) and not _RISKY.search(line) else code(line, 10 * LONGEST)


def folded(title: str, lines: list[str]) -> list[str]:
    """Lines that a reader has to open. The forges read Markdown in it after an empty line."""
    return [f"<details><summary>{_html(title)}</summary>", "", *lines, "", "</details>", ""]


def _html(text: str) -> str:
    """A text in HTML. What is no prose is code, in which the forges look for no mentions and no Markdown."""
    line = _line(text, LONGEST)
    if _PROSE.fullmatch(line) and not _RISKY.search(line):
        return line
    escaped = re.sub(r"[^\w\s.,;/&#…-]|_", lambda found: f"&#{ord(found[0])};", html.escape(line))
    return f"<code>{escaped}</code>"


def _line(text: str, longest: int) -> str:
    """One line, without characters that are not seen, such as those that turn the direction of writing."""
    seen = "".join(
        " " if char.isspace() else char
        for char in text
        if char.isspace() or unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Cn"}
    )
    line = " ".join(seen.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
