"""Files of services from templates: what a template knows, and how a mistake in it is told."""

from pathlib import Path
from typing import Any

import pytest

from configuration.rendering import Unrendered, rendered
from configuration.settings import StackSettings
from configuration.types import STACK_CONTEXT

SECRET = "a-secret-value-0123456789"


def render(directory: Path, template: str, **file: Any) -> bytes:
    (directory / "app.ini.j2").write_text(template)
    settings = {
        "services": {
            "web": {
                "build": {"context": "app"},
                "domains": ["shop.example.com"],
                "files": {"/etc/app.ini": {"template": "app.ini.j2", **file}},
            }
        },
        "secrets": {"TOKEN": SECRET},
    }
    valid = StackSettings.model_validate(settings, context={STACK_CONTEXT: "dev"})
    return rendered(valid, "web", "/etc/app.ini", directory, "dev").content


@pytest.mark.parametrize(
    ("template", "content"),
    [
        ("{{ stack }}/{{ service }}\n", "dev/web\n"),
        ("{{ settings.services[service].domains | join(' ') }}", "shop.example.com"),
        ("{{ settings.services.web.healthTimeout }} {{ secrets.TOKEN }}", f"30 {SECRET}"),
        ("{% for host in settings.hosts %}{{ host }}{% endfor %}", "box"),
        ("<a href='{{ 'x&y' }}'>", "<a href='x&y'>"),
        ("{{ secrets.OTHER is defined }}", "False"),
        ("{{ settings.secrets is defined }}", "False"),
    ],
)
def test_a_template_knows_settings_and_secrets(tmp_path: Path, template: str, content: str) -> None:
    assert render(tmp_path, template).decode() == content


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ secrets.OTHER }}", "OTHER"),
        ("one\n{{ nothing", "has a mistake in line 2"),
        ("{{ nosuch }}", "'nosuch' is undefined"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ secrets.TOKEN + 1 }}", "TypeError"),
        ("{{ secrets[secrets.TOKEN] }}", "has no attribute '…'"),
        ("{{ secrets.TOKEN.__class__.__mro__ }}", "cannot be rendered"),
        ("{% include '/etc/passwd' %}", "cannot be rendered"),
    ],
)
def test_a_mistake_in_a_template_is_told_without_a_value(tmp_path: Path, template: str, words: str) -> None:
    with pytest.raises(Unrendered, match=words) as caught:
        render(tmp_path, template)
    assert SECRET not in str(caught.value)
