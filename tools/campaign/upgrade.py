"""Files that earlier commits saved: workflows, prompts for programs, subgraphs; and nodes with all they took.

Each opens today: its nodes exist, with the sockets that were linked, and every value, by position or by
name, is one that the widget in its place takes. Or CHANGELOG.md names it in its table of what does not fit.
"""

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack)

# isort: split
import asyncio
import importlib
import json
import random
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tools import ROOT
from tools.campaign.runner import CaseResult
from tools.harness.workflow import WIDGET_TYPES, widget_names

RECORD = ROOT / "tests" / "host" / "saved_nodes.json"
"""One node of every sort in the history, for checkouts without it.
`python3 -m tools.campaign.upgrade` writes it."""
OWN = "FreeScale"
"""Begins the ids of the pack's nodes."""
FOLDERS = ("workflows", "subgraphs")
SERVERS = ("ckpt_name", "sampler_name", "scheduler", "later_sampler", "later_scheduler")
"""Widgets whose choices are the server's: its files, samplers and schedulers."""
NAMED = re.compile(rf"^\| `(?P<node>{OWN}\w+)` \| (?P<texts>[^|]+) \|", re.MULTILINE)
"""A row of CHANGELOG.md's table: the node, then what is wrong with it, each in backticks."""

Info = dict[str, Any]
"""Node id -> what the server says about it."""
Node = dict[str, Any]
"""As a workflow has it: type, inputs and outputs (name and type of each socket), values (of the widgets by
position), and their names where they are known. As a program sends it: type and inputs (name -> value)."""


@dataclass(frozen=True)
class Saved:
    """A file with the pack's nodes in it."""

    commit: str
    """The first that has it."""
    file: str
    nodes: tuple[Node, ...]


def run_case(draw: random.Random):
    return opened(draw.choice(history()), todays_nodes(), named_in_changelog())


def opened(saved: Saved, info: Info, named: set[tuple[str, str]]):
    """Hold what was saved against the nodes as they are."""
    subject = saved.file.rpartition("/")[0] or saved.file
    found = {(node["type"], text) for node in saved.nodes for text in problems(node, info)}
    if unnamed := sorted(found - named):
        first = ", ".join(unnamed[0])
        return CaseResult(subject, "does not open", f"{saved.commit} {saved.file}: {first}")
    return CaseResult(subject, "named in CHANGELOG" if found else "opens")


def problems(node: Node, info: Info) -> Iterator[str]:
    """What of a saved node does not fit the nodes as they are."""
    if node["type"] not in info:
        yield "no such node"
    elif isinstance(node["inputs"], dict):
        yield from _by_name(node["inputs"], info[node["type"]])
    else:
        yield from _by_position(node, info[node["type"]])


def _by_name(values: dict[str, Any], info: Info) -> Iterator[str]:
    known = _inputs(info)
    for name, value in values.items():
        if name not in known:
            yield f"no {name}"
        elif not isinstance(value, list):  # A list is a link.
            yield from _value_problem(name, value, *known[name])
    yield from (f"{name} is missing" for name in info["input"].get("required", {}) if name not in values)


def _by_position(node: Node, info: Info) -> Iterator[str]:
    known, names, values = _inputs(info), widget_names(info), node["values"]
    if len(values) > len(names):
        yield f"{len(values)} values for {len(names)} widgets"
    for name, before in zip(names, node.get("names", ()), strict=False):
        if name != before:
            yield f"{name} was {before}"
    for name, value in zip(names, values, strict=False):
        if name is not None:
            yield from _value_problem(name, value, *known[name])
    for name, kind in node["inputs"]:
        if name not in known or known[name][0] != kind:
            yield f"no {name} of type {kind}"
    there = {*names, *(name for name, _ in node["inputs"])}
    yield from (f"{name} is missing" for name in info["input"].get("required", {}) if name not in there)
    if _outputs(info)[: len(node["outputs"])] != node["outputs"]:
        yield f"outputs were {node['outputs']}"


def _value_problem(name: str, value: Any, kind: str, options: Info) -> Iterator[str]:
    """Nothing if a widget takes the value."""
    if kind == "COMBO":
        if name not in SERVERS and value not in options["options"]:
            yield f"{name}: {value!r} not in list"
    elif kind in ("INT", "FLOAT"):
        is_number = isinstance(value, int if kind == "INT" else int | float) and not isinstance(value, bool)
        if not is_number or not options["min"] <= value <= options["max"]:
            yield f"{name}: {value!r} not from {options['min']} to {options['max']}"
    elif not isinstance(value, {"BOOLEAN": bool, "STRING": str}.get(kind, ())):
        yield f"{name}: {value!r} is no {kind}"


def _inputs(info: Info) -> dict[str, tuple[str, Info]]:
    """Name -> type and options, in order."""
    sections = (info["input"].get(section, {}) for section in ("required", "optional"))
    return {name: (kind, *rest)[:2] for inputs in sections for name, (kind, *rest) in inputs.items()}


def _outputs(info: Info) -> list[list[str]]:
    """Name and type, in order."""
    return [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)]


def todays_nodes() -> Info:
    return _nodes_of("freescale_pack")


def _nodes_of(pack: str) -> Info:
    extension = importlib.import_module(f"{pack}.nodes").FreeScaleExtension()
    nodes = asyncio.run(extension.get_node_list())
    return {node.GET_SCHEMA().node_id: node.GET_NODE_INFO_V1() for node in nodes}


