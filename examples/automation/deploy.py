"""Deploys a stack of Slipway from Python, by Pulumi's Automation API, and prints where its services answer.

    python examples/automation/deploy.py [STACK]

It runs the same program as `./slip up` and plain `pulumi up`, so each sees what the other did.
"""

import sys
from pathlib import Path

from pulumi import automation

CLONE = Path(__file__).resolve().parents[2]


def deploy(name: str) -> dict[str, list[str]]:
    """Bring a stack up, and print what Pulumi prints.

    Args:
        name: the stack's name; `Pulumi.NAME.yaml` in the clone configures it.

    Returns:
        The URLs of each service.

    Raises:
        automation.CommandError: Pulumi failed. The message holds what it printed.

    """
    stack = automation.create_or_select_stack(name, work_dir=str(CLONE))
    result = stack.up(on_output=print)
    urls: dict[str, list[str]] = result.outputs["serviceUrls"].value
    return urls


if __name__ == "__main__":
    try:
        services = deploy(sys.argv[1] if len(sys.argv) > 1 else "local")
    except automation.CommandError as error:
        sys.exit(f"the update failed:\n{error}")
    for service, addresses in services.items():
        print(service, *addresses)
