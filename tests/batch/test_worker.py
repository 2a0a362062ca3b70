"""One worker on a stand-in of ComfyUI: what fails, what is tried again, what is stored."""

import hashlib
import json
import time

import fsspec
import psutil
import pytest

from freescale_batch import one_job, server, worker
from freescale_batch.jobs import checked_jobs
from freescale_batch.server import ServerOptions
from freescale_batch.store import Store
from freescale_batch.worker import Worker, WorkerOptions
from tools.harness.batch_place import WORKFLOW, Place, text_jobs


@pytest.fixture
def make(place: Place, monkeypatch):
    """A function that makes a worker; all end with the test, and leave nothing behind."""
    monkeypatch.setattr(worker, "ENDING_SECONDS", 0.0)
    made = []

    def make_worker(**options) -> Worker:
        needs = options.pop("needs", ("KSampler", "SaveImage"))
        on = ServerOptions(str(place.tree), "", cpu=True, needs=needs, start_seconds=30)
        made.append(Worker(WorkerOptions(WORKFLOW, str(place.out), on, pause=0.2, **options)))
        return made[-1]

    yield make_worker
    for one in made:
        one.close()
    assert psutil.Process().children(recursive=True) == []


def run(one: Worker, place: Place, *texts: str, jobs: list[dict] | None = None) -> list[dict]:
    lines = enumerate(map(json.dumps, jobs or text_jobs(*texts)), 1)
    found = checked_jobs(lines, WORKFLOW, "jobs", place.folder)
    return [one({"job": json.dumps(vars(job))}) for job in found]


def test_a_picture_is_stored_with_a_record_that_can_make_it_again(make, place):
    (outcome,) = run(make(versions=(("freescale", "1.2.3"),)), place, "x")
    assert outcome["status"] == "done" and outcome["error"] == ""
    record = place.results()["a"]
    (content,) = place.pictures().values()
    assert record["files"] == {"9_1.png": hashlib.sha256(content).hexdigest()}
    assert json.loads(content.removesuffix(b"example")) == record["prompt"]
    assert record["prompt"]["6"]["inputs"]["text"] == "x"
    assert (record["seed"], record["set"]) == (0, {"6.text": "x", "3.seed": 0})
    assert record["versions"] == {"freescale": "1.2.3", "comfyui": "stand-in"}
    assert record["peak_memory"]["vram"] == 60 and record["peak_memory"]["ram"] > 1e6
    assert record["attempts"] == 1 and 0 < record["seconds"] < 30


@pytest.mark.parametrize(
    ("text", "error", "runs"),
    [
        ("refuse", "the server refused the prompt: Prompt outputs failed validation; node 1: Value not", 0),
        ("error", "node 3 (KSampler): mat1 and mat2 shapes cannot be multiplied", 1),
        ("nothing", "expected files from the workflow, got none", 1),
        ("oom", "out of memory in node 3 (KSampler): Allocation on device (2 attempts)", 2),
        ("cuda", "node 3 (KSampler): CUDA error: an illegal memory access was encountered (2 attempts)", 2),
        ("die", "the server died (exit 7); its log ended: about to die (2 attempts)", 2),
    ],
)
def test_a_job_that_cannot_succeed_fails_alone(make, place, text, error, runs):
    outcomes = run(make(), place, text, "good")
    assert [outcome["status"] for outcome in outcomes] == ["failed", "done"]
    assert outcomes[0]["error"].startswith(error)
    assert place.runs() == [text] * runs + ["good"]
    assert place.results("failed.json")["a"]["error"] == outcomes[0]["error"]
    assert set(place.results()) == {"b"} and Store(str(place.out)).attempts("a") == (0, "")


def test_a_worker_that_is_ended_just_after_its_server_counts_one_attempt(make, place, monkeypatch):
    """As at the end of the command that Ray ran it for."""

    def ended(seconds):
        if seconds == worker.ENDING_SECONDS:
            raise SystemExit

    one = make()
    monkeypatch.setattr(worker, "ENDING_SECONDS", 3.0)
    monkeypatch.setattr(worker.time, "sleep", ended)
    with pytest.raises(SystemExit):
        run(one, place, "die")
    count, error = Store(str(place.out)).attempts("a")
    assert count == 1 and error.startswith("the server died")


