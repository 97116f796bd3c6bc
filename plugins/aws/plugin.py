"""The plugin: the provider's own configuration, and the operations that all types of resource share."""

import time
from collections.abc import Callable
from typing import Any

from plugins.aws import address, backup, dns, iam, instance, network, security, volume
from plugins.aws.cloud import SECRET_SETTINGS, Cloud, setting_failures, settings
from plugins.aws.errors import Refused
from plugins.aws.kind import DEFAULT_SECONDS, Kind, Work, without_default_tags
from plugins.bridge import inputs
from plugins.bridge.differences import compare, property_changes
from plugins.bridge.schema import Schema, State, without_defaults
from plugins.bridge.state import (
    from_pulumi,
    plan,
    refresh,
    settle,
    to_pulumi,
    updated,
    write,
    write_preview,
)
from plugins.protocol.messages import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    Failure,
    Features,
    InitFailure,
    InvokeRequest,
    InvokeResponse,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from plugins.protocol.properties import UNKNOWN, Properties, Secret, Unknown, has_unknown, plain
from plugins.protocol.provider import Provider

KINDS: dict[str, Kind] = {
    kind.pulumi_type: kind
    for module in (address, backup, dns, iam, instance, network, security, volume)
    for kind in module.KINDS
}
"""The table: every type of resource, by Pulumi's name."""

_SEEN_SECONDS = 60.0
"""How long AWS may not show a new resource: its answers are only eventually consistent."""
_EARLY_SECONDS = 120.0
"""How long AWS may not know a dependency of a new resource, for the same reason."""
_UNKNOWN = ("NotFound", "NoSuchEntity", "ResourceNotFoundException")
"""Parts of AWS's error codes for something that it does not know."""
_BUSY_SECONDS = 300.0
"""How long another resource may still use a resource that is being deleted."""


