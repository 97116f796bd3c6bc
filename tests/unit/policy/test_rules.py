"""The rules: each passes on the program's own plans, and fails on one of them with one property changed."""

import copy
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cli.screen import events
from cli.update import policy
from policy.resource import UNKNOWN, Resource
from policy.rule import Rule, rules, violations
from tests.unit.program import CONFIGURATION, Registered, Secret, run_stack

AWS = {"kind": "aws", "region": "eu-central-1", "adminCidrs": ["203.0.113.7/32"]}
STACKS: dict[str, dict[str, Any]] = {
    "local": {**CONFIGURATION, "registry": {"users": ["alice"], "retention": {"keep": 3}}},
    "local-https": {
        **CONFIGURATION,
        "services": {"web": {**CONFIGURATION["services"]["web"], "domain": "shop.test"}},
    },
    "aws": {**CONFIGURATION, "platform": AWS},
    "aws-protected": {**CONFIGURATION, "platform": AWS, "protect": True},
}


@cache
def registered(stack: str) -> tuple[Registered, ...]:
    """What the program registers as this stack."""
    emulated = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}  # else documentation addresses are refused
    with (
        mock.patch.dict(os.environ, emulated),
        mock.patch("configuration.local_ports.occupied", return_value=[]),
    ):
        return tuple(run_stack(stack, STACKS[stack], {}).resources.values())


def plain(value: Any) -> Any:
    """Inputs as the engine's events show them."""
    if isinstance(value, Secret):
        return "[secret]"
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def plan(stack: str) -> list[Resource]:
    return [
        Resource(
            one.request.type,
            one.request.name,
            plain(one.inputs),
            stack,
            bool(one.request.protect),
            bool(one.request.retainOnDelete),
        )
        for one in registered(stack)
    ]


def line(one: Registered, changes: dict[str, Any] | None = None, operation: str = "create") -> str:
    """The engine's event of a resource."""
    new = {
        "inputs": {**plain(one.inputs), **(changes or {})},
        "protect": one.request.protect,
        "retainOnDelete": one.request.retainOnDelete,
    }
    metadata = {"op": operation, "urn": one.full_urn, "new": None if operation == "delete" else new}
    return json.dumps({"resourcePreEvent": {"metadata": metadata}})


@pytest.mark.parametrize("stack", STACKS)
def test_the_programs_own_plans_keep_every_rule(stack: str) -> None:
    assert [str(each) for each in violations(plan(stack))] == []


Breaks = tuple[str, Callable[[Resource], bool], Callable[[dict[str, Any]], dict[str, Any]], str]


def named(kind: str, part: str = "") -> Callable[[Resource], bool]:
    return lambda one: one.type.endswith(kind) and part in one.name


