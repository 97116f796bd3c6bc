"""The one way in which the tools fail."""


class ToolError(Exception):
    """Something that this machine lacks or refused: one sentence, with the remedy, fit to be shown as it is."""
