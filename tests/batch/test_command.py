"""The command without Ray: exit status, resume, changed jobs, the summary."""

import json
import shutil
import sys
from contextlib import contextmanager
from itertools import chain, repeat

import pyarrow.parquet as pq
import pytest

from freescale_batch import one_job
from freescale_batch import run as run_module
from freescale_batch.__main__ import ABORTED, ALL_DONE, SOME_FAILED, main
from freescale_batch.errors import BatchError
from freescale_batch.jobs import Job
from freescale_batch.outcome import Outcome
from freescale_batch.progress import LiveLine, duration
from freescale_batch.server import ServerOptions
from freescale_batch.store import Store
from freescale_batch.worker import Worker, WorkerOptions
from tools.harness.batch_place import WORKFLOW, Place, text_jobs


def run(place: Place, *texts: str, jobs: list[dict] | None = None, more: tuple[str, ...] = ()) -> int:
    file = place.write_jobs(jobs or text_jobs(*texts))
    return main(place.words(file, "--engine", "none", *more))


def test_the_same_command_again_runs_what_is_open_and_nothing_else(place):
    assert run(place, "x", "y") == ALL_DONE
    before = place.pictures()
    assert run(place, "x", "y", "z") == ALL_DONE
    assert place.runs() == ["x", "y", "z"]
    assert before.items() <= place.pictures().items() and len(place.results()) == 3


def test_failed_jobs_are_listed_as_a_jobs_file_and_tried_again_on_demand(place, capsys):
    (place.folder / "p.png").write_bytes(b"mine")
    jobs = [*text_jobs("x", "error-once"), {"id": "c", "set": {"6.text": "error-once=2"}}]
    jobs[2]["files"] = {"10.image": "p.png"}
    assert run(place, jobs=jobs) == SOME_FAILED
    assert run(place, jobs=jobs) == SOME_FAILED
    assert place.runs() == ["x", "error-once", "error-once=2"]
    listed = [json.loads(line) for line in (place.out / "failed.jsonl").read_text().splitlines()]
    assert [line["id"] for line in listed] == ["b", "c"] and "mat1 and mat2" in listed[0]["note"]
    words = place.words(place.out / "failed.jsonl", "--engine", "none")
    assert main([*words, "--retry-failed"]) == ALL_DONE
    assert (place.out / "failed.jsonl").read_text() == ""
    assert set(place.results()) == {"a", "b", "c"} and place.results("failed.json") == {}
    assert run(place, jobs=jobs) == ALL_DONE


def test_a_finished_job_that_changed_under_its_id_is_refused_until_it_is_forced(place, capsys):
    assert run(place, "x", "error") == SOME_FAILED
    before = place.pictures()
    assert run(place, "changed", "error") == ABORTED
    assert "Expected the workflow and values that made a, got others (1 such jobs)" in capsys.readouterr().err
    place.workflow.write_text(json.dumps(WORKFLOW | {"3": WORKFLOW["3"] | {"class_type": "SaveImage"}}))
    assert run(place, "x", "error") == ABORTED
    assert place.pictures() == before
    place.workflow.write_text(json.dumps(WORKFLOW))
    assert run(place, "x", "y") == ALL_DONE  # a failed job may change
    assert run(place, "changed", "y", more=("--force",)) == ALL_DONE
    assert place.runs() == ["x", "error", "y", "changed"]
    assert place.pictures() != before and set(place.results()) == {"a", "b"}


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda place: [], "Expected either a jobs file or --prompts, got neither"),
        (lambda place: [str(place.folder / "none.jsonl")], "Expected job lines in"),
        (lambda place: [str(place.workflow)], "workflow.json:1: expected id, set, files, note"),
        (lambda place: ["--prompts", "p.txt"], "Expected --prompts and --seeds together"),
        (lambda place: ["j", "--address", "auto"], "Expected one worker for --engine none"),
        (lambda place: ["j", "--comfyui", "nowhere"], "Expected ComfyUI's main.py in nowhere"),
        (lambda place: ["j", "--gpus-per-worker", "0"], "Expected --gpus-per-worker above 0"),
        (lambda place: ["j", "--workflow", "nothing.json"], "Expected a workflow in nothing.json"),
    ],
)
def test_wrong_input_ends_the_command_before_anything_starts(place, capsys, spoil, sentence):
    words = ["--workflow", str(place.workflow), "--out", str(place.out), "--comfyui", str(place.tree)]
    assert main([*words, "--engine", "none", *spoil(place)]) == ABORTED
    assert sentence in capsys.readouterr().err
    assert not place.out.exists() and place.runs() == []


