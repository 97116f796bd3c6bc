"""Runs Slipway's program against mocks, and records each resource that it registers."""

import asyncio
import json
import runpy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import source_pb2

ROOT = Path(__file__).parents[2]
PROJECT = "slipway"
"""The project's name in Pulumi.yaml."""
PASSWORDS = {"hosts": "hosts-password-0123456789", "alice": "alice-password-0123456789"}
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUfuyuVHlOgEL+roG8cb+xLXWQiaY
J6OTo2EqyqClmkdQwNegiNKa+ENj4pKb4wNF8X0J4WefvWusUWX1ciwzHg==
-----END PUBLIC KEY-----
"""
"""On the curve P-256."""
ORDERED = {"ordered": "1", "certificate": "chain\n", "renewAfter": "2027-01-01T00:00:00+00:00", "problem": ""}
"""What an authority answers to an order."""
OPERATORS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBB+olEBH+NfkBqMBaa/Q1PM9dAfF2voy076Lg7C1qsV"
CONFIGURATION: dict[str, Any] = {
    "hosts": {
        "yard": {"roles": ["registry", "build"]},
        "web-1": {"roles": ["app"]},
        "web-2": {"roles": ["app"]},
    },
    "registry": {"users": ["alice"]},
    "services": {"web": {"build": {"context": "app", "base": {"context": "app/base"}}}},
    "passwords": PASSWORDS,
}


@dataclass(frozen=True)
class Registered:
    """One resource, as the program registered it."""

    request: Any
    full_urn: str
    """The URN as the engine forms it."""

    @property
    def urn(self) -> str:
        """Type and name, which are unique within one program."""
        return f"{self.request.type}::{self.request.name}"

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs; secrets are shown as `Secret`."""
        return {key: _plain(value) for key, value in self.request.object.items()}

    @property
    def parent(self) -> str:
        return str(self.request.parent).rpartition("::")[2]

    @property
    def provider(self) -> str:
        return str(self.request.provider).partition("::")[2].rpartition("::")[0].rpartition("::")[2]


@dataclass(frozen=True)
class Secret:
    """A value that the program marked as secret."""

    value: Any


def _plain(value: Any) -> Any:
    if isinstance(value, struct_pb2.Struct):
        fields = {key: _plain(item) for key, item in value.items()}
        if fields.get(rpc._special_sig_key) == rpc._special_secret_sig:
            return Secret(fields["value"])
        return fields
    if isinstance(value, struct_pb2.ListValue):
        return [_plain(item) for item in value]
    return value


class _Answers(pulumi.runtime.Mocks):
    """The results of plugins, as far as the program reads them, and the stack's previous outputs."""

    def __init__(self, stack: str, outputs: dict[str, Any], others: Mapping[str, dict[str, Any]]) -> None:
        self.stack = stack
        self.outputs = outputs
        self.others = others

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = dict(args.inputs)
        match args.typ:
            case "docker:index/image:Image":
                repository = args.inputs["imageName"].rpartition(":")[0]
                outputs["repoDigest"] = f"{repository}@sha256:{args.name}"
            case "docker:index/remoteImage:RemoteImage":
                outputs["imageId"] = f"sha256:{args.name}"
            case (
                "docker:index/container:Container"
                | "docker:index/volume:Volume"
                | "docker:index/network:Network"
            ):
                outputs.setdefault("name", f"{args.name}-0123456")
            case "command:remote:Command":
                outputs["stdout"] = f"sha256:{args.name}\n"
            case "command:local:Command" if args.name.endswith("-acme-order"):
                outputs["stdout"] = json.dumps(ORDERED)
            case "tls:index/privateKey:PrivateKey":
                outputs |= {
                    "privateKeyPem": f"private key of {args.name}",
                    "privateKeyOpenssh": f"openssh key of {args.name}",
                    "publicKeyOpenssh": f"ssh-ed25519 {args.name}\n",
                    "publicKeyPem": PUBLIC_KEY,
                }
            case "tls:index/certRequest:CertRequest":
                outputs["certRequestPem"] = f"request of {args.name}"
            case "tls:index/selfSignedCert:SelfSignedCert" | "tls:index/locallySignedCert:LocallySignedCert":
                outputs["certPem"] = f"certificate of {args.name}"
                outputs["validityStartTime"] = "2026-01-02T03:04:05Z"
            case "aws:ec2/instance:Instance":
                outputs["privateIp"] = f"private address of {args.name}"
            case "aws:ec2/eip:Eip":
                outputs["publicIp"] = f"public {args.name}"
                outputs["allocationId"] = f"{args.name}-id"
            case "aws:ebs/volume:Volume" | "aws:iam/role:Role":
                outputs["arn"] = f"arn of {args.name}"
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        CALLS.append((args.token, dict(args.args)))
        if args.token != "pulumi:pulumi:readStackOutputs":
            return aws_answer(args.token, args.args)
        _, _, asked = args.args["name"].rpartition(f"/{PROJECT}/")
        if asked in self.others:
            return {"outputs": self.others[asked]}
        assert asked == self.stack, "outputs of another stack"
        return {"outputs": self.outputs}


