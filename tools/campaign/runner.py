"""Runs the cases of a campaign: `python3 dev.py campaign interrupts --minutes 5 --seed 3`.

A case is decided by the seed and its own number alone, so any of them can be run again by itself (--case).
Each leaves a line in a log below .dev/campaign. The next start with the same seed and the same code goes on
behind the last one; other code begins a log of its own, so that no figure mixes the two.
"""

import argparse
import ast
import hashlib
import importlib
import json
import logging
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tools import ROOT

FOLDER = Path(__file__).parent
LOGS = ROOT / ".dev" / "campaign"
PACK = ("nodes", "freescale_core")
"""What every campaign tries to break."""
PAGE = "page"
"""Named like a campaign: writes what the logs hold as a page."""
DEFAULT_MINUTES = 2.0


@dataclass(frozen=True)
class CaseResult:
    """How a case ended."""

    subject: str
    """What was run, in words."""
    ending: str
    """One of a few words, which are counted."""
    found: str | None = None
    """The promise that was broken; None = all were kept."""
    figures: dict[str, str] | None = None
    """What was measured, in words, where a case is a measurement."""


@dataclass(frozen=True)
class Line:
    """A case as the log holds it."""

    case: int
    subject: str
    ending: str
    found: str | None
    seconds: float
    figures: dict[str, str] | None = None


RunCase = Callable[[random.Random], CaseResult]
"""What a campaign's module offers as `run_case`: one case, with numbers drawn from what it is given."""


def run_case(campaign: RunCase, seed: int, case: int) -> CaseResult:
    """One case. An exception that the campaign did not expect is a finding."""
    try:
        return campaign(random.Random(f"{seed} {case}"))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
        return CaseResult("unknown", "error", f"{type(error).__name__} at {place}: {error}")


def lines_of(campaign: RunCase, seed: int, first: int = 0) -> Iterator[Line]:
    """The cases from `first` on, without an end, each run when it is asked for."""
    for case in count(first):
        start = time.monotonic()
        outcome = run_case(campaign, seed, case)
        yield Line(case=case, seconds=round(time.monotonic() - start, 2), **asdict(outcome))


def campaigns() -> dict[str, str]:
    """Name of a module beside this one that offers cases -> the text at its top."""
    found = {}
    for file in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run_case" for node in tree.body):
            found[file.stem] = ast.get_docstring(tree) or ""
    del found["runner"]  # Its run_case runs those of the others.
    return found


def code_digest(root: Path, campaign: str) -> str:
    """A short name of the state in a checkout of the pack and of all that a campaign imports from tools."""
    files = {file for folder in PACK for file in (root / folder).rglob("*.py")}
    _add_imported(files, root, f"tools.campaign.{campaign}")
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def _add_imported(files: set[Path], root: Path, module: str) -> None:
    """Add the file of a module, if it has one, and those of the modules of tools that it imports."""
    file = root.joinpath(*module.split(".")).with_suffix(".py")
    if file in files or not file.is_file():
        return
    files.add(file)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{name}" for name in names)]
        for name in names:
            if name.startswith("tools."):
                _add_imported(files, root, name)


def read_log(file: Path) -> list[Line]:
    """The whole lines of a log; one that a kill has torn is left out."""
    found = []
    for text in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            found.append(Line(**json.loads(text)))
        except (ValueError, TypeError):
            break
    return found


def resumed(file: Path) -> list[Line]:
    """What a log holds, and the log with nothing else in it, ready for more."""
    known = read_log(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(_text(line) for line in known), encoding="utf-8")
    return known


def campaign_until(campaign: RunCase, seed: int, file: Path, deadline: float, most: int) -> list[Line]:
    """Go on with a log until a time of time.monotonic() or `most` cases; all of its lines."""
    known = resumed(file)
    with file.open("a", encoding="utf-8") as log:
        lines = lines_of(campaign, seed, first=len(known))
        while len(known) < most and time.monotonic() <= deadline:
            line = next(lines)
            known.append(line)
            log.write(_text(line))
            log.flush()
            if line.found:
                print(f"case {line.case}, {line.subject}: {line.found}", flush=True)
    return known


def _text(line: Line) -> str:
    return json.dumps(asdict(line)) + "\n"


def summary(lines: list[Line]) -> dict[str, Any]:
    """The figures of a log: cases, how many ended how and with what, seconds, findings, figures."""
    return {
        "cases": len(lines),
        "subjects": dict(sorted(Counter(line.subject for line in lines).items())),
        "endings": dict(sorted(Counter(line.ending for line in lines).items())),
        "seconds": round(sum(line.seconds for line in lines)),
        "found": [f"case {line.case}, {line.subject}: {line.found}" for line in lines if line.found],
        "figures": [line.figures for line in lines if line.figures],
    }


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py campaign",
        allow_abbrev=False,
        epilog=_names(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=[*campaigns(), PAGE], metavar="name")
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES)
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="end after so many cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this one case, and log nothing")
    options = parser.parse_args(words)
    if options.name is None:
        print(_names())
        return 0
    if options.name == PAGE:
        importlib.import_module("tools.campaign.page").write(LOGS)
        return 0
    campaign = importlib.import_module(f"tools.campaign.{options.name}").run_case
    logging.disable(logging.ERROR)  # A thousand cases would say the same thing a thousand times.
    if options.case is not None:
        lines = [next(lines_of(campaign, options.seed, options.case))]
        print(lines[0])
    else:
        release = os.environ.get("FREESCALE_HOST", "unknown")
        digest = code_digest(ROOT, options.name)
        file = LOGS / f"{options.name}-{release}-{digest}-{options.seed}.jsonl"
        deadline = time.monotonic() + 60 * options.minutes
        lines = campaign_until(campaign, options.seed, file, deadline, options.cases)
        print(json.dumps(summary(lines), indent=2))
    broken = sum(line.found is not None for line in lines)
    print(f"{len(lines) - broken} passed, {broken} failed")
    return 1 if broken else 0


def _names() -> str:
    does = {name: " ".join(text.split("\n\n")[0].split()) for name, text in campaigns().items()}
    does[PAGE] = "docs/RELIABILITY.md, with the figures of the logs"
    return "\n".join(f"{name:<12}{text}" for name, text in does.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
