"""Mistakes in a stack's file that Pulumi does not see: it takes a misspelt key for a key of another program."""

import base64
import binascii
import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stackfile.document import Document, Mistake, show
from well_known import DEFAULT_STACK, NAMESPACE, SETTINGS

OWN_KEYS = ("config", "encryptionsalt", "encryptedkey", "secretsprovider", "environment")
"""The keys at the top of the file that Pulumi knows."""
MADE = frozenset(("passwords", "secrets"))
"""Settings that commands write. Alone they describe nothing."""
NEAR = 0.75
"""How alike two words are to be taken for each other (difflib's ratio): `slipwya` has 0.86, `slim` 0.55."""
EXAMPLE = "slipway:hosts: {box: {roles: [registry, build, app]}}"
NO_VALUE = "has no value"
ALGORITHM = "v1:"
"""The start of what a passphrase encrypts. Key services have other formats."""


def mistakes_in(document: Document, project: str, stack: str) -> Iterator[Mistake]:
    """Every mistake in a file that can be read.

    Args:
        document: the file.
        project: the project's name in Pulumi.yaml. Pulumi puts keys without a namespace below it.
        stack: the stack's name, for the commands that messages suggest.
    """
    yield from document.mistakes
    yield from _top(document)
    yield from _salt(document)
    config = document.content.get("config")
    if config is None:
        return
    if not isinstance(config, dict):
        yield Mistake(
            document.lines.get(("config",), 0),
            f"config is not a map. Write keys and values below it, such as {EXAMPLE}.",
        )
        return
    for key in config:
        yield from _key(document, str(key), project)
    yield from _ciphertexts(document, stack)


def is_empty(document: Document, project: Document) -> bool:
    """Whether a stack has no settings of Slipway's, apart from those that commands write.

    Args:
        document: the stack's file.
        project: Pulumi.yaml.
    """
    if has_other_sources(document.content, project.content):
        return False
    config = document.content.get("config")
    known = [f"{NAMESPACE}:{setting}" for setting in SETTINGS if setting not in MADE]
    return not (isinstance(config, dict) and any(key in config for key in known))


def has_other_sources(stack: Mapping[str, Any], project: Mapping[str, Any]) -> bool:
    """Whether settings may come from elsewhere: from Pulumi.yaml, or from an environment of Pulumi Cloud."""
    return bool(stack.get("environment") or project.get("config"))


def without_settings(stack: str) -> Mistake:
    """The mistake of a stack's file that `is_empty`."""
    name = f"Pulumi.{stack}.yaml"
    other = (
        f"; or `rm {name}`: the next `./slip up` writes the first configuration"
        if stack == DEFAULT_STACK
        else ""
    )
    return Mistake(
        0,
        f"{name} has no setting of Slipway's. Write `config:` and below it, indented, the stack's settings, at least "
        f"`{EXAMPLE}`{other}.",
    )


def _top(document: Document) -> Iterator[Mistake]:
    for key in document.content:
        if key in OWN_KEYS:
            continue
        line = document.lines.get((key,), 0)
        if meant := _setting_of(key):
            yield Mistake(line, f"{key} is not below `config:`. Indent it there, as {NAMESPACE}:{meant}.")
        elif near := _near(key, OWN_KEYS):
            yield Mistake(line, f"{key} is unknown. Did you mean `{near}:`?")


def _key(document: Document, key: str, project: str) -> Iterator[Mistake]:
    line = document.lines.get(("config", key), 0)
    namespace, colon, name = key.partition(":")
    if key.startswith(f"{NAMESPACE}:"):
        if name.startswith("config:"):
            yield Mistake(
                line, f"{key} is an old notation. Write {NAMESPACE}:{name.removeprefix('config:')}."
            )
        elif document.content["config"][key] is None:
            yield Mistake(
                line,
                f"{key} {NO_VALUE}. Write its settings below it, indented, or remove the key; {{}} is an empty map.",
            )
        return
    if (meant := _setting_of(key)) and not colon:
        yield Mistake(line, f"{key} has no namespace. Did you mean {NAMESPACE}:{meant}?")
    elif colon and (_is_like_namespace(namespace) or (namespace == project and meant)):
        yield Mistake(line, f"{key} is not a key of Slipway's. Did you mean {NAMESPACE}:{meant or name}?")
    elif not colon:
        yield Mistake(
            line, f"{key} has no namespace. Write the program's name before it, such as {NAMESPACE}:{key}."
        )


def _setting_of(key: str) -> str:
    """The setting that a key with any namespace, or none, probably means; empty for none."""
    name = re.split(r"[:./]", key)[-1]
    return _near(name, SETTINGS)


def _is_like_namespace(namespace: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", namespace.lower())
    return difflib.SequenceMatcher(None, plain, NAMESPACE).ratio() >= NEAR


def _near(word: str, known: tuple[str, ...]) -> str:
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=NEAR)
    return lower[found[0]] if found else ""


def _salt(document: Document) -> Iterator[Mistake]:
    """A salt that cannot be what Pulumi wrote."""
    salt = document.content.get("encryptionsalt")
    parts = salt.split(":", 2) if isinstance(salt, str) else []
    if salt is not None and not (
        len(parts) == 3 and parts[0] == "v1" and _is_base64(parts[1]) and _is_ciphertext(parts[2])
    ):
        yield Mistake(
            document.lines.get(("encryptionsalt",), 0),
            "encryptionsalt is not what Pulumi wrote. Restore the line, from git or a backup; without it no secret of "
            "the file can be read.",
        )


def _ciphertexts(document: Document, stack: str) -> Iterator[Mistake]:
    """Encrypted values that cannot be what Pulumi wrote."""
    for at in document.lines:
        if at[-1:] == ("secure",) and at[:1] == ("config",):
            value = _at(document, at)
            if (
                not isinstance(value, str)
                or not value
                or (value.startswith(ALGORITHM) and not _is_ciphertext(value))
            ):
                yield Mistake(
                    document.lines[at],
                    f"{show(at[:-1])} is not what Pulumi encrypted. {remedy(at[:-1], stack)}",
                )


def remedy(at: tuple[str | int, ...], stack: str) -> str:
    """How to set an encrypted value anew.

    Args:
        at: its location.
        stack: the stack's name.
    """
    option = "" if stack == DEFAULT_STACK else f" -s {stack}"
    steps = [str(step) for step in at[1:]]
    if steps[:1] == [f"{NAMESPACE}:secrets"] and len(steps) == 2:
        return f"Restore the line, or remove it and set the secret: `./slip secret set {steps[1]}{option}`."
    if steps[:1] == [f"{NAMESPACE}:passwords"]:
        return f"Restore the line, or remove it: the next `./slip up{option}` makes a new password."
    return "Restore the line, or set the value again."


def _at(document: Document, at: tuple[str | int, ...]) -> object:
    """A value; None below a key that is set twice."""
    value: object = document.content
    try:
        for step in at:
            value = value[step]  # type: ignore[index]
    except (KeyError, IndexError, TypeError):
        return None
    return value


def _is_ciphertext(text: str) -> bool:
    parts = text.split(":")
    return len(parts) == 3 and all(map(_is_base64, parts[1:]))


def _is_base64(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) > 0
    except (binascii.Error, ValueError):
        return False
