"""What `dev.py check` runs, all in the host's environment so that versions are the pinned ones everywhere."""

import subprocess
import textwrap
import time
from pathlib import Path

from tools import ROOT
from tools.dev.base_directory import link, link_entries
from tools.dev.paths import DEV, Host
from tools.dev.process import clean_environment

# The pack's modules import each other relatively, so mypy must see the repository as a package; its folder
# may have any name.
TYPED_PACKAGE = "freescale_pack"
TYPES = DEV / "types"
SHIPPED = ("freescale_core", "nodes")


def run_checks(host: Host) -> int:
    python = str(host.python)
    link_entries(TYPES / TYPED_PACKAGE, ["__init__.py", *SHIPPED])
    for name in ("tools", "freescale_batch"):
        link(TYPES / name, ROOT / name)
    packages = [
        *(f"--package={TYPED_PACKAGE}.{name}" for name in SHIPPED),
        "--package=tools.dev",
        "--package=freescale_batch",
    ]
    ruff = [python, "-m", "ruff"]
    quiet = ["--quiet", "--output-format=concise", "."]
    oxlint = [str(host.python.with_name("oxlint")), "--config=tools/dev/oxlintrc.json", "--format=unix"]
    mypy = [python, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *packages]
    passed = [
        _run("format", [*ruff, "format", "--check", *quiet]),
        _run("lint", [*ruff, "check", *quiet]),
        _run("web lint", [*oxlint, "web"]),
        _run("types", mypy, TYPES),
        _run("registry rules", [python, "-m", "tools.dev.registry_rules"]),
    ]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    return 0 if all(passed) else 1


def _run(name: str, command: list[str], folder: Path = ROOT) -> bool:
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True)
    verdict = "FAIL" if done.returncode else "ok  "
    print(f"{verdict} {name} ({time.monotonic() - start:.1f} s)", flush=True)
    if done.returncode:
        print(textwrap.indent((done.stdout + done.stderr).strip(), "    "))
    return done.returncode == 0
