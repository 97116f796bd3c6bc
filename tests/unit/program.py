"""Runs Slipway's program against mocks and keeps what it asks the engine for, resource by resource."""

import json
import runpy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import mocks, rpc

ROOT = Path(__file__).parents[2]
PASSWORDS = {"hosts": "hosts-password-0123456789", "alice": "alice-password-0123456789"}
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

    @property
    def urn(self) -> str:
        return f"{self.request.type}::{self.request.name}"

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs; secrets are shown as `Secret`."""
        return {key: _plain(value) for key, value in self.request.object.items()}

    @property
    def parent(self) -> str:
        return self.request.parent.rpartition("::")[2]

    @property
    def provider(self) -> str:
        return self.request.provider.partition("::")[2].rpartition("::")[0].rpartition("::")[2]


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
    """What the plugins would answer, as far as the program reads it; and the stack's outputs from before."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs

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
            case "tls:index/privateKey:PrivateKey":
                outputs |= {
                    "privateKeyPem": f"private key of {args.name}",
                    "privateKeyOpenssh": f"openssh key of {args.name}",
                    "publicKeyOpenssh": f"ssh-ed25519 {args.name}\n",
                }
            case "tls:index/certRequest:CertRequest":
                outputs["certRequestPem"] = f"request of {args.name}"
            case "tls:index/selfSignedCert:SelfSignedCert" | "tls:index/locallySignedCert:LocallySignedCert":
                outputs["certPem"] = f"certificate of {args.name}"
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        assert args.token == "pulumi:pulumi:readStackOutputs", f"the program calls {args.token}"
        assert args.args["name"].endswith("/slipway/test"), "outputs of another stack"
        return {"outputs": self.outputs}


class _Monitor(mocks.MockMonitor):
    def __init__(self, answers: _Answers) -> None:
        super().__init__(answers)
        self.requests: list[Any] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's own name
        self.requests.append(request)
        return super().RegisterResource(request)


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
    configuration = CONFIGURATION | json.loads(changes)
    answers = _Answers(json.loads(before))
    monitor = _Monitor(answers)
    pulumi.runtime.set_mocks(answers, project="slipway", stack="test", monitor=monitor)
    pulumi.runtime.set_all_config(
        {f"slipway:{key}": json.dumps(value) for key, value in configuration.items()},
        ["slipway:passwords", "slipway:secrets"],
    )
    exported: dict[str, Any] = {}

    @pulumi.runtime.test
    def program() -> None:
        with mock.patch("pulumi.export", exported.__setitem__):
            runpy.run_path(str(ROOT / "__main__.py"))

    program()

    outputs: dict[str, Any] = {}

    @pulumi.runtime.test
    def settle() -> None:
        outputs.update(exported)

    settle()
    return Program(
        {Registered(request).urn: Registered(request) for request in monitor.requests},
        {key: _known(value) for key, value in outputs.items()},
    )


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
