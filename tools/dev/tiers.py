"""The test tiers: which of them the words of `dev.py test` mean, and how each is run and counted."""

import os
import time
import xml.etree.ElementTree as ElementTree
from itertools import takewhile
from pathlib import Path

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import BATCH, LOGS, TESTS, Host, shown, venv_program
from tools.dev.process import host_environment, run_shown

TIERS = ("core", "pack", "tools", "host", "bench", "server", "batch", "browser")
BATCH_PYTHON = venv_program(BATCH / "venv", "python")
NOTHING_COLLECTED = 5  # pytest's exit status
TWO_FILES_AT_A_TIME = dict.fromkeys(("host", "bench", "server"), ("--numprocesses=2", "--dist=loadfile"))
"""Tiers whose files share nothing and keep one core busy -> the words for pytest.

Each process of the server tier has a server of its own.
"""


Result = tuple[str, int, int, int, float]
"""A tier's name, how many tests passed, failed and were skipped, and its seconds."""


def select(words: list[str], folder: Path = TESTS) -> tuple[dict[str, list[str]], list[str]]:
    """Return the tiers to run, each with the paths it is narrowed to, and the arguments for pytest.

    Leading words that name tiers select them; paths inside a tier's folder narrow it; the rest is pytest's.
    Without tier words the tiers are those of the paths; without either, all that have a folder.
    """
    named = list(takewhile(TIERS.__contains__, words))
    narrowed: dict[str, list[str]] = {}
    arguments: list[str] = []
    for word in words[len(named) :]:
        tier = _tier_of(word, folder)
        (arguments if tier is None else narrowed.setdefault(tier, [])).append(word)
    existing = [tier for tier in TIERS if (folder / tier).is_dir()]
    chosen = named or list(narrowed) or existing
    for stray in narrowed.keys() - chosen:
        names = ", ".join(named)
        raise DevError(
            f"Expected paths below the named tiers ({names}), got one of {stray}: name that tier too or drop "
            "the path."
        )
    for tier in set(chosen) - set(existing):
        names, place = ", ".join(existing), shown(folder / tier)
        raise DevError(f"Expected tests in {place}, found no such folder: the tiers here are {names}.")
    paths = {tier: narrowed.get(tier, [str(folder / tier)]) for tier in TIERS if tier in chosen}
    return paths, arguments


def _tier_of(word: str, folder: Path) -> str | None:
    """The tier in whose folder the existing path `word` (a test id may follow it after ::) lies."""
    if word.startswith("-"):
        return None
    path = (ROOT / word.split("::")[0]).resolve()
    parts = path.relative_to(folder.resolve()).parts if path.is_relative_to(folder.resolve()) else ()
    return parts[0] if parts and parts[0] in TIERS and path.exists() else None


def run_tiers(host: Host, chosen: dict[str, list[str]], arguments: list[str], missing: dict[str, str]) -> int:
    """Run each tier in a pytest of its own, print the table and the sum; the exit status.

    missing: tiers that cannot run here, each with the reason; each counts as a failure.
    """
    results = [
        (tier, 0, 1, 0, 0.0) if tier in missing else _run_tier(host, tier, paths, arguments)
        for tier, paths in chosen.items()
    ]
    print(f"\nComfyUI {host.release}\n{'tier':<10}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}")
    for tier, *counts, seconds in results:
        print(f"{tier:<10}{''.join(f'{count:>8}' for count in counts)}{seconds:>9.1f}")
    passed, failed, skipped = (sum(int(result[column]) for result in results) for column in (1, 2, 3))
    if skipped:
        print(f"{skipped} skipped: counted as failed, since a skipped test checks nothing")
    for reason in missing.values():
        print(reason)
    print(f"{passed} passed, {failed + skipped} failed")
    return 1 if failed or skipped or not passed else 0


def python_of(host: Host, tier: str) -> Path:
    """The Python of the environment that a tier's tests run in."""
    return BATCH_PYTHON if tier == "batch" else host.python


def processes(tier: str, paths: list[str], arguments: list[str]) -> tuple[str, ...]:
    """The words that spread a tier over processes. A narrowed one stays in one, where --pdb and -s work."""
    is_whole = not arguments and paths == [str(TESTS / tier)]
    return TWO_FILES_AT_A_TIME.get(tier, ()) if is_whole else ()


def _run_tier(host: Host, tier: str, paths: list[str], arguments: list[str]) -> Result:
    LOGS.mkdir(parents=True, exist_ok=True)
    report = LOGS / f"junit-{tier}-{os.getpid()}.xml"
    print(f"\n== {tier}", flush=True)
    start = time.monotonic()
    words = [f"--junitxml={report}", *processes(tier, paths, arguments), *paths, *arguments]
    pytest = [python_of(host, tier), "-m", "pytest", *words]
    status = run_shown(pytest, host_environment(host))
    counts = read_report(report, status)
    report.unlink(missing_ok=True)
    return tier, *counts, time.monotonic() - start


def read_report(report: Path, status: int) -> tuple[int, int, int]:
    """Passed, failed and skipped of a pytest that ended with `status`; one that broke off failed, too."""
    try:
        suites = list(ElementTree.parse(report).iter("testsuite"))
    except (OSError, ElementTree.ParseError):  # pytest was ended before or while it wrote
        return 0, 1, 0
    total, failures, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    broke_off = status not in (0, NOTHING_COLLECTED) and not failed
    return max(total - failed - skipped, 0), failed + broke_off, skipped
