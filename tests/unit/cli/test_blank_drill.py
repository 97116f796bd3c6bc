"""`slip drill --blank`: the file of the stack that it makes, and what it refuses."""

from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cli import backups
from cli.environments import blank_drill
from cli.environments.draft import Plan
from cli.errors import CommandError
from cli.stack.config import StackConfig
from stackfile.edit import changed

REAL = """\
config:
  slipway:platform: {kind: local, portOffset: 200}
  slipway:hosts:
    box: {roles: [registry, build, app]}
  slipway:registry: {users: [alice], backup: {to: {host: data-1}}}
  slipway:stateBackup: {to: {path: /mnt/backups}}
  slipway:protect: true
  slipway:services:
    db:
      image: postgres
      volumes: {data: /data}
      backup:
        command: dump
        restoreCommand: load
        to: {s3: "https://s3.example.com/b", keyId: ID, key: KEY}
    web: {from: db, domain: app.example.com}
    tidy: {from: db, schedule: "17 3 * * *"}
  slipway:passwords: {alice: {secure: v1:eA==:eA==}}
  slipway:secrets:
    KEY: {secure: v1:eA==:eA==}
encryptionsalt: v1:eA==:v1:eA==:eA==
"""


def test_its_stack_has_the_secrets_and_reaches_no_place_of_backups() -> None:
    before = StackConfig.read_text(REAL, "slipway")
    plan = Plan("drill-real", "real", "local", 100, 300)
    made = yaml.safe_load(changed(REAL, dict(blank_drill._changes(before, plan))))
    config = {key.removeprefix("slipway:"): value for key, value in made["config"].items()}
    assert made["encryptionsalt"] == "v1:eA==:v1:eA==:eA=="
    assert config["secrets"] == {"KEY": {"secure": "v1:eA==:eA=="}}
    assert config["platform"] == {"kind": "local", "portOffset": 300}
    assert not {"passwords", "stateBackup", "protect"} & config.keys()
    assert config["registry"]["backup"] == {"to": blank_drill.NOWHERE}
    services = config["services"]
    assert services["db"]["backup"] == {
        "command": "dump",
        "restoreCommand": "load",
        "to": blank_drill.NOWHERE,
    }
    assert services["web"]["domain"] == "drill-real.app.example.com"
    assert "tidy" not in services


def test_a_service_keeps_the_image_of_a_job_that_is_left_out() -> None:
    """Also of a job that has it from another job; and a service that has a job's name in front of it in the file."""
    before = {
        "first": {"from": "nightly"},
        "tidy": {"build": {"context": "app"}, "schedule": "17 3 * * *"},
        "nightly": {"from": "tidy", "schedule": "17 4 * * *"},
        "second": {"from": "tidy", "needs": ["first"]},
        "db": {"image": "postgres"},
        "report": {"from": "db", "schedule": "17 5 * * *"},
        "web": {"from": "report"},
    }
    text = yaml.safe_dump({"config": {"slipway:services": before}}, sort_keys=False)
    config = StackConfig.read_text(text, "slipway")
    plan = Plan("drill-real", "real", "local", 100, 300)
    made = yaml.safe_load(changed(text, dict(blank_drill._changes(config, plan))))
    assert made["config"]["slipway:services"] == {
        "first": {"build": {"context": "app"}},
        "second": {"from": "first", "needs": ["first"]},
        "db": {"image": "postgres"},
        "web": {"from": "db"},
    }


@pytest.mark.parametrize(
    ("platform", "service", "known", "words"),
    [
        ("aws", None, ["db"], "is on the platform aws"),
        ("local", "web", ["db"], "web has no backups"),
        ("local", None, ["state"], "nothing of this stack has backups"),
    ],
)
def test_what_it_refuses(
    monkeypatch: pytest.MonkeyPatch, platform: str, service: str | None, known: list[str], words: str
) -> None:
    monkeypatch.setattr(backups, "backed_up", lambda _: known)
    stack: Any = SimpleNamespace(
        project=None, name="real", short_name="real", config=SimpleNamespace(platform=platform)
    )
    with pytest.raises(CommandError, match=words) as caught:
        blank_drill.drill(stack, service)
    assert caught.value.status == 2
