"""results.parquet and failed.jsonl, made from the records in the store."""

import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .store import FAILED, RESULT, Store, folder_of

RESULTS, FAILED_JOBS = "results.parquet", "failed.jsonl"
ROWS_AT_ONCE = 1000
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("status", pa.string()),
        ("seed", pa.uint64()),
        ("set", pa.string()),
        ("seconds", pa.float64()),
        ("attempts", pa.int32()),
        ("files", pa.list_(pa.string())),
        ("sha256", pa.list_(pa.string())),
        ("peak_ram", pa.int64()),
        ("peak_vram", pa.int64()),
        ("worker", pa.string()),
        ("versions", pa.string()),
        ("workflow", pa.string()),
        ("error", pa.string()),
    ]
)


def write_summary(store: Store) -> tuple[int, int]:
    """Write both files; returns how many jobs are done and how many failed in the whole output folder."""
    done, failed = (sorted(ids) for ids in store.finished())
    content = io.BytesIO()
    with pq.ParquetWriter(content, SCHEMA) as writer:
        for rows in _chunks(map(_done_row, store.records(done, RESULT))):
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        for rows in _chunks(map(_failed_row, store.records(failed, FAILED))):
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    store.write(RESULTS, content.getvalue())
    lines = [_failed_line(record) for record in store.records(failed, FAILED)]
    store.write(FAILED_JOBS, "".join(lines).encode())
    return len(done), len(failed)


def _chunks(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_AT_ONCE)):
        yield chunk


def _done_row(record: dict[str, Any]) -> dict[str, Any]:
    seed = record["seed"]
    return {
        "id": record["id"],
        "status": "done",
        "seed": seed if seed is not None and 0 <= seed < 2**64 else None,
        "set": json.dumps(record["set"], ensure_ascii=False),
        "seconds": record["seconds"],
        "attempts": record["attempts"],
        "files": [f"{folder_of(record['id'])}/{name}" for name in record["files"]],
        "sha256": list(record["files"].values()),
        "peak_ram": record["peak_memory"].get("ram"),
        "peak_vram": record["peak_memory"].get("vram"),
        "worker": record["worker"],
        "versions": json.dumps(record["versions"]),
        "workflow": record["workflow"],
    }


def _failed_row(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": record["id"],
        "status": "failed",
        "set": json.dumps(record["job"].get("set", {}), ensure_ascii=False),
        "attempts": record["attempts"],
        "worker": record["worker"],
        "workflow": record["workflow"],
        "error": record["error"],
    }


def _failed_line(record: dict[str, Any]) -> str:
    """A line of a jobs file; its note tells why the job failed."""
    return json.dumps(record["job"] | {"note": record["error"]}, ensure_ascii=False) + "\n"
