"""Previews whose comments are kept as files in `expected/`. Run this module to write the files again.

Those in `recorded/` are event logs that the CLI wrote for a real stack of three hosts, without what no comment reads.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cli.screen.comment.comment import Preview, comment
from cli.screen.comment.images import new_images
from cli.screen.events import Message, Step, parse
from cli.screen.record import Record
from cli.stack.history import Commit
from tests.unit.cli.screen.recordings import step

HERE = Path(__file__).parent
HASH = "5f" * 32


def recorded(name: str) -> Record:
    """The record of a real preview."""
    lines = (HERE / "recorded" / f"{name}.jsonl").read_text().splitlines()
    return Record.of(event for line in lines if (event := parse(line)))


def preview(record: Record) -> Preview:
    """The preview of a stack `local`, without commits."""
    return Preview("slipway", "local", "./slip up", record, new_images(record), plan=HASH)


def _of(name: str) -> Callable[[], Preview]:
    return lambda: preview(recorded(name))


def _code_change() -> Preview:
    found = preview(recorded("code-change"))
    commits = [Commit("a" * 40, "Greet politely"), Commit("b" * 40, "Fix `</details>` <b>@everyone</b> #1")]
    return replace(
        found,
        images=[
            replace(image, revision="a" * 40, revision_before="c" * 40, commits=commits)
            for image in found.images
        ],
    )


def _lost_volume() -> Preview:
    volume = "slipway:hosts:LocalPlatform$docker:index/volume:Volume::slipway-local-registry"
    gone = replace(step("refresh", volume), is_gone=True)
    again = step("create", volume)
    thrown = step(
        "delete",
        "slipway:hosts:AwsPlatform$slipway:hosts:RegistryVolume$aws:ebs/volume:Volume::registry-data",
    )
    record = Record(steps=[again, thrown], done=[gone], counts={"create": 1, "delete": 1, "same": 79})
    return preview(record)


def _hosts(number: int) -> list[Step]:
    found = []
    for host in (f"web-{one}" for one in range(1, number + 1)):
        path = "slipway:hosts:LocalPlatform$docker:index/container:Container"
        found += [
            step("create", f"{path}::{host}", "hosts"),
            step("create", f"slipway:index:DockerEngine$command:remote:Command::{host}-setup", host),
            step("create", f"slipway:index:Proxy$docker:index/container:Container::{host}-proxy-container"),
            step("create", f"slipway:index:Service$docker:index/container:Container::web-{host}", "web"),
            replace(
                step("replace", f"slipway:index:Service$docker:index/container:Container::api-{host}", "api"),
                changed=frozenset({"image", "envs", "memory"}),
                before={"image": f"yard:5000/api@sha256:{'1' * 64}", "envs": ["A=1"], "memory": 256},
                after={"image": f"yard:5000/api@sha256:{'2' * 64}", "envs": ["A=2"], "memory": 512},
            ),
        ]
    return found


def many(hosts: int) -> Preview:
    """A preview of five resources a host."""
    return preview(Record(steps=_hosts(hosts), counts={"create": 4 * hosts, "replace": hosts, "same": 12}))


def _hostile() -> Preview:
    evil = (
        "x</summary></details><img src=x onerror=alert(1)>`|\n# @everyone [a](https://example.com) <!-- -->"
    )
    record = Record(
        steps=[
            replace(
                step("update", f"slipway:index:Service$docker:index/container:Container::{evil}", evil),
                changed=frozenset({"labels", evil}),
                before={"labels": {"a": "b"}, evil: evil},
                after={"labels": {"a": evil}, evil: f"{evil}{evil}"},
            ),
            step("delete", f"custom:index:Thing::{evil}"),
        ],
        counts={"update": 1, "delete": 1},
    )
    record.take(Message("", "warning", evil))
    found = preview(record)
    return replace(found, differences=(evil,))


CASES: dict[str, Callable[[], Preview]] = {
    "first-deployment": _of("first"),
    "no-change": _of("no-change"),
    "code-change": _code_change,
    "secret-change": _of("secret-change"),
    "host-replacement": _of("host-replacement"),
    "lost-volume": _lost_volume,
    "200-resources": lambda: many(40),
    "hostile": _hostile,
}


def main() -> None:
    """Write the files."""
    for name, make in CASES.items():
        (HERE / "expected" / f"{name}.md").write_text(comment(make()))


if __name__ == "__main__":
    main()
