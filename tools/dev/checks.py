"""What `dev.py check` runs, all in the host's environment so that versions are the pinned ones everywhere."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tools import ROOT
from tools.dev.base_directory import link_entries, link_folder
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
    link_folder(TYPES / "tools", ROOT / "tools")
    packages = [*(f"--package={TYPED_PACKAGE}.{name}" for name in SHIPPED), "--package=tools.dev"]
    commands = {
        "format": (
            [python, "-m", "ruff", "format", "--check", "--quiet", "--output-format=concise", "."],
            ROOT,
        ),
        "lint": ([python, "-m", "ruff", "check", "--quiet", "--output-format=concise", "."], ROOT),
        "web lint": (
            [
                str(host.python.with_name("oxlint")),
                "--config=tools/dev/oxlintrc.json",
                "--format=unix",
                "web",
            ],
            ROOT,
        ),
        "types": ([python, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *packages], TYPES),
        "registry rules": ([python, "-m", "tools.dev.registry_rules"], ROOT),
    }
    passed = [_run(name, command, folder) for name, (command, folder) in commands.items()]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    return 0 if all(passed) else 1


def _run(name: str, command: list[str], folder: Path) -> bool:
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True)
    print(
        f"{'ok  ' if done.returncode == 0 else 'FAIL'} {name} ({time.monotonic() - start:.1f} s)", flush=True
    )
    if done.returncode:
        print("\n".join(f"    {line}" for line in (done.stdout + done.stderr).strip().splitlines()))
    return done.returncode == 0
