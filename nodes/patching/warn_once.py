"""Log lines that a run gives once, however many layers and model calls find the reason."""

import logging

log = logging.getLogger("FreeScale")


class WarnOnce:
    """Logs each message the first time only.

    Each run has one of its own, so that the next run says it again.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __call__(self, message: str, level: int = logging.WARNING) -> None:
        if message not in self._logged:
            self._logged.add(message)
            log.log(level, "FreeScale: %s", message)