def test_an_output_that_cannot_be_written_is_no_failed_job(place, capsys):
    place.out.write_text("a file in its place")
    assert run(place, "x") == ABORTED
    assert "NotADirectoryError" in capsys.readouterr().err and place.runs() == []


def test_a_server_that_cannot_start_ends_the_command_with_its_log(place, capsys):
    (place.tree / "broken").touch()
    assert run(place, "x", "y") == ABORTED
    told = capsys.readouterr().err
    assert "No module named 'torch'" in told
    assert f"name ComfyUI's Python with --python (now {sys.executable})" in told
    (place.tree / "broken").unlink()
    assert run(place, "x", "y") == ALL_DONE


def test_workers_that_lose_their_servers_for_good_end_the_command_and_keep_what_is_done(
    place, capsys, monkeypatch
):
    monkeypatch.setattr(run_module, "MAX_NOT_RUN", 2)
    monkeypatch.setattr(Worker, "_give_back", give_back_at_once)
    jobs = [{"id": "a", "set": {"6.text": "x"}}, *({"id": f"b{n}", "set": {"6.text": "y"}} for n in range(9))]
    ready = Worker._ready_server

    def broken_after_one(self):
        if self._server is not None and self._server.jobs_done:
            raise OSError("the GPU fell off the bus")
        return ready(self)

    monkeypatch.setattr(Worker, "_ready_server", broken_after_one)
    assert run(place, jobs=jobs) == ABORTED
    assert "Expected workers that can run jobs, got none" in capsys.readouterr().err
    assert set(place.results()) == {"a"}
    monkeypatch.undo()
    assert run(place, jobs=jobs) == ALL_DONE and len(place.runs()) == 10


def give_back_at_once(self, job, error):
    return Outcome(job.id, "not run", self.name, error=str(error))


def engine_that_tells(told: list[tuple[str, str]], workers: list[int]):
    """An engine whose workers tell these (worker, status), a job each.

    workers: how many there are, each time that somebody asks; the last number stays.
    """

    @contextmanager
    def engine(jobs, options):
        outcomes = (
            Outcome(job.id, status, worker, error="no server")
            for job, (worker, status) in zip(jobs, told, strict=True)
        )
        counts = chain(workers, repeat(workers[-1]))
        yield lambda: next(counts), outcomes

    return engine


LOST, BUSY, OTHER_LOST = ("one", "not run"), ("two", "done"), ("two", "not run")


@pytest.mark.parametrize(
    ("told", "workers", "heard"),
    [
        ([LOST, LOST], [1], 1),
        ([LOST, OTHER_LOST, BUSY], [2], 2),
        ([LOST, LOST, BUSY, *[LOST] * 5], [2], None),
        ([*[LOST] * 5], [2], None),
        ([BUSY, *[LOST] * 3, OTHER_LOST, BUSY, OTHER_LOST, OTHER_LOST], [2], None),
        ([BUSY, *[LOST] * 3, *[OTHER_LOST] * 3, BUSY], [2], 7),
        ([*[LOST] * 5], [2, 2, 1], 3),  # the other one's machine is lost before it tells anything
        ([BUSY, *[LOST] * 3, OTHER_LOST, BUSY], [2, 1], None),  # the broken one's machine is lost
    ],
)
def test_a_broken_worker_leaves_the_others_at_work_and_only_all_broken_ones_end_the_command(
    tmp_path, monkeypatch, told, workers, heard
):
    """heard: of how many jobs before the command ends, None of all."""
    monkeypatch.setattr(run_module, "MAX_NOT_RUN", 3)
    seen = []
    monkeypatch.setattr(LiveLine, "add", lambda _, outcome: seen.append(outcome))
    options = WorkerOptions(WORKFLOW, str(tmp_path), ServerOptions("", ""))
    jobs = [Job(f"j{n}") for n in range(len(told))]
    sentence = "Expected all jobs to run" if heard is None else "Expected workers that can run jobs, got none"
    with pytest.raises(BatchError, match=sentence):
        run_module.run_jobs(jobs, options, engine_that_tells(told, workers))
    assert len(seen) == (heard or len(told))


