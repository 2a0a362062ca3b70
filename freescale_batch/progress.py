"""The live line: done, failed, rate, time left, and each worker's share."""

import sys
import time
from collections import Counter, deque
from typing import TextIO

from .outcome import Outcome

RECENT = 100
"""Jobs whose ends give the rate."""
LINE_SECONDS = 30.0
"""Between two lines where the output is no terminal."""
REDRAW_SECONDS = 0.2
SHOWN_FAILURES = 20
SHOWN_WORKERS = 8


class LiveLine:
    """total: jobs of the command, of which `before` were finished before."""

    def __init__(self, total: int, before: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._on_terminal = self._stream.isatty()
        self._total, self._before = total, before
        self._counts: Counter[str] = Counter()
        self._workers: Counter[str] = Counter()
        self._ends = deque([time.monotonic()], maxlen=RECENT)
        self._shown_at = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count a job and show it."""
        self._counts[outcome.status] += 1
        self._workers[outcome.worker] += 1
        self._ends.append(time.monotonic())
        if outcome.status != "done":
            self._tell(outcome)
        if time.monotonic() - self._shown_at > (REDRAW_SECONDS if self._on_terminal else LINE_SECONDS):
            self.show()

    def _tell(self, outcome: Outcome) -> None:
        count = self._counts[outcome.status]
        if count <= SHOWN_FAILURES:
            self._print(f"{outcome.status}: {outcome.id}: {outcome.error}")
        elif count == SHOWN_FAILURES + 1:
            self._print(f"{outcome.status}: more, no longer listed here")

    def _print(self, text: str) -> None:
        print(f"\r\033[K{text}" if self._on_terminal else text, file=self._stream, flush=True)

    def show(self) -> None:
        """Write the line now."""
        self._shown_at = time.monotonic()
        text = self.line()
        if self._on_terminal:
            print(f"\r{text}\033[K", end="", file=self._stream, flush=True)
        else:
            print(text, file=self._stream, flush=True)

    def line(self) -> str:
        left = self._total - self._before - sum(self._counts.values())
        parts = [f"{self._counts['done']} done, {self._counts['failed']} failed, {left} left"]
        rate = self._rate()
        if rate:
            parts += [f"{rate * 3600:.0f} an hour", f"{duration(left / rate)} left"]
        if self._workers:
            parts.append(self._shares())
        return " | ".join(parts)

    def _rate(self) -> float:
        """Jobs a second, by the last ones."""
        seconds = self._ends[-1] - self._ends[0]
        return (len(self._ends) - 1) / seconds if seconds > 0 else 0.0

    def _shares(self) -> str:
        shares = [f"{name}: {count}" for name, count in sorted(self._workers.items())]
        more = len(shares) - SHOWN_WORKERS
        return ", ".join(shares[:SHOWN_WORKERS]) + (f" and {more} more" if more > 0 else "")

    def end(self) -> None:
        self.show()
        if self._on_terminal:
            print(file=self._stream, flush=True)


def duration(seconds: float) -> str:
    """A time as a person says it."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
