"""The registry rules catch what the registry would refuse."""

import subprocess

import pytest

from tools.dev import registry_rules as rules

NODE = """
class {name}({base}):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id={node_id}, display_name="x")
"""

PROJECT = """
[project]
name = "freescale-nodes"
version = "1.2.3"
urls = { Repository = "https://example.org" }
[tool.comfy]
PublisherId = "a"
DisplayName = "b"
requires-comfyui = ">=0.3.75"
"""


def node(name="A", base="io.ComfyNode", node_id='"FreeScaleA"'):
    return NODE.format(name=name, base=base, node_id=node_id)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (node(node_id="PREFIX + 'A'"), "A has no literal node_id"),
        (node(node_id='"UpscaleA"'), "expected an id of letters that starts with FreeScale, got UpscaleA"),
        (node(node_id='"FreeScale"'), "got FreeScale."),  # taken by another pack
        (node(node_id='"FreeScale A"'), "got FreeScale A."),
        (node(base="PatchNode"), "does not inherit io.ComfyNode directly"),
    ],
)
def test_a_bad_node_is_found_and_a_good_one_passes(source, sentence):
    (problem,) = rules.node_ids("nodes/a.py", source)[1]
    assert problem.startswith("nodes/a.py:2: ") and sentence in problem
    assert rules.node_ids("nodes/a.py", node()) == (["FreeScaleA"], [])


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import subprocess", "must not import subprocess"),
        ("from urllib.request import urlopen", "must not import urllib.request"),
        ("def f():\n    import pip", "must not import pip"),
        ("x = '\u2192'", "U+2192 is not in cp1252"),
    ],
)
def test_banned_code_is_found(source, sentence):
    (problem,) = rules.source_problems("a.py", f"from .socket import x\n{source}")
    assert sentence in problem


def test_an_id_used_twice_is_found(tmp_path):
    (tmp_path / "a.py").write_text(node())
    (tmp_path / "b.py").write_text(node("B"))
    twice = "nodes: expected unique node ids, got FreeScaleA 2 times."
    assert rules.code_problems(tmp_path, ["a.py", "b.py"]) == [twice]


def test_the_archive_is_gits_files_without_comfyignore(tmp_path):
    for name in ("keep.py", "web/docs/a.md", "web/tests/b.js", "tests/c.py", "dev.py", "ignored.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / ".comfyignore").write_text("/tests/\n/dev.py\n/.*ignore\n")
    for words in (["init", "--quiet"], ["add", "tests", "keep.py"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert rules.archive_files(tmp_path) == ["keep.py", "web/docs/a.md", "web/tests/b.js"]


def test_leaked_and_missing_files_are_found():
    problems = rules.archive_problems(["__init__.py", "pyproject.toml", "LICENSE", "tests/core/test_a.py"])
    assert [problem.split(":")[0] for problem in problems] == ["tests/core/test_a.py", "README.md"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('version = "1.2.3"', 'version = "1.2.4"', "version 1.2.4 is not CHANGELOG.md's newest, 1.2.3"),
        ("freescale-nodes", "FreeScale Nodes", "is no registry id"),
        ('PublisherId = "a"\n', "", "PublisherId is missing"),
    ],
)
def test_the_project_files_faults_are_found(tmp_path, old, new, sentence):
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (today)\n\n## 1.2.2\n")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    assert rules.project_problems(tmp_path) == []
    (tmp_path / "pyproject.toml").write_text(PROJECT.replace(old, new))
    (problem,) = rules.project_problems(tmp_path)
    assert sentence in problem
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n")
    assert "newest, None" in "".join(rules.project_problems(tmp_path))
