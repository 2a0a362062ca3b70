"""`dev.py mutate`: breaks a copy of the pack in one small way after another. Each time a test has to fail."""

import argparse
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import DEV, Host
from tools.dev.process import host_environment
from tools.dev.setup_host import set_up_batch
from tools.dev.tiers import python_of

COPIES = DEV / "mutants"
TABLE = Path(__file__).with_name("mutations.txt")
NOT_COPIED = (".git", ".dev", "__pycache__")
HEAD = re.compile(r"^([^#\s].*) \| (.+)\n((?:  .*\n)+)", re.MULTILINE)
BREAK = re.compile(r"^  (\S.*)\n((?:    -.*\n)+)((?:    \+.*\n)+)", re.MULTILINE)
SPARE_SECONDS = 60
PASSED, FAILED = 0, 1  # pytest's exit statuses


@dataclass(frozen=True)
class Mutation:
    """One text of one file for another; `tests` (files or ids, the cheapest first) should notice."""

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
    return [
        Mutation(path, breaks, _text(old), _text(new), tuple(_test_path(test) for test in tests.split()))
        for path, tests, below in HEAD.findall(file.read_text(encoding="utf-8"))
        for breaks, old, new in BREAK.findall(below)
    ]


def _text(lines: str) -> str:
    return "\n".join(line[6:] for line in lines.splitlines())


def _test_path(test: str) -> str:
    """Turn core/test_plan::test_x into tests/core/test_plan.py::test_x."""
    path, colons, name = test.partition("::")
    return f"tests/{path}.py{colons}{name}"


def mutate(host: Host, mutations: Sequence[Mutation], words: list[str]) -> int:
    """Run the mutations that `words` name; the exit status."""
    parser = argparse.ArgumentParser(prog="dev.py mutate", allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="only say which mutations there are")
    named = "a number, or a part of a mutation's line in --list"
    parser.add_argument("names", nargs="*", metavar="name", help=named)
    options = parser.parse_args(words)
    chosen = select(mutations, options.names)
    if options.list:
        print("\n".join(f"{number:>4} {mutation.name}" for number, mutation in chosen.items()))
        return 0
    if any(_tier_of(test) == "batch" for mutation in chosen.values() for test in mutation.tests):
        set_up_batch()
    COPIES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=COPIES) as folder:
        copy = Path(folder) / "pack"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        return Mutants(copy, partial(python_of, host), host_environment(host)).run(chosen)


def _tier_of(test: str) -> str:
    return test.split("/")[1]


def select(mutations: Sequence[Mutation], names: Sequence[str]) -> dict[int, Mutation]:
    """The mutations, numbered from 1, that any of the names stands for; without names all of them."""
    numbered = dict(enumerate(mutations, start=1))
    chosen: dict[int, Mutation] = {}
    for name in names:
        found = {n: m for n, m in numbered.items() if name == str(n) or name.lower() in m.name.lower()}
        if not found:
            raise DevError(
                f"Expected a mutation's number or a part of its line, got {name}: see dev.py mutate --list."
            )
        chosen |= found
    return dict(sorted(chosen.items())) if names else numbered


@dataclass(frozen=True)
class Mutants:
    """A copy of the pack, the Python of each tier's tests, and the variables of their environment."""

    copy: Path
    python: Callable[[str], Path]
    environment: dict[str, str]

    def run(self, chosen: dict[int, Mutation]) -> int:
        """Test the copy as it is, then every mutation; print a line for each and the sum. The exit status."""
        start = time.monotonic()
        tests = sorted({test for mutation in chosen.values() for test in mutation.tests})
        status, output = self._pytest(tests)
        if status != PASSED:
            end = output[-4000:]
            raise DevError(f"Expected the tests to pass on an unchanged copy, got this: mend them.\n{end}")
        seconds = time.monotonic() - start
        print(f"     the tests pass on the unchanged copy ({seconds:.0f} s)", flush=True)
        # A mutant whose tests take longer than all tests do waits for something that no longer comes.
        limit = 2 * seconds + SPARE_SECONDS
        killed = 0
        for number, mutation in chosen.items():
            start = time.monotonic()
            verdict, detail = self.judge(mutation, limit)
            seconds = time.monotonic() - start
            killed += verdict == "killed"
            print(f"{number:>4} {verdict} ({seconds:.1f} s) {mutation.name}\n     {detail}", flush=True)
        print(f"{killed} passed, {len(chosen) - killed} failed")
        return 0 if killed == len(chosen) else 1

    def judge(self, mutation: Mutation, limit: float | None = None) -> tuple[str, str]:
        """Return killed, SURVIVED or BROKEN, which says nothing about the tests, and what explains it."""
        file = self.copy / mutation.file
        original = file.read_text(encoding="utf-8")
        count = original.count(mutation.old)
        if count != 1:
            return "BROKEN", f"expected its text once, found it {count} times: {mutation.old}"
        try:
            file.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
            status, output = self._pytest(mutation.tests, limit)
        finally:
            file.write_text(original, encoding="utf-8")
        if status == PASSED:
            return "SURVIVED", f"{mutation.old}  ->  {mutation.new}"
        if status != FAILED:
            return "BROKEN", f"expected tests to run, got pytest's exit status {status}:\n{output[-2000:]}"
        noticed = re.search(r"^(FAILED|ERROR) .*?(?= - |$)", output, re.MULTILINE)
        return "killed", noticed[0] if noticed else ""

    def _pytest(self, tests: Sequence[str], limit: float | None = None) -> tuple[int, str]:
        """The exit status and the output, of the first tier that fails; each has a pytest of its own."""
        # Python tells compiled files apart by size and second: too coarse for mutants, so none are written.
        exact = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        variables = self.environment | exact
        run = partial(subprocess.run, cwd=self.copy, env=variables, capture_output=True, encoding="utf-8")
        status, output = PASSED, ""
        for tier in dict.fromkeys(map(_tier_of, tests)):
            chosen = [test for test in tests if _tier_of(test) == tier]
            command = [self.python(tier), "-m", "pytest", "-x", "-q", *chosen]
            try:
                done = run(command, timeout=limit)
            except subprocess.TimeoutExpired:
                return FAILED, f"FAILED to end within {limit:.0f} s"
            status, output = done.returncode, done.stdout + done.stderr
            if status != PASSED:
                break
        return status, output
