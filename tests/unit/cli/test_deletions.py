"""What an update would delete is named and asked about."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import console
from cli.errors import CommandError
from cli.running import ssh
from cli.running.ssh import CommandResult
from cli.stack.config import StackConfig
from cli.stack.project import Project
from cli.stack.stack import LOCAL_STACK
from cli.stack.wanted import wanted
from cli.update import deletions
from configuration.load import validate
from tests.unit.cli.stacks import make_stack

TEMPLATE: dict[str, Any] = yaml.safe_load(LOCAL_STACK.read_text(encoding="utf-8"))["config"]
HOST = "slipway:hosts:LocalPlatform$docker:index/container:Container"
CONTAINER = "docker:index/container:Container"
PORTS = {"yard": [2200, 23760, 5000], "web-1": [2201, 23761, 8081], "web-2": [2202, 23762, 8082]}


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:local::slipway::{kind}::{name}"


def state() -> dict[str, Any]:
    """The state of the template's stack, as far as deletions read it."""
    resources: list[dict[str, Any]] = [
        {
            "urn": urn("pulumi:pulumi:Stack", "slipway-local"),
            "type": "pulumi:pulumi:Stack",
            "outputs": {"platform": "local", "registryRetention": {"keep": 10, "days": 30}},
        },
        {"urn": urn("slipway:index:Registry", "registry"), "type": "slipway:index:Registry"},
        {"urn": urn("slipway:index:Service", "web"), "type": "slipway:index:Service"},
    ]
    settings = urn("command:remote:Command", "registry-settings")
    resources.append({"urn": settings, "type": "command:remote:Command", "custom": True, "id": "r"})
    for name, ports in PORTS.items():
        host = urn(HOST, name)
        published = [{"internal": 22, "external": port, "ip": "127.0.0.1"} for port in ports]
        resources.append(
            {"urn": host, "type": CONTAINER, "custom": True, "id": name, "inputs": {"ports": published}}
        )
        setup = urn("command:remote:Command", f"{name}-setup")
        resources.append(
            {"urn": setup, "type": "command:remote:Command", "custom": True, "id": "s", "deletedWith": host}
        )
        if name.startswith("web"):
            resources.append(
                {
                    "urn": urn(f"slipway:index:Service${CONTAINER}", f"web-{name}"),
                    "type": CONTAINER,
                    "custom": True,
                    "id": "c",
                    "parent": urn("slipway:index:Service", "web"),
                    "deletedWith": setup,
                }
            )
    return {"resources": resources}


def found(**changes: Any) -> list[str]:
    """What goes if these settings of the template change; None removes a key."""
    config = {**TEMPLATE, **{f"slipway:{key}": value for key, value in changes.items()}}
    config = {key: value for key, value in config.items() if value is not None}
    want = wanted(StackConfig({"config": config}, "slipway"))
    assert want is not None
    return [deletion.text for deletion in deletions.deletions(want, state())]


HOSTS = TEMPLATE["slipway:hosts"]
WEB = TEMPLATE["slipway:services"]["web"]


def test_nothing_is_named_where_nothing_goes() -> None:
    assert found() == []
    assert found(services={"web": {**WEB, "memory": 64}, "api": WEB}) == []
    assert found(hosts={**HOSTS, "web-3": {"roles": ["app"]}}) == []
    assert found(registry={"users": []}, protect=True) == []
    assert found(registry={"retention": {}}) == []
    assert found(registry={"retention": {"keep": 20, "days": 30}}) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"services": None}, ["the whole service web on web-1 and web-2"]),
        ({"services": {}}, ["the whole service web on web-1 and web-2"]),
        ({"services": {"shop": WEB}}, ["the whole service web on web-1 and web-2"]),
        ({"services": {"web": {**WEB, "hosts": ["web-2"]}}}, ["service web on web-1"]),
        (
            {"hosts": {name: HOSTS[name] for name in ("yard", "web-1")}},
            ["the host web-2, with its disk and the service web on it"],
        ),
        (
            {"hosts": {**HOSTS, "web-2": {"roles": ["app"], "slot": 7}}},
            [
                "the host web-2, which is replaced: its ports change, and it serves nothing meanwhile. Closed: 2202, 80"
            ],
        ),
        (
            {"registry": {"port": 5001}},
            [
                "the host yard, which is replaced",
            ],
        ),
        ({"registry": {"metricsPort": 5001}}, ["the host yard, which is replaced"]),
        (
            {"registry": {"retention": {"keep": 9}}},
            [
                "images of the registry, each day: it keeps by {keep: 9, days: 30}, and not by {keep: 10, days: 30}"
            ],
        ),
        (
            {"registry": {"retention": {"days": 0}}},
            ["images of the registry, each day: it keeps by {keep: 10, days: 0}"],
        ),
        ({"platform": {"portOffset": 100}}, [f"the host {name}, which is replaced" for name in PORTS]),
        (
            {
                "registry": {"external": {"server": "docker.io", "username": "x"}},
                "hosts": {**HOSTS, "yard": {"roles": ["build"]}},
            },
            [
                "the host yard, which is replaced",
                "the stack's own registry, whose images stay on their volume",
            ],
        ),
        (
            {"hosts": None, "services": None},
            [
                "the host yard, with its disk and what is on it",
                *(f"the host web-{n}, with its disk and the service web on it" for n in (1, 2)),
            ],
        ),
        (
            {"platform": {"kind": "aws", "region": "eu-central-1"}},
            [*(f"the host {name}, with its disk" for name in PORTS), "the stack's own registry"],
        ),
    ],
)
def test_what_goes_is_named(changes: dict[str, Any], named: list[str]) -> None:
    texts = found(**changes)
    assert len(texts) == len(named), texts
    for text, expected in zip(texts, named, strict=True):
        assert text.startswith(expected)


