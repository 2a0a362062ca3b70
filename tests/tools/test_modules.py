"""Every module of tools/ names only what there is, also those that no test runs."""

import ast
import importlib.util
from pathlib import Path

import pytest

from tools import ROOT

FOLDERS = ("tools", "tests", "freescale_batch")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def file_of(module: str) -> Path:
    path = ROOT / module.removeprefix("freescale_pack.").replace(".", "/")
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"


def defined(file: Path) -> set[str]:
    """The names that a module has, its submodules among them."""
    names = {path.stem for path in file.parent.iterdir()} if file.name == "__init__.py" else set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_a_module_imports_from_here_is_there(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            top = node.module.split(".")[0]
            if top in (*FOLDERS, "freescale_core") or node.module.startswith("freescale_pack."):
                assert {alias.name for alias in node.names} <= defined(file_of(node.module))
            else:
                beside = (file.parent / f"{top}.py", ROOT / "tests" / "server" / f"{top}.py")
                assert any(place.is_file() for place in beside) or spec_exists(top), top


def spec_exists(name: str) -> bool:
    """Whether a package can be imported, or is ComfyUI's or one that a group of packages brings."""
    brought = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "latent_preview", "execution"}
    brought |= {"folder_paths", "nodes", "comfyui_version", "freescale_pack", "server", "comfy_aimdo"}
    groups = ("matplotlib", "ray", "fsspec", "resvg_py", "efficientnet")
    return name in brought or name.startswith(groups) or importlib.util.find_spec(name) is not None
