"""What visitors get to see of a project: a page for errors, and no file of the operator."""

from pathlib import Path

import pytest

from configuration.load import validate
from configuration.problems import SettingsError
from configuration.visitors import LARGEST_PAGE
from tests.unit.configuration.test_settings import GOOD

PAGE = "pages/down.html"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for folder in ("app", "pages", ".slipway"):
        (root / folder).mkdir(parents=True)
    (root / "app/Dockerfile").write_text("FROM scratch\n")
    (root / ".slipway/passphrase").write_text("secret")
    (root / "Pulumi.local.yaml").write_text("config: {}\n")
    (tmp_path / "id_ed25519").write_text("secret")
    return root


def mistake(project: Path, page: str = PAGE) -> str:
    """What is wrong with a page; empty if nothing is."""
    services = {"web": {"build": {"context": "app"}, "errorPage": page}}
    try:
        validate(GOOD | {"services": services}, project)
    except SettingsError as error:
        (problem,) = error.problems
        assert problem.location == ("services", "web", "errorPage")
        return problem.wrong
    return ""


def test_a_page_of_the_project_is_sent(project: Path) -> None:
    (project / "pages/real.html").write_text("é" * (LARGEST_PAGE // 2))
    (project / PAGE).symlink_to("real.html")
    assert mistake(project) == ""


def test_a_page_that_is_too_long_is_refused(project: Path) -> None:
    (project / PAGE).write_text("é" * (LARGEST_PAGE // 2 + 1))
    assert mistake(project) == f"has {LARGEST_PAGE + 2} bytes"


@pytest.mark.parametrize("target", ["../../id_ed25519", "/etc/hostname"])
def test_a_link_leads_to_no_file_of_the_operator(target: str, project: Path) -> None:
    (project / PAGE).symlink_to(target)
    assert mistake(project) == "is outside the project"
    assert mistake(project, "../id_ed25519") == "is outside the project"


@pytest.mark.parametrize("name", [".slipway/passphrase", "Pulumi.local.yaml"])
def test_nobody_gets_to_see_a_private_file(name: str, project: Path) -> None:
    (project / PAGE).symlink_to(project / name)
    assert (
        mistake(project)
        == mistake(project, name)
        == ("one of the files that Pulumi, Slipway and git keep to themselves")
    )
