"""Runs the cases of a campaign: `python3 dev.py campaign interrupts --minutes 5 --seed 3`.

A case is decided by the seed and its own number alone, so any of them can be run again by itself (--case).
Each leaves a line in a log below .dev/campaign. The next start with the same seed and the same code goes on
behind the last one; other code begins a log of its own, so that no figure mixes the two.
"""

import argparse
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

CAMPAIGNS = {
    "interrupts": "Cancel or an error at any operation of a random run",
    "memory": "lack of memory at any allocation of the pack in a random run",
    "fuzz": "random inputs to every node, to chains of them and to the runs behind them",
    "route": "random requests to the route that FreeScale Plan's drawing asks",
}
"""Name of a module beside this one -> what its cases do."""
LOGS = ROOT / ".dev" / "campaign"
CODE = ("nodes", "freescale_core", "tools/campaign")
"""What the cases and their endings depend on."""
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


@dataclass(frozen=True)
class Line:
    """A case as the log holds it."""

    case: int
    subject: str
    ending: str
    found: str | None
    seconds: float


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


def code_digest(root: Path) -> str:
    """A short name of the code's state in a checkout."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in CODE for file in (root / folder).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


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
    """The figures of a log: cases, how many ended how and with what, seconds, findings."""
    return {
        "cases": len(lines),
        "subjects": dict(sorted(Counter(line.subject for line in lines).items())),
        "endings": dict(sorted(Counter(line.ending for line in lines).items())),
        "seconds": round(sum(line.seconds for line in lines)),
        "found": [f"case {line.case}, {line.subject}: {line.found}" for line in lines if line.found],
    }


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py campaign", allow_abbrev=False, epilog=_names())
    parser.add_argument("name", nargs="?", choices=CAMPAIGNS, metavar="name")
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES)
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="end after so many cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this one case, and log nothing")
    options = parser.parse_args(words)
    if options.name is None:
        print(_names())
        return 0
    campaign = importlib.import_module(f"tools.campaign.{options.name}").run_case
    logging.disable(logging.ERROR)  # A thousand cases would say the same thing a thousand times.
    if options.case is not None:
        lines = [next(lines_of(campaign, options.seed, options.case))]
        print(lines[0])
    else:
        release = os.environ.get("FREESCALE_HOST", "unknown")
        file = LOGS / f"{options.name}-{release}-{code_digest(ROOT)}-{options.seed}.jsonl"
        deadline = time.monotonic() + 60 * options.minutes
        lines = campaign_until(campaign, options.seed, file, deadline, options.cases)
        print(json.dumps(summary(lines), indent=2))
    broken = sum(line.found is not None for line in lines)
    print(f"{len(lines) - broken} passed, {broken} failed")
    return 1 if broken else 0


def _names() -> str:
    return "\n".join(f"{name:<12}{does}" for name, does in CAMPAIGNS.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
