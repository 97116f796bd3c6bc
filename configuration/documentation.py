"""What is known of each setting besides its type: its docstring, its default in words, its platform."""

import ast
import functools
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from configuration.base import PlatformKind, Settings, platform_of
from configuration.settings import StackSettings

ROOT = StackSettings


@dataclass(frozen=True, kw_only=True)
class Documentation:
    """The parts of a setting's docstring: what it means, then `Default: …` or `Required …` as the last sentence."""

    meaning: str
    default: str
    """In words, such as ``20`` or `the hosts' platform`; for a setting without a default `required`, and when."""
    platform: PlatformKind | None
    """The platform that reads the setting; None if all do."""

    @property
    def text(self) -> str:
        """All of it in sentences."""
        only = f"Only on `{self.platform}`. " if self.platform else ""
        required = self.default.startswith("required")
        last = f"R{self.default[1:]}" if required else f"Default: {self.default}"
        return f"{only}{self.meaning} {last}."


def models(base: type[Settings] = Settings) -> Iterator[type[Settings]]:
    """Every model of settings. `ROOT` is made of them, so importing `ROOT` has defined all."""
    for model in base.__subclasses__():
        yield model
        yield from models(model)


def documentation(model: type[Settings], field: str) -> Documentation:
    """The documentation of a setting. Its docstring may be in a class that the model derives from."""
    texts = _docstrings()
    text = next(
        texts[owner.__name__][field] for owner in model.__mro__ if field in texts.get(owner.__name__, ())
    )
    parts = re.fullmatch(r"(?P<meaning>.+?) (?:Default: (?P<default>.+)|R(?P<required>equired\b.*))\.", text)
    if parts is None:
        raise ValueError(f"{model.__name__}.{field}: end its docstring with `Default: ….` or `Required ….`")
    default = parts["default"] or f"r{parts['required']}"
    return Documentation(
        meaning=parts["meaning"], default=default, platform=platform_of(model.model_fields[field])
    )


@functools.cache
def _docstrings() -> dict[str, dict[str, str]]:
    """The docstring below each attribute, by class and attribute. Python itself does not keep these."""
    found: dict[str, dict[str, str]] = {}
    for module in dict.fromkeys(model.__module__ for model in models()):
        for node in ast.parse(inspect.getsource(sys.modules[module])).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = dict(_attributes(node))
    return found


def _attributes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, following in zip(node.body, node.body[1:], strict=False):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text).replace("\n", " ")
