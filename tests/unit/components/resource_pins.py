"""Stacks whose resources are pinned in tests/unit/components/resources, one file for each.

Pulumi knows a resource by its URN. A resource with another type, name or parent is a new one to Pulumi: the next `up`
deletes the old one, with its data. Options such as `deleted_with` decide when a resource is replaced or deleted.

`make pins` writes the files anew.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from tests.unit.program import OPERATORS_KEY, PASSWORDS, ROOT, Program, Registered, run_stack

FOLDER = Path(__file__).parent / "resources"
HEADER = """\
# The resources of one stack: URNs, and the options that decide when Pulumi replaces or deletes a resource.
# `make pins` writes this file. Users' stacks have these resources: a URN that changes needs an
# alias, or a migration that `up` carries out by itself.
"""
CHANGED = """\
the resources of this stack are not those in {file}.
A stack that exists has the old ones: where a URN changes or goes, Pulumi deletes that resource and its data.
Give it an alias, or a migration that `up` carries out by itself, and test it in tests/e2e/test_upgrade.py.
If the change is meant, record it with `make pins` and commit the file with the change.
"""


@dataclass(frozen=True)
class PinnedStack:
    """A stack by its whole configuration."""

    name: str
    """The stack's name, which is the file's too."""
    configuration: Mapping[str, Any]
    before: dict[str, Any] = field(default_factory=dict)
    """The stack's outputs, as the last update left them."""

    @property
    def file(self) -> Path:
        """Where its resources are recorded."""
        return FOLDER / f"{self.name}.txt"

    def resources(self) -> str:
        """The text that the file should have."""
        return HEADER + "".join(f"{line}\n" for line in _lines(self._program()))

    def _program(self) -> Program:
        # The committed AWS stacks name a network from documentation, which is refused unless AWS is emulated.
        emulated = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
        with (
            mock.patch.dict(os.environ, emulated),
            mock.patch("configuration.local_ports.occupied", return_value=[]),
        ):
            return run_stack(self.name, self.configuration, self.before)

    def difference(self) -> str:
        """How the resources differ from the recorded ones; empty if they do not."""
        recorded = self.file.read_text() if self.file.exists() else ""
        lines = difflib.unified_diff(
            recorded.splitlines(),
            self.resources().splitlines(),
            f"{self.file.relative_to(ROOT)} (recorded)",
            "the program",
            lineterm="",
            n=6,  # enough to see whose options they are
        )
        return "\n".join(lines)


def _lines(program: Program) -> Iterator[str]:
    for resource in sorted(program.resources.values(), key=lambda one: one.full_urn):
        if resource.request.type == "pulumi:pulumi:Stack":
            continue  # Pulumi's own, and only a process's first run of the program shows it
        yield resource.full_urn
        for option, value in _options(resource):
            yield f"    {option}: {value}"


def _options(resource: Registered) -> Iterator[tuple[str, str]]:
    """The options, other than defaults, that decide over the resource's life, by the names of `ResourceOptions`."""
    request = resource.request
    if request.provider:
        yield "provider", _short(request.provider.rpartition("::")[0])
    if request.deletedWith:
        yield "deleted_with", _short(request.deletedWith)
    if request.replace_with:
        yield "replace_with", ", ".join(sorted(map(_short, request.replace_with)))
    for option, name in (("retain_on_delete", "retainOnDelete"), ("protect", "protect")):
        if getattr(request, name):
            yield option, "true"
    # Whether it is set counts: Pulumi asks the provider where it is not.
    if request.deleteBeforeReplaceDefined:
        yield "delete_before_replace", str(request.deleteBeforeReplace).lower()
    for option, name in (("ignore_changes", "ignoreChanges"), ("replace_on_changes", "replaceOnChanges")):
        if properties := sorted(getattr(request, name)):
            yield option, ", ".join(properties)
    for urn in sorted(request.aliasURNs):
        yield "alias", urn
    for alias in sorted(map(_alias, request.aliases)):
        yield "alias", alias
    for hook, callbacks in request.hooks.ListFields():
        yield f"hook {hook.name}", ", ".join(callbacks)
    if request.HasField("replacement_trigger"):
        yield "replacement_trigger", str(request.replacement_trigger).strip()
    if request.importId:
        yield "import", request.importId


def _short(urn: str) -> str:
    """The type and name of a resource, without the types above it: its own line shows those."""
    types, _, name = urn.removeprefix("urn:pulumi:").split("::", 2)[2].partition("::")
    return f"{types.rpartition('$')[2]}::{name}"


def _alias(alias: Any) -> str:
    """An alias: a URN, or the parts in which the old URN differs."""
    if alias.urn:
        return str(alias.urn)
    return ", ".join(f"{part.name}={value}" for part, value in alias.spec.ListFields() if value)


def _file(name: str) -> dict[str, Any]:
    """A stack's configuration from a file, with the passwords that `slip` adds to it."""
    content = yaml.safe_load((ROOT / name).read_text())["config"]
    settings = {key.removeprefix("slipway:"): value for key, value in content.items()}
    return settings | {"passwords": {"hosts": PASSWORDS["hosts"], "deploy": PASSWORDS["alice"]}}


