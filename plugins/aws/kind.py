"""A type of resource: its properties, and the functions that create, read, update and delete a resource.

A row of the table is a `Kind`. Its functions get a `Work`: one operation on one resource, which also calls AWS:
`work("create_vpc", CidrBlock=…)`. Everything else is the same for all types and is in `plugin`: previews, diffs,
defaults, names, tags, errors, and waiting for what AWS does not show yet.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from plugins.aws.cloud import Cloud
from plugins.bridge.schema import Attribute, Schema, State

forced = partial(Attribute, force_new=True)
"""A property whose change replaces the resource."""
output = partial(Attribute, computed=True, output=True)
"""A property that only AWS decides."""

ARN_PATTERN = r"arn:aws[\w-]*:[\w-]+:[\w-]*:\w*:.+"
"""What the official plugin accepts as an ARN, but for its account number."""
ARN: dict[str, Attribute] = {"arn": output()}
REGION: dict[str, Attribute] = {"region": forced(computed=True)}
TAGS: dict[str, Attribute] = {
    "tags": Attribute("map", default={}),
    "tagsAll": Attribute("map", computed=True),
}
"""`tags` are the resource's own; `tagsAll` also has the provider's default tags, and is sent to AWS.

The program gives `tags` only. As in the official plugin, `check` adds `tagsAll` to the inputs.
"""

DEFAULT_SECONDS = 600
"""The time limit of an operation whose schema has none."""


class Work:
    """One operation on one resource."""

    def __init__(
        self,
        cloud: Cloud,
        kind: "Kind",
        state: State,
        *,
        resource_id: str = "",
        old: State | None = None,
        changed: Iterable[str] = (),
        limit: float = DEFAULT_SECONDS,
    ) -> None:
        """Take the desired `state`; for a read or a deletion, the last known state."""
        self.cloud = cloud
        self.kind = kind
        self.new = state
        self.old = old or {}
        self.id = resource_id
        self.changed = frozenset(changed)
        self.limit = limit
        self.region = str(state.get("region") or cloud.region)

    def __call__(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Call the kind's service. Parameters that are None are not sent."""
        return self.cloud.call(self.kind.service, operation, parameters, self.region)

    def one(self, operation: str, key: str, **parameters: Any) -> dict[str, Any] | None:
        """Return the one item that `operation` lists under `key`, or None."""
        items = self(operation, **parameters)[key]
        return items[0] if items else None

    def until(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait for `what`, within the time limit of this operation."""
        self.cloud.until(what, ready, self.limit)

    def arn(self, resource: str, account: str = "") -> str:
        """Return the ARN of an EC2 `resource`, such as `vpc/vpc-1`."""
        return self.cloud.arn("ec2", resource, self.region, account)

    def tagged(self, what: str, tags: Mapping[str, str] | None = None) -> list[dict[str, Any]] | None:
        """Return the tags for a new `what`, e.g. `vpc`, in EC2's form: the resource's own, or `tags`."""
        wanted = self.new.get("tagsAll") if tags is None else tags
        return [{"ResourceType": what, "Tags": tag_list(wanted)}] if wanted else None

    @property
    def is_new(self) -> bool:
        """Say whether the resource was just created, or is being completed after an InitFailure."""
        return not self.old or not self.changed

    def has_changed(self, *names: str) -> bool:
        """Say whether the program changed one of these properties."""
        return not self.changed.isdisjoint(names)


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Return `tags` in the form of most AWS services."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def tags_of(answer: Mapping[str, Any], key: str = "Tags") -> dict[str, Any]:
    """Return the two properties for the tags in `answer`, without the tags that AWS adds itself.

    Default tags are in both; `plugin` removes them from `tags`.
    """
    tags = {
        tag["Key"]: tag["Value"]
        for tag in sorted(answer.get(key) or [], key=lambda tag: str(tag["Key"]))
        if not tag["Key"].startswith("aws:")
    }
    return {"tags": tags, "tagsAll": tags}


def without_default_tags(
    tags: Mapping[str, str], own: Mapping[str, str], default: Mapping[str, str]
) -> dict[str, str]:
    """Return `tags` without the provider's `default` tags, except those that are also among the resource's `own`."""
    return {key: value for key, value in tags.items() if key in own or default.get(key) != value}


def retag_ec2(work: Work, added: Mapping[str, str], removed: Sequence[str]) -> None:
    """Change the tags of an EC2 resource."""
    if removed:
        work("delete_tags", Resources=[work.id], Tags=[{"Key": key} for key in removed])
    if added:
        work("create_tags", Resources=[work.id], Tags=tag_list(added))


def nothing(work: Work) -> None:
    """Do nothing: the default of `settle`, `update` and `removed`."""


def same_schema(schema: Schema, olds: State, news: State, cloud: Cloud | None) -> Schema:
    """Return the schema: the default of `schema_for`."""
    return schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One type of resource."""

    pulumi_type: str
    """Its type in Pulumi, e.g. `aws:ec2/vpc:Vpc`."""
    schema: Schema
    create: Callable[[Work], str]
    """Create the resource with one call, and return its id."""
    observe: Callable[[Work], State | None]
    """Return the properties that AWS shows, by Pulumi's names; None if the resource is gone."""
    delete: Callable[[Work], object]
    service: str = "ec2"
    settle: Callable[[Work], object] = nothing
    """Complete the resource after `create`, and wait until it works. It runs after each update, too."""
    update: Callable[[Work], object] = nothing
    """Change the properties in `work.changed`, without the tags."""
    removed: Callable[[Work], object] = nothing
    """Wait until the deleted resource is gone."""
    retag: Callable[[Work, Mapping[str, str], Sequence[str]], None] = retag_ec2
    gone: tuple[str, ...] = ()
    """AWS's error codes for a resource that does not exist."""
    busy: tuple[str, ...] = ("DependencyViolation",)
    """Error codes of a deletion that is tried again, because a dependent resource is still being removed."""
    early: tuple[str, ...] = ()
    """Error codes of a creation that is tried again, because AWS does not show a new dependency everywhere yet."""
    schema_for: Callable[[Schema, State, State, Cloud | None], Schema] = same_schema
    """Return the schema for a resource's state and new inputs, if these decide what a change does. The cloud is None as
    long as the provider is not configured."""

    @property
    def name(self) -> str:
        """The short name of the type, e.g. `Vpc`."""
        return self.pulumi_type.rpartition(":")[2]


def minutes(**limits: int) -> dict[str, int]:
    """Return time limits, given in minutes, in seconds."""
    return {name: limit * 60 for name, limit in limits.items()}
