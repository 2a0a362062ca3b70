"""What `dev.py check` runs, all in the host's environment so that versions are the pinned ones everywhere."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from .base_directory import link_entries
from .paths import DEV, ROOT, Host
from .process import clean_environment

# The pack's modules import each other relatively, so mypy must see the repository as a package; its folder may have any name.
TYPED_PACKAGE = "freescale_pack"
TYPES = DEV / "types"


def run_checks(host: Host) -> int:
    python = str(host.python)
    modules = [name for name in ("freescale_core", "nodes", "devtools") if (ROOT / name / "__init__.py").is_file()]
    link_entries(TYPES / TYPED_PACKAGE, ["__init__.py", *modules])
    packages = [part for name in modules for part in ("-p", f"{TYPED_PACKAGE}.{name}")]
    commands = {
        "format": ([python, "-m", "ruff", "format", "--check", "--quiet", "--output-format=concise", "."], ROOT),
        "lint": ([python, "-m", "ruff", "check", "--quiet", "--output-format=concise", "."], ROOT),
        "web lint": ([str(host.python.with_name("oxlint")), "--config=devtools/oxlintrc.json", "--format=unix", "web"], ROOT),
        "types": ([python, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *packages], TYPES),
        "registry rules": ([python, "-m", "devtools.registry_rules"], ROOT),
    }
    passed = [_run(name, command, folder) for name, (command, folder) in commands.items()]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    return 0 if all(passed) else 1


def _run(name: str, command: list[str], folder: Path) -> bool:
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {name} ({time.monotonic() - start:.1f} s)", flush=True)
    if done.returncode:
        print("\n".join(f"    {line}" for line in (done.stdout + done.stderr).strip().splitlines()))
    return done.returncode == 0
