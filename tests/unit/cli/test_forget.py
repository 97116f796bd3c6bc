"""Forgetting a host: a pure function over a deployment."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import CommandError
from cli.stack.deployment import provider_urn
from cli.update.forget import forget

CONTAINER = "docker:index/container:Container"
STACK = "urn:pulumi:local::slipway::pulumi:pulumi:Stack::slipway-local"


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:local::slipway::{kind}::{name}"


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    custom = not kind.startswith("slipway:")
    base = {"urn": urn(kind, name), "custom": custom, "type": kind, "parent": STACK}
    return {**base, **({"id": f"id-{name}"} if custom else {}), **more}


def provider(name: str, **more: Any) -> dict[str, Any]:
    return resource("pulumi:providers:docker", name, **more)


def reference(name: str) -> str:
    return f"{urn('pulumi:providers:docker', name)}::id-{name}"


WEB_1, WEB_2, YARD = (urn(CONTAINER, name) for name in ("web-1", "web-2", "yard"))


def on(host: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    return resource(kind, name, deletedWith=host, replaceWith=[host], **more)


@pytest.fixture
def stack() -> dict[str, Any]:
    """Three hosts; web-2's roll-out comes after web-1's, and both run the image that was built on yard."""
    app_1, app_2 = urn(CONTAINER, "web-1-app"), urn(CONTAINER, "web-2-app")
    image = urn("docker:index/image:Image", "image")
    return {
        "resources": [
            {"urn": STACK, "custom": False, "type": "pulumi:pulumi:Stack"},
            provider("default_5_1_0"),
            resource("pulumi:providers:command", "default_1_2_1"),
            *(
                resource(CONTAINER, name, provider=reference("default_5_1_0"))
                for name in ("yard", "web-1", "web-2")
            ),
            *(
                on(
                    host,
                    "command:remote:Command",
                    f"{name}-engine",
                    provider=f"{urn('pulumi:providers:command', 'default_1_2_1')}::id-default_1_2_1",
                    dependencies=[host],
                    propertyDependencies={"connection": [host], "create": []},
                )
                for name, host in (("yard", YARD), ("web-1", WEB_1), ("web-2", WEB_2))
            ),
            *(
                provider(
                    f"{name}-docker",
                    dependencies=[urn("command:remote:Command", f"{name}-engine")],
                    propertyDependencies={"host": [urn("command:remote:Command", f"{name}-engine")]},
                )
                for name in ("yard", "web-1", "web-2")
            ),
            on(YARD, "docker:index/image:Image", "image", provider=reference("yard-docker")),
            resource("slipway:index:Service", "web"),
            on(
                WEB_1,
                CONTAINER,
                "web-1-app",
                provider=reference("web-1-docker"),
                parent=urn("slipway:index:Service", "web"),
                dependencies=[image],
                propertyDependencies={"image": [image]},
            ),
            on(WEB_1, "slipway:index:Proxy", "proxy-1"),
            resource("docker:index/network:Network", "child", parent=urn("slipway:index:Proxy", "proxy-1")),
            on(
                WEB_2,
                CONTAINER,
                "web-2-app",
                provider=reference("web-2-docker"),
                parent=urn("slipway:index:Service", "web"),
                dependencies=[image, app_1],
                propertyDependencies={"image": [image], "envs": [app_1], "name": None},
            ),
            on(WEB_2, "command:remote:Command", "web-2-deploy", dependencies=[app_2]),
        ],
        "manifest": {"version": "v3.259.0"},
    }


def names(deployment: dict[str, Any]) -> list[str]:
    return [item["urn"].rpartition("::")[2] for item in deployment["resources"]]


def test_what_lived_on_the_host_goes_and_nothing_else(stack: dict[str, Any]) -> None:
    gone = {"web-1-engine", "web-1-docker", "web-1-app", "proxy-1", "child"}
    result = forget(stack, "web-1")
    assert {removed.rpartition("::")[2] for removed in result.removed} == gone
    assert names(result.deployment) == [name for name in names(stack) if name not in gone]


def test_the_others_keep_everything_but_their_references_to_it(stack: dict[str, Any]) -> None:
    result = forget(stack, "web-1")
    after = {item["urn"]: item for item in result.deployment["resources"]}
    for before in stack["resources"]:
        if before["urn"] in after and before["urn"] not in {WEB_1, urn(CONTAINER, "web-2-app")}:
            assert after[before["urn"]] == before
    web_2 = after[urn(CONTAINER, "web-2-app")]
    image = urn("docker:index/image:Image", "image")
    assert web_2["dependencies"] == [image]
    assert web_2["propertyDependencies"] == {"image": [image], "envs": [], "name": None}


def test_the_host_itself_stays_to_be_replaced(stack: dict[str, Any]) -> None:
    after = {item["urn"]: item for item in forget(stack, "web-1").deployment["resources"]}
    before = next(item for item in stack["resources"] if item["urn"] == WEB_1)
    assert after[WEB_1] == {**before, "taint": True}
    assert [name for name, item in after.items() if item.get("taint")] == [WEB_1]


def test_the_registrys_host_takes_the_image_along_but_not_the_apps(stack: dict[str, Any]) -> None:
    result = forget(stack, "yard")
    assert {removed.rpartition("::")[2] for removed in result.removed} == {
        "yard-engine",
        "yard-docker",
        "image",
    }
    app = next(item for item in result.deployment["resources"] if item["urn"] == urn(CONTAINER, "web-1-app"))
    assert "dependencies" not in app
    assert app["propertyDependencies"] == {"image": []}


def test_pulumis_default_providers_stay_even_without_users(stack: dict[str, Any]) -> None:
    for host in ("web-2", "yard"):
        stack = forget(stack, host).deployment
    assert "default_1_2_1" in names(forget(stack, "web-1").deployment)


def test_a_provider_that_another_host_uses_too_stays(stack: dict[str, Any]) -> None:
    for item in stack["resources"]:
        if item["urn"] == urn(CONTAINER, "web-2-app"):
            item["provider"] = reference("web-1-docker")
    result = forget(stack, "web-1")
    assert "web-1-docker" in names(result.deployment)
    kept = next(item for item in result.deployment["resources"] if item["urn"].endswith("::web-1-docker"))
    assert "dependencies" not in kept


def test_an_operation_on_it_that_was_pending_goes_too(stack: dict[str, Any]) -> None:
    items = {item["urn"]: item for item in stack["resources"]}
    stack["pending_operations"] = [
        {"resource": copy.deepcopy(items[urn(CONTAINER, name)]), "type": "updating"}
        for name in ("web-1-app", "web-2-app")
    ]
    pending = forget(stack, "web-1").deployment["pending_operations"]
    assert [operation["resource"]["urn"] for operation in pending] == [urn(CONTAINER, "web-2-app")]
    assert pending[0]["resource"]["dependencies"] == [urn("docker:index/image:Image", "image")]


def test_an_old_copy_of_the_host_is_not_marked_for_replacement(stack: dict[str, Any]) -> None:
    stack["resources"].append(resource(CONTAINER, "web-1", delete=True, id="old"))
    after = forget(stack, "web-1").deployment["resources"]
    assert [(item["id"], item.get("taint")) for item in after if item["urn"] == WEB_1] == [
        ("id-web-1", True),
        ("old", None),
    ]


def test_what_was_given_is_left_as_it_was(stack: dict[str, Any]) -> None:
    before = copy.deepcopy(stack)
    forget(stack, "web-1")
    assert stack == before


def test_a_new_host_without_anything_on_it_is_known_by_the_outputs() -> None:
    state = {
        "resources": [
            {
                "urn": STACK,
                "custom": False,
                "type": "pulumi:pulumi:Stack",
                "outputs": {"hosts": {"web-1": {"address": "127.0.0.1"}}},
            },
            resource(CONTAINER, "web-1"),
        ]
    }
    result = forget(state, "web-1")
    assert result.removed == ()
    assert result.deployment["resources"][1]["taint"] is True


@pytest.mark.parametrize("name", ["web-3", "web-1-app", "image", "", "web"])
def test_what_is_no_host_is_refused_with_those_that_are(stack: dict[str, Any], name: str) -> None:
    with pytest.raises(CommandError, match=f"the host '{name}'") as raised:
        forget(stack, name)
    assert raised.value.remedy == "Hosts in the state: web-1, web-2, yard."


@st.composite
def deployments(draw: st.DrawFn) -> dict[str, Any]:
    """Any consistent deployment: each resource refers to earlier ones only, as Pulumi demands."""
    hosts = ["a", "b"]
    items: list[dict[str, Any]] = [{"urn": STACK, "custom": False, "type": "pulumi:pulumi:Stack"}]
    items += [resource(CONTAINER, name) for name in hosts]
    # Whatever is drawn below, each host has something on it, so that it is known as one.
    items += [on(urn(CONTAINER, name), "command:remote:Command", f"{name}-first") for name in hosts]
    for index in range(draw(st.integers(0, 12))):
        earlier = [item["urn"] for item in items]
        some = st.lists(st.sampled_from(earlier), max_size=4, unique=True)
        providers = [item["urn"] for item in items if item["type"].startswith("pulumi:providers:")]
        kind = draw(st.sampled_from([CONTAINER, "pulumi:providers:docker", "slipway:index:Thing"]))
        more: dict[str, Any] = {"parent": draw(st.sampled_from(earlier))}
        if draw(st.booleans()):
            more["deletedWith"] = draw(st.sampled_from(earlier))
        if dependencies := draw(some):
            more["dependencies"] = dependencies
        if replace_with := draw(some):
            more["replaceWith"] = replace_with
        more["propertyDependencies"] = draw(
            st.dictionaries(st.sampled_from(["x", "y"]), st.one_of(st.none(), some))
        )
        if providers and kind == CONTAINER:
            chosen = draw(st.sampled_from(providers))
            more["provider"] = f"{chosen}::id-{chosen.rpartition('::')[2]}"
        items.append(resource(kind, f"r{index}", **more))
    return {"resources": items}


def references(item: dict[str, Any]) -> set[str]:
    found = {item.get("parent"), item.get("deletedWith"), provider_urn(item) or None}
    found |= set(item.get("dependencies", ())) | set(item.get("replaceWith", ()))
    for urns in (item.get("propertyDependencies") or {}).values():
        found |= set(urns or ())
    return {reference for reference in found if reference}


@given(deployments())
def test_no_reference_dangles_and_the_order_stays(deployment: dict[str, Any]) -> None:
    result = forget(deployment, "a")
    seen: set[str] = set()
    for item in result.deployment["resources"]:
        assert references(item) <= seen
        seen.add(item["urn"])
    before = [item["urn"] for item in deployment["resources"]]
    assert [item["urn"] for item in result.deployment["resources"]] == [
        name for name in before if name not in result.removed
    ]


@given(deployments())
def test_all_that_goes_has_a_reason(deployment: dict[str, Any]) -> None:
    gone = set(forget(deployment, "a").removed)
    host = urn(CONTAINER, "a")
    items = {item["urn"]: item for item in deployment["resources"]}
    assert host not in gone
    for name in gone:
        item = items[name]
        bound = {item.get("deletedWith"), item.get("parent"), provider_urn(item)} & (gone | {host})
        idle = item["type"].startswith("pulumi:providers:") and all(
            user["urn"] in gone for user in deployment["resources"] if provider_urn(user) == name
        )
        assert bound or idle


@given(deployments())
def test_what_stays_differs_only_by_what_was_cut(deployment: dict[str, Any]) -> None:
    result = forget(deployment, "a")
    gone = set(result.removed)
    before = {item["urn"]: item for item in deployment["resources"]}
    for item in result.deployment["resources"]:
        old = before[item["urn"]]
        fixed = {"dependencies", "replaceWith", "propertyDependencies", "taint"}
        assert {key: value for key, value in item.items() if key not in fixed} == {
            key: value for key, value in old.items() if key not in fixed
        }
        for key in ("dependencies", "replaceWith"):
            assert item.get(key, []) == [name for name in old.get(key, []) if name not in gone]
        assert item.get("taint", False) == (item["urn"] == urn(CONTAINER, "a"))


@given(deployments())
def test_forgetting_twice_forgets_nothing_more(deployment: dict[str, Any]) -> None:
    once = forget(deployment, "a").deployment
    try:
        again = forget(once, "a")
    except CommandError:
        return  # nothing lives on it any more, and no output names it
    assert again.removed == ()
    assert again.deployment == once