@pytest.mark.parametrize(
    "hosts", [[], {}, None, "yard", {"yard": {"roles": 3}}, {"yard": {}}, {"yard": None}]
)
def test_what_the_program_refuses_is_left_to_it(hosts: object) -> None:
    assert wanted(StackConfig({"config": {"slipway:hosts": hosts}}, "slipway")) is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"platform": {"portOffset": 300}},
        {"hosts": {"a-7": {"roles": ["registry", "build", "app"], "slot": 3}}},
        {"hosts": {"a-7": {"roles": ["registry", "build", "app"], "slot": 0}, "b8": {"roles": ["app"]}}},
        {"registry": {"port": 5005, "metricsPort": 5006}},
        {"registry": {"retention": {}}},
        {"registry": {"retention": {"keep": 3}}},
        {"hosts": None},
        {"services": {"web": {**WEB, "hosts": ["web-2", "web-1"]}}},
    ],
)
def test_the_program_wants_the_same(changes: dict[str, Any]) -> None:
    config = {**TEMPLATE, **{f"slipway:{key}": value for key, value in changes.items()}}
    config = {key: value for key, value in config.items() if value is not None}
    accounts = dict.fromkeys(("hosts", "deploy"), "a-password-of-the-tests")
    written = {key.removeprefix("slipway:"): value for key, value in config.items()}
    settings = validate({**written, "passwords": accounts}, Path(__file__).resolve().parents[3])
    want = wanted(StackConfig({"config": config}, "slipway"))
    assert want is not None
    assert want.hosts == {name: frozenset(host.roles) for name, host in settings.hosts.items()}
    rule = settings.registry.retention
    assert want.retention == (rule and (rule.keep, rule.days))
    assert want.services == {name: settings.service_hosts(name) for name in settings.services}
    for host in settings.hosts:
        ports = set(settings.published_ports(host))
        if host == settings.registry_host:
            ports |= {settings.registry_port} | {p for p in [settings.registry.metrics_port] if p}
        assert want.ports[host] == ports


@pytest.fixture
def stack(project: Project, tmp_path: Path) -> Any:
    """The template's stack, whose configuration has lost its services."""
    config = {key: value for key, value in TEMPLATE.items() if key != "slipway:services"}
    made = make_stack(project, yaml.safe_dump({"config": config}), url=f"file://{tmp_path}")
    file = tmp_path / ".pulumi/stacks/slipway/local.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"checkpoint": {"latest": state()}}))
    return made


