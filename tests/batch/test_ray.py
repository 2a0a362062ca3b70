"""Real Ray with stand-ins of ComfyUI: what is lost, and what is not, when processes and nodes die."""

from collections import Counter

import pyarrow.parquet as pq
import pytest
import ray.cluster_utils
import ray.exceptions

from freescale_batch import ray_engine
from freescale_batch.__main__ import ABORTED, ALL_DONE, SOME_FAILED, main
from freescale_batch.errors import BatchError
from freescale_batch.ray_engine import RayOptions, run_on_ray
from tools.harness.batch_command import Command, kill, running, wait_until
from tools.harness.batch_place import Place, text_jobs


def uninterrupted(place: Place, jobs: list[dict]) -> dict[str, bytes]:
    """What the jobs draw when nothing happens, by one worker without Ray."""
    other = Place(place.folder / "uninterrupted")
    other.make()
    other.open_gate()
    file = other.write_jobs(jobs)
    assert main(other.words(file, "--engine", "none")) == ALL_DONE
    return other.pictures()


def command(place: Place, words: list[str]) -> Command:
    return Command(place.folder, place.tree, words)


def expect_each_once(place: Place, jobs: list[dict]) -> None:
    """Every job has one result and one row, and the bytes of an uninterrupted run."""
    ids = sorted(job["id"] for job in jobs)
    assert sorted(place.results()) == ids
    assert pq.read_table(place.out / "results.parquet")["id"].to_pylist() == ids
    assert place.pictures() == uninterrupted(place, jobs)


def test_a_killed_server_and_a_killed_worker_cost_an_attempt_each(place: Place, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    jobs = text_jobs("gate 1", "gate 2", "gate 3", "x", "y")
    file = place.write_jobs(jobs)
    with running(command(place, place.words(file, "--workers", "2"))) as it:
        wait_until(lambda: len(place.runs()) == 2)
        first = it.workers()[0]
        kill(it.servers()[0])
        wait_until(lambda: len(place.runs()) == 3)
        # The job of the killed server has one attempt left, the other one two.
        kill(next(worker for worker in it.workers() if worker.pid != first.pid))
        place.open_gate()
        assert it.wait() == ALL_DONE
    expect_each_once(place, jobs)
    assert sorted(record["attempts"] for record in place.results().values()) == [1, 1, 1, 2, 2]
    assert set(place.given("OMP_NUM_THREADS")) == {None}  # Ray would have set 1, with other bits and slower


def test_after_a_killed_driver_nothing_lives_on_and_the_same_command_does_the_rest(place: Place):
    jobs = text_jobs("x", "y", "gate", "z", "w")
    file = place.write_jobs(jobs)
    words = place.words(file, "--workers", "1")
    with running(command(place, words)) as it:
        wait_until(lambda: "gate" in place.runs())
        kill(it.process)
        it.wait()
        wait_until(lambda: not it.servers(), 15)
    done, seen = place.results(), len(place.runs())
    assert 0 < len(done) < len(jobs)
    place.open_gate()
    with running(command(place, words)) as it:
        assert it.wait() == ALL_DONE
    assert len(place.runs()) - seen == len(jobs) - len(done)  # none twice
    assert done.items() <= place.results().items()
    expect_each_once(place, jobs)


def test_a_scheduler_that_ends_the_command_gets_the_status_of_one_that_broke_off(place: Place):
    file = place.write_jobs(text_jobs("gate-again", "gate-again"))  # Ray says in which order
    with running(command(place, place.words(file, "--workers", "1"))) as it:
        wait_until(lambda: len(place.runs()) == 2)
        wait_until(lambda: "1 done, 0 failed, 1 left" in it.log)  # told before the next one has ended
        it.process.terminate()
        assert it.wait() == ABORTED
        assert "interrupted: the same command goes on from here" in it.log
    assert len(place.results()) == 1 and place.results("failed.json") == {}


def test_where_no_server_starts_the_end_tells_that_alone(place: Place):
    """Ray Data would go on without its cluster, print what fails there and start another one."""
    (place.tree / "broken").touch()
    file = place.write_jobs([{"id": f"j{n}", "set": {"3.seed": n}} for n in range(9)])
    with running(command(place, place.words(file, "--workers", "1"))) as it:
        assert it.wait() == ABORTED
        assert it.log.count("not run: ") == 1 and "Expected workers that can run jobs, got none" in it.log
        assert "Traceback" not in it.log and "Started a local Ray" not in it.log


def test_ray_without_the_clusters_token_is_told_in_a_sentence(monkeypatch):
    def refuse(*_, **__):
        raise ray.exceptions.AuthenticationError("no token")

    monkeypatch.setattr(ray, "init", refuse)
    sentence = r"Expected Ray at auto, got AuthenticationError: .*no token"
    with pytest.raises(BatchError, match=sentence), run_on_ray([], None, RayOptions("auto")):
        pass


@pytest.mark.parametrize(
    ("asked", "has", "workers"),
    [
        (RayOptions(cpu=True), {"CPU": 2.0}, 1),
        (RayOptions(cpu=True, workers=8), {"CPU": 2.0}, 2),
        (RayOptions(), {"CPU": 2.0, "GPU": 3.0}, 3),
        (RayOptions(workers=2), {"GPU": 3.0}, 2),
        (RayOptions(gpus=0.5), {"GPU": 3.0}, 6),
    ],
)
def test_workers_are_counted_that_the_cluster_has_room_for(monkeypatch, asked, has, workers):
    monkeypatch.setattr(ray, "cluster_resources", lambda: has)
    assert ray_engine._number_of_workers(asked) == workers


def test_jobs_that_kill_their_server_or_their_worker_fail_alone_after_two_attempts(place, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    good = [{"id": f"good{n}", "set": {"3.seed": n}} for n in range(200)]
    file = place.write_jobs([*text_jobs("die", "kill-worker"), *good])
    with running(command(place, place.words(file, "--workers", "2"))) as it:
        assert it.wait() == SOME_FAILED
    failed = place.results("failed.json")
    assert {record["attempts"] for record in failed.values()} == {2}
    assert failed["a"]["error"].startswith("the server died (exit 7)")
    assert failed["b"]["error"] == "the worker ended in the middle of it (2 attempts)"
    assert Counter(place.runs()) == {"die": 2, "kill-worker": 2, "a castle": 200}
    assert set(failed) == {"a", "b"} and set(place.results()) == {job["id"] for job in good}
    assert {record["attempts"] for record in place.results().values()} == {1}
    assert set(place.given("OMP_NUM_THREADS")) == {"3"}


def test_each_gpu_has_a_worker_and_a_lost_node_loses_no_job(place: Place):
    jobs = [{"id": f"j{n}", "set": {"3.seed": n, "6.text": "gate"}} for n in range(8)]
    file = place.write_jobs(jobs)
    words = [word for word in place.words(file) if word != "--cpu"]
    nodes = ray.cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1})
    try:
        second = nodes.add_node(num_cpus=1, num_gpus=2)
        with running(command(place, [*words, "--address", nodes.address])) as it:
            wait_until(lambda: len(place.runs()) == 3)
            gpus = place.given("CUDA_VISIBLE_DEVICES")
            nodes.remove_node(second, allow_graceful=False)
            wait_until(lambda: len(it.servers()) == 1, 30)
            place.open_gate()
            assert it.wait() == ALL_DONE
    finally:
        nodes.shutdown()
    assert sorted(gpus) == ["0", "0", "1"]
    expect_each_once(place, jobs)
