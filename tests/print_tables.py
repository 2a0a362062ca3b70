"""Prints, as Markdown, the tables that the tests execute: python3 dev.py tables > docs/BEHAVIOUR.md."""

import sys
from collections.abc import Iterable

import tools.harness.in_process  # noqa: E402, F401, I001 (puts the host on the path, hence first)

# isort: split
from tools import ROOT

sys.path.append(str(ROOT / "tests" / "server"))  # Its files import each other as pytest lets them.

from freescale_pack.nodes.patching.sampler_table import LATER_CALLS, ONE_CALL, REFUSED
from test_bad_input import CASES  # noqa: E402

from tests.host.test_composition import ELSEWHERE, NOT_RUN, ROWS  # noqa: E402
from tests.host.test_robustness import FAILURES  # noqa: E402
from tests.host.test_schedulers import RESTARTS  # noqa: E402
from tests.host.test_sizes import NO_EFFECT, SIZES  # noqa: E402

INTRODUCTION = """\
# Behaviour, as tested

Printed by `python3 dev.py tables`; `tests/host/test_tables.py` compares this page with what is printed.
Each row is executed by the test file in the title of its table or by the tests that the row names, but for
rows that say *not run*. *Both keep their effect*: the picture differs from the one without FreeScale and
from the one without the other node, and switching off scale fusion, dilation or detail control changes it.
*The same picture*: FreeScale's alone, but for rounding. What is tested besides is told in words; behind
them is the `check` of the row."""


def main() -> None:
    print(INTRODUCTION)
    table("Samplers (test_samplers.py)", ("sampler", "model calls a step", "detail control"), samplers())
    table(
        "Schedulers: first step of later stages and its timestep, restart 0.3 (test_schedulers.py)",
        ("scheduler", "of 50 steps", "of 20 steps"),
        schedulers(),
    )
    table(
        "Sizes of SDXL (test_sizes.py)",
        ("base", "target", "scale", "dilation", "kernel", "windows at 1/2 and 1/4 resolution"),
        sizes(),
    )
    table(
        "FreeScale with other nodes, small networks on a CPU (test_composition.py)",
        ("with", "result", "what is tested besides"),
        partners(),
    )
    table("Failures", ("what happens", "what is left", "test"), failures())
    table(
        "Messages over HTTP (tests/server/test_bad_input.py)",
        ("bad input", "part of the sentence"),
        ((n, f) for n, (_, f) in CASES.items()),
    )


def samplers() -> Iterable[tuple[object, ...]]:
    yield from ((name, 1, "once a step") for name in sorted(ONE_CALL))
    yield from (
        (name, 1 + later(9), "once a step, on the call that opens it")
        for name, later in sorted(LATER_CALLS.items())
    )
    yield from ((name, "", f"refused: {reason}") for name, reason in sorted(REFUSED.values()))


def schedulers() -> Iterable[tuple[object, ...]]:
    for name, places in RESTARTS.items():
        yield name, *(f"step {step}, t {t}" for step, t in places)


def sizes() -> Iterable[tuple[object, ...]]:
    for base, target, scale, dilation, kernel, counts in SIZES:
        yield shown(base), shown(target), scale, dilation, kernel, f"{counts[0]} and {counts[1]}"
    for base, target in NO_EFFECT:
        yield shown(base), shown(target), "below 1.1", "", "", "ordinary sampling"


def partners() -> Iterable[tuple[object, ...]]:
    for name, row in ROWS.items():
        yield name, "both keep their effect" if row.changes else "the same picture", row.shows
    yield from ((name, result, ", ".join(tests)) for name, result, tests in ELSEWHERE)
    yield from ((name, "not run", reason) for name, reason in NOT_RUN)


def failures() -> Iterable[tuple[object, ...]]:
    yield from ((what, left, ", ".join(tests)) for what, left, tests in FAILURES)


def shown(size: tuple[int, int] | None) -> str:
    return f"{size[0]}x{size[1]}" if size else "auto"


def table(title: str, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    print(f"\n## {title}\n")
    for row in (head, tuple("---" for _ in head), *rows):
        print("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |")


if __name__ == "__main__":
    main()
