"""The error that ends a command, and the status of an interrupted one."""

INTERRUPTED = 130
"""The exit status after an interrupt, as shells have it."""


class CommandError(Exception):
    """A reason to stop that the operator can act on: printed as a sentence and a remedy, without a stack trace."""

    def __init__(self, message: str, remedy: str = "", *, status: int = 3) -> None:
        """Stop with a message, a remedy and an exit status.

        Statuses: 1 the update or check failed, 2 wrong usage, 3 the command could not start.
        """
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.status = status
