"""The configuration of the stacks that end-to-end tests bring up."""

from typing import Any

import yaml

from tests.support.clone import REPOSITORY

HEALTH_TIMEOUT = 120
"""Seconds. A good version is healthy within one; the rest is for a busy machine."""
DRAIN_TIMEOUT = 4
"""Seconds. No request of a test takes longer."""

METRICS_PORT = 5499
REGISTRY: dict[str, Any] = {"metricsPort": METRICS_PORT}
"""The registry's settings on the stack of one host. Another metrics port would replace the host."""


def three_hosts() -> dict[str, Any]:
    """The configuration that `slip` writes for the stack `local`, on ports that leave a developer's own stack alone."""
    template = yaml.safe_load((REPOSITORY / "cli/stack/local-stack.yaml").read_text())["config"]
    settings = {key.removeprefix("slipway:"): value for key, value in template.items()}
    settings["platform"]["portOffset"] = 300
    settings["services"]["web"] |= {"healthTimeout": HEALTH_TIMEOUT, "drainTimeout": DRAIN_TIMEOUT}
    return settings


def one_host() -> dict[str, Any]:
    """One host with every role, and a service that is quick to build."""
    return {
        "platform": {"kind": "local", "portOffset": 400},
        "hosts": {"box": {"roles": ["registry", "build", "app"]}},
        "registry": dict(REGISTRY),
        "services": {
            "web": {
                "build": {"context": "tests/e2e/fixtures/tiny"},
                "health": "/",
                "healthTimeout": HEALTH_TIMEOUT,
                "drainTimeout": 1,
            }
        },
    }
