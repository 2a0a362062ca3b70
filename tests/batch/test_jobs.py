"""Job lines: ids, checks, nodes by title, the product of prompts and seeds."""

import json
from pathlib import Path

import pytest

from freescale_batch.errors import BatchError
from freescale_batch.jobs import checked_jobs, parse_seeds, product_lines, read_jobs, read_prompts
from freescale_batch.workflow import load_workflow, prompt_inputs, seed_inputs, workflow_fingerprint
from tools.harness.batch_place import WORKFLOW


def jobs_of(*lines, workflow=WORKFLOW, folder=Path("/in")):
    return checked_jobs(enumerate(map(json.dumps, lines), 1), workflow, "jobs", folder)


def test_a_job_sets_inputs_by_node_id_or_title_and_leaves_the_workflow_as_it_is():
    (job,) = jobs_of({"id": "a", "set": {"Prompt.text": "x", "3.seed": 7}})
    prompt = job.prompt(WORKFLOW)
    assert prompt["6"]["inputs"]["text"] == "x" and prompt["3"]["inputs"]["seed"] == 7
    assert WORKFLOW["3"]["inputs"]["seed"] == 1
    assert prompt["3"]["inputs"]["cfg"] == 3.0


def test_an_id_that_is_not_given_depends_on_what_is_computed_alone():
    lines = [{"set": {"6.text": "x"}}, {"set": {"6.text": "y"}}, {"set": {"6.text": "x"}, "note": "later"}]
    first, second = jobs_of(*lines[:2])
    assert first.id != second.id
    assert jobs_of(lines[2])[0].id == first.id
    titled = json.loads(json.dumps(WORKFLOW))
    titled["3"]["_meta"] = {"title": "a new title"}
    assert jobs_of(lines[0], workflow=titled)[0].id == first.id
    titled["3"]["inputs"]["cfg"] = 4.0
    assert jobs_of(lines[0], workflow=titled)[0].id != first.id


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ({"set": {"7.text": "x"}}, "expected the id or the title of a node of the workflow, got '7'"),
        ({"set": {"6.texts": "x"}}, r"expected an input of node '6' (text, clip), got 'texts'"),
        ({"set": {"text": "x"}}, "expected NODE.INPUT, as in 6.text, got 'text'"),
        ({"set": {"6.clip": "x"}}, "expected an input with a value, got '6.clip', which comes from node 1"),
        ({"set": {"6.text": 5}}, "expected a text for 6.text, as in the workflow, got 5"),
        ({"set": {"3.cfg": "5"}}, "expected a number for 3.cfg, as in the workflow, got '5'"),
        ({"set": {"3.cfg": True}}, "expected a number for 3.cfg"),
        ({"set": {"3.tiled": 1}}, "expected true or false for 3.tiled"),
        ({"set": {"6.text": "x", "Prompt.text": "y"}}, "expected each input once, got '6.text' and"),
        ({"set": {"10.image": "x"}, "files": {"10.image": "a.png"}}, "expected each input once"),
        ({"files": {"10.image": 5}}, "expected a path or a URL for 10.image, got 5"),
        ({"id": "../x"}, "expected an id of 1 to 128 letters"),
        ({"id": "a."}, "expected an id of 1 to 128 letters"),
        ({"id": 5}, "expected an id of 1 to 128 letters"),
        ({"sett": {}}, "expected id, set, files, note, got 'sett'"),
        ({"set": []}, 'expected an object for "set"'),
        ([], "expected an object such as"),
        ({"set": {"3.cfg": float("nan")}}, "NaN is no number in JSON"),
    ],
)
def test_a_wrong_line_is_told_with_its_number_before_anything_starts(line, sentence):
    with pytest.raises(BatchError) as error:
        jobs_of({"id": "good"}, line)
    assert f"jobs:2: {sentence}" in str(
        error.value
    ) or f"jobs:2: expected JSON, got an error ({sentence}" in str(error.value)


def test_a_title_that_two_nodes_have_is_refused():
    workflow = WORKFLOW | {"7": WORKFLOW["6"]}
    with pytest.raises(BatchError, match=r"expected one node titled 'Prompt', got 2 \(6, 7\)"):
        jobs_of({"set": {"Prompt.text": "x"}}, workflow=workflow)


def test_ids_that_are_equal_on_some_file_systems_are_refused_and_many_problems_are_cut():
    with pytest.raises(BatchError, match="jobs:2: expected an id of its own, got 'A', which line 1 has too"):
        jobs_of({"id": "a"}, {"id": "A"})
    with pytest.raises(BatchError) as error:
        jobs_of(*({"id": n} for n in range(30)))
    assert len(str(error.value).splitlines()) == 12 and "... and 20 more lines" in str(error.value)