@pytest.mark.parametrize("text", ["die-once", "oom-until-free", "cuda-once"])
def test_a_job_is_tried_once_more_where_that_may_help(make, place, text):
    (outcome,) = run(make(), place, text)
    assert outcome["status"] == "done" and place.runs() == [text] * 2
    assert place.results()["a"]["attempts"] == 2


def test_a_server_lives_on_after_lack_of_memory_and_is_replaced_after_a_broken_gpu(make, place):
    one = make()
    run(one, place, "good")
    first = one._server
    (outcome,) = run(one, place, jobs=[{"id": "b", "set": {"6.text": "oom"}}])
    assert outcome["status"] == "failed" and one._server is first
    run(one, place, jobs=[{"id": "c", "set": {"6.text": "cuda-once"}}])
    assert one._server is not first and first.exit_status() is not None and not first.folder.exists()


def test_a_slow_job_is_interrupted_and_one_that_does_not_listen_loses_its_server(make, place, monkeypatch):
    monkeypatch.setattr(one_job, "INTERRUPT_SECONDS", 0.5)
    one = make(job_timeout=0.5)
    outcomes = run(one, place, "sleep=0.1", "sleep=60")
    first = one._server
    assert [outcome["status"] for outcome in outcomes] == ["done", "failed"]
    outcomes += run(one, place, jobs=[{"id": "c", "set": {"6.text": "hang"}}])
    assert one._server is None and first.exit_status() is not None
    outcomes += run(one, place, jobs=[{"id": "d", "set": {"6.text": "good"}}])
    assert [outcome["status"] for outcome in outcomes] == ["done", "failed", "failed", "done"]
    assert outcomes[1]["error"] == "expected an end within 0.5 s (--job-timeout), got none"
    assert place.runs() == ["sleep=0.1", "sleep=60", "hang", "good"]


def test_a_job_that_killed_two_workers_is_not_tried_a_third_time(make, place):
    store = Store(str(place.out))
    store.note_attempt("a", 2, "the worker ended in the middle of it")
    store.note_attempt("b", 1, "the worker ended in the middle of it")
    outcomes = run(make(), place, "x", "y")
    assert [outcome["status"] for outcome in outcomes] == ["failed", "done"]
    assert outcomes[0]["error"] == "the worker ended in the middle of it (2 attempts)"
    assert place.runs() == ["y"]


def test_a_job_that_failed_is_not_run_again_when_its_row_comes_back(make, place):
    first = run(make(), place, "die")
    again = run(make(), place, "die")
    assert place.runs() == ["die"] * 2
    assert [(row["status"], row["error"]) for row in again] == [("failed", first[0]["error"])]
    assert place.results("failed.json")["a"]["attempts"] == 2


def test_an_attempt_is_on_disk_while_the_job_runs(make, place, monkeypatch):
    seen = []
    really = worker.run_job

    def look(*arguments):
        seen.append(Store(str(place.out)).attempts("a"))
        return really(*arguments)

    monkeypatch.setattr(worker, "run_job", look)
    run(make(), place, "die")
    assert seen == [(1, "the worker ended in the middle of it"), (2, "the worker ended in the middle of it")]


def test_a_job_that_is_done_is_not_run_again(make, place):
    one = make()
    run(one, place, "x")
    assert run(one, place, "x")[0]["status"] == "done"
    assert place.runs() == ["x"]


def test_a_server_is_replaced_after_so_many_jobs(make, place):
    one = make(recycle=2)
    folders = []
    for job in text_jobs("x", "y", "z"):
        run(one, place, jobs=[job])
        folders.append(one._server.folder)
    assert folders[0] == folders[1] != folders[2] and not folders[0].exists()


