"""The one error dev.py reports without a traceback."""


class DevError(Exception):
    """A sentence for the user: what was expected, what was found, what to do."""


def reason_of(error: Exception) -> str:
    """The error's text in one line; its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