def test_files_are_taken_from_the_jobs_files_folder_and_urls_stay(tmp_path):
    file = tmp_path / "jobs.jsonl"
    lines = [
        {"id": "a", "files": {"10.image": "in/x.png"}},
        {"id": "b", "files": {"10.image": "s3://b/x.png"}},
    ]
    file.write_text("\ufeff\n" + "\n\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    first, second = read_jobs(file, WORKFLOW)
    assert first.files == {"10.image": str(tmp_path / "in" / "x.png")}
    assert second.files == {"10.image": "s3://b/x.png"}
    # The same job, written with its whole path, as failed.jsonl does.
    (again,) = jobs_of(first.line())
    assert again == first


def test_a_signed_url_keeps_its_query_and_is_the_same_job_with_another_signature():
    first, second = (
        jobs_of({"id": "a", "files": {"10.image": f"https://b/in/x.png?sig=a/b.{sign}"}})[0] for sign in "cd"
    )
    assert first.files["10.image"].endswith("?sig=a/b.c")
    assert first.mark == second.mark
    (other,) = jobs_of({"id": "a", "files": {"10.image": "https://b/in/y.png?sig=a/b.c"}})
    assert other.mark != first.mark
    (plain,) = jobs_of({"id": "a", "files": {"10.image": "in/what?.png"}})
    assert plain.mark != jobs_of({"id": "a", "files": {"10.image": "in/what"}})[0].mark


def test_the_product_has_every_prompt_with_every_seed_and_ids_that_do_not_depend_on_their_place():
    lines = list(product_lines(["A castle, at night!", "x"], [5, 6], WORKFLOW))
    jobs = checked_jobs(enumerate(lines, 1), WORKFLOW, "product", Path())
    assert [(job.set["6.text"], job.set["3.seed"]) for job in jobs] == [
        ("A castle, at night!", 5),
        ("A castle, at night!", 6),
        ("x", 5),
        ("x", 6),
    ]
    assert jobs[0].id.startswith("a-castle-at-night-5-")
    (alone,) = product_lines(["x"], [6], WORKFLOW)
    assert json.loads(alone)["id"] == jobs[3].id


def test_the_positive_prompt_is_found_behind_other_nodes_and_asked_for_where_there_are_two():
    behind = json.loads(json.dumps(WORKFLOW))
    behind["3"]["inputs"]["positive"] = ["20", 0]
    behind["20"] = {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["6", 0]}}
    assert prompt_inputs(behind) == ["6.text"]
    behind["21"] = {"class_type": "CLIPTextEncode", "inputs": {"text": "y"}}
    behind["22"] = {"class_type": "KSampler", "inputs": {"positive": ["21", 0], "noise_seed": 3}}
    assert seed_inputs(behind) == ["3.seed", "22.noise_seed"]
    with pytest.raises(BatchError, match=r"got 2 \(6.text, 21.text\): name its input with --prompt-input"):
        list(product_lines(["x"], [1], behind))
    (line,) = product_lines(["x"], [9], behind, "21.text")
    assert json.loads(line)["set"] == {"21.text": "x", "3.seed": 9, "22.noise_seed": 9}
    (line,) = product_lines(["x"], [9], behind, "21.text", "3.seed")
    assert json.loads(line)["set"] == {"21.text": "x", "3.seed": 9}
    with pytest.raises(BatchError, match="--seed-input"):
        list(product_lines(["x"], [9], behind, "21.text", "3.cfgs"))


def test_prompts_and_seeds_are_read(tmp_path):
    (tmp_path / "p.txt").write_text("a\n\n  b \r\na\n", encoding="utf-8")
    assert read_prompts(tmp_path / "p.txt") == ["a", "b"]
    assert parse_seeds("1-3, 7,2") == [1, 2, 3, 7]
    for wrong in ("", "3-1", "a", "1-", "-1"):
        with pytest.raises(BatchError, match="Expected seeds such as 1-100"):
            parse_seeds(wrong)


def test_a_workflow_that_is_not_in_api_format_is_refused_with_the_way_to_export_it(tmp_path):
    file = tmp_path / "workflow.json"
    for content, got in (
        ('{"nodes": [], "links": []}', "the page's own format"),
        ("[]", "something else"),
        ("{", "Expected JSON"),
    ):
        file.write_text(content)
        with pytest.raises(BatchError, match=got):
            load_workflow(file)
    with pytest.raises(BatchError, match="No such file"):
        load_workflow(tmp_path / "none.json")
    file.write_text(json.dumps(WORKFLOW))
    assert workflow_fingerprint(load_workflow(file)) == workflow_fingerprint(WORKFLOW)
