"""What all models of settings have in common."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

PlatformKind = Literal["local", "aws"]
"""Containers on this machine's own Docker Engine, or EC2 instances."""

STAND_IN = "a-stand-in-for-what-is-encrypted"
"""What counts as the value of a secret where only its ciphertext is known. Valid as a password and as a secret."""


class Settings(BaseModel):
    """Settings that belong together. Their keys are in camelCase, unknown keys are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        hide_input_in_errors=True,
    )


@dataclass(frozen=True)
class OnlyOn:
    """Marks a setting that one kind of platform reads and all others refuse.

    The check and the reference both read this mark; a docstring does not repeat it.
    """

    kind: PlatformKind


T = TypeVar("T")

OnLocal = Annotated[T, OnlyOn("local")]
OnAws = Annotated[T, OnlyOn("aws")]


def platform_of(setting: FieldInfo) -> PlatformKind | None:
    """The kind of platform that a setting is marked for; None if every platform reads it."""
    return next((mark.kind for mark in setting.metadata if isinstance(mark, OnlyOn)), None)
