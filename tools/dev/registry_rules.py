"""The registry's rules for the pack as a whole: `python -m tools.dev.registry_rules` prints what breaks
them."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.dev.archive import archive_files
from tools.dev.errors import DevError
from tools.dev.node_rules import node_ids, source_problems
from tools.dev.paths import NOT_SHIPPED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = ("__init__.py", "pyproject.toml", "LICENSE", "README.md")
SEMVER = re.compile(r"\d+\.\d+\.\d+")
PROJECT_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,99}")


def all_problems(root: Path) -> list[str]:
    files = archive_files(root)
    return [*archive_problems(files), *code_problems(root, files), *project_problems(root)]


def archive_problems(files: list[str]) -> list[str]:
    leaked = [name for name in files if name.split("/")[0] in NOT_SHIPPED]
    missing = [name for name in SHIPPED if name not in files]
    problems = [f"{name}: must not be published; add it to .comfyignore." for name in leaked]
    return problems + [
        f"{name}: must be published; create it or take it out of .comfyignore." for name in missing
    ]


def code_problems(root: Path, files: list[str]) -> list[str]:
    problems: list[str] = []
    ids: list[str] = []
    for name in (name for name in files if name.endswith(".py")):
        source = (root / name).read_text(encoding="utf-8")
        problems += source_problems(name, source)
        found, wrong = node_ids(name, source)
        ids, problems = ids + found, problems + wrong
    return problems + [
        f"nodes: expected unique node ids, got {node_id} {count} times."
        for node_id, count in Counter(ids).items()
        if count > 1
    ]


def project_problems(root: Path) -> list[str]:
    data: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project, comfy = data.get("project", {}), data.get("tool", {}).get("comfy", {})
    version, newest = (
        project.get("version", ""),
        newest_release((root / "CHANGELOG.md").read_text(encoding="utf-8")),
    )
    name = project.get("name", "")
    rules = {
        f"name {name!r} is no registry id (lower case, at most 100)": PROJECT_NAME.fullmatch(name),
        f"version {version!r} is not X.Y.Z": SEMVER.fullmatch(version),
        f"version {version} is not CHANGELOG.md's newest, {newest}": version == newest,
        "project.urls.Repository is missing": project.get("urls", {}).get("Repository"),
        "tool.comfy.PublisherId is missing": comfy.get("PublisherId"),
        "tool.comfy.DisplayName is missing": comfy.get("DisplayName"),
        "requires-comfyui is missing": comfy.get("requires-comfyui"),
    }
    return [f"pyproject.toml: {sentence}." for sentence, kept in rules.items() if not kept]


def newest_release(changelog: str) -> str | None:
    """The version of the first release heading, `## 1.2.3 ...`."""
    found = re.search(r"^## (\d+\.\d+\.\d+)\b", changelog, re.MULTILINE)
    return found[1] if found else None


if __name__ == "__main__":
    try:
        broken = all_problems(ROOT)
    except (DevError, FileNotFoundError) as error:
        sys.exit(str(error))
    print("\n".join(broken))
    sys.exit(1 if broken else 0)
