"""`python -m toolchain`: prepare this machine."""

import sys

from toolchain.environment import prepare
from toolchain.errors import ToolError


def main() -> int:
    """Prepare this machine, and print where Pulumi and its plugins are."""
    try:
        environment = prepare()
    except ToolError as error:
        print(f"slip: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("slip: interrupted; run the command again to continue", file=sys.stderr)
        return 130
    print(f"Pulumi CLI  {environment.pulumi}")
    print(f"PULUMI_HOME {environment.variables['PULUMI_HOME']} ({environment.plugins})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
