"""The prose of a page that a benchmark writes: a Markdown file whose parts begin with `<!-- name -->`."""

import re
from pathlib import Path


def page_texts(file: Path) -> dict[str, str]:
    """Name of a part -> its text, in which {names} stand for what the benchmark fills in."""
    parts = re.split(r"^<!-- (\w+) -->\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
