"""What the emulation reports as EC2 would: a code and a sentence."""


class Refused(Exception):
    """A request that the emulation refuses, or that failed on this machine."""

    def __init__(self, code: str, message: str) -> None:
        """`code` as EC2 names it, or `EmulationFailed` where the reason is this machine's."""
        super().__init__(message)
        self.code = code
        self.message = message


def failed(message: str) -> Refused:
    """Something of this machine stands in the way. No SDK tries again after this code."""
    return Refused("EmulationFailed", message)
