"""Shared by the tests of the aws stand-in: moto as AWS over HTTP, and a driver that acts as the engine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
from moto.server import ThreadedMotoServer

from plugins.aws.plugin import Aws
from plugins.protocol.messages import (
    CheckRequest,
    ConfigureRequest,
    CreateRequest,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    InvokeRequest,
    ReadRequest,
    UpdateRequest,
)
from plugins.protocol.properties import Properties

REGION = "eu-central-1"
KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
DEFAULT_TAGS = {"slipway:stack": "test"}
SERVICES = ("backup", "ec2", "iam", "route53", "ssm", "sts")


@contextmanager
def account() -> Iterator[str]:
    """The URL of an empty AWS account."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def settings(url: str, **others: Any) -> Properties:
    """The configuration of an aws.Provider for that account, as Pulumi's SDK sends it."""
    return {
        "accessKey": KEYS[0],
        "secretKey": KEYS[1],
        "region": REGION,
        "endpoints": json.dumps([dict.fromkeys(SERVICES, url)]),
        "defaultTags": json.dumps({"tags": DEFAULT_TAGS}),
        **others,
    }


def client(url: str, service: str) -> Any:
    """A boto3 client, independent of the plugin."""
    access, secret = KEYS
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
    )


def configured(url: str, **others: Any) -> Aws:
    """The plugin, configured for this account."""
    plugin = Aws()
    plugin.configure(ConfigureRequest(settings(url, **others), "urn", "aws", "id"))
    return plugin


class Resource(NamedTuple):
    """A resource in the engine's state."""

    type: str
    id: str
    inputs: Properties
    outputs: Properties


class Driver:
    """Calls a plugin as Pulumi's engine does."""

    def __init__(self, plugin: Aws) -> None:
        self.plugin = plugin

    def check(self, kind: str, news: Properties, olds: Properties | None = None) -> Properties:
        checked = self.plugin.check(CheckRequest("urn", "it", kind, olds or {}, news, b"seed"))
        assert list(checked.failures) == []
        return checked.inputs

    def preview(self, kind: str, news: Properties) -> Properties:
        inputs = self.check(kind, news)
        return self.plugin.create(CreateRequest("urn", "it", kind, inputs, preview=True)).properties

    def create(self, kind: str, news: Properties) -> Resource:
        inputs = self.check(kind, news)
        made = self.plugin.create(CreateRequest("urn", "it", kind, inputs))
        return Resource(kind, made.id, inputs, made.properties)

    def diff(self, resource: Resource, news: Properties) -> DiffResponse:
        inputs = self.check(resource.type, news, resource.inputs)
        return self.plugin.diff(
            DiffRequest("urn", "it", resource.type, resource.id, resource.outputs, inputs, resource.inputs)
        )

    def update(self, resource: Resource, news: Properties) -> Resource:
        inputs = self.check(resource.type, news, resource.inputs)
        request = UpdateRequest(
            "urn", "it", resource.type, resource.id, resource.outputs, inputs, resource.inputs
        )
        return resource._replace(inputs=inputs, outputs=self.plugin.update(request).properties)

    def refresh(self, resource: Resource) -> Resource | None:
        """The refreshed resource; None if it is gone."""
        found = self.plugin.read(
            ReadRequest("urn", "it", resource.type, resource.id, resource.outputs, resource.inputs)
        )
        return resource._replace(inputs=found.inputs, outputs=found.properties) if found.id else None

    def drift(self, resource: Resource) -> DiffResponse:
        """The changes that a refresh shows: the engine compares with the inputs before it."""
        now = self.refresh(resource)
        assert now is not None
        return self.plugin.diff(
            DiffRequest("urn", "it", resource.type, resource.id, now.outputs, resource.inputs, now.inputs)
        )

    def delete(self, resource: Resource) -> None:
        self.plugin.delete(
            DeleteRequest("urn", "it", resource.type, resource.id, resource.outputs, resource.inputs)
        )

    def invoke(self, function: str, **arguments: Any) -> Properties:
        return self.plugin.invoke(InvokeRequest(function, arguments)).properties
