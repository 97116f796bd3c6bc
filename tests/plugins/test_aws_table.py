"""The aws stand-in's table against the classes of `pulumi_aws`, and against everything that the program asks for."""

import inspect
import json
import re
import subprocess
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import pulumi
import pytest

from plugins.aws.cloud import SETTINGS
from plugins.aws.functions import FUNCTIONS
from plugins.aws.plugin import KINDS
from plugins.bridge.schema import Attribute, Attributes
from tests.unit.program import CALLS, SUBNETS, Secret, run

DEV: dict[str, Any] = {
    "platform": {
        "kind": "aws",
        "region": "eu-central-1",
        "adminCidrs": ["84.17.3.9/32", "2a02:810::/48"],
        "instanceType": "t3.small",
        "zone": "example.org",
    },
    "hosts": {
        "depot": {"roles": ["registry", "build"]},
        "web-1": {"roles": ["app"]},
        "web-2": {"roles": ["app"]},
    },
    "registry": {
        "users": ["alice"],
        "snapshotDays": 7,
        "allowedCidrs": ["84.17.0.0/24"],
        "domain": "images.example.org",
        "dataSnapshot": "snap-0123456789abcdef0",
    },
    "protect": True,
}
EDGES = {
    **DEV,
    "hosts": {**DEV["hosts"], "edge-1": {"roles": ["edge"]}, "edge-2": {"roles": ["edge"]}},
    "services": {"web": {"build": {"context": "app/base"}, "domain": "shop.example.org"}},
}
TRIED = {
    **DEV,
    "platform": {
        **{name: value for name, value in DEV["platform"].items() if name != "zone"},
        "endpoint": "http://127.0.0.1:5000",
        "connect": "private",
        "network": {"subnets": list(SUBNETS)[:2]},
        "cpuCredits": "standard",
    },
    "registry": {"dataVolume": "vol-0123456789abcdef0"},
}


def class_of(kind: str) -> Any:
    """The class of the SDK for a Pulumi type."""
    module, name = re.fullmatch(r"aws:(\w+)/\w+:(\w+)", kind).groups()  # type: ignore[union-attr]
    return getattr(import_module(f"pulumi_aws.{module}"), name)


def properties(cls: Any) -> dict[str, Any]:
    """The types of the properties of a class of the SDK, by their names in the protocol."""
    module = sys.modules[cls.__module__]
    found = {}
    for _, member in inspect.getmembers(cls, lambda member: isinstance(member, property)):
        getter = member.fget
        if hasattr(getter, "_pulumi_name"):
            space = {**vars(module), **vars(typing), "Output": pulumi.Output}
            found[getter._pulumi_name] = typing.get_type_hints(getter, space)["return"]
    return found


def bare(hint: Any) -> Any:
    """A type without Input, Output and Optional, and without the alternative enumerations and dictionaries."""
    while True:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is pulumi.Output:
            hint = arguments[0]
            continue
        # typing may return the one for the other, from its cache.
        if origin not in (typing.Union, types.UnionType):
            return hint
        kept = [
            each
            for each in arguments
            if each is not type(None)
            and typing.get_origin(each) is not pulumi.Output
            and getattr(typing.get_origin(each), "__name__", "") not in ("Awaitable",)
        ]
        plain = [each for each in kept if each in (str, int, bool, float)]
        if plain and all(each in plain or isinstance(each, type) for each in kept):
            return plain[0]
        classes = [each for each in kept if isinstance(each, type) and each.__name__.endswith("Args")]
        hint = (classes or kept)[0]


