"""How a command says that it cannot go on."""


class CommandError(Exception):
    """A reason to stop that a person can act on: printed as one clear sentence and its remedy, without a trace."""

    def __init__(self, message: str, remedy: str = "", *, status: int = 3) -> None:
        """Stop with `message`, say what to do about it, and leave with the exit status `status`.

        Statuses: 1 what was asked for failed, 2 the command was used wrongly, 3 it could not start.
        """
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.status = status