def having(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The inputs with other values; None removes one."""
    return lambda inputs: {key: value for key, value in (inputs | changes).items() if value is not None}


def inside(key: str, **changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda inputs: inputs | {key: inputs[key] | changes}


WORLD = {"fromPort": 0, "toPort": 65535, "protocol": "tcp", "ipv6CidrBlocks": ["::/0"]}
BREAKS: dict[str, list[Breaks]] = {
    "no-admin-port-for-the-world": [
        (
            "aws",
            named(":SecurityGroupIngressRule", "ssh"),
            having(cidrIpv4="0.0.0.0/0"),
            "opens SSH to 0.0.0.0/0",
        ),
        ("aws", named(":SecurityGroupIngressRule", "ssh"), having(cidrIpv4="128.0.0.0/1"), "128.0.0.0/1"),
        (
            "aws",
            named(":SecurityGroupIngressRule", "http"),
            having(ipProtocol="-1", fromPort=None, toPort=None, cidrIpv4="0.0.0.0/0"),
            "opens SSH and the Docker Engine to",
        ),
        ("aws", named(":SecurityGroup", "host"), having(ingress=[WORLD]), "::/0"),
    ],
    "admin-ports-on-this-machine-only": [
        (
            "local",
            named(":Container", "yard"),
            having(ports=[{"internal": 22, "external": 22}]),
            "publishes SSH",
        ),
        (
            "local",
            named(":Container", "yard"),
            having(ports=[{"internal": 2376.0, "ip": "0.0.0.0"}]),
            "publishes the Docker Engine",
        ),
    ],
    "encrypted-volumes": [
        ("aws", named("ebs/volume:Volume"), having(encrypted=False), "is not encrypted"),
        ("aws", named("ebs/volume:Volume"), having(encrypted=None), "is not encrypted"),
    ],
    "encrypted-disks": [
        (
            "aws",
            named(":Instance"),
            inside("rootBlockDevice", encrypted=False),
            "of the system is not encrypted",
        ),
        ("aws", named(":Instance"), having(rootBlockDevice=None), "of the system is not encrypted"),
        ("aws", named(":Instance"), having(ebsBlockDevices=[{"deviceName": "/dev/sdg"}]), "/dev/sdg"),
    ],
    "instance-metadata-by-token": [
        ("aws", named(":Instance"), inside("metadataOptions", httpTokens="optional"), "without a token"),
        ("aws", named(":Instance"), having(metadataOptions=None), "without a token"),
    ],
    "images-by-digest": [
        ("local", named(":Container", "web-web-1"), having(image="yard:5000/web:v1"), "yard:5000/web:v1"),
        ("local", named(":Container", "registry"), having(image="registry"), "runs registry"),
    ],
    "no-latest": [
        ("local", named(":RemoteImage", "registry"), having(name="registry:latest"), "registry:latest"),
        ("local", named(":RemoteImage", "registry"), having(name="yard:5000/registry"), "yard:5000/registry"),
        ("local", named(":Image", "host"), having(imageName="slipway/host"), "slipway/host"),
    ],
    "no-privileged-container": [
        ("local", named(":Container", "web-web-1"), having(privileged=True), "is privileged"),
        ("local", named(":Container", "yard"), having(privileged=True), "is privileged"),
        (
            "local",
            named(":Container", "web-web-1"),
            having(capabilities={"adds": ["CAP_SYS_ADMIN"]}),
            "capability SYS_ADMIN",
        ),
    ],
    "rotated-logs": [
        ("local", named(":Container", "web-web-1"), having(logOpts=None), "without an end"),
        ("local", named(":Container", "registry"), having(logDriver=None, logOpts={}), "without an end"),
    ],
    "certificates-end": [
        ("local", named(":LocallySignedCert", "operator"), having(validityPeriodHours=19_801), "19801 hours"),
        ("local", named(":SelfSignedCert", "engine"), having(validityPeriodHours=175_201), "at most 175200"),
    ],
    "certificates-are-renewed-early": [
        ("local", named(":LocallySignedCert", "operator"), having(earlyRenewalHours=0), "only after its end"),
    ],
}
"""By rule: a stack, one of its resources, what is changed in its inputs, and what is said."""
OPTIONS: dict[str, tuple[str, Callable[[Resource], bool], dict[str, Any]]] = {
    "protected-data": ("aws-protected", named("ebs/volume:Volume"), {"retain": False}),
    "kept-data": ("local", named(":Volume", "slipway-local-registry"), {"retain": False}),
}
"""By rule: a stack, one of its resources, and the options of it that are changed."""


def by_name(name: str) -> Rule:
    return next(each for each in rules() if each.name == name)


def test_each_rule_has_a_plan_that_fails_and_one_that_it_looks_at() -> None:
    assert BREAKS.keys() | OPTIONS.keys() == {each.name for each in rules()}
    for each in rules():
        assert each.description.endswith("."), each.name
        seen = [one for stack in STACKS for one in plan(stack) if one.type in each.types]
        assert seen, f"no plan has a resource that {each.name} looks at"


@pytest.mark.parametrize(
    ("rule", "case"),
    [(rule, case) for rule, cases in BREAKS.items() for case in cases],
    ids=lambda value: value if isinstance(value, str) else value[3],
)
def test_a_changed_plan_breaks_it(rule: str, case: Breaks) -> None:
    stack, chosen, change, said = case
    resource = next(filter(chosen, plan(stack)))
    wrong = replace(resource, inputs=change(copy.deepcopy(dict(resource.inputs))))
    found = list(violations([wrong]))
    assert [each.rule.name for each in found] == [rule]
    assert said in str(found[0])
    assert resource.name in str(found[0])


@pytest.mark.parametrize("rule", OPTIONS)
def test_a_plan_with_another_option_breaks_it(rule: str) -> None:
    stack, chosen, changes = OPTIONS[rule]
    resource = next(filter(chosen, plan(stack)))
    assert list(violations([resource])) == []
    assert [each.rule.name for each in violations([replace(resource, **changes)])] == [rule]
    # A policy host does not tell it.
    assert list(violations([replace(resource, retain=None)])) == []


def test_what_is_not_known_yet_is_no_violation() -> None:
    for stack in STACKS:
        for resource in plan(stack):
            for key in resource.inputs:
                unknown = replace(resource, inputs={**resource.inputs, key: UNKNOWN})
                assert [str(each) for each in violations([unknown])] == [], key


class TestOnEvents:
    """`slip preview` looks at the events of the plan."""

    def test_both_know_what_is_not_known(self) -> None:
        assert events.UNKNOWN == UNKNOWN

    def steps(self, lines: list[str]) -> list[events.Step]:
        found = [events.parse(line) for line in lines]
        return [each.step for each in found if isinstance(each, events.Began)]

    def test_a_plan_that_keeps_the_rules_says_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        for stack in STACKS:
            assert not policy.refuses(self.steps([line(one) for one in registered(stack)]))
        assert "".join(capsys.readouterr()) == ""

    @pytest.mark.parametrize("operation", ["create", "update", "same", "create-replacement"])
    def test_a_plan_that_breaks_one_is_refused(
        self, operation: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one = next(each for each in registered("local") if each.request.name == "web-web-1")
        assert policy.refuses(self.steps([line(one, {"privileged": True}, operation)]))
        shown = capsys.readouterr().err
        assert "web-web-1: is privileged" in shown
        assert "docs/policy.md" in shown

    def test_what_goes_breaks_nothing(self) -> None:
        one = next(each for each in registered("local") if each.request.name == "web-web-1")
        assert not policy.refuses(self.steps([line(one, {"privileged": True}, "delete")]))

    def test_advice_does_not_refuse(self, capsys: pytest.CaptureFixture[str]) -> None:
        one = next(each for each in registered("local") if each.request.name == "operator-certificate")
        assert not policy.refuses(self.steps([line(one, {"earlyRenewalHours": 0})]))
        assert "only after its end" in capsys.readouterr().err


OWN = '''
from policy.resource import Resource
from policy.rule import rule


@rule("aws:ec2/instance:Instance")
def prod_is_protected(resource: Resource):
    """Hosts of the stack prod are protected."""
    if resource.stack == "prod" and not resource.protect:
        yield "is not protected. Set `protect`."
'''


def test_a_file_of_ones_own_is_a_rule(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(OWN)
    (own,) = rules(tmp_path)
    (instance, *_) = [one for one in plan("aws") if one.type.endswith(":Instance")]
    assert own.name == "prod-is-protected"
    assert [str(each) for each in violations([replace(instance, stack="prod")], [own])] == [
        f"{instance.name}: is not protected. Set `protect`. (rule prod-is-protected)"
    ]
    assert list(violations([instance], [own])) == []


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}_twice.py").write_text(OWN)
    with pytest.raises(ValueError, match="prod-is-protected"):
        rules(tmp_path)


def test_the_page_has_every_rule_as_it_says_itself() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `")]
    assert table == [
        f"| `{each.name}`{' (advisory)' if each.level == 'advisory' else ''} | {each.description} |"
        for each in sorted(rules(), key=lambda one: [line.split("`")[1] for line in table].index(one.name))
    ]
