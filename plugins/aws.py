"""A stand-in for pulumi-aws that answers the engine's greeting and refuses all else.

The CLI looks for every plugin whose Python package a project names, also where a stack uses none of it.
"""

from typing import NoReturn

from plugins.host import (
    Check,
    Checked,
    CheckFailure,
    Create,
    Delete,
    Failure,
    Features,
    Invoke,
    Provider,
    Read,
    Update,
)

_REMEDY = (
    "Slipway's stand-in for pulumi-aws has no resources and no functions. The platform `aws` needs the "
    "official plugin: run it where Pulumi's downloads can be reached, or choose the platform `local` or `ssh`"
)


class Aws(Provider):
    """Refuses every resource and every function by name."""

    name, version = "aws", "7.51.1"
    features = Features(supports_autonaming_configuration=True)

    def check(self, request: Check) -> Checked:
        return Checked({}, [CheckFailure("", f"{request.type} cannot be made here. {_REMEDY}")])

    def create(self, request: Create) -> NoReturn:
        raise Failure(f"{request.type} cannot be made here. {_REMEDY}")

    def read(self, request: Read) -> NoReturn:
        raise Failure(f"{request.type} cannot be read here. {_REMEDY}")

    def update(self, request: Update) -> NoReturn:
        raise Failure(f"{request.type} cannot be changed here. {_REMEDY}")

    def delete(self, request: Delete) -> NoReturn:
        raise Failure(f"{request.type} cannot be removed here. {_REMEDY}")

    def invoke(self, request: Invoke) -> NoReturn:
        raise Failure(f"{request.token} cannot be called here. {_REMEDY}")


def provider() -> Provider:
    """Return the plugin."""
    return Aws()
