"""The configuration as the command line reads it."""

from pathlib import Path

import pytest
import yaml

from cli.stack.config import StackConfig
from cli.stack.stack import LOCAL_STACK
from configuration import load as settings


def config(text: str) -> StackConfig:
    return StackConfig(yaml.safe_load(text) or {}, "slipway")


def test_the_configuration_is_read_as_pulumi_would() -> None:
    read = config(
        """
        encryptionsalt: v1:x
        config:
          slipway:platform: {kind: aws}
          slipway:registry: '{"users": ["alice"]}'
          slipway:passwords: {alice: {secure: v1:y}}
          slipway:hosts: {yard: {}, web-1: {}}
          slipway:protect: true
        """
    )
    assert (read.platform, read.users, read.hosts) == ("aws", ("alice",), ("yard", "web-1"))
    assert read.accounts == ("hosts", "alice")
    assert read.accounts_with_password == {"alice"}
    assert read.has_passphrase
    assert read.is_protected


def test_an_external_registry_has_no_accounts_in_the_configuration() -> None:
    text = "config: {slipway:registry: {external: {server: docker.io, namespace: team, username: bot}}}"
    read = StackConfig(yaml.safe_load(text), "slipway")
    assert read.has_external_registry
    # So no password is made for any.
    assert read.accounts == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "config: 3", "config: {slipway:registry: 3, slipway:platform: [], slipway:hosts: x}"]
)
def test_a_configuration_of_another_shape_is_left_to_the_settings(text: str) -> None:
    loaded = yaml.safe_load(text)
    read = StackConfig(loaded if isinstance(loaded, dict) else {}, "slipway")
    assert (read.platform, read.users, read.accounts_with_password, read.hosts) == (
        "local",
        (),
        frozenset(),
        (),
    )
    assert not read.is_protected


@pytest.mark.parametrize(
    ("value", "protected"), [("true", True), ('"true"', True), ('"false"', False), ("1", False)]
)
def test_protection_survives_how_pulumi_rewrites_it(value: str, protected: bool) -> None:
    assert config(f"config: {{slipway:protect: {value}}}").is_protected == protected


def test_a_configuration_that_is_no_yaml_is_left_to_pulumi(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.local.yaml"
    path.write_text("config: {")
    assert StackConfig.read(path, "slipway").content == {}


def test_the_first_stack_satisfies_the_settings() -> None:
    root = LOCAL_STACK.parents[2]
    template = StackConfig.read(LOCAL_STACK, "slipway")
    written = {key.removeprefix("slipway:"): value for key, value in template.content["config"].items()}
    passwords = dict.fromkeys(template.accounts, "0123456789abcdef")
    read = settings.validate({**written, "passwords": passwords}, root)
    assert (read.registry_host, read.build_host, read.service_hosts("web")) == (
        "yard",
        "yard",
        ("web-1", "web-2"),
    )
