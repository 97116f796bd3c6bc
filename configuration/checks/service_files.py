"""Checks of the files that services get: each is there, and each template can be rendered."""

from collections.abc import Iterator

from configuration.checks.context import Check, Checks
from configuration.files import UnfitFile
from configuration.problems import Problem
from configuration.rendering import Unrendered, rendered


def files(checks: Checks) -> Iterator[Problem]:
    """Each file has one source, which can be read."""
    for name, service in checks.settings.services.items():
        for path, file in service.files.items():
            location = ("services", name, "files", path)
            if not checks.is_valid(*location):
                continue
            if (file.file is None) == (file.template is None):
                yield Problem(
                    location,
                    "has neither file nor template" if file.file is None else "has both file and template",
                    "Set one of the two.",
                )
                continue
            key, source = ("template", file.template) if file.template is not None else ("file", file.file)
            try:
                rendered(checks.settings, name, path, checks.directory, checks.stack)
            except UnfitFile as error:
                yield Problem(
                    (*location, key),
                    str(error),
                    "Name a file of 1 MiB at most, relative to the project or absolute.",
                    source,
                )
            except Unrendered as error:
                if checks.invalid_locations:
                    continue  # it may use what was taken out
                yield Problem(
                    (*location, key),
                    str(error),
                    "Correct the template. It knows stack, service, settings and secrets; "
                    f"{checks.set_secret('NAME')} sets a secret.",
                    source,
                )


CHECKS: tuple[Check, ...] = (files,)
