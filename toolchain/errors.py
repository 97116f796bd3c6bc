"""The toolchain's exception."""


class ToolError(Exception):
    """Something is missing or failed on this machine. The text is one sentence for the user, with the remedy."""
