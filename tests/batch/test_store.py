"""The output folder, on a disk and in an object store."""

import pickle
import uuid

import pytest

from freescale_batch.errors import BatchError
from freescale_batch.store import FAILED, RESULT, Store


@pytest.fixture(params=["disk", "object store"])
def store(request, tmp_path):
    return Store(str(tmp_path / "out") if request.param == "disk" else f"memory://{uuid.uuid4().hex}")


def test_a_job_is_done_once_its_record_is_written_and_a_drop_makes_it_open_again(store):
    store.write_picture("a", "9_1.png", b"x")
    assert not store.is_done("a") and store.finished() == (set(), set())
    store.finish("a", {"id": "a"})
    store.fail("b", {"id": "b", "error": "it died"})
    assert store.is_done("a") and not store.is_done("b")
    assert store.finished() == ({"a"}, {"b"})
    assert (store.failure("a"), store.failure("b")) == (None, "it died")
    assert list(store.records(["a"], RESULT)) == [{"id": "a"}]
    assert list(store.records(["b"], FAILED)) == [{"id": "b", "error": "it died"}]
    store.drop("a")
    assert store.finished() == (set(), {"b"})


def test_attempts_are_remembered_until_the_job_has_a_record(store):
    assert store.attempts("a") == (0, "")
    store.note_attempt("a", 1, "died")
    store.note_attempt("a", 2, "died again")
    assert store.attempts("a") == (2, "died again")
    store.note_attempt("b", 1, "")
    store.finish("a", {"id": "a"})
    assert store.attempts("a") == (0, "") and store.attempts("b") == (1, "")
    store.forget_all_attempts()
    store.forget_all_attempts()
    assert store.attempts("b") == (0, "")


def test_an_id_named_like_a_record_is_no_record(store):
    store.note_attempt(RESULT, 1, "")
    assert store.finished() == (set(), set())
    store.finish(RESULT, {"id": RESULT})
    assert store.finished() == ({RESULT}, set())


def test_records_of_many_jobs_come_in_their_order(store, monkeypatch):
    monkeypatch.setattr("freescale_batch.store.READ_AT_ONCE", 3)
    ids = [f"j{n}" for n in range(7)]
    for job_id in ids:
        store.finish(job_id, {"id": job_id})
    assert [record["id"] for record in store.records(ids, RESULT)] == ids


def test_another_process_opens_the_same_store(store):
    store.write_marks({"a": "1"})
    assert pickle.loads(pickle.dumps(store)).marks() == {"a": "1"}


def test_a_file_on_a_disk_is_whole_or_not_there(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    store.write("a/b", b"first")
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b"]

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        store.write("a/b", b"second")
    assert store.read("a/b") == b"first" and store.read("a/c") is None


def test_two_writers_of_the_same_file_do_not_share_its_unfinished_part(tmp_path, monkeypatch):
    parts = []
    monkeypatch.setattr("os.replace", lambda part, _: parts.append(part))
    for content in (b"first", b"second"):
        Store(str(tmp_path)).write("a", content)
    assert [part.read_bytes() for part in parts] == [b"first", b"second"]
    assert {part.suffix for part in parts} == {".part"}


def test_a_url_that_nothing_can_open_is_refused():
    with pytest.raises(BatchError, match="Expected --out that fsspec can open, got nowhere://x"):
        Store("nowhere://x").finished()