def test_nobody_to_ask_is_a_refusal(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_interactive", lambda: False)
    with pytest.raises(CommandError, match="the whole service web on web-1 and web-2") as raised:
        deletions.ask(stack, [], pulumi_asks=False)
    assert raised.value.status == 3
    assert "pass --yes: `./slip up --yes`" in raised.value.remedy


def test_a_no_ends_the_update(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_interactive", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    with pytest.raises(CommandError, match="nothing was changed"):
        deletions.ask(stack, ["--refresh"], pulumi_asks=False)


def test_pulumis_own_question_is_enough(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    deletions.ask(stack, [], pulumi_asks=True)
    assert "what runs:\n  the whole service web on web-1 and web-2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        (["--target", "**::web-web-1"], True),
        (["--target=**web-web-2"], True),
        (["-t", "urn:pulumi:local::slipway::*"], False),
        (["--target", "**::yard"], False),
        (["--exclude", "**::web-web-1"], True),
        (["--exclude", "**::web-web-1", "--exclude=**::web-web-2"], False),
    ],
)
def test_only_targets_are_deleted(
    stack: Any, options: list[str], asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "is_interactive", lambda: False)
    if asks:
        with pytest.raises(CommandError):
            deletions.ask(stack, options, pulumi_asks=False)
    else:
        deletions.ask(stack, options, pulumi_asks=False)


def test_a_command_that_must_remove_nothing_ends_by_naming_it(stack: Any) -> None:
    with pytest.raises(CommandError, match="the whole service web on web-1 and web-2") as raised:
        deletions.refuse(stack, [])
    assert "--yes" not in (raised.value.remedy or "")
    deletions.refuse(stack, ["--exclude", "**::web-web-*"])


def test_an_emulated_stack_is_not_asked_about(stack: Any) -> None:
    deletions.ask(dataclasses.replace(stack, emulates="dev"), [], pulumi_asks=False)


PLAN = (
    "image\tweb\tsha256:%s\tv1,old\t1700000000\t500\n" % ("a" * 64)
    + "".join(f"image\tweb-base\tsha256:{number:064}\t\t1700000000\t500\n" for number in range(6))
    + "total\t4\t7\t2000000\t9000000\n"
)


def test_a_new_rule_of_retention_names_what_it_removes(
    stack: Any, monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    config = {**TEMPLATE, "slipway:registry": {"retention": {"keep": 3, "days": 0}}}
    stack.config_file.write_text(yaml.safe_dump({"config": config}))
    monkeypatch.setattr(console, "is_interactive", lambda: False)
    monkeypatch.setattr(type(stack), "outputs", lambda _: {"hosts": {"yard": {"roles": ["registry"]}}})
    asked: list[str] = []

    def answer(_: object, host: str, command: str, *__: object) -> CommandResult:
        asked.append(command)
        return CommandResult(0, PLAN, "")

    monkeypatch.setattr(ssh, "run", answer)
    with pytest.raises(
        CommandError, match=r"by \{keep: 3, days: 0\}, and not by \{keep: 10, days: 30\}"
    ) as raised:
        deletions.ask(stack, [], pulumi_asks=False)
    assert raised.value.status == 3
    assert (
        "remove 7 of 11 images, 2.0 MB: web@sha256:aaaaaaaaaaaa (old, v1), web-base@" in raised.value.message
    )
    assert raised.value.message.endswith(" and 2 more")
    assert "KEEP=3" in asked[0]
    assert "DAYS=0" in asked[0]
    # A rule that removes nothing now is no question.
    monkeypatch.setattr(ssh, "run", lambda *_: CommandResult(0, "total\t4\t0\t0\t9000000\n", ""))
    assert deletions.ask(stack, [], pulumi_asks=False) == 0
    # One whose host does not answer is.
    monkeypatch.setattr(ssh, "run", lambda *_: CommandResult(7, "", "slipway: out of order"))
    with pytest.raises(CommandError, match="does not say which: yard: out of order"):
        deletions.ask(stack, [], pulumi_asks=False)


def test_a_first_rule_of_retention_is_asked_about() -> None:
    config = {**TEMPLATE, "slipway:registry": {"retention": {"keep": 3}}}
    want = wanted(StackConfig({"config": config}, "slipway"))
    assert want is not None
    before = state()
    before["resources"][0]["outputs"]["registryRetention"] = {}
    (deletion,) = deletions.deletions(want, before)
    assert "which keeps all of them now" in deletion.text
    # The state of an older version does not say it, and the template has no rule.
    del before["resources"][0]["outputs"]["registryRetention"]
    assert list(deletions.deletions(want, before)) == []
    template = wanted(StackConfig({"config": TEMPLATE}, "slipway"))
    assert template is not None
    assert list(deletions.deletions(template, state())) == []


def with_data() -> dict[str, Any]:
    """The state, with a volume of the service web on each of its hosts."""
    found = state()
    for name in ("web-1", "web-2"):
        found["resources"].append(
            {
                "urn": urn("slipway:index:Service$docker:index/volume:Volume", f"web-{name}-notes-volume"),
                "type": "docker:index/volume:Volume",
                "custom": True,
                "id": "web.notes",
                "parent": urn("slipway:index:Service", "web"),
                "deletedWith": urn("command:remote:Command", f"{name}-setup"),
                "inputs": {"name": "web.notes", "labels": [{"label": "slipway.volume", "value": "web"}]},
            }
        )
    return found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"hosts": {name: HOSTS[name] for name in ("yard", "web-1")}},
            "the host web-2, with its disk and the service web on it, and the data of services in web.notes",
        ),
        (
            {"services": {"web": {**WEB, "hosts": ["web-2"]}}},
            "service web on web-1; its data stays in web.notes",
        ),
    ],
)
def test_it_says_what_becomes_of_the_data_of_services(changes: dict[str, Any], told: str) -> None:
    config = {**TEMPLATE, **{f"slipway:{key}": value for key, value in changes.items()}}
    want = wanted(StackConfig({"config": config}, "slipway"))
    assert want is not None
    assert [one.text for one in deletions.deletions(want, with_data())] == [told]
