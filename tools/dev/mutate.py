"""`dev.py mutate`: breaks a copy of the pack in one small way after another. Each time a test has to fail."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import DEV, Host
from tools.dev.process import host_environment

COPIES = DEV / "mutants"
TABLE = Path(__file__).with_name("mutations.txt")
NOT_COPIED = (".git", ".dev", "__pycache__")
SPARE_SECONDS = 60
PASSED, FAILED = 0, 1  # pytest's exit statuses


@dataclass(frozen=True)
class Mutation:
    """One text of one file for another.

    breaks: what is wrong then, in words. tests: the files (or ids) of those that should notice, cheapest
    first.
    """

    file: str
    breaks: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.file}: {self.breaks}"


def read_mutations(file: Path = TABLE) -> list[Mutation]:
    """The mutations of a table; its first lines say how it is written."""
    found: list[Mutation] = []
    head: tuple[str, tuple[str, ...]] = ("", ())
    breaks = ""
    old: list[str] = []
    new: list[str] = []

    def end() -> None:
        if old:
            found.append(Mutation(head[0], breaks, "\n".join(old), "\n".join(new), head[1]))
        old.clear()
        new.clear()

    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("    -"):
            old.append(line[6:])
        elif line.startswith("    +"):
            new.append(line[6:])
        elif line.startswith("  "):
            end()
            breaks = line.strip()
        elif line and not line.startswith("#"):
            end()
            path, tests = line.split(" | ")
            head = path, tuple(_test_path(test) for test in tests.split())
    end()
    return found


def _test_path(test: str) -> str:
    """ "core/test_plan::test_x" -> "tests/core/planning/test_plan.py::test_x"."""
    path, colons, name = test.partition("::")
    return f"tests/{path}.py{colons}{name}"


def mutate(host: Host, mutations: Sequence[Mutation], words: list[str]) -> int:
    """Run the mutations that `words` name; the exit status."""
    parser = argparse.ArgumentParser(prog="dev.py mutate", allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="only say which mutations there are")
    parser.add_argument(
        "names", nargs="*", metavar="name", help="a number, or a part of a mutation's line in --list"
    )
    options = parser.parse_args(words)
    chosen = select(mutations, options.names)
    if options.list:
        print("\n".join(f"{number:>4} {mutation.name}" for number, mutation in chosen.items()))
        return 0
    COPIES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=COPIES) as folder:
        copy = Path(folder) / "pack"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        return Mutants(copy, [str(host.python)], host_environment(host)).run(chosen)


def select(mutations: Sequence[Mutation], names: Sequence[str]) -> dict[int, Mutation]:
    """The mutations, numbered from 1, that any of the names stands for; without names all of them."""
    numbered = dict(enumerate(mutations, start=1))
    chosen: dict[int, Mutation] = {}
    for name in names:
        found = {
            n: mutation
            for n, mutation in numbered.items()
            if name == str(n) or name.lower() in mutation.name.lower()
        }
        if not found:
            raise DevError(
                f"Expected a mutation's number or a part of its line, got {name}: see dev.py mutate --list."
            )
        chosen |= found
    return dict(sorted(chosen.items())) if names else numbered


@dataclass(frozen=True)
class Mutants:
    """A copy of the pack, and the Python and the environment that its tests run in."""

    copy: Path
    python: list[str]
    environment: dict[str, str]

    def run(self, chosen: dict[int, Mutation]) -> int:
        """Test the copy as it is, then every mutation; print a line for each and the sum. The exit status."""
        start = time.monotonic()
        self._require_passing_tests(sorted({test for mutation in chosen.values() for test in mutation.tests}))
        seconds = time.monotonic() - start
        print(f"     the tests pass on the unchanged copy ({seconds:.0f} s)", flush=True)
        # A mutant whose tests take longer than all tests do waits for something that no longer comes.
        limit = 2 * seconds + SPARE_SECONDS
        verdicts = []
        for number, mutation in chosen.items():
            start = time.monotonic()
            verdict, detail = self.judge(mutation, limit)
            verdicts.append(verdict)
            print(
                f"{number:>4} {verdict} ({time.monotonic() - start:.1f} s) {mutation.name}{detail}",
                flush=True,
            )
        failed = sum(verdict != "killed" for verdict in verdicts)
        print(f"{verdicts.count('killed')} passed, {failed} failed")
        return 1 if failed else 0

    def judge(self, mutation: Mutation, limit: float | None = None) -> tuple[str, str]:
        """Return the verdict and what explains it: the test that noticed, or what is wrong.

        The verdict is killed, SURVIVED or BROKEN, which says nothing about the tests.
        """
        file = self.copy / mutation.file
        original = file.read_text(encoding="utf-8")
        if original.count(mutation.old) != 1:
            return (
                "BROKEN",
                f"\n     expected its text once, found it {original.count(mutation.old)} times: "
                f"{mutation.old}",
            )
        try:
            file.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
            status, output = self._pytest(mutation.tests, limit)
        finally:
            file.write_text(original, encoding="utf-8")
        if status not in (PASSED, FAILED):
            return (
                "BROKEN",
                f"\n     expected tests to run, got pytest's exit status {status}:\n{output[-2000:]}",
            )
        if status == PASSED:
            return "SURVIVED", f"\n     {mutation.old}  ->  {mutation.new}"
        return "killed", _noticed_by(output)

    def _require_passing_tests(self, tests: list[str]) -> None:
        """A run for each tier, for the tiers have environments of their own."""
        for tier in sorted({tier_of(test) for test in tests}):
            status, output = self._pytest([test for test in tests if tier_of(test) == tier])
            if status != PASSED:
                raise DevError(
                    "Expected the tests to pass on an unchanged copy, got this: mend them "
                    f"first.\n{output[-4000:]}"
                )

    def _pytest(self, tests: Sequence[str], limit: float | None = None) -> tuple[int, str]:
        """The exit status and the output, of the first tier that fails if there are several."""
        status, output = PASSED, ""
        for tier in dict.fromkeys(tier_of(test) for test in tests):
            command = [
                *self.python,
                "-m",
                "pytest",
                "-x",
                "-q",
                *[test for test in tests if tier_of(test) == tier],
            ]
            # Python tells compiled files apart by size and second: too coarse for mutants, so none are
            # written.
            environment = self.environment | {
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            }
            try:
                done = subprocess.run(
                    command,
                    cwd=self.copy,
                    env=environment,
                    capture_output=True,
                    text=True,
                    encoding="utf-8",
                    timeout=limit,
                )
            except subprocess.TimeoutExpired:
                return FAILED, f"FAILED to end within {limit:.0f} s - "
            status, output = done.returncode, done.stdout + done.stderr
            if status != PASSED:
                break
        return status, output


def tier_of(test: str) -> str:
    """core of tests/core/planning/test_plan.py."""
    return test.split("/")[1]


def _noticed_by(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return f"\n     {lines[0].split(' - ')[0]}" if lines else ""
