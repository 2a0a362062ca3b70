"""Rules for shipped Python files, read from their syntax tree: what the registry's and the Manager's scanners
demand."""

from __future__ import annotations

import ast
from collections.abc import Iterator

BANNED_CALLS = ("eval", "exec")
BANNED_MODULES = (
    "subprocess",
    "socket",
    "requests",
    "urllib",
    "http",
    "pip",
    "ensurepip",
    "pickle",
    "base64",
)
NODE_BASE = "ComfyNode"
ID_PREFIX = "FreeScale"


def source_problems(name: str, source: str) -> list[str]:
    """What is wrong with one shipped file, as `name:line: sentence`."""
    found = [*_foreign_characters(source)]
    for node in ast.walk(ast.parse(source, name)):
        found += _banned(node)
    return [f"{name}:{line}: {sentence}" for line, sentence in sorted(found)]


def node_ids(name: str, source: str) -> tuple[list[str], list[str]]:
    """Ids of the nodes a file defines, and what is wrong with them."""
    ids, problems = [], []
    for node in ast.walk(ast.parse(source, name)):
        if not isinstance(node, ast.ClassDef) or not _has_schema(node):
            continue
        if NODE_BASE not in [_last_name(base) for base in node.bases]:
            problems.append(
                f"{name}:{node.lineno}: {node.name} has a schema but does not inherit io.ComfyNode directly: "
                "scanners miss it."
            )
        literal = _literal_id(node)
        if literal is None:
            problems.append(
                f"{name}:{node.lineno}: {node.name} has no literal node_id in define_schema: scanners cannot "
                "map it."
            )
        else:
            ids.append(literal)
            if not literal.startswith(ID_PREFIX) or literal == ID_PREFIX or not literal.isalnum():
                problems.append(
                    f"{name}:{node.lineno}: expected an id of letters that starts with {ID_PREFIX}, got "
                    f"{literal}."
                )
    return ids, problems


def _foreign_characters(source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.splitlines(), start=1):
        for character in line:
            try:
                character.encode("cp1252")
            except UnicodeEncodeError:
                yield (
                    number,
                    f"character U+{ord(character):04X} is not in cp1252, which Windows may read files with.",
                )


def _banned(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
        yield node.lineno, f"{node.func.id}() is banned by the registry."
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        modules = [node.module or ""]
    for module in modules:
        if module.split(".")[0] in BANNED_MODULES:
            yield getattr(node, "lineno", 0), f"shipped code must not import {module}."


def _has_schema(node: ast.ClassDef) -> bool:
    return any(isinstance(item, ast.FunctionDef) and item.name == "define_schema" for item in node.body)


def _last_name(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""


def _literal_id(node: ast.ClassDef) -> str | None:
    """The string in Schema(node_id="...") of a class's define_schema."""
    schema = next(
        item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "define_schema"
    )
    for call in ast.walk(schema):
        if isinstance(call, ast.Call) and _last_name(call.func) == "Schema":
            for keyword in call.keywords:
                if (
                    keyword.arg == "node_id"
                    and isinstance(keyword.value, ast.Constant)
                    and isinstance(keyword.value.value, str)
                ):
                    return keyword.value.value
    return None
