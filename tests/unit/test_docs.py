"""README, CONTRIBUTING and `docs/` say what is so: commands, settings, outputs, paths and links."""

import asyncio
import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pulumi
import pytest
from pydantic import TypeAdapter

from configuration import reference
from dev import reference_pages
from tests.unit.program import ROOT, Secret, run

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "plugins/README.md",
    ROOT / "examples/consumer/README.md",
    ROOT / "examples/postgres-app/README.md",
    ROOT / "examples/erddap/README.md",
    *DOCS,
]
IN_CLONE = re.compile(
    r"`((?:app|bench|cli|components|configuration|dev|dockerfiles|docs|emulation|examples|plugins|stackfile|tests|toolchain)/[\w./*-]*"
    r"|[\w.-]+\.(?:py|toml|txt|ya?ml)|\.ci/\w+)`"
)
"""A path in the clone, as the pages write one."""
MADE = {"Pulumi.local.yaml", "Pulumi.review.yaml", "config.yml"}
"""Files that the pages name and that are not in git."""


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", reference_pages.PAGES)
def test_a_generated_page_is_current(page: str) -> None:
    hint = "run `make reference`"
    assert (ROOT / "docs" / page).read_text() == reference_pages.current(page), hint


def test_a_page_without_markers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_pages, "DOCS", tmp_path)
    (tmp_path / "outputs.md").write_text(f"# Outputs\n{reference_pages.BEGIN}")
    with pytest.raises(ValueError, match=r"docs/outputs\.md lacks a marker .*end of the generated part"):
        reference_pages.current("outputs.md")


def test_the_outputs_are_described_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.output_reference import SECRET, StackOutputs

    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])
    outputs = run().outputs
    plain = {key: value.value if isinstance(value, Secret) else value for key, value in outputs.items()}
    TypeAdapter(StackOutputs).validate_python(plain, strict=True, extra="forbid")
    marks = {key: annotation.__metadata__ for key, annotation in StackOutputs.__annotations__.items()}
    assert {key for key, mark in marks.items() if SECRET in mark} == {
        key for key, value in outputs.items() if isinstance(value, Secret)
    }


def test_the_consumers_helper_is_current() -> None:
    from dev import consumer_helper

    assert consumer_helper.FILE.read_text(encoding="utf-8") == consumer_helper.text(), "run `make reference`"


