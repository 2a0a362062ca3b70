"""What the registry's and the Manager's scanners demand of the pack.

`python -m tools.dev.registry_rules` prints what breaks it.
"""

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import NOT_SHIPPED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = ("__init__.py", "pyproject.toml", "LICENSE", "README.md")
SEMVER = re.compile(r"\d+\.\d+\.\d+")
RELEASE = re.compile(r"^## (\d+\.\d+\.\d+)\b", re.MULTILINE)
PROJECT_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,99}")
# eval and exec, banned too, are ruff's to find.
BANNED = ("subprocess", "socket", "requests", "urllib", "http", "pip", "ensurepip", "pickle", "base64")
NODE_BASE = "ComfyNode"
ID_PREFIX = "FreeScale"


def all_problems(root: Path) -> list[str]:
    files = archive_files(root)
    return [*archive_problems(files), *code_problems(root, files), *project_problems(root)]


def archive_files(root: Path) -> list[str]:
    """What the registry's archive will hold, relative to `root`: git's files without .comfyignore's.

    Files not added to git yet count, so that a check sees them in time.
    """
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    present = sorted(name for name in names if (root / name).is_file())
    ignore = ["-c", f"core.excludesFile={root / '.comfyignore'}", "check-ignore", "--no-index"]
    dropped = _git(root, *ignore, "--stdin", "-z", text="\0".join(present))
    return [name for name in present if name not in dropped]


def _git(root: Path, *arguments: str, text: str = "") -> set[str]:
    """The names that git prints."""
    git = shutil.which("git")
    if git is None:
        raise DevError("Expected git to list the published files, found none: install it.")
    done = subprocess.run([git, *arguments], cwd=root, input=text, capture_output=True, encoding="utf-8")
    if done.returncode > 1:  # check-ignore ends with 1 when it ignores none
        said = done.stderr.strip()
        raise DevError(f"Expected git to list the files of {root}, got: {said}: check is for a git checkout.")
    return set(done.stdout.split("\0")) - {""}


def archive_problems(files: list[str]) -> list[str]:
    leaked = [name for name in files if name.split("/")[0] in NOT_SHIPPED]
    missing = [name for name in SHIPPED if name not in files]
    return [
        *(f"{name}: must not be published; add it to .comfyignore." for name in leaked),
        *(f"{name}: must be published; create it or take it out of .comfyignore." for name in missing),
    ]


def code_problems(root: Path, files: list[str]) -> list[str]:
    problems: list[str] = []
    ids: list[str] = []
    for name in (name for name in files if name.endswith(".py")):
        source = (root / name).read_text(encoding="utf-8")
        found, wrong = node_ids(name, source)
        ids += found
        problems += source_problems(name, source) + wrong
    twice = [(name, count) for name, count in Counter(ids).items() if count > 1]
    return problems + [f"nodes: expected unique node ids, got {name} {count} times." for name, count in twice]


def source_problems(name: str, source: str) -> list[str]:
    """What is wrong with one shipped file, as `name:line: sentence`."""
    found = []
    for number, line in enumerate(source.splitlines(), start=1):
        codes = [f"U+{ord(character):04X}" for character in line if not character.encode("cp1252", "ignore")]
        found += [
            (number, f"character {code} is not in cp1252, which Windows may read with.") for code in codes
        ]
    for node in ast.walk(ast.parse(source, name)):
        modules = [module for module in _imported(node) if module.split(".")[0] in BANNED]
        found += [
            (getattr(node, "lineno", 0), f"shipped code must not import {module}.") for module in modules
        ]
    return [f"{name}:{line}: {sentence}" for line, sentence in sorted(found)]


def node_ids(name: str, source: str) -> tuple[list[str], list[str]]:
    """Ids of the nodes a file defines, and what is wrong with them."""
    ids, problems = [], []
    for node in ast.walk(ast.parse(source, name)):
        if not isinstance(node, ast.ClassDef) or (schema := _schema(node)) is None:
            continue
        literal = _literal_id(schema)
        wrong = []
        if NODE_BASE not in map(_last_name, node.bases):
            wrong.append(
                f"{node.name} has a schema but does not inherit io.ComfyNode directly: scanners miss it."
            )
        if literal is None:
            wrong.append(f"{node.name} has no literal node_id in define_schema: scanners cannot map it.")
        else:
            ids.append(literal)
            if not literal.startswith(ID_PREFIX) or literal == ID_PREFIX or not literal.isalnum():
                wrong.append(f"expected an id of letters that starts with {ID_PREFIX}, got {literal}.")
        problems += [f"{name}:{node.lineno}: {sentence}" for sentence in wrong]
    return ids, problems


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []


def _schema(node: ast.ClassDef) -> ast.FunctionDef | None:
    functions = (item for item in node.body if isinstance(item, ast.FunctionDef))
    return next((item for item in functions if item.name == "define_schema"), None)


def _last_name(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""


def _literal_id(schema: ast.FunctionDef) -> str | None:
    """The string in Schema(node_id="...")."""
    calls = (item for item in ast.walk(schema) if isinstance(item, ast.Call))
    words = (word for call in calls if _last_name(call.func) == "Schema" for word in call.keywords)
    values = (word.value for word in words if word.arg == "node_id")
    literals = (value.value for value in values if isinstance(value, ast.Constant))
    return next((literal for literal in literals if isinstance(literal, str)), None)


def project_problems(root: Path) -> list[str]:
    data: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project, comfy = data.get("project", {}), data.get("tool", {}).get("comfy", {})
    name, version = project.get("name", ""), project.get("version", "")
    release = RELEASE.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    newest = release[1] if release else None
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


if __name__ == "__main__":
    try:
        broken = all_problems(ROOT)
    except (DevError, FileNotFoundError) as error:
        sys.exit(str(error))
    sys.exit("\n".join(broken) or 0)
