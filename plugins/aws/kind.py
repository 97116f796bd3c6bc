"""What a type of resource is: its properties, and what is called to make, see, change and remove one.

A row of the table is a `Kind`.  Its functions get a `Work`: the one resource that the engine asks for, and AWS to
ask about it, `work("create_vpc", CidrBlock=…)`.  Everything else, previews, diffs, defaults, names, tags, waiting
for what AWS does not show yet, errors, is the same for all of them; see `plugin`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from plugins.aws.cloud import Cloud
from plugins.bridge.schema import Attribute, Schema, State
from plugins.protocol.messages import Failure

forced = partial(Attribute, force_new=True)
"""A property whose change replaces the resource."""
output = partial(Attribute, computed=True, output=True)
"""A property that AWS alone decides."""

ARN: dict[str, Attribute] = {"arn": output()}
REGION: dict[str, Attribute] = {"region": forced(computed=True)}
TAGS: dict[str, Attribute] = {
    "tags": Attribute("map", default={}),
    "tagsAll": Attribute("map", computed=True),
}
"""`tags` are the resource's own; `tagsAll` has the provider's default tags too, and is what AWS gets.

The program gives `tags` only: as in the official plugin, `check` puts `tagsAll` among the inputs.
"""

DEFAULT_SECONDS = 600
"""How long an operation may take if its schema has no limit of its own."""


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
        """`state` is what is wanted; of a resource that is read or removed, what was known of it."""
        self.cloud = cloud
        self.kind = kind
        self.new = state
        self.old = old or {}
        self.id = resource_id
        self.changed = frozenset(changed)
        self.limit = limit
        self.region = str(state.get("region") or cloud.region)

    def __call__(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Call the kind's service; parameters that are None are not sent."""
        return self.cloud.call(self.kind.service, operation, parameters, self.region)

    def one(self, operation: str, key: str, **parameters: Any) -> dict[str, Any] | None:
        """Return the one item that `operation` lists under `key`, or None."""
        items = self(operation, **parameters)[key]
        return items[0] if items else None

    def until(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait for `what`, as long as this operation may take."""
        self.cloud.until(what, ready, self.limit)

    def arn(self, resource: str, account: str = "") -> str:
        """Return the ARN of an EC2 `resource`, such as `vpc/vpc-1`."""
        return self.cloud.arn("ec2", resource, self.region, account)

    def tagged(self, what: str, tags: Mapping[str, str] | None = None) -> list[dict[str, Any]] | None:
        """Return the tags with which EC2 is to make a `what`, e.g. `vpc`: its own, or `tags`."""
        wanted = self.new.get("tagsAll") if tags is None else tags
        return [{"ResourceType": what, "Tags": tag_list(wanted)}] if wanted else None

    @property
    def is_new(self) -> bool:
        """Say whether it was only just made, or is taken up again because it did not work after that."""
        return not self.old or not self.changed

    def has_changed(self, *names: str) -> bool:
        """Say whether the program changed one of these properties."""
        return not self.changed.isdisjoint(names)


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Return `tags` as most of AWS has them."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def tags_of(answer: Mapping[str, Any], key: str = "Tags") -> dict[str, Any]:
    """Return the two properties that show the tags in `answer`, without those that AWS puts there itself.

    Default tags are in both; `plugin` takes them out of the resource's own.
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
    """Return the `tags` of something without the provider's `default` ones, but with those that are its `own` too."""
    return {key: value for key, value in tags.items() if key in own or default.get(key) != value}


def retag_ec2(work: Work, added: Mapping[str, str], removed: Sequence[str]) -> None:
    """Change the tags of something of EC2's."""
    if removed:
        work("delete_tags", Resources=[work.id], Tags=[{"Key": key} for key in removed])
    if added:
        work("create_tags", Resources=[work.id], Tags=tag_list(added))


def nothing(work: Work) -> None:
    """Do nothing: there is nothing to change, or to wait for."""


def never(work: Work) -> None:
    """Refuse to change what cannot be changed in place; the table's mistake."""
    properties = ", ".join(sorted(work.changed))
    raise Failure(f"Slipway's stand-in for pulumi-aws cannot change {properties} of {work.kind.pulumi_type}")


def same_schema(schema: Schema, news: State) -> Schema:
    """Return the schema as it is: most do not depend on the inputs."""
    return schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One type of resource."""

    pulumi_type: str
    """Its type in Pulumi, e.g. `aws:ec2/vpc:Vpc`."""
    schema: Schema
    create: Callable[[Work], str]
    """Make it with one call, and return its id."""
    observe: Callable[[Work], State | None]
    """Return what AWS says of it, by Pulumi's names; None if it is gone."""
    delete: Callable[[Work], object]
    service: str = "ec2"
    settle: Callable[[Work], object] = nothing
    """Do what `create` could not yet, and wait until it works; also after an update, so it can be done again."""
    update: Callable[[Work], object] = nothing
    """Change what `work.changed` names, without the tags."""
    removed: Callable[[Work], object] = nothing
    """Wait until it is gone."""
    retag: Callable[[Work, Mapping[str, str], Sequence[str]], None] = retag_ec2
    gone: tuple[str, ...] = ()
    """AWS's codes that say that it is not there."""
    busy: tuple[str, ...] = ("DependencyViolation",)
    """Codes with which a removal fails while something else is still going away: it is tried again."""
    early: tuple[str, ...] = ()
    """Codes with which a creation fails while what it needs is not seen everywhere yet: it is tried again."""
    schema_for: Callable[[Schema, State], Schema] = same_schema
    """What the schema is with these inputs, where one property says what another's change means."""

    @property
    def name(self) -> str:
        """What a reader calls it, e.g. `Vpc`."""
        return self.pulumi_type.rpartition(":")[2]


def minutes(**limits: int) -> dict[str, int]:
    """Return time limits, given in minutes, in seconds."""
    return {name: limit * 60 for name, limit in limits.items()}
