"""A configuration without secrets that nobody can decrypt, and whether a passphrase is the right one."""

from pathlib import Path

import pytest
import yaml

from cli.stack import passphrase
from cli.stack.config import StackConfig
from cli.stack.lost_secrets import cleaned
from cli.stack.project import Project

SALT = "v1:lRGLp2Gpg8s=:v1:B3vhTH5DfbZ6GNhk:"
WHOLE = """\
# The team's stack.
encryptionsalt: v1:abc=
config:
  slipway:platform: {kind: local}
  # Who may pull.
  slipway:registry:
    users: [deploy]  # one account
  slipway:passwords:
    deploy:
      secure: v1:x
    hosts: {secure: v1:y}
  slipway:secrets:
    DATABASE_URL:
      secure: v1:z

    PLAIN: text
  # The app.
  slipway:services: {web: {build: {context: app}}}
"""
LEFT = """\
# The team's stack.
config:
  slipway:platform: {kind: local}
  # Who may pull.
  slipway:registry:
    users: [deploy]  # one account
  slipway:secrets:

    PLAIN: text
  # The app.
  slipway:services: {web: {build: {context: app}}}
"""


def test_comments_and_settings_stay() -> None:
    found = cleaned(WHOLE)
    assert found.text == LEFT
    assert found.removed == (
        "slipway:passwords.deploy",
        "slipway:passwords.hosts",
        "slipway:secrets.DATABASE_URL",
    )
    assert cleaned(LEFT) == type(found)(LEFT, ())


@pytest.mark.parametrize(
    "text",
    [
        "config: {slipway:passwords: {a: {secure: v1:x}}, slipway:protect: true}\n",
        "config:\n  slipway:passwords: {a: {secure: v1:x}, b: plain}\n",
        "config:\n  ? slipway:passwords\n  : a:\n      secure: >-\n        v1:x\n  slipway:protect: true\n",
        "config:\n  slipway:list:\n    - {secure: v1:x}\n    - 2\n",
        "encryptionsalt: v1:x\n",
        "config:\n  slipway:secrets:\n    A:\n      secure: |-\n        v1:x\n    B: 1\n",
    ],
)
def test_whatever_yaml_allows_keeps_what_is_no_secret(text: str) -> None:
    found = cleaned(text)
    content = yaml.safe_load(found.text) or {}
    assert "secure" not in found.text
    assert "encryptionsalt" not in content
    for plain in ("protect", "plain", "2", "B"):
        assert (plain in text) == (plain in found.text), found.text


@pytest.mark.parametrize("text", ["", "- a list\n", "text"])
def test_what_is_no_configuration_stays(text: str) -> None:
    assert cleaned(text).text == text


@pytest.mark.parametrize("salt", ["", "v1", "v1:x:v1:y:z", f"{SALT}AAAA", "v1:!:v1:!:!"])
def test_a_broken_salt_fits_nothing(salt: str) -> None:
    assert not passphrase.fits("phrase", salt)


def test_salts_of_configuration_and_state() -> None:
    config = StackConfig({"encryptionsalt": "a"}, "slipway")
    same = {"secrets_providers": {"type": "passphrase", "state": {"salt": "a"}}}
    other = {"secrets_providers": {"type": "passphrase", "state": {"salt": "b"}}}
    service = {"secrets_providers": {"type": "service", "state": {"salt": "b"}}}
    assert passphrase.salts(config, same) == ("a",)
    assert passphrase.salts(config, other) == ("a", "b")
    assert passphrase.salts(config, service) == ("a",)
    assert passphrase.salts(StackConfig({}, "slipway"), {}) == ()


def test_the_users_own_passphrase_comes_first(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert passphrase.current(project, {}) == ""
    project.passphrase_file.write_text("clone's\n")
    (tmp_path / "mine").write_text("mine")
    assert passphrase.current(project, {}) == "clone's"
    assert passphrase.current(project, {"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "mine")}) == "mine"
    assert passphrase.current(project, {"PULUMI_CONFIG_PASSPHRASE": "given"}) == "given"