CALLS: list[tuple[str, dict[str, Any]]] = []
"""The program's calls of provider functions, by token, with their arguments."""

ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
SUBNETS = {
    "subnet-00000000000000001": ("vpc-1", ZONES[0]),
    "subnet-00000000000000002": ("vpc-1", ZONES[1]),
    "subnet-0000000000000000e": ("vpc-2", ZONES[1]),
}
"""The VPC and the zone of each existing subnet."""
OFFERED = {
    "t3.small": ZONES,
    "t3.medium": ZONES,
    "t4g.small": ZONES[1:],
    "m7i.large": ZONES[:1],
    "x2gd.large": (),
}
"""The zones that offer each instance type."""


@dataclass
class Account:
    """What the AWS account has beside the stack, and what it may have."""

    quotas: dict[str, float] = field(default_factory=lambda: {"L-1216C47A": 32.0, "L-0263D0A3": 5.0})
    """By code."""
    own_addresses: int = 0
    """Elastic IPs, and instances, that an earlier update of the stack made."""
    other_addresses: int = 0
    other_instances: dict[str, str] = field(default_factory=dict)
    """The types of other instances, by id."""


ACCOUNT = Account()


def aws_answer(token: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a function of the AWS provider."""
    filters = {one["name"]: one["values"] for one in asked.get("filters", ())}
    match token.rpartition(":")[2]:
        case "getAmi":
            assert asked["owners"] == ["136693071363"], asked
            return {"id": f"ami of {filters['name'][0]}"}
        case "getParameter":
            return {"value": f"ami of {asked['name']}"}
        case "getAvailabilityZones":
            return {"names": list(reversed(ZONES))}
        case "getInstanceTypeOfferings":
            pairs = [(kind, zone) for kind in filters["instance-type"] for zone in OFFERED[kind]]
            return {"instanceTypes": [kind for kind, _ in pairs], "locations": [zone for _, zone in pairs]}
        case "getVpc":
            return {"id": "vpc-1"}
        case "getSubnets":
            return {"ids": [subnet for subnet, (vpc, _) in SUBNETS.items() if [vpc] == filters["vpc-id"]]}
        case "getSubnet":
            vpc, zone = SUBNETS[asked["id"]]
            return {"id": asked["id"], "vpcId": vpc, "availabilityZone": zone}
        case "getServiceQuota":
            return {"value": ACCOUNT.quotas[asked["quotaCode"]]}
        case "getEips":
            addresses = ACCOUNT.own_addresses + (0 if asked.get("tags") else ACCOUNT.other_addresses)
            return {"allocationIds": [f"eipalloc-{number}" for number in range(addresses)]}
        case "getInstances":
            own = [f"i-own-{host}" for host in range(ACCOUNT.own_addresses)]
            return {"ids": own if asked.get("instanceTags") else [*own, *ACCOUNT.other_instances]}
        case "getInstance":
            return {"instanceType": ACCOUNT.other_instances[asked["instanceId"]]}
        case "getInstanceType":
            return {"defaultVcpus": 4 if asked["instanceType"].endswith("xlarge") else 2}
        case "getVolume":
            (volume,) = filters["volume-id"]
            return {"id": volume, "arn": f"arn of {volume}", "availabilityZone": ZONES[0], "size": 30}
        case "getSnapshot":
            return {"volumeSize": 15}
        case "getZone":
            return {"zoneId": f"zone of {asked['name']}"}
    raise AssertionError(f"the program calls {token}")


class _Hooks:
    """Accepts the program's hooks, and runs none."""

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        pass


class _Monitor(mocks.MockMonitor):
    def __init__(self, answers: _Answers) -> None:
        super().__init__(answers)
        self.stack = answers.stack
        self.requests: list[tuple[str, Any]] = []

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The URN as the engine forms it. The SDK's mock keeps only the parent's type of all types above."""
        types = parent.split("::")[2] if parent else ""
        qualified = type_ if types in {"", "pulumi:pulumi:Stack"} else f"{types}${type_}"
        return f"urn:pulumi:{self.stack}::{PROJECT}::{qualified}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's own name
        self.requests.append((self.make_urn(request.parent, request.type, request.name), request))
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Program:
    """All that one run of the program registered and exported."""

    resources: dict[str, Registered]
    outputs: dict[str, Any]

    def named(self, name: str, kind: str = "") -> Registered:
        """The one resource of this name, and of a type that ends like this."""
        found = [
            r for r in self.resources.values() if r.request.name == name and r.request.type.endswith(kind)
        ]
        assert len(found) == 1, (name, kind, [r.urn for r in found])
        return found[0]

    def of_type(self, kind: str) -> list[Registered]:
        """All resources of a type that ends like this, in the order of their names."""
        return sorted(
            (r for r in self.resources.values() if r.request.type.endswith(kind)),
            key=lambda r: str(r.request.name),
        )


@cache
def run(changes: str = "{}", before: str = "{}") -> Program:
    """Runs the program with the configuration of these tests, changed as the JSON says.

    Args:
        changes: keys of the configuration, as JSON.
        before: the stack's outputs, as the last update left them, as JSON.
    """
    return run_stack("test", CONFIGURATION | json.loads(changes), json.loads(before))


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what asyncio complains about, but for the futures of a program that was refused.

    Each output that depends on the refused one has futures with the same error, and Pulumi reads only the first. The
    test gets that one.
    """
    if not isinstance(context.get("exception"), pulumi.RunError):
        loop.default_exception_handler(context)


def run_stack(
    stack: str,
    configuration: Mapping[str, Any],
    before: dict[str, Any],
    others: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> Program:
    """Runs the program as a stack of this name, with this configuration and nothing else.

    Args:
        stack: the stack's name.
        configuration: the whole configuration, without `slipway:` ahead of the keys.
        before: the stack's outputs, as the last update left them.
        others: the outputs of other stacks that it may read, by the stack's name.
    """
    asyncio.get_event_loop().set_exception_handler(_report)
    answers = _Answers(stack, before, others)
    monitor = _Monitor(answers)
    pulumi.runtime.set_mocks(answers, project=PROJECT, stack=stack, monitor=monitor)
    pulumi.runtime.settings.SETTINGS.callbacks = _Hooks()
    pulumi.runtime.set_all_config(
        {f"slipway:{key}": json.dumps(value) for key, value in configuration.items()},
        ["slipway:passwords", "slipway:secrets"],
    )
    exported: dict[str, Any] = {}

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        runpy.run_path(str(ROOT / "__main__.py"))

    # This machine's own engine has no part in it, nor in what the program does once its outputs are known.
    engine = mock.patch("components.hosts.taken_name.containers", return_value=[])
    # Where in the program a resource is made is for the engine's messages. To find it takes a third of the time.
    nowhere = mock.patch("pulumi.runtime.resource._get_stack_trace", source_pb2.StackTrace)
    with mock.patch("pulumi.export", exported.__setitem__), engine, nowhere:
        program()

    outputs: dict[str, Any] = {}

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def settle() -> None:
        outputs.update(exported)

    settle()
    registered = [Registered(request, urn) for urn, request in monitor.requests]
    resources = {one.urn: one for one in registered}
    assert len(resources) == len(registered), "two resources have the same type and name"
    return Program(resources, {key: _known(value) for key, value in outputs.items()})


def _known(value: Any) -> Any:
    """An output's value, with secrets shown as `Secret`."""
    import asyncio

    async def resolve(item: Any) -> Any:
        if isinstance(item, pulumi.Output):
            known = await resolve(await item.future())
            return Secret(known) if await item.is_secret() else known
        if isinstance(item, dict):
            return {key: await resolve(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [await resolve(inner) for inner in item]
        return item

    return asyncio.new_event_loop().run_until_complete(resolve(value))