def shape(hint: Any) -> tuple[str, Any]:
    """The table's shape of a type, and the class of its objects, if it has any."""
    hint = bare(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (str, bool, int):
        return {str: "string", bool: "boolean", int: "integer"}[hint], None
    if origin is not None and issubclass(origin, Sequence):
        item, inner = shape(arguments[0])
        return f"list of {item}", inner
    if origin is not None and issubclass(origin, Mapping):
        return "map", None
    assert isinstance(hint, type), hint
    return "object", hint


def shown(attribute: Attribute) -> str:
    """The same for an attribute of the table."""
    if not attribute.is_collection:
        return attribute.shape
    if attribute.fields is None:
        return "list of string"
    return "object" if attribute.single else "list of object"


def compare(where: str, attributes: Attributes, sdk: Mapping[str, Any]) -> Iterator[str]:
    """Return the differences between the table and the SDK's classes."""
    for name, attribute in attributes.items():
        if name not in sdk:
            yield f"{where}.{name} is not in pulumi_aws"
            continue
        kind, inner = shape(sdk[name])
        if kind != shown(attribute):
            yield f"{where}.{name} is {shown(attribute)} here and {kind} in pulumi_aws"
        elif attribute.fields is not None:
            yield from compare(f"{where}.{name}", attribute.fields, properties(inner))


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_types_are_those_of_the_sdk(kind: str) -> None:
    cls = class_of(kind)
    args = getattr(sys.modules[cls.__module__], f"{cls.__name__}Args")
    attributes = KINDS[kind].schema.attributes
    # The program cannot give `tagsAll`; the plugin adds it to the inputs.
    inputs = {name: each for name, each in attributes.items() if not each.output and name != "tagsAll"}
    given = properties(args)
    assert list(compare(kind, inputs, given)) == []
    assert list(compare(kind, attributes, properties(cls))) == []
    # Exactly the arguments without which the SDK's class cannot be created are required.
    parameters = inspect.signature(args.__init__).parameters.values()
    wire = {_python_name(name): name for name in given}
    required = {
        wire[each.name]
        for each in parameters
        if each.kind is each.KEYWORD_ONLY and each.default is each.empty
    }
    assert {name for name, each in attributes.items() if each.required} == required


def _python_name(name: str) -> str:
    import pulumi_aws

    table = getattr(pulumi_aws._utilities, "_CAMEL_TO_SNAKE", {})
    return table.get(name) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_the_comparison_can_fail() -> None:
    sdk = properties(class_of("aws:ec2/instance:Instance"))
    wrong = {
        "instanceKind": Attribute(),
        "instanceType": Attribute("integer"),
        "metadataOptions": Attribute(
            "list", {"httpTokens": Attribute("boolean"), "nothing": Attribute()}, single=True
        ),
        "vpcSecurityGroupIds": Attribute("set"),
    }
    assert list(compare("it", wrong, sdk)) == [
        "it.instanceKind is not in pulumi_aws",
        "it.instanceType is integer here and string in pulumi_aws",
        "it.metadataOptions.httpTokens is boolean here and string in pulumi_aws",
        "it.metadataOptions.nothing is not in pulumi_aws",
    ]


@pytest.mark.parametrize("token", FUNCTIONS)
def test_functions_take_and_answer_what_the_sdk_says(token: str) -> None:
    _, module, name = re.split(r"[:/]", token)[:3]
    package = import_module("pulumi_aws" if module == "index" else f"pulumi_aws.{module}")
    function = getattr(package, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    parameters = inspect.signature(function).parameters
    wire = {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", each).lower() for each in FUNCTIONS[token].arguments}
    assert wire <= parameters.keys()


# What the program asks for


@cache
def asked() -> tuple[list[tuple[str, str, str]], list[tuple[str, frozenset[str]]]]:
    """Every property that the program sets on an AWS resource (type, name, path), and every call with its arguments."""
    CALLS.clear()
    paths = set()
    for changes in (DEV, EDGES, TRIED):
        for resource in run(json.dumps(changes)).resources.values():
            kind = resource.request.type
            if kind.startswith("aws:") or kind == "pulumi:providers:aws":
                paths |= {(kind, resource.request.name, path) for path in leaves(resource.inputs)}
    calls = [(token, frozenset(given)) for token, given in CALLS if token.startswith("aws:")]
    return sorted(paths), calls


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the values in `value`, without the indices of lists and the keys of maps."""
    if isinstance(value, Secret):
        yield from leaves(value.value, path)
    elif isinstance(value, dict) and not path.endswith(("tags", "Tags")):
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, path)
    else:
        yield path


def supports(kind: str, path: str) -> bool:
    """Whether the table has an input at `path`."""
    if kind == "pulumi:providers:aws":
        return path.partition(".")[0] in SETTINGS
    fields: Attributes | None = KINDS[kind].schema.attributes if kind in KINDS else {}
    for name in path.split("."):
        attribute = (fields or {}).get(name)
        if attribute is None or attribute.output or not attribute.supported:
            return False
        fields = attribute.fields
    return True


def test_all_that_the_program_asks_for_is_there() -> None:
    paths, calls = asked()
    assert [each for each in paths if not supports(each[0], each[2])] == []
    lacking = [
        (token, given - set(FUNCTIONS[token].arguments)) for token, given in calls if token in FUNCTIONS
    ]
    assert [each for each in lacking if each[1]] == []
    assert [token for token, _ in calls if token not in FUNCTIONS] == []


def test_the_walk_sees_what_the_program_asks_for() -> None:
    paths, calls = asked()
    assert {kind for kind, _, _ in paths} >= {"aws:ec2/instance:Instance", "aws:ebs/volume:Volume"}
    assert ("aws:ec2/instance:Instance", "web-1", "metadataOptions.httpTokens") in paths
    assert "aws:ec2/getAmi:getAmi" in {token for token, _ in calls}
    assert not supports("aws:ec2/instance:Instance", "cpuOptions.coreCount")
    assert not supports("aws:ec2/instance:Instance", "arn")
    assert not supports("aws:ec2/instance:Instance", "metadataOptions.nothing")
    assert not supports("aws:s3/bucket:Bucket", "bucket")


def test_boto3_is_not_imported_before_it_is_needed() -> None:
    script = """
import sys
from plugins.aws.plugin import Aws
from plugins.protocol.messages import CheckRequest, DiffRequest
plugin = Aws()
kind = "aws:ec2/vpc:Vpc"
checked = plugin.check(CheckRequest("urn", "a", kind, {}, {"cidrBlock": "10.0.0.0/16"}))
plugin.diff(DiffRequest("urn", "a", kind, "vpc-1", checked.inputs, checked.inputs, checked.inputs))
print(sorted({"boto3", "botocore", "pulumi_aws"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