THREE_HOSTS = {
    "yard": {"roles": ["registry", "build"]},
    "web-1": {"roles": ["app"]},
    "web-2": {"roles": ["app"]},
}
WEB = {"build": {"context": "app", "base": {"context": "app/base"}}}
EVERYTHING = {
    "platform": {"kind": "local", "portOffset": 100},
    "hosts": {
        "depot": {"roles": ["registry"], "memory": 1024},
        "yard": {"roles": ["build"], "memory": 2048, "slot": 7},
        "web-1": {"roles": ["app"], "memory": 1024},
        "web-2": {"roles": ["app"]},
        "web-3": {"roles": ["app"]},
    },
    "registry": {
        "users": ["alice"],
        "metricsPort": 9100,
        "clientCertificates": True,
        "mirror": ["debian:12", "docker.io/library/alpine:3.20"],
        "retention": {"keep": 3, "days": 7},
    },
    "services": {
        "shop": {
            **WEB,
            "domain": "shop.example.com",
            "env": {"LEVEL": "info"},
            "secrets": ["DATABASE_URL", "TOKEN"],
            "memory": 256,
        },
        # Its image starts from a third-party image, without a base image of the stack's own.
        "blog": {
            "build": {"context": "tests/e2e/fixtures/tiny"},
            "domain": "blog.example.com",
            "files": {"/etc/blog.json": {"file": "app/config.json"}},
            "hosts": ["web-3", "web-2"],
        },
        # What others made, with data; and a service of the same image without a port.
        "db": {
            "image": "postgres:16",
            "hosts": ["web-1"],
            "ports": {"private": [5432], "public": ["15432:5432"]},
            "volumes": {"data": "/var/lib/postgresql/data"},
            "env": {"POSTGRES_PASSWORD": {"secret": "TOKEN"}},
        },
        "jobs": {"from": "db", "hosts": ["web-3"], "needs": ["db"], "health": {"none": True}},
    },
    "certificates": {"engineCaGeneration": 2, "registryCaGeneration": 2},
    "operators": {"alice": OPERATORS_KEY},
    "protect": False,
    "passwords": PASSWORDS,
    "secrets": {"DATABASE_URL": "a-database-of-the-service", "TOKEN": "a-token-of-the-service"},
}
SERVICES = {
    "hosts": THREE_HOSTS,
    "registry": {"users": {"alice": {"push": ["team/*"]}}, "backup": {"to": {"host": "web-1"}}},
    "services": {
        "shop": {
            **WEB,
            "domain": "shop.example.com",
            "hosts": ["web-1"],
            "release": "true",
            "networks": ["backend"],
            "auth": {"alice": "TOKEN"},
            "files": {"/etc/shop.ini": {"file": "app/Dockerfile"}},
        },
        "db": {
            "image": "postgres:16",
            "hosts": ["web-2"],
            "ports": {"private": [5432], "public": ["8443:443", "5353:53/udp"]},
            "volumes": {"data": "/var/lib/postgresql/data"},
            "networks": ["backend"],
            "backup": {"volumes": ["data"], "to": {"host": "yard"}},
        },
        "tidy": {"from": "shop", "command": ["tidy"], "hosts": ["web-2"], "schedule": "17 3 * * *"},
    },
    "passwords": PASSWORDS,
    "secrets": {"TOKEN": "a-token-of-the-service", "BACKUP_PASSWORD": "a-password-of-backups"},
}
EXTERNAL = {
    "hosts": {"yard": {"roles": ["build"]}, "web-1": {"roles": ["app"]}},
    "registry": {
        "external": {"server": "registry.example.com:5000", "namespace": "team", "username": "bot"},
        "mirror": ["debian:12"],
    },
    "services": {"web": WEB},
    "secrets": {"REGISTRY_PASSWORD": "password-at-the-other-registry"},
}
EDGE = {
    "hosts": THREE_HOSTS | {"edge": {"roles": ["edge"], "slot": 9}},
    "services": {"shop": {**WEB, "domain": "shop.example.com"}},
    "passwords": PASSWORDS,
}
INSECURE = {
    "hosts": {"box": {"roles": ["registry", "build", "app"]}},
    "registry": {"users": ["alice"], "insecure": True},
    "services": {"web": WEB},
    "passwords": PASSWORDS,
}
ROTATED = {
    "hosts": THREE_HOSTS,
    "registry": {"users": ["alice"]},
    "services": {"web": WEB},
    "certificates": {"engineCaGeneration": 2, "registryCaGeneration": 2},
    "protect": True,
    "passwords": PASSWORDS,
}

PROD = _file("Pulumi.prod.yaml")
AWS_EDGES = PROD | {
    "platform": PROD["platform"] | {"zone": "example.com"},
    "hosts": THREE_HOSTS | {"edge-1": {"roles": ["edge"]}, "edge-2": {"roles": ["edge"]}},
    "services": {"shop": {**WEB, "domain": "shop.example.com"}},
}

STACKS = (
    PinnedStack("local", _file("cli/stack/local-stack.yaml")),
    PinnedStack("local-everything", EVERYTHING, before={"engineCaGeneration": 1, "registryCaGeneration": 1}),
    PinnedStack("local-services", SERVICES),
    PinnedStack("local-external", EXTERNAL),
    PinnedStack("local-edge", EDGE),
    PinnedStack("local-insecure", INSECURE),
    PinnedStack("local-rotated", ROTATED, before={"engineCaGeneration": 2, "registryCaGeneration": 2}),
    PinnedStack("prod", PROD),
    PinnedStack("aws-edges", AWS_EDGES),
    PinnedStack("dev", _file("Pulumi.dev.yaml")),
)


def main() -> None:
    """Write all files anew, and remove those of stacks that are no longer pinned."""
    FOLDER.mkdir(exist_ok=True)
    for file in set(FOLDER.iterdir()) - {stack.file for stack in STACKS}:
        file.unlink()
        print(f"removed {file.relative_to(ROOT)}")
    for stack in STACKS:
        if difference := stack.difference():
            stack.file.write_text(stack.resources())
            print(difference)
            print(f"wrote {stack.file.relative_to(ROOT)}")
        else:
            print(f"{stack.file.relative_to(ROOT)} is up to date")


if __name__ == "__main__":
    main()
