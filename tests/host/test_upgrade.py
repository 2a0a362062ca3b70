"""What every earlier commit saved opens, and a change that would break it is found."""

import copy

import pytest

from tools.campaign import upgrade
from tools.campaign.upgrade import Saved, opened, problems, recorded

PATCH = "FreeScaleModelPatch"


@pytest.fixture(scope="module")
def info():
    return upgrade.todays_nodes()


def saved_node(values, **other):
    """FreeScale Model Patch as a workflow has it."""
    sockets = {"inputs": [["model", "MODEL"]], "outputs": [["MODEL", "MODEL"]]}
    return {"type": PATCH, **sockets, "values": values} | other


def result(info, *nodes, named=frozenset()):
    return opened(Saved("abc", "workflows/a.json", nodes), info, set(named))


def test_the_record_opens_or_is_named(info):
    results = [opened(saved, info, upgrade.named_in_changelog()) for saved in recorded()]
    assert [one.found for one in results if one.found] == []
    assert {one.ending for one in results} == {"opens", "named in CHANGELOG"}
    assert {one.subject for one in results} == {"workflows", "workflows/api", "subgraphs", "nodes"}


def test_the_record_has_its_nodes_in_both_forms():
    nodes = [node for saved in recorded() for node in saved.nodes]
    by_name, by_position = (
        {node["type"] for node in nodes if isinstance(node["inputs"], form)} for form in (dict, list)
    )
    assert by_name == by_position and len(by_name) >= 14


def test_the_changelog_names_nothing_that_opens(info):
    found = {(node["type"], text) for s in recorded() for node in s.nodes for text in problems(node, info)}
    assert upgrade.named_in_changelog() == found


def swapped(inputs):
    """Two sides that take the same numbers."""
    names = {"base_width": "base_height", "base_height": "base_width"}
    return {name: inputs[name] for name in (names.get(name, name) for name in inputs)}


def first(inputs):
    return {"new": ("INT", {"default": 0, "min": 0, "max": 9}), **inputs}


def appended_and_required(inputs):
    return {**inputs, "new": ("INT", {"default": 0, "min": 0, "max": 9})}


def narrower(inputs):
    return inputs | {"alpha": ("FLOAT", inputs["alpha"][1] | {"max": 1.0})}


def fewer(inputs):
    kept = inputs["speed"][1] | {"options": ["Balanced", "Fast"]}
    return inputs | {"speed": ("COMBO", kept)}


def renamed(inputs):
    return {("base" if name == "model" else name): value for name, value in inputs.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swapped, "base_height was base_width"),
        (first, "new was preset"),
        (appended_and_required, "new is missing"),
        (narrower, "alpha: 2.0 not from 0.0 to 1.0"),
        (fewer, "speed: 'Exact' not in list"),
        (renamed, "no model of type MODEL"),
    ],
)
def test_a_schema_that_changed_is_found(info, change, said):
    info = copy.deepcopy(info)
    info[PATCH]["input"]["required"] = change(info[PATCH]["input"]["required"])
    named = upgrade.named_in_changelog()
    found = {(n["type"], text) for s in recorded() for n in s.nodes for text in problems(n, info)} - named
    assert (PATCH, said) in found
    assert "does not open" in {opened(saved, info, named).ending for saved in recorded()}


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (saved_node(["Auto", "Exact", 1.0, 0, 0]), None),
        (saved_node(["Auto", "Exact", 1.0, 0, 0, "by preset", 5]), "7 values for 6 widgets"),
        (saved_node(["Auto", "Exact", True, 0]), "alpha: True not from 0.0 to 8.0"),
        (saved_node(["Auto", "Exact", 1.0, 0.5]), "base_width: 0.5 not from 0 to 4096"),
        (saved_node([], inputs=[]), "model is missing"),
        (saved_node([], outputs=[["model", "MODEL"]]), "outputs were [['model', 'MODEL']]"),
        (saved_node([], type="FreeScaleGone"), "no such node"),
        ({"type": PATCH, "inputs": {"gone": 1}}, "no gone"),
        ({"type": "FreeScaleDetailControl", "inputs": {"enabled": 1}}, "enabled: 1 is no BOOLEAN"),
    ],
)
def test_a_node_that_does_not_fit_is_found_unless_it_is_named(info, node, said):
    found = list(problems(node, info))
    assert (said in found) if said else found == []
    named = {(node["type"], text) for text in found}
    assert result(info, node).ending == ("does not open" if said else "opens")
    assert result(info, node, named=named).ending == ("named in CHANGELOG" if said else "opens")