class Aws(Provider):
    """One account of AWS in one region, as a Pulumi provider."""

    name, version = "aws", "7.51.1"
    features = Features(supports_autonaming_configuration=True)

    def __init__(self) -> None:
        super().__init__()
        self._cloud: Cloud | None = None
        self._made: dict[str, float] = {}
        """The ids of the resources that this process created, with the moment until which AWS may not know them."""
        self._default_tags: dict[str, str] = {}

    def check_config(self, request: CheckRequest) -> CheckResponse:
        """Refuse unsupported settings, and mark credentials secret."""
        checked = {
            name: Secret(value)
            if name in SECRET_SETTINGS and value and not isinstance(value, Secret)
            else value
            for name, value in request.news.items()
        }
        failures = setting_failures(request.news)
        known = {name: value for name, value in request.news.items() if not has_unknown(value)}
        try:
            settings(known)
        except Failure as failure:
            failures.append(CheckFailure("", str(failure)))
        return CheckResponse(checked, failures)

    def diff_config(self, request: DiffRequest) -> DiffResponse:
        """Replace the provider, and so all its resources, if the region changes, and only then."""
        old, new = plain(request.olds.get("region")), plain(request.news.get("region"))
        if old and new and not isinstance(new, Unknown) and old != new:
            return DiffResponse(True, ["region"], ["region"])
        return DiffResponse()

    def configure(self, request: ConfigureRequest) -> None:
        """Take the settings and check the credentials once; Failure if AWS does not accept them."""
        if has_unknown(request.arguments):
            return
        given = settings(request.arguments)
        cloud = Cloud(given, self.cancelled)
        cloud.validate()
        self._cloud, self._default_tags = cloud, dict(given.default_tags)

    def check(self, request: CheckRequest) -> CheckResponse:
        """Validate a resource's inputs, and add defaults, a name and the provider's default tags."""
        kind = _kind(request.type)
        checked = inputs.check(request, kind.schema, kind.name)
        if "tagsAll" in kind.schema.attributes and not checked.failures:
            own = checked.inputs.get("tags") or {}
            known = self._cloud and isinstance(own, dict)
            checked.inputs["tagsAll"] = {**self._default_tags, **own} if known else UNKNOWN
        return checked

    def diff(self, request: DiffRequest) -> DiffResponse:
        """Compare a resource's state with its new inputs."""
        return compare(request, self._schema(request.type, request.news, request.olds))

    def create(self, request: CreateRequest) -> CreateResponse:
        """Create a resource; in a preview, predict its state."""
        kind, schema = _kind(request.type), self._schema(request.type, request.properties)
        planned = self._with_region(plan(without_defaults(request.properties), schema.attributes))
        if request.preview:
            return CreateResponse("", write_preview(planned, schema, timeout=request.timeout))
        work = self._work(kind, _known(planned), "create", timeout=request.timeout)
        work.id = self._retry(lambda: kind.create(work), kind.early, _EARLY_SECONDS, request.urn)
        self._made[work.id] = time.monotonic() + _EARLY_SECONDS
        try:
            self._retry(lambda: kind.settle(work), (), _EARLY_SECONDS, request.urn)
            observed = self._seen(work)
        except Failure as failure:
            # The resource exists, so it must be in the state: the next update completes it, or a destroy removes it.
            state = settle(planned, {}, schema.attributes)
            raise InitFailure(work.id, write(work.id, state, schema), [str(failure)]) from failure
        state = settle(planned, observed, schema.attributes)
        return CreateResponse(work.id, write(work.id, state, schema, timeout=request.timeout))

    def read(self, request: ReadRequest) -> ReadResponse:
        """Look a resource up."""
        kind, schema = _kind(request.type), self._schema(request.type, request.inputs)
        before = from_pulumi(request.properties, schema.attributes)
        if not request.inputs:
            raise Failure(
                f"Slipway's stand-in for pulumi-aws cannot import {request.type} (or look up one that it did not "
                "create): use the official plugin"
            )
        observed = self._observed(self._work(kind, before, "read", request.id, timeout=request.timeout))
        if observed is None:
            return ReadResponse("", {}, {})
        state = refresh(before, observed, schema.attributes)
        shown = to_pulumi(state, schema.attributes)
        now = inputs.refreshed(request.inputs, shown, schema.attributes)
        return ReadResponse(request.id, write(request.id, state, schema, timeout=request.timeout), now)

    def update(self, request: UpdateRequest) -> UpdateResponse:
        """Change a resource in place; in a preview, predict its state."""
        kind, schema = _kind(request.type), self._schema(request.type, request.news)
        changed = set(property_changes(DiffRequest(*request[:8]), schema.attributes))
        state = self._with_region(updated(request, schema, changed))
        if request.preview:
            predicted = write_preview(state, schema, timeout=request.timeout)
            return UpdateResponse({**predicted, "id": request.id})
        before = from_pulumi(request.olds, schema.attributes)
        work = self._work(
            kind, _known(state), "update", request.id, old=before, changed=changed, timeout=request.timeout
        )
        if changed:
            kind.update(work)
        if "tagsAll" in changed:
            _retag(work)
        try:
            kind.settle(work)
            observed = self._seen(work)
        except Failure as failure:
            raise InitFailure(
                request.id, write(request.id, _known(state), schema), [str(failure)]
            ) from failure
        # Read unchanged properties as well: a change of one property may change another.
        after = settle({**state, **refresh(state, observed, schema.attributes)}, observed, schema.attributes)
        return UpdateResponse(write(request.id, after, schema, timeout=request.timeout))

    def delete(self, request: DeleteRequest) -> None:
        """Delete a resource. It is no failure if it is already gone."""
        kind = _kind(request.type)
        state = from_pulumi(request.properties, kind.schema.attributes)
        work = self._work(kind, state, "delete", request.id, timeout=request.timeout)
        self._made.pop(request.id, None)
        try:
            seconds = request.timeout or _BUSY_SECONDS
            self._retry(lambda: kind.delete(work), kind.busy, seconds, request.urn)
            kind.removed(work)
        except Refused as refused:
            if not _matches(refused, kind.gone):
                raise

    def invoke(self, request: InvokeRequest) -> InvokeResponse:
        """Call a function."""
        from plugins.aws.functions import invoke

        return InvokeResponse(invoke(request.token, plain(request.arguments), self._connected()))

    def _connected(self) -> Cloud:
        if self._cloud is None:
            raise Failure("the aws provider is not configured: its settings are not known yet")
        return self._cloud

    def _schema(self, token: str, news: Properties, olds: Properties | None = None) -> Schema:
        kind = _kind(token)
        return kind.schema_for(kind.schema, olds or {}, news, self._cloud)

    def _with_region(self, state: State) -> State:
        """Return `state` with the provider's region, if the program does not give one."""
        known: State = {}
        if isinstance(state.get("region"), Unknown) and self._cloud:
            known["region"] = self._cloud.region
        return {**state, **known}

    def _work(
        self,
        kind: Kind,
        state: State,
        operation: str,
        resource_id: str = "",
        *,
        old: State | None = None,
        changed: set[str] | None = None,
        timeout: float = 0.0,
    ) -> Work:
        limit = timeout or (kind.schema.timeouts or {}).get(operation) or DEFAULT_SECONDS
        cloud = self._connected()
        return Work(cloud, kind, state, resource_id=resource_id, old=old, changed=changed or (), limit=limit)

    def _observed(self, work: Work) -> State | None:
        """Return the current properties of a resource; None if it is gone."""
        try:
            observed = work.kind.observe(work)
        except Refused as refused:
            if _matches(refused, work.kind.gone):
                return None
            raise
        if observed is None:
            return None
        if "region" in work.kind.schema.attributes:
            observed["region"] = work.region
        if "tagsAll" in observed:
            own = work.new.get("tags") or {}
            observed["tags"] = without_default_tags(observed["tagsAll"], own, self._default_tags)
        return observed

    def _seen(self, work: Work) -> State:
        """Wait until AWS shows a resource that exists, and return its properties."""
        seen: list[State] = []

        def look() -> bool:
            observed = self._observed(work)
            if observed is not None:
                seen.append(observed)
            return bool(seen)

        work.cloud.until(f"AWS shows {work.kind.name} {work.id}", look, _SEEN_SECONDS)
        return seen[0]

    def _retry(self, act: Callable[[], Any], passing: tuple[str, ...], seconds: float, urn: str) -> Any:
        """Return the result of `act`, repeated while AWS refuses it for one of the `passing` reasons.

        The user sees the reason beside the resource `urn`, since it may turn out to be permanent.
        """
        end = time.monotonic() + seconds
        pause = 0.5
        while True:
            try:
                return act()
            except Refused as refused:
                passes = _matches(refused, passing) or self._is_new(refused)
                if not passes or time.monotonic() + pause > end:
                    raise
                self.engine.log("info", f"trying again: {refused}", urn, ephemeral=True)
            if self.cancelled.wait(pause):
                raise Failure("the update was cancelled")
            pause = min(pause * 1.5, 5.0)

    def _is_new(self, refused: Refused) -> bool:
        """Say whether AWS does not know a resource yet that this process has just created: not all its servers do."""
        if not any(mark in refused.code for mark in _UNKNOWN):
            return False
        now = time.monotonic()
        return any(made in str(refused) and now < until for made, until in list(self._made.items()))


def _kind(token: str) -> Kind:
    if token not in KINDS:
        raise Failure(
            f"Slipway's stand-in for pulumi-aws does not have the resource type {token}: leave it out, or use the "
            "official plugin"
        )
    return KINDS[token]


def _known(state: State) -> State:
    """Return `state` with None for each unknown value."""
    return {
        name: None if isinstance(value, Unknown) else _without_unknown(value) for name, value in state.items()
    }


def _without_unknown(value: Any) -> Any:
    if isinstance(value, dict):
        return _known(value)
    if isinstance(value, list):
        return [_without_unknown(item) for item in value if not isinstance(item, Unknown)]
    return value


def _matches(refused: Refused, marks: tuple[str, ...]) -> bool:
    return any(refused.code == mark or mark in str(refused) for mark in marks)


def _retag(work: Work) -> None:
    before, after = work.old.get("tagsAll") or {}, work.new.get("tagsAll") or {}
    removed = sorted(before.keys() - after.keys())
    added = {key: value for key, value in after.items() if before.get(key) != value}
    work.kind.retag(work, added, removed)
