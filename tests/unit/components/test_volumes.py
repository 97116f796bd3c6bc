"""The warning of volumes, which a roll-out loses."""

import json
from pathlib import Path

import pytest

from components.images.volumes import declared_volumes
from configuration.services import BuildSettings
from tests.unit.program import run


@pytest.fixture(autouse=True)
def free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def test_volumes_of_an_own_base_image_count(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/Dockerfile").write_text("FROM debian:12\nVOLUME /below\n")
    (tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nVOLUME /data\n")
    base = {"context": str(tmp_path / "base")}
    build = BuildSettings.model_validate({"context": str(tmp_path), "base": base})
    assert declared_volumes(build) == ["/below", "/data"]


def test_the_program_warns_of_the_service_and_its_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:12\nVOLUME /data /cache\n")
    services = {"web": {"build": {"context": str(tmp_path)}}, "blog": {"build": {"context": "app/base"}}}
    services["blog"]["domain"] = "blog.test"  # type: ignore[assignment]
    warnings: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", lambda text, *_: warnings.append(text))
    run(json.dumps({"services": services}))
    (warning,) = warnings
    assert "The image of the service web has the volumes /cache, /data" in warning
    assert "lost" in warning
