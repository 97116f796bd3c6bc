"""A rule: a function that says what is wrong with a resource. Every file in `policy/rules/` has some."""

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from policy.resource import Resource

FOLDER = Path(__file__).with_name("rules")

Level = Literal["mandatory", "advisory"]
"""Whether a plan that breaks the rule is refused, or only gets a warning."""
Check = Callable[[Resource], Iterable[str]]
"""Yields what is wrong with a resource, and the remedy, in one sentence or two; nothing if all is right."""


@dataclass(frozen=True)
class Rule:
    """A rule."""

    name: str
    """In words with hyphens, unique."""
    description: str
    """What plans keep: the function's docstring."""
    types: tuple[str, ...]
    """The types of the resources that it looks at."""
    level: Level
    check: Check


@dataclass(frozen=True)
class Violation:
    """A resource that breaks a rule."""

    rule: Rule
    resource: Resource
    text: str

    def __str__(self) -> str:
        return f"{self.resource.name}: {self.text} (rule {self.rule.name})"


def rule(*types: str, level: Level = "mandatory") -> Callable[[Check], Rule]:
    """Make a function a rule. Its name and its docstring become the rule's.

    Args:
        types: the types of the resources that it looks at.
        level: whether a plan that breaks it is refused.
    """

    def make(check: Check) -> Rule:
        name = getattr(check, "__name__", "").replace("_", "-")
        return Rule(name, (check.__doc__ or "").strip(), types, level, check)

    return make


@cache
def rules(folder: Path = FOLDER) -> tuple[Rule, ...]:
    """The rules of every file in a folder, by file and place.

    Raises:
        ValueError: two rules have the same name.
    """
    found: dict[str, Rule] = {}
    for path in sorted(folder.glob("*.py")):
        for value in vars(_module(path)).values():
            if isinstance(value, Rule) and found.setdefault(value.name, value) is not value:
                raise ValueError(
                    f"{path.name}: another file has a rule {value.name}, too. Rename one of them."
                )
    return tuple(found.values())


def _module(path: Path) -> object:
    name = f"policy.rules.{path.stem}"
    if name not in sys.modules or Path(str(sys.modules[name].__file__)) != path:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not a file of Python")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def violations(resources: Iterable[Resource], by: Iterable[Rule] | None = None) -> Iterator[Violation]:
    """Every resource that breaks a rule, with what is wrong.

    Args:
        resources: the plan's.
        by: the rules; by default all of them.
    """
    every = rules() if by is None else tuple(by)
    for resource in resources:
        for each in every:
            if resource.type in each.types:
                for text in each.check(resource):
                    yield Violation(each, resource, text)