def named_in_changelog() -> set[tuple[str, str]]:
    """(node, what is wrong) of the table in CHANGELOG.md."""
    rows = NAMED.finditer((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    return {(row["node"], text) for row in rows for text in re.findall("`([^`]+)`", row["texts"])}


def recorded() -> list[Saved]:
    entries = json.loads(RECORD.read_text(encoding="utf-8"))
    return [Saved(entry["commit"], entry["file"], tuple(entry["nodes"])) for entry in entries]


@cache
def history() -> list[Saved]:
    """Every version of the files that this checkout's history holds, and of the nodes by themselves."""
    return [*_versions_of_files(), *_versions_of_nodes()]


def _versions_of_files() -> Iterator[Saved]:
    commit, known = "", set[str]()
    how = ("--reverse", "-m", "--format=%H", "--raw", "--no-abbrev", "--no-renames")
    log = _git("log", *how, "--", *FOLDERS)
    for line in log.decode().splitlines():
        if not line.startswith(":"):
            commit = line[:7] or commit
            continue
        state, _, file = line.partition("\t")
        blob = state.split()[3]
        if file.endswith(".json") and blob.strip("0") and blob not in known:
            known.add(blob)
            yield Saved(commit, file, tuple(_own_nodes(json.loads(_git("cat-file", "blob", blob)))))


def _own_nodes(content: dict[str, Any]) -> Iterator[Node]:
    """The pack's nodes of a workflow, a subgraph or a prompt for programs."""
    if "nodes" not in content:
        for node in content.values():
            if node["class_type"].startswith(OWN):
                yield {"type": node["class_type"], "inputs": node["inputs"]}
        return
    for graph in (content, *content.get("definitions", {}).get("subgraphs", ())):
        for node in graph["nodes"]:
            if node["type"].startswith(OWN):
                yield {
                    "type": node["type"],
                    "inputs": _sockets(node["inputs"]),
                    "outputs": _sockets(node["outputs"]),
                    "values": node.get("widgets_values", []),
                }


def _sockets(slots: list[dict[str, Any]]) -> list[list[str]]:
    return [[slot["name"], slot["type"]] for slot in slots]


def _versions_of_nodes() -> Iterator[Saved]:
    """The nodes as a commit had them, with all that their widgets took."""
    known = set[str]()
    for commit in _git("log", "--full-history", "--reverse", "--format=%h", "--", "nodes").split():
        info = _nodes_at(commit.decode())
        if (state := json.dumps(info, sort_keys=True, default=str)) not in known:
            known.add(state)
            nodes = tuple(node for name, one in info.items() for node in _as_saved(name, one))
            yield Saved(commit.decode(), "nodes", nodes)


def _nodes_at(commit: str) -> Info:
    pack = f"freescale_at_{commit}"
    with TemporaryDirectory() as place:
        with tarfile.open(fileobj=BytesIO(_git("archive", commit, "nodes", "freescale_core"))) as archive:
            archive.extractall(Path(place, pack), filter="data")
        sys.path.insert(0, place)
        try:
            return _nodes_of(pack)
        finally:
            sys.path.remove(place)


def _as_saved(name: str, info: Info) -> Iterator[Node]:
    """A node at its defaults, by name and by position, then with each other choice or edge of a widget."""
    inputs = _inputs(info)
    allowed = {given: _allowed(*kind) for given, kind in inputs.items() if kind[0] in WIDGET_TYPES}
    defaults = {given: values[0] for given, values in allowed.items()}
    sockets = [[given, kind] for given, (kind, _) in inputs.items() if given not in defaults]
    yield {"type": name, "inputs": defaults | {given: [] for given, _ in sockets}}
    names = widget_names(info)
    by_position = {"type": name, "inputs": sockets, "outputs": _outputs(info), "names": names}
    yield by_position | {"values": [defaults.get(given) for given in names]}
    for given in allowed:
        for value in () if given in SERVERS else allowed[given][1:]:
            values = defaults | {given: value}
            yield by_position | {"values": [values.get(one) for one in names]}


def _allowed(kind: str, options: Info) -> list[Any]:
    """The default of a widget, then its other choices or edges."""
    choices = (
        options.get("options")
        or {"BOOLEAN": [False, True]}.get(kind)
        or [options[edge] for edge in ("min", "max") if edge in options]
    )
    default = options.get("default", choices[0] if choices else "")
    return [default, *(choice for choice in choices if choice != default)]


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout


def _sort(node: Node) -> str:
    """Equal for nodes that differ in the numbers and links of their widgets only."""
    given = node["inputs"].items() if isinstance(node["inputs"], dict) else enumerate(node["values"])
    values = [(name, value if isinstance(value, str) else type(value).__name__) for name, value in given]
    return json.dumps([node["type"], values, node.get("outputs"), "values" in node and node["inputs"]])


def write_record() -> None:
    """One node of every sort, from where it was saved first."""
    known = set[str]()
    entries = []
    for saved in history():
        sorts = {_sort(node): node for node in reversed(saved.nodes)}
        if new := [node for sort, node in reversed(sorts.items()) if sort not in known]:
            known |= sorts.keys()
            entries.append({"commit": saved.commit, "file": saved.file, "nodes": new})
    RECORD.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    write_record()
