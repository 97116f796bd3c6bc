"""The stack files of examples/ are valid, with the secrets that their READMEs have people set."""

import re
from pathlib import Path

import pytest
import yaml

from configuration.load import validate
from well_known import HOSTS_ACCOUNT, NAMESPACE

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "examples").glob("*/stack.yaml"))
MADE = {"BACKUP_PASSWORD_DB", "BACKUP_PASSWORD_REGISTRY", "BACKUP_PASSWORD_ERDDAP"}
"""Secrets that `up` makes."""


@pytest.mark.parametrize("file", FILES, ids=[file.parent.name for file in FILES])
def test_an_examples_stack_file_is_valid(file: Path) -> None:
    written = yaml.safe_load(file.read_text())["config"]
    settings = {key.removeprefix(f"{NAMESPACE}:"): value for key, value in written.items()}
    asked = re.findall(r"slip secret set ([A-Z_]+)", (file.parent / "README.md").read_text())
    assert asked
    users = [HOSTS_ACCOUNT, *settings["registry"]["users"]]
    secrets = dict.fromkeys([*asked, *MADE], "a-secret-of-this-test")
    stack = validate(
        settings | {"passwords": dict.fromkeys(users, "a-password-of-tests"), "secrets": secrets}, ROOT
    )
    assert stack.services.keys() == settings["services"].keys()
