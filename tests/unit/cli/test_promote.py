"""`slip promote`: which version may be promoted, and with which order."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cli.errors import CommandError
from cli.running import fleet
from cli.running.host_report import HostReport
from cli.running.stack import RunningStack
from cli.update import promote, versions
from cli.update.promote import Running
from tests.support.authority import Authority
from tests.unit.cli.servers import outputs as server_outputs
from tests.unit.cli.servers import server_context, serving
from tests.unit.cli.test_image_copy import Store
from tests.unit.cli.test_versions import BEGUN, GOOD, outputs, report, version

HOSTS = ("web-1", "web-2")


def running(
    *found: dict[str, Any], current: int, name: str = "staging", image: str = "yard:5000/web"
) -> Running:
    known = outputs(*found, current=current) | {
        "serviceHosts": {"web": list(HOSTS)},
        "wantedImages": {"web": f"{image}@sha256:{current}"},
    }
    stack = mock.Mock(option=f" -s {name}", short_name=name, config_file=Path(f"Pulumi.{name}.yaml"))
    stack.name = name
    return Running(stack, RunningStack(known), versions.of(known, "web", ""))


def staging(monkeypatch: pytest.MonkeyPatch, *said: HostReport) -> Running:
    """A stack whose two hosts say this, with a version that is deployed and one that failed."""
    monkeypatch.setattr(fleet, "ask", lambda *_: dict(zip(HOSTS, said, strict=True)))
    return running(version(2, BEGUN, minute=5), version(1, GOOD, minute=1), current=2)


def test_what_all_hosts_serve_healthily_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hosts count, and not the state: the update that made version 2 did not reach its end."""
    found = staging(monkeypatch, *(report(host, 2) for host in HOSTS))
    assert promote.healthy_version(found)["number"] == 2


def test_two_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError) as refused:
        promote.healthy_version(staging(monkeypatch, report("web-1", 2), report("web-2", 1)))
    assert "  web-1: version 2\n  web-2: version 1" in str(refused.value)
    assert "`./slip status -s staging`" in refused.value.remedy


def sick(host: str) -> HostReport:
    found = report(host, 1)
    serving = {
        name: replace(one, health="HTTP 500 on /up", healthy=False) for name, one in found.services.items()
    }
    return replace(found, services=serving)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (sick("web-2"), "web-2: HTTP 500 on /up"),
        (HostReport("web-2", silence="no route to host"), "web-2: .*no route to host"),
        (report("web-2", 7), "web-2: an image that is no version of this stack"),
        (replace(report("web-2", 1), maintained=frozenset({"web"})), "web-2: under maintenance"),
    ],
)
def test_a_host_that_does_not_serve_it_healthily_is_named(
    monkeypatch: pytest.MonkeyPatch, said: HostReport, problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        promote.healthy_version(staging(monkeypatch, report("web-1", 1), said))


def test_the_same_stack_is_refused() -> None:
    with pytest.raises(CommandError, match="--from and --to are both 'prod'"):
        promote.run("web", source="prod", target="prod", yes=True)


def test_an_image_that_the_stack_has_already_is_refused() -> None:
    there = running(version(41, GOOD, source="tag", images={"web": "sha256:9"}), current=41)
    here = running(version(3, GOOD, images={"web": "sha256:9"}), current=3, name="prod")
    with pytest.raises(CommandError, match="the stack prod has this image of web already, as version 3"):
        promote._refuse_same(here, there, there.current)
    # A deployment of it that failed is repeated.
    here = running(version(3, BEGUN, images={"web": "sha256:9"}), current=3, name="prod")
    promote._refuse_same(here, there, there.current)


def test_a_version_without_a_source_cannot_be_pinned() -> None:
    there, here = running(version(2, GOOD, source=""), current=2), running(version(1, GOOD), current=1)
    with pytest.raises(CommandError, match="has no record of what it was built from"):
        promote._refuse_same(here, there, there.current)


def test_repositories_of_an_external_registry_keep_what_is_ahead_of_the_service() -> None:
    found = running(version(1, GOOD), current=1, image="ghcr.io/team/web")
    assert found.repository("web-base") == "team/web-base"
    assert running(version(1, GOOD), current=1).repository("web") == "web"


def test_history_says_where_a_version_comes_from() -> None:
    there = version(3, GOOD, origin={"stack": "staging", "number": 41.0})
    found = running(there, current=3).known
    assert versions.row(found, there)[6] == "promoted from staging 41, current"
    assert versions.as_record(found, there)["origin"] == {"stack": "staging", "number": 41}


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store, list[Running]]]:
    """The registries of two stacks, and the stacks; the first one has a version with a base image."""
    stores, stacks = (Store(), Store()), []
    base, own = stores[0].image("the base"), stores[0].image("the base", "the app")
    with ExitStack() as opened:
        for name, store in zip(("staging", "prod"), stores, strict=True):
            authority = Authority(name)
            (tmp_path / name).mkdir()
            port = opened.enter_context(serving(store, server_context(authority, tmp_path / name)))
            one = running(
                version(41, GOOD, images={"web-base": base, "web": own}, source="tag"), current=41, name=name
            )
            known = dict(one.running.outputs) | server_outputs(
                authority, registryPublicAddress=f"127.0.0.1:{port}"
            )
            stacks.append(replace(one, running=RunningStack(known)))
        yield *stores, stacks


def test_the_base_image_comes_along(stores: tuple[Store, Store, list[Running]]) -> None:
    _, target, (there, here) = stores
    images = there.current["images"]
    assert promote._copy(here, there, there.current) == images
    assert {*images.values(), "staging-41"} <= {*target.manifests}


def test_a_base_image_that_the_registry_has_removed_is_left_out(
    stores: tuple[Store, Store, list[Running]], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target, (there, here) = stores
    images = there.current["images"]
    del source.manifests[images["web-base"]]
    assert promote._copy(here, there, there.current) == {"web": images["web"]}
    assert images["web"] in target.manifests
    assert "base image of web is not in the registry of staging" in "".join(capsys.readouterr())


def test_a_copy_that_fails_says_that_nothing_was_touched(
    stores: tuple[Store, Store, list[Running]],
) -> None:
    _, target, (there, here) = stores
    target.refuses = True
    with pytest.raises(
        CommandError, match="web was not promoted, and nothing that serves was touched: the registry"
    ):
        promote._copy(here, there, there.current)
