"""What is logged while something runs."""

import logging


class Heard(logging.Handler):
    """The log's lines inside the block, once each."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self.lines:
            self.lines.append(line)

    def about(self, *words: str) -> list[str]:
        """The lines that hold one of some words in small letters."""
        return [line for line in self.lines if any(word in line.lower() for word in words)]

    def __enter__(self) -> "Heard":
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger().removeHandler(self)
