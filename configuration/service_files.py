"""`slipway:services.NAME.files`: files that a service's containers get besides its image."""

from typing import Annotated

from pydantic import Field

from configuration.base import Settings
from configuration.constraints import Matching
from configuration.types import FilePath


class FileSettings(Settings):
    """A file in a service's containers."""

    file: Annotated[FilePath | None, Field(examples=["config/users.xml"])] = None
    """File that is put there as it is, of 1 MiB at most, relative to the project or absolute. It may lie in another
    checkout. Required, unless `template` is set."""

    template: Annotated[FilePath | None, Field(examples=["../private/app.ini.j2"])] = None
    """Template of Jinja2 that is rendered, in UTF-8, relative to the project or absolute. It knows `stack` and
    `service` (their names), `settings` (those of the stack, as `settings.hosts`) and `secrets` (as
    `secrets.DB_PASSWORD`). A name that is not set is an error. Required, unless `file` is set."""

    owner: Annotated[
        str,
        Matching(
            "[0-9]{1,9}(:[0-9]{1,9})?",
            "not a numeric owner",
            'Write a user, or user and group, by number and in quotes: "1000:1000". Names are known to the image only.',
        ),
    ] = "0"
    """User that owns the file, by number, with a group or without: `"1000:1000"`. Default: 0, which is root."""

    mode: Annotated[
        str,
        Matching("0?[0-7]{3}", "not a mode", 'Write three octal digits in quotes, such as "0440".'),
    ] = "0444"
    """Who may read it, in octal digits and quotes. Nobody can write it. Default: `0444`."""
