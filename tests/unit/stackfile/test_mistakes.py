"""Keys that Pulumi would leave unread, files without a setting, and ciphertexts that nobody wrote."""

import pytest
import yaml

from configuration.settings import StackSettings
from stackfile.document import Document
from stackfile.mistakes import is_empty, mistakes_in, without_settings
from well_known import SETTINGS

CIPHERTEXT = "v1:YWJj:ZGVm"


def found(content: object) -> list[str]:
    document = Document.parse(yaml.safe_dump(content, sort_keys=False).encode())
    return [mistake.text for mistake in mistakes_in(document, "shop", "prod")]


def test_the_settings_are_known_by_name() -> None:
    assert set(SETTINGS) == {one.alias or name for name, one in StackSettings.model_fields.items()}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        *(
            (f"{namespace}:hosts", "slipway:hosts")
            for namespace in ("Slipway", "SLIPWAY", "slipwya", "slipways", "slip-way")
        ),
        *(
            (key, "slipway:services")
            for key in ("services", "slipway.services", "slipway/services", "Services", "servces")
        ),
        ("shop:services", "slipway:services"),
        ("shop:service", "slipway:services"),
        ("slipways:zzz", "slipway:zzz"),
    ],
)
def test_a_near_miss_is_refused(key: str, meant: str) -> None:
    (mistake,) = found({"config": {key: {}, "slipway:protect": False}})
    assert mistake.startswith(f"{key} ")
    assert mistake.endswith(f"Did you mean {meant}?")


@pytest.mark.parametrize(
    "key",
    [
        "aws:region",
        "pulumi:disable-default-providers",
        "docker:registryAuth",
        "other:services",
        "shop:mine",
        "tls:x",
    ],
)
def test_keys_of_others_are_left_alone(key: str) -> None:
    assert found({"config": {key: "x", "slipway:hosts": {}}}) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"slipway:hosts": {}}, "slipway:hosts is not below `config:`. Indent it there, as slipway:hosts."),
        ({"services": {}}, "services is not below `config:`. Indent it there, as slipway:services."),
        ({"confg": {"slipway:hosts": {}}}, "confg is unknown. Did you mean `config:`?"),
        ({"Config": {}}, "Config is unknown. Did you mean `config:`?"),
        ({"config": []}, "config is not a map"),
        (
            {"config": {"slipway:services": None}},
            "slipway:services has no value. Write its settings below it",
        ),
        ({"config": {"slipway:config:hosts": {}}}, "is an old notation. Write slipway:hosts."),
        ({"config": {"mine": 1}}, "mine has no namespace"),
        ({"encryptionsalt": "v1:x"}, "encryptionsalt is not what Pulumi wrote"),
        (
            {"config": {"slipway:secrets": {"A": {"secure": "v1:x"}}}},
            "Restore the line, or remove it and set the secret: `./slip secret set A -s pr",
        ),
        (
            {"config": {"slipway:secrets": {"A": {"secure": None}}}},
            "slipway:secrets.A is not what Pulumi encrypted",
        ),
        (
            {"config": {"slipway:passwords": {"a": {"secure": "v1:YQ==:%"}}}},
            "remove it: the next `./slip up -s prod` makes a new",
        ),
    ],
)
def test_a_mistake_is_named_with_its_remedy(content: object, expected: str) -> None:
    (mistake,) = found(content)
    assert expected in mistake


def test_what_pulumi_writes_is_accepted() -> None:
    ours = {"slipway:secrets": {"A": {"secure": CIPHERTEXT}, "B": {"secure": "AQICAHh"}}, "slipway:hosts": {}}
    salted = {
        "encryptionsalt": f"v1:YWJj:{CIPHERTEXT}",
        "config": ours,
        "secretsprovider": "awskms://x",
        "encryptedkey": "x",
    }
    assert found(salted) == []


@pytest.mark.parametrize(
    "content",
    [None, {}, {"config": None}, {"config": {"aws:region": "x"}}, {"config": {"slipway:passwords": {}}}],
)
def test_a_file_without_settings_is_empty(content: object) -> None:
    document, project = Document.parse(yaml.safe_dump(content).encode()), Document({"name": "slipway"})
    assert is_empty(document, project)
    assert not is_empty(document, Document({"config": {"slipway:hosts": {}}}))
    assert not is_empty(Document({**document.content, "environment": ["prod"]}), project)
    assert "slipway:hosts: {box: {roles: [registry, build, app]}}" in str(without_settings("prod"))
    assert "rm Pulumi.local.yaml" in str(without_settings("local"))
    assert "rm" not in str(without_settings("prod"))
