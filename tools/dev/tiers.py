"""The test tiers: which of them the words of `dev.py test` mean, and how each is run and counted."""

from __future__ import annotations

import os
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import LOGS, TESTS, Host, shown
from tools.dev.process import host_environment, run_shown

TIERS = ("core", "pack", "tools", "host", "server", "browser")
NOTHING_COLLECTED = 5  # pytest's exit status


@dataclass(frozen=True)
class Selection:
    """Tiers to run, each with the paths it is narrowed to, and the arguments for pytest."""

    paths: dict[str, list[str]]
    arguments: list[str]


@dataclass(frozen=True)
class Result:
    tier: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def select(words: list[str], folder: Path = TESTS) -> Selection:
    """Leading words that name tiers select them; paths inside a tier's folder narrow it; the rest is
    pytest's.

    Without tier words the tiers are those of the paths; without either, all that have a folder.
    """
    count = next((i for i, word in enumerate(words) if word not in TIERS), len(words))
    named, rest = words[:count], words[count:]
    narrowed: dict[str, list[str]] = {}
    arguments = []
    for word in rest:
        tier = _tier_of(word, folder)
        if tier is None:
            arguments.append(word)
        else:
            narrowed.setdefault(tier, []).append(word)
    stray = [tier for tier in narrowed if named and tier not in named]
    if stray:
        raise DevError(
            f"Expected paths below the named tiers ({', '.join(named)}), got one of {stray[0]}: name that "
            "tier too or drop the path."
        )
    existing = [tier for tier in TIERS if (folder / tier).is_dir()]
    missing = [tier for tier in named if tier not in existing]
    if missing:
        raise DevError(
            f"Expected tests in {shown(folder / missing[0])}, found no such folder: the tiers here are "
            f"{', '.join(existing)}."
        )
    chosen = named or list(narrowed) or existing
    return Selection(
        {tier: narrowed.get(tier, [str(folder / tier)]) for tier in TIERS if tier in chosen}, arguments
    )


def _tier_of(word: str, folder: Path) -> str | None:
    """The tier in whose folder the existing path `word` (a test id may follow it after ::) lies."""
    if word.startswith("-"):
        return None
    path = (ROOT / word.split("::")[0]).resolve()
    parts = path.relative_to(folder.resolve()).parts if path.is_relative_to(folder.resolve()) else ()
    return parts[0] if parts and parts[0] in TIERS and path.exists() else None


def run_tiers(host: Host, selection: Selection, missing: dict[str, str]) -> int:
    """Run each tier in a pytest of its own, print the table and the sum; the exit status.

    missing: tiers that cannot run here, each with the reason; each counts as a failure.
    """
    results = [
        Result(tier, 0, 1, 0, 0.0) if tier in missing else _run_tier(host, tier, paths, selection.arguments)
        for tier, paths in selection.paths.items()
    ]
    print(f"\nComfyUI {host.release}\n{'tier':<10}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}")
    for result in results:
        print(
            f"{result.tier:<10}{result.passed:>8}{result.failed:>8}{result.skipped:>8}{result.seconds:>9.1f}"
        )
    passed, skipped = sum(r.passed for r in results), sum(r.skipped for r in results)
    failed = sum(r.failed for r in results) + skipped
    if skipped:
        print(f"{skipped} skipped: counted as failed, since a skipped test checks nothing")
    for reason in missing.values():
        print(reason)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def _run_tier(host: Host, tier: str, paths: list[str], arguments: list[str]) -> Result:
    LOGS.mkdir(parents=True, exist_ok=True)
    report = LOGS / f"junit-{tier}-{os.getpid()}.xml"
    print(f"\n== {tier}", flush=True)
    start = time.monotonic()
    status = run_shown(
        [host.python, "-m", "pytest", f"--junitxml={report}", *paths, *arguments], host_environment(host)
    )
    counts = read_report(report, status)
    report.unlink(missing_ok=True)
    return Result(tier, *counts, time.monotonic() - start)


def read_report(report: Path, status: int) -> tuple[int, int, int]:
    """Passed, failed and skipped of a pytest that ended with `status`; one that broke off counts as a
    failure, too."""
    if not report.is_file():
        return 0, 1, 0
    try:
        suites = ElementTree.parse(report)
    except ElementTree.ParseError:  # pytest was ended while it wrote
        return 0, 1, 0
    total = failed = skipped = 0
    for suite in suites.iter("testsuite"):
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    broke_off = status not in (0, NOTHING_COLLECTED) and not failed
    return max(total - failed - skipped, 0), failed + broke_off, skipped
