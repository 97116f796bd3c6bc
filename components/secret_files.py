"""A service's secrets on one host: files in the host's memory, which its containers have and cannot change."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components import script
from components.engine import DockerEngine
from configuration.resource_names import container as container_name
from well_known import SECRETS_PATH


@dataclass(frozen=True)
class SecretFiles:
    """Where a service's secrets are on a host."""

    path: pulumi.Output[str]
    """Their folder. Another value of one of them makes another folder, and so another container."""
    brought: pulumi.Resource
    """What containers wait for."""


def version(key: str, secrets: Mapping[str, str]) -> str:
    """The name of a folder with these secrets. Without the key, it is of no help to who guesses a value.

    Args:
        key: a key that only the state has.
        secrets: the values, by name.
    """
    text = json.dumps(dict(secrets), sort_keys=True)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


def lines(secrets: Mapping[str, str]) -> str:
    """The values as scripts/secrets.sh reads them."""
    return "\n".join(
        f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in sorted(secrets.items())
    )


def bring(
    service: str, engine: DockerEngine, secrets: Mapping[str, pulumi.Input[str]], parent: pulumi.Resource
) -> SecretFiles | None:
    """Brings a service's secrets to a host; None if it has none."""
    if not secrets:
        return None
    host = engine.host
    # What is made from them is secret: the script by itself. The folder's name tells nothing.
    values: pulumi.Output[dict[str, str]] = pulumi.Output.all(**secrets)
    folder = pulumi.Output.unsecret(
        pulumi.Output.all(host.ssh_private_key, values).apply(lambda known: version(known[0], known[1]))
    )
    brought = script.remote_command(
        f"{container_name(service, host.name)}-secrets",
        host,
        "secrets.sh",
        {
            "SERVICE": service,
            "VERSION": folder,
            "SECRETS": values.apply(lines),
            "KEEP_SECRETS_SCRIPT": script.text("keep-secrets.sh"),
        },
        # As with switches: what is undone is the former host's.
        pulumi.ResourceOptions(parent=parent, depends_on=[*engine.ready], delete_before_replace=True),
        is_undone=True,
    )
    return SecretFiles(pulumi.Output.concat(f"{SECRETS_PATH}/{service}/", folder), brought)
