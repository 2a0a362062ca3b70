"""The registry rules catch what the registry would refuse."""

import subprocess

import pytest

from tools.dev.archive import archive_files
from tools.dev.node_rules import node_ids, source_problems
from tools.dev.registry_rules import archive_problems, code_problems, newest_release, project_problems

NODE = """
class {name}({base}):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id={node_id}, display_name="x")
"""


def node(name="A", base="io.ComfyNode", node_id='"FreeScaleA"'):
    return NODE.format(name=name, base=base, node_id=node_id)


def test_a_good_node_passes():
    assert node_ids("nodes/a.py", node()) == (["FreeScaleA"], [])


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
def test_a_bad_node_is_found(source, sentence):
    problems = node_ids("nodes/a.py", source)[1]
    assert len(problems) == 1
    assert problems[0].startswith("nodes/a.py:2: ")
    assert sentence in problems[0]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = eval('1')", "eval() is banned"),
        ("import subprocess", "must not import subprocess"),
        ("from urllib.request import urlopen", "must not import urllib.request"),
        ("def f():\n    import pip", "must not import pip"),
        ("x = '\u2192'", "U+2192 is not in cp1252"),
    ],
)
def test_banned_code_is_found(source, sentence):
    problems = source_problems("a.py", source)
    assert len(problems) == 1
    assert sentence in problems[0]


def test_methods_and_modules_of_our_own_with_such_names_pass():
    assert source_problems("a.py", "from .socket import x\nmodel.eval()\n") == []


def test_an_id_used_twice_is_found(tmp_path):
    (tmp_path / "a.py").write_text(node())
    (tmp_path / "b.py").write_text(node("B"))
    assert code_problems(tmp_path, ["a.py", "b.py"]) == [
        "nodes: expected unique node ids, got FreeScaleA 2 times."
    ]


def test_the_archive_is_gits_files_without_comfyignore(tmp_path):
    names = ["keep.py", "web/docs/a.md", "web/tests/b.js", "tests/c.py", "dev.py", "ignored.log"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / ".comfyignore").write_text("/tests/\n/dev.py\n/.*ignore\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "tests", "keep.py"], cwd=tmp_path, check=True)
    assert archive_files(tmp_path) == ["keep.py", "web/docs/a.md", "web/tests/b.js"]


def test_leaked_and_missing_files_are_found():
    problems = archive_problems(["__init__.py", "pyproject.toml", "LICENSE", "tests/core/test_a.py"])
    assert [problem.split(":")[0] for problem in problems] == ["tests/core/test_a.py", "README.md"]


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


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("", "", None),
        ('version = "1.2.3"', 'version = "1.2.4"', "version 1.2.4 is not CHANGELOG.md's newest, 1.2.3"),
        ("freescale-nodes", "FreeScale Nodes", "is no registry id"),
        ('PublisherId = "a"\n', "", "PublisherId is missing"),
    ],
)
def test_project_file(tmp_path, old, new, sentence):
    (tmp_path / "pyproject.toml").write_text(PROJECT.replace(old, new))
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (today)\n\n## 1.2.2\n")
    problems = project_problems(tmp_path)
    assert len(problems) == (sentence is not None)
    assert sentence is None or sentence in problems[0]


def test_a_changelog_without_a_release_has_no_newest():
    assert newest_release("# Changelog\n") is None
