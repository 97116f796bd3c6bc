"""A stack's file is refused before Pulumi reads it; and whether the passphrase opens its secrets."""

import base64
import hashlib
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cli.errors import CommandError
from cli.stack import ciphertexts, config_file
from cli.stack.config import StackConfig
from cli.stack.project import Project

PASSPHRASE = "correct horse"


def check(project: Project, text: str, *, changes: bool = True) -> None:
    project.config_file("local").write_text(text)
    config_file.check(project, "local", changes=changes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "Pulumi.local.yaml has no setting of Slipway's. Write `config:`"),
        ("config: {}", "no setting of Slipway's"),
        ("config: {slipway:passwords: {}}", "no setting of Slipway's"),
        ("config: {slipway:services: }", "Pulumi.local.yaml, line 1: slipway:services has no value"),
        ("config: {Slipway:hosts: {}}", "Pulumi.local.yaml, line 1: Slipway:hosts is not a key of Slipway's"),
        ("config: {slipway:hosts: {a: 0022}}", 'put it in quotes: "0022"'),
    ],
)
def test_a_mistake_ends_what_goes_by_the_file_and_nothing_else(
    project: Project, text: str, expected: str
) -> None:
    with pytest.raises(CommandError) as raised:
        check(project, text)
    assert expected in raised.value.message
    assert raised.value.status == 3
    check(project, text, changes=False)


def test_all_mistakes_are_told_in_the_order_of_the_file(project: Project) -> None:
    with pytest.raises(CommandError, match="has 3 mistakes; nothing was touched") as raised:
        check(project, "hosts: {}\nconfig:\n  slipway:x: {a: 1_0}\n  services: {}\n")
    lines = raised.value.message.splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [
        f"  Pulumi.local.yaml, line {number}" for number in (1, 3, 4)
    ]


def test_a_file_that_is_not_yaml_ends_every_command(project: Project) -> None:
    with pytest.raises(
        CommandError, match=r"Pulumi\.local\.yaml, line 2: slipway:hosts: a tab in the indentation"
    ):
        check(project, "config:\n\tslipway:hosts: 1\n", changes=False)


def test_no_file_is_no_mistake(project: Project) -> None:
    config_file.check(project, "local", changes=True)


def encrypted(key: bytes, text: str) -> str:
    """A ciphertext as Pulumi writes it."""
    nonce = os.urandom(12)
    ciphertext = AESGCM(key).encrypt(nonce, text.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(ciphertext).decode()}"


def file_of(passphrase: str, *, copied: bool = False) -> str:
    """A configuration with two secrets, of which one may be from another file."""
    salt = os.urandom(8)
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, 1_000_000, 32)
    other = os.urandom(32) if copied else key
    return (
        f"encryptionsalt: v1:{base64.b64encode(salt).decode()}:{encrypted(key, 'pulumi')}\n"
        "config:\n  slipway:secrets:\n"
        f"    A: {{secure: '{encrypted(key, 'a')}'}}\n    B: {{secure: '{encrypted(other, 'b')}'}}\n"
    )


def open_(project: Project, text: str, passphrase: str) -> None:
    path = project.config_file("prod")
    path.write_text(text)
    config = StackConfig.read(path, "slipway")
    ciphertexts.check(project, "prod", config, {"PULUMI_CONFIG_PASSPHRASE": passphrase})


def test_a_passphrase_that_fits_is_found_good_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    text = file_of(PASSPHRASE)
    open_(project, text, PASSPHRASE)
    derived: list[object] = []
    monkeypatch.setattr(ciphertexts, "_open", lambda *arguments: derived.append(arguments))
    open_(project, text, PASSPHRASE)
    assert derived == []
    open_(project, text, "another")
    assert len(derived) == 1


def test_another_passphrase_is_named_with_file_and_line(project: Project) -> None:
    with pytest.raises(
        CommandError, match=r"secrets of Pulumi\.prod\.yaml \(line 1, encryptionsalt\)"
    ) as raised:
        open_(project, file_of(PASSPHRASE), "another")
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in raised.value.remedy


def test_a_value_from_another_file_is_named_with_its_key(project: Project) -> None:
    with pytest.raises(CommandError, match="1 of the 2 encrypted values") as raised:
        open_(project, file_of(PASSPHRASE, copied=True), PASSPHRASE)
    assert "Pulumi.prod.yaml, line 5: slipway:secrets.B." in raised.value.message
    assert "`./slip secret set B -s prod`" in raised.value.message


@pytest.mark.parametrize("text", ["config: {}", "secretsprovider: awskms://x\nencryptionsalt: v1:x"])
def test_what_no_passphrase_encrypts_is_not_looked_at(project: Project, text: str) -> None:
    open_(project, text, PASSPHRASE)
