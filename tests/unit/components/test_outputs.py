"""Which outputs are stored when, and what they say of an update that ended early or left out something."""

import threading
from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc

from components import stored_outputs
from components.outputs import what_runs
from components.service import served_image

OLD, NEW = "yard:5000/web@sha256:1", "yard:5000/web@sha256:2"


@pytest.mark.parametrize(
    ("switch", "container", "container_image", "pulled_image", "serves"),
    [
        ("switch web web-b 8080 /up 30 30", "web-b", "sha256:new", "sha256:new", True),
        # Only the image was targeted: container and switch are the old ones.
        ("switch web web-a 8080 /up 30 30", "web-a", "sha256:old", "sha256:new", False),
        # The switch was left out: it is still to the old container.
        ("sudo -n switch web web-a 8080 /up 30 30", "web-b", "sha256:new", "sha256:new", False),
        # A name is no prefix of another one.
        ("switch web web-b2 8080 /up 30 30", "web-b", "sha256:new", "sha256:new", False),
    ],
)
def test_an_image_serves_after_the_switch_to_its_container(
    switch: str, container: str, container_image: str, pulled_image: str, serves: bool
) -> None:
    assert served_image(switch, container, container_image, pulled_image, NEW) == (NEW if serves else "")


def test_what_was_left_out_stays_as_it_was() -> None:
    rolled_out = {"web": NEW, "api": "", "new": ""}
    before = {"web": OLD, "api": "yard:5000/api@sha256:1", "gone": "yard:5000/gone@sha256:1"}
    assert what_runs(rolled_out, rolled_out, before) == {"web": NEW, "api": "yard:5000/api@sha256:1"}
    paths = {"web": "/new", "api": "/new", "new": "/new"}
    assert what_runs(rolled_out, paths, {"web": "/old", "api": "/old"}) == {"web": "/new", "api": "/old"}
    # A service without a domain; a stack without outputs.
    assert what_runs({"web": NEW}, {"web": ""}, None) == {}


class _Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return args.name, args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        raise AssertionError(args.token)


class _Monitor:
    """Takes its time for its answer, and records what it was sent."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answered = threading.Event()

    def RegisterResourceOutputs(self, request: Any) -> None:  # noqa: N802 - the protocol's own name
        self.requests.append(request)
        self.answered.wait(0.2)
        self.answered.set()


class _Root:
    urn = pulumi.Output.from_input("urn:pulumi:test::slipway::pulumi:pulumi:Stack::slipway-test")


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> _Monitor:
    pulumi.runtime.set_mocks(_Mocks())
    monitor = _Monitor()
    monkeypatch.setattr(stored_outputs, "get_monitor", lambda: monitor)
    monkeypatch.setattr(stored_outputs, "get_root_resource", _Root)
    return monitor


def test_outputs_are_stored_before_what_depends_on_that(monitor: _Monitor) -> None:
    seen: list[bool] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[None]:
        outputs = {"address": pulumi.Output.from_input("yard:5000"), "key": pulumi.Output.secret("a-secret")}
        return stored_outputs.store(outputs).apply(lambda _: seen.append(monitor.answered.is_set()))

    program()
    assert seen == [True]
    (request,) = monitor.requests
    assert request.outputs["address"] == "yard:5000"
    assert request.outputs["key"][rpc._special_sig_key] == rpc._special_secret_sig


def test_a_preview_stores_nothing(monitor: _Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_outputs, "is_dry_run", lambda: True)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[None]:
        return stored_outputs.store({"address": "yard:5000"})

    program()
    assert monitor.requests == []