def test_a_file_of_a_job_is_loaded_under_a_name_of_its_content_and_then_removed(make, place):
    (place.folder / "p.png").write_bytes(b"mine")
    one = make()
    outcomes = run(
        one,
        place,
        jobs=[
            {"id": "a", "files": {"10.image": "p.png"}},
            {"id": "b", "files": {"10.image": "p.png", "1.ckpt": "none.png"}},
            {"id": "c"},
        ],
    )
    assert [outcome["status"] for outcome in outcomes] == ["done", "failed", "done"]
    name = hashlib.sha256(b"mine").hexdigest()[:16] + ".png"
    assert place.results()["a"]["prompt"]["10"]["inputs"]["image"] == name
    pictures = {path.split("/")[1]: content for path, content in place.pictures().items()}
    assert pictures["a"].endswith(b"mine") and pictures["c"].endswith(b"example")
    assert "expected to read" in outcomes[1]["error"] and "none.png" in outcomes[1]["error"]
    assert [entry.name for entry in (one._server.folder / "input").iterdir()] == ["example.png"]
    assert [entry.name for entry in (place.tree / "input").iterdir()] == ["example.png"]


def test_a_file_at_a_signed_url_keeps_its_suffix(make, place):
    url = f"memory://{place.folder.name}/p.png?signature=a/b.c"
    with fsspec.open(url, "wb") as stream:
        stream.write(b"mine")
    (outcome,) = run(make(), place, jobs=[{"id": "a", "files": {"10.image": url}}])
    name = hashlib.sha256(b"mine").hexdigest()[:16] + ".png"
    assert outcome["status"] == "done"
    assert place.results()["a"]["prompt"]["10"]["inputs"]["image"] == name


def test_a_server_that_does_not_start_leaves_the_job_open_and_says_why(make, place):
    (place.tree / "broken").touch()
    one = make()
    start = time.monotonic()
    outcomes = run(one, place, "x", "y")
    assert [outcome["status"] for outcome in outcomes] == ["not run"] * 2
    assert "expected ComfyUI to start, got exit status 1" in outcomes[0]["error"]
    assert "No module named 'torch'" in outcomes[0]["error"]
    assert time.monotonic() - start > 0.2  # the pause before the second one
    (place.tree / "broken").unlink()
    assert run(one, place, "x")[0]["status"] == "done"


def test_nodes_that_comfyui_lacks_are_named(make, place):
    (outcome,) = run(make(needs=("KSampler", "FreeScaleCascade")), place, "x")
    assert outcome["status"] == "not run"
    assert "got none called FreeScaleCascade: install their packs" in outcome["error"]


def test_an_error_of_the_store_leaves_the_job_open(make, place, monkeypatch):
    one = make()

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(Store, "write_picture", fail)
    (outcome,) = run(one, place, "x")
    assert outcome["status"] == "not run" and "No space left on device" in outcome["error"]
    assert Store(str(place.out)).attempts("a") == (0, "")


def test_an_equal_prompt_answered_from_the_cache_has_the_files_of_the_job_before(make, place, monkeypatch):
    """ComfyUI does not run a prompt again whose results it has: it names the files of the first time."""
    one = make()
    found = []
    wait = one_job._wait

    def cached(*arguments):
        found.append(wait(*arguments))
        return found[0]

    monkeypatch.setattr(one_job, "_wait", cached)
    assert [outcome["status"] for outcome in run(one, place, "x", "x")] == ["done"] * 2
    assert len(set(place.pictures().values())) == 1 and len(place.pictures()) == 2


def test_what_an_older_comfyui_had_cached_is_told_again(make, place):
    """Else a job would lack the files of those nodes that equal a job's before, the base image's say."""
    equal = {"6.text": "x", "3.seed": 1}
    outcomes = run(make(), place, jobs=[{"id": name, "set": equal} for name in "ab"])
    assert [outcome["status"] for outcome in outcomes] == ["done"] * 2


def test_a_port_that_another_program_took_is_not_mistaken_for_the_own_server(make, place, monkeypatch):
    first = make()
    run(first, place, "x")
    port = int(first._server.comfy._http.base_url.port)
    ports = iter([port])
    free_port = server.free_port
    monkeypatch.setattr(server, "free_port", lambda: next(ports, None) or free_port())
    second = make()
    (outcome,) = run(second, place, jobs=[{"id": "b", "set": {"6.text": "y"}}])
    assert outcome["status"] == "done" and second._server.folder != first._server.folder
