"""What can go wrong."""


class BatchError(Exception):
    """Ends the whole command: one sentence that says what was expected, what came and what to do."""


class ServerError(Exception):
    """A ComfyUI server could not be started."""


class JobFailed(Exception):
    """The job cannot succeed, however often it is tried."""


class TryAgain(Exception):
    """The job may succeed on another try: the server died, hung or ran out of memory."""
