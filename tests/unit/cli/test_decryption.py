"""A state's secrets, decrypted without the CLI. tests/e2e/test_cli_state.py compares them with the CLI's."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cli.stack import decryption, passphrase
from cli.stack.decryption import decrypted
from cli.stack.deployment import SECRET_SIGNATURE, outputs_with_secrets
from cli.stack.project import Project
from tests.unit.cli.stacks import asked, make_stack

PHRASE = "correct horse"
OWN = base64.b64encode(b"eight by").decode()


@pytest.fixture(autouse=True)
def one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passphrase, "ITERATIONS", 1)


def encrypted(text: str, phrase: str = PHRASE) -> str:
    nonce = os.urandom(12)
    key = passphrase.derived(phrase, f"v1:{OWN}")
    ciphertext = AESGCM(key).encrypt(nonce, text.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(ciphertext).decode()}"


def secret(value: Any) -> dict[str, str]:
    key, signature = SECRET_SIGNATURE
    return {key: signature, "ciphertext": encrypted(json.dumps(value))}


def inner(value: Any) -> dict[str, str]:
    key, signature = SECRET_SIGNATURE
    return {key: signature, "ciphertext": json.dumps(value)}


def state(**outputs: Any) -> dict[str, Any]:
    stack = {"urn": "urn::stack", "type": "pulumi:pulumi:Stack", "outputs": outputs}
    salt = f"v1:{OWN}:{encrypted('pulumi')}"
    return {
        "secrets_providers": {"type": "passphrase", "state": {"salt": salt}},
        "resources": [stack],
    }


def test_secrets_are_in_plain_text_wherever_they_are() -> None:
    outputs = {
        "plain": 1,
        "key": secret("x"),
        "nested": {"list": [secret({"a": [True, None]}), "b"]},
        # As Pulumi 3.259.0 writes it: the inner ones have this form, and are not encrypted.
        "made of others": secret({"one": inner("y"), "two": [inner({"three": inner(2)})]}),
    }
    found = decrypted(state(**outputs), PHRASE)
    assert found is not None
    assert outputs_with_secrets(found).pop("made of others") == {"one": "y", "two": [{"three": 2}]}
    found["resources"][0]["outputs"].pop("made of others")
    assert outputs_with_secrets(found) == {
        "plain": 1,
        "key": "x",
        "nested": {"list": [{"a": [True, None]}, "b"]},
    }


@pytest.mark.parametrize(
    ("phrase", "change"),
    [
        ("wrong", {}),
        ("", {}),
        (PHRASE, {"secrets_providers": {"type": "awskms", "state": {}}}),
        (PHRASE, {"secrets_providers": None}),
        (PHRASE, {"secrets_providers": {"type": "passphrase", "state": {"salt": "v1:nonsense"}}}),
        (PHRASE, {"resources": [{"outputs": {SECRET_SIGNATURE[0]: SECRET_SIGNATURE[1]}}]}),
        (
            PHRASE,
            {"resources": [{"outputs": dict([SECRET_SIGNATURE, ("ciphertext", encrypted("1", "wrong"))])}]},
        ),
    ],
    ids=[
        "wrong",
        "none",
        "another provider",
        "no provider",
        "no salt",
        "no ciphertext",
        "foreign ciphertext",
    ],
)
def test_what_cannot_be_decrypted_is_left_to_the_cli(phrase: str, change: dict[str, Any]) -> None:
    assert decrypted(state(key=secret("x")) | change, phrase) is None


def test_the_key_is_derived_once_and_is_of_no_use_without_the_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = tmp_path / "keys" / "one"
    first = state(key=secret("x"))
    key = passphrase.derived(PHRASE, f"v1:{OWN}")
    assert decrypted(first, PHRASE, remembered) is not None
    assert stat.S_IMODE(remembered.stat().st_mode) == 0o600
    assert stat.S_IMODE(remembered.parent.stat().st_mode) == 0o700
    assert key not in base64.b64decode(remembered.read_text())
    assert decrypted(first, "wrong", remembered) is None

    derivations: list[str] = []
    derived = passphrase.derived

    def counted(phrase: str, salt: str) -> bytes:
        derivations.append(phrase)
        return derived(phrase, salt)

    monkeypatch.setattr(passphrase, "derived", counted)
    assert decrypted(first, PHRASE, remembered) is not None
    assert derivations == []
    # Somebody has cut it off, or the stack was made anew.
    remembered.write_text("AAAA")
    assert decrypted(first, PHRASE, remembered) is not None
    assert derivations == [PHRASE]
    assert decryption._key(PHRASE, first["secrets_providers"]["state"]["salt"], remembered) == key
    assert derivations == [PHRASE]


def test_only_the_clones_own_passphrase_leaves_a_key(project: Project, tmp_path: Path) -> None:
    project.passphrase_file.parent.mkdir(exist_ok=True)
    project.passphrase_file.write_text(PHRASE)
    stack = make_stack(project, "config: {}\n", url=f"file://{tmp_path}/state")
    path = tmp_path / "state/.pulumi/stacks" / project.name / "local.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"checkpoint": {"latest": state(key=secret("x"), open=1)}}))
    keys = project.private / "keys"

    stack.pulumi.variables["PULUMI_CONFIG_PASSPHRASE"] = PHRASE  # type: ignore[index]
    assert stack.outputs() == {"key": "x", "open": 1}
    assert not keys.exists()
    stack.pulumi.variables.clear()  # type: ignore[attr-defined]
    stack.pulumi.variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(project.passphrase_file)  # type: ignore[index]
    assert stack.outputs() == {"key": "x", "open": 1}
    assert len(list(keys.iterdir())) == 1
    assert asked(stack) == [], "the CLI was started"
    stack.remove()
    assert not list(keys.iterdir())
