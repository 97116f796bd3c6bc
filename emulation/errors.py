"""Errors as EC2 reports them: a code and a sentence."""


class Refused(Exception):
    """The emulation refuses a request, or the request failed on this machine."""

    def __init__(self, code: str, message: str) -> None:
        """`code` is EC2's, or `EmulationFailed` if this machine is the reason."""
        super().__init__(message)
        self.code = code
        self.message = message


def failed(message: str) -> Refused:
    """The error for a failure of this machine. No SDK repeats a call after this code."""
    return Refused("EmulationFailed", message)