def test_ctrl_c_ends_the_command_and_does_not_count_as_an_attempt(place, capsys, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    for _ in range(3):
        with monkeypatch.context() as context:
            context.setattr(one_job, "_wait", press)
            assert run(place, "x", "y") == ABORTED
    assert "the same command goes on from here" in capsys.readouterr().err
    assert Store(str(place.out)).attempts("a") == (0, "")
    assert run(place, "x", "y") == ALL_DONE


def test_the_summary_has_every_job_once(place):
    assert run(place, "x", "error", jobs=None) == SOME_FAILED
    assert run(place, jobs=[{"id": "big", "set": {"3.seed": 2**64 - 1}}]) == ALL_DONE
    rows = {row["id"]: row for row in pq.read_table(place.out / "results.parquet").to_pylist()}
    assert {key: row["status"] for key, row in rows.items()} == {"a": "done", "b": "failed", "big": "done"}
    assert rows["big"]["seed"] == 2**64 - 1 and rows["b"]["error"].startswith("node 3 (KSampler)")
    for name in rows["a"]["files"]:
        assert (place.out / name).is_file()
    assert json.loads(rows["a"]["set"]) == {"6.text": "x", "3.seed": 0}


def test_prompts_with_seeds_are_kept_as_a_jobs_file_that_gives_the_same(place):
    (place.folder / "p.txt").write_text("a castle\nan apple\n")
    words = place.words(place.folder / "p.txt", "--engine", "none")[1:]
    words += ["--prompts", str(place.folder / "p.txt"), "--seeds", "5-6"]
    assert main(words) == ALL_DONE
    assert sorted(place.runs()) == ["a castle"] * 2 + ["an apple"] * 2
    kept = shutil.copy(place.out / "jobs.jsonl", place.folder)
    assert main(place.words(kept, "--engine", "none")) == ALL_DONE
    assert len(place.runs()) == 4


def test_words_after_two_dashes_go_to_comfyui_and_its_input_folder_is_seen(place):
    other = place.folder / "data"
    (other / "input").mkdir(parents=True)
    (other / "input" / "example.png").write_bytes(b"other")
    assert run(place, "x", more=("--", "--base-directory", str(other))) == ALL_DONE
    assert next(iter(place.pictures().values())).endswith(b"other")


def test_results_go_to_an_object_store_as_well(place):
    url = f"memory://{place.folder.name}"
    file = place.write_jobs(text_jobs("x", "error"))
    words = place.words(file, "--engine", "none")
    words[words.index(str(place.out))] = url
    assert main(words) == SOME_FAILED
    assert Store(url).finished() == ({"a"}, {"b"})
    assert Store(url).read("results.parquet").startswith(b"PAR1")
    assert main(words) == SOME_FAILED and place.runs() == ["x", "error"]


def test_the_live_line_counts_and_foresees(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    live = LiveLine(100, 10)
    for n in range(4):
        now[0] += 60
        live.add(Outcome(str(n), "failed" if n == 3 else "done", f"vm GPU {n % 2}", error="why"))
    assert live.line() == ("3 done, 1 failed, 86 left | 60 an hour | 86 min left | vm GPU 0: 2, vm GPU 1: 2")
    assert "failed: 3: why" in capsys.readouterr().err
    assert [duration(seconds) for seconds in (5, 119, 120, 7200, 200000)] == [
        "5 s",
        "119 s",
        "2 min",
        "2 h",
        "2 days",
    ]