class _Stack(pulumi.runtime.Mocks):
    """A stack with the program's own outputs, for whoever refers to it."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        assert args.name == "organization/slipway/test"
        plain = {
            key: value.value if isinstance(value, Secret) else value for key, value in self.outputs.items()
        }
        secret = [key for key, value in self.outputs.items() if isinstance(value, Secret)]
        return args.name, {"outputs": plain, "secretOutputNames": secret}

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        raise AssertionError(args.token)


def test_a_consumer_reads_every_output_by_the_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.output_reference import SECRET, StackOutputs
    from dev import consumer_helper

    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])
    outputs = run().outputs
    helper = runpy.run_path(str(consumer_helper.FILE))["SlipwayOutputs"]
    keys = {consumer_helper.snake(key): key for key in StackOutputs.__annotations__}
    assert {name for name, value in vars(helper).items() if isinstance(value, property)} == keys.keys()
    assert set(keys.values()) == outputs.keys()
    found: dict[str, tuple[Any, bool]] = {}

    async def read() -> None:
        slipway = helper("organization/slipway/test")
        for name in keys:
            output = getattr(slipway, name)
            found[name] = (await output.future(), await output.is_secret())

    pulumi.runtime.set_mocks(_Stack(outputs), project="consumer", stack="test")
    asyncio.get_event_loop().run_until_complete(read())
    for name, (value, is_secret) in found.items():
        key = keys[name]
        expected = outputs[key]
        assert (
            is_secret
            == (SECRET in StackOutputs.__annotations__[key].__metadata__)
            == isinstance(expected, Secret)
        )
        assert value == (expected.value if isinstance(expected, Secret) else expected), name


def _commands(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """The words and the options of each `./slip` in a page, up to where the shell's or the page's text goes on."""
    for call in re.findall(r"\./slip ((?:[^`\n|;&>#)]|\.\.\.)*)", text):
        own, _, _ = call.partition(" -- ")
        words = re.match(r"(?:[a-z]+(?:-[a-z]+)*)?(?: [a-z]+)?", own)
        yield (words[0].split() if words else []), re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", own)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_and_their_options_exist(page: Path) -> None:
    import typer.main

    from cli.app import app

    root: Any = typer.main.get_command(app)
    for words, options in _commands(page.read_text()):
        command = root
        for word in words:
            if hasattr(command, "commands"):
                assert word in command.commands, f"{name(page)}: ./slip {' '.join(words)}"
                command = command.commands[word]
        known = {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        known |= {"-h", "--help", "--install-completion", "--python"}
        assert set(options) <= known, f"{name(page)}: ./slip {' '.join(words)}"


def test_the_readme_shows_the_commands_of_each_day() -> None:
    shown = {words[0] for words, _ in _commands((ROOT / "README.md").read_text()) if words}
    assert {
        "up",
        "preview",
        "verify",
        "logs",
        "images",
        "login",
        "account",
        "output",
        "forget",
        "down",
    } <= shown


def test_the_readme_shows_the_end_of_up(capsys: pytest.CaptureFixture[str]) -> None:
    from cli import outputs
    from cli.stack.config import StackConfig

    state = {"registryPublicAddress": "127.0.0.1:5000"}
    answers = [(f"web on web-{number}", f"http://127.0.0.1:808{number}/", "healthy") for number in (1, 2)]
    stack: Any = SimpleNamespace(
        name="local",
        option="",
        edited_file=Path("Pulumi.local.yaml"),
        config=StackConfig.read(ROOT / "cli/stack/local-stack.yaml", "slipway"),
    )
    outputs.summary(stack, state, answers)
    # A terminal has frames in place of the colons.
    without_frames = re.compile(r"[─:\s]")
    printed = without_frames.sub("", capsys.readouterr().out)
    assert printed in without_frames.sub("", (ROOT / "README.md").read_text())


def test_the_mistakes_read_as_the_page_shows_them() -> None:
    from configuration.load import validate
    from configuration.problems import SettingsError
    from configuration.stack_file import with_line
    from stackfile.document import Document

    service = {"build": {"context": "app/base"}, "port": 80000, "health": "up"}
    with pytest.raises(SettingsError) as caught:
        validate({"services": {"web": service}, "passwords": {"hosts": "p" * 16}}, ROOT)
    written = Document.parse(b"config:\n  slipway:services:\n    web:\n      port: 80000\n      health: up\n")
    shown = [f"  {with_line(problem, written, 'local')}\n" for problem in caught.value.problems]
    assert "nothing was touched:\n" + "".join(shown) + "```" in (ROOT / "docs/configuration.md").read_text()


def test_the_failed_roll_out_reads_as_the_readme_shows_it() -> None:
    names = ("switch.sh", "watch.sh")
    script = "".join((ROOT / "components/scripts" / name).read_text() for name in names)
    shown = re.search(
        r"^error: web on web-1: it crashed with exit code 1, (.+)\n  (.+)\n  (.+)\n  \| (?:.|\n)+?^(Correct .+)$",
        (ROOT / "README.md").read_text(),
        re.MULTILINE,
    )
    assert shown
    *messages, remedy = shown.groups()
    for message in messages:
        assert f'{message}"' in script
    assert remedy == "Correct the app or its settings, then run `./slip up` again."


@cache
def _settings() -> frozenset[str]:
    """The paths of all settings, without the names that people give to hosts and services."""
    paths = [row.path.removeprefix("slipway:") for row in reference.rows()]
    return frozenset(re.sub(r"\.(HOST|SERVICE)\b|\[\]", "", path) for path in paths)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_settings_exist(page: Path) -> None:
    tops = "|".join(sorted({key.partition(".")[0] for key in _settings()}))
    # `slipway:secrets.NAME` is whatever people call it, and `certificates.py` a file.
    for path in re.findall(rf"`(?:slipway:)?((?:{tops})\.(?!py\b)[A-Za-z.]+)`", page.read_text()):
        plain = re.sub(r"\.(HOST|SERVICE)\b", "", path)
        assert plain in _settings() or path.startswith(("passwords.", "secrets.")), f"{name(page)}: {path}"


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"], ids=name)
def test_the_paths_in_the_clone_exist(page: Path) -> None:
    paths = set(IN_CLONE.findall(page.read_text())) - MADE
    assert len(paths) >= 15
    scripts = ROOT / "components/scripts"
    missing = [path for path in paths if not (ROOT / path).exists() and not (scripts / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS], ids=name)
def test_the_targets_of_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)) <= targets


def test_where_to_add_what_names_a_path_in_each_row() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where to add what")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith(("| a ", "| an "))]
    assert len(rows) >= 10
    assert all(IN_CLONE.search(row) for row in rows)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in _anchors(target), f"{name(page)}: {link}"


def test_each_page_is_in_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert {page.name for page in DOCS} <= set(re.findall(r"[\w-]+\.md", navigation))


def test_the_page_that_an_error_names_has_what_it_says() -> None:
    from cli.registry.docker_command import BY_HAND

    page, heading = re.findall(r'(docs/\S+\.md), under "([^"]+)"', BY_HAND)[0]
    assert f"\n## {heading}\n" in (ROOT / page).read_text()


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/security.md").read_text()))
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    known = {name for text in sources for name in re.findall(r"^ *def (test_\w+)\(", text, re.MULTILINE)}
    assert named, "the page names no test"
    assert sorted(named - known) == []
