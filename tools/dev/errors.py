"""The one error dev.py reports without a traceback."""


class DevError(Exception):
    """A sentence for the user: what was expected, what was found, what to do."""
