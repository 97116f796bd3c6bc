"""The files that services get besides their images, with their contents: as they are, or rendered."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configuration.files import LIMIT, UnfitFile, read, read_text
from configuration.settings import StackSettings


class Unrendered(Exception):
    """A template that cannot be rendered; the text is the predicate of a sentence, without any value in it."""


@dataclass(frozen=True)
class RenderedFile:
    """A file for containers."""

    path: str
    """In the containers."""
    content: bytes
    owner: str
    """User and group by number."""
    mode: str
    """In octal digits."""


def rendered(settings: StackSettings, service: str, path: str, directory: Path, stack: str) -> RenderedFile:
    """One of a service's files, with its content.

    Args:
        settings: the stack's.
        service: the service's name.
        path: the file's path in the containers.
        directory: the project's.
        stack: the stack's name.

    Raises:
        UnfitFile: the local file cannot be read, or is too large.
        Unrendered: the template has a mistake, or uses what is not set.
    """
    file = settings.services[service].files[path]
    if file.template is not None:
        known: dict[str, Any] = {
            "stack": stack,
            "service": service,
            "settings": settings.model_dump(mode="json", by_alias=True, exclude={"passwords", "secrets"}),
            "secrets": {name: secret.get_secret_value() for name, secret in settings.secrets.items()},
        }
        try:
            content = _render(read_text(directory / file.template), known).encode()
        except Unrendered as error:
            text = str(error)
            for value in sorted(known["secrets"].values(), key=len, reverse=True):
                text = text.replace(value, "…") if value else text
            raise Unrendered(text) from None
        if len(content) > LIMIT:
            raise UnfitFile(f"is larger than {LIMIT >> 20} MiB once it is rendered")
    else:
        content = read(directory / (file.file or ""))
    user, _, group = file.owner.partition(":")
    return RenderedFile(path, content, f"{user}:{group or user}", file.mode.zfill(4))


def _render(text: str, known: Mapping[str, object]) -> str:
    # Slow to import, and few stacks have a template.
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    try:
        return environment.from_string(text).render(known)
    except TemplateSyntaxError as error:
        raise Unrendered(f"has a mistake in line {error.lineno}: {error.message}") from None
    except TemplateError as error:
        raise Unrendered(f"cannot be rendered: {error.message}") from None
    except Exception as error:  # noqa: BLE001
        # Whatever an expression of a template does, such as a division by zero. Its text may hold a value.
        raise Unrendered(f"cannot be rendered: {type(error).__name__}") from None
