"""The labels of what a stack makes on the operator's Docker Engine. `slip` reads this too, so it imports little."""

import hashlib

PROJECT = "slipway.project"
"""The Pulumi project's name."""
STACK = "slipway.stack"
"""The stack's name, without an organization."""
STATE = "slipway.state"
"""The id of the state that the resource was made from (`state_id`). Stacks of two clones can have the same name, but
not the same id. Resources of older versions lack it."""
CLONE = "slipway.clone"
"""The directory of the clone that made the resource, to tell people where its state is."""
HOST = "slipway.host"
"""The name of the host."""


def state_id(public_key: str) -> str:
    """The id of a stack's state, from the public key that the stack makes once and keeps: 16 hexadecimal digits.

    Args:
        public_key: of the stack's SSH key, in OpenSSH's format.

    """
    return hashlib.sha256(public_key.strip().encode()).hexdigest()[:16]
