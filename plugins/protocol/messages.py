"""The requests that a plugin gets and the responses that it returns, with the names of Pulumi's own SDKs.

Properties are as `plugins.protocol.properties` describes them. Errors are exceptions: `Failure`, `InitFailure`,
`Unimplemented`.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from plugins.protocol.properties import Properties

Severity = Literal["debug", "info", "warning", "error"]
Change = Literal["ADD", "ADD_REPLACE", "DELETE", "DELETE_REPLACE", "UPDATE", "UPDATE_REPLACE"]


def sendable(text: str) -> str:
    """Return `text` as protocol buffers can hold it: names of files need not be UTF-8."""
    return text.encode(errors="backslashreplace").decode()


class Failure(Exception):
    """The call failed. The user reads the text."""


class Unimplemented(Exception):
    """The plugin does not implement this call."""


class InitFailure(Exception):
    """The resource exists, but does not work. The engine keeps it in the state and shows the reasons."""

    def __init__(
        self,
        resource_id: str,
        properties: Properties,
        reasons: list[str],
        inputs: Properties | None = None,
    ) -> None:
        """Take the resource's id and state and the `reasons`; only `read` gives `inputs`."""
        super().__init__("\n".join(reasons))
        self.id = resource_id
        self.properties = properties
        self.reasons = reasons
        self.inputs = inputs


class CheckFailure(NamedTuple):
    """One bad input: the property and the reason. An empty property stands for the whole resource.

    The user reads the reason, after the property's name if the reason does not contain it. The engine does not
    receive the property's name by itself: it would print the property's value, even a secret one.
    """

    property: str
    reason: str


class Features(NamedTuple):
    """What a plugin supports. Every plugin supports previews."""

    accept_secrets: bool = False
    """Properties arrive as `Secret`s. Without it they arrive as plain values, and the engine marks the outputs of
    the same name secret."""
    accept_resources: bool = False
    accept_outputs: bool = False
    supports_autonaming_configuration: bool = False


class ConfigureRequest(NamedTuple):
    """The provider's configuration, after `check_config`."""

    arguments: Properties
    urn: str
    name: str
    id: str


class Autonaming(NamedTuple):
    """The name that the stack's `pulumi:autonaming` setting proposes or enforces."""

    proposed_name: str
    mode: str
    """`PROPOSE`, `ENFORCE` or `DISABLE`."""


class CheckRequest(NamedTuple):
    """Inputs to validate and complete: `news` from the program, `olds` from the last update, if any."""

    urn: str
    name: str
    type: str
    olds: Properties
    news: Properties
    random_seed: bytes = b""
    autonaming: Autonaming | None = None


class CheckResponse(NamedTuple):
    """The completed inputs, and the bad ones."""

    inputs: Properties
    failures: Iterable[CheckFailure] = ()


class DiffRequest(NamedTuple):
    """A comparison. `olds` is the whole old state; `old_inputs` and `news` are inputs."""

    urn: str
    name: str
    type: str
    id: str
    olds: Properties
    news: Properties
    old_inputs: Properties
    ignore_changes: tuple[str, ...] = ()


class PropertyDiff(NamedTuple):
    """One entry of a detailed diff."""

    kind: Change
    input_diff: bool = False
    """True: old and new *inputs* differ. False: the old state differs from the new inputs."""


class DiffResponse(NamedTuple):
    """The changes that a comparison found."""

    changes: bool | None = None
    """Whether anything changed; with None the engine decides."""
    diffs: Iterable[str] = ()
    replaces: Iterable[str] = ()
    stables: Iterable[str] = ()
    delete_before_replace: bool = False
    detailed: Mapping[str, PropertyDiff] | None = None
    """By property path; None if the plugin has no detailed diff."""


class CreateRequest(NamedTuple):
    """A resource to create. In a `preview` it is not created; the response predicts its state."""

    urn: str
    name: str
    type: str
    properties: Properties
    preview: bool = False
    timeout: float = 0.0


class CreateResponse(NamedTuple):
    """The resource's id (empty in a preview) and its whole state."""

    id: str
    properties: Properties


class ReadRequest(NamedTuple):
    """A resource to look up. `inputs` is empty in an import."""

    urn: str
    name: str
    type: str
    id: str
    properties: Properties
    inputs: Properties
    timeout: float = 0.0


class ReadResponse(NamedTuple):
    """The resource's current state and inputs. An empty id means that the resource is gone."""

    id: str
    properties: Properties
    inputs: Properties


class UpdateRequest(NamedTuple):
    """A resource to change in place. The first fields are those of `DiffRequest`."""

    urn: str
    name: str
    type: str
    id: str
    olds: Properties
    news: Properties
    old_inputs: Properties
    ignore_changes: tuple[str, ...] = ()
    preview: bool = False
    timeout: float = 0.0


class UpdateResponse(NamedTuple):
    """The resource's whole new state."""

    properties: Properties


class DeleteRequest(NamedTuple):
    """A resource to delete."""

    urn: str
    name: str
    type: str
    id: str
    properties: Properties
    old_inputs: Properties
    timeout: float = 0.0


class InvokeRequest(NamedTuple):
    """A function call."""

    token: str
    arguments: Properties
    preview: bool = False


class InvokeResponse(NamedTuple):
    """The function's result, or what is wrong with its arguments."""

    properties: Properties
    failures: Iterable[CheckFailure] = ()
