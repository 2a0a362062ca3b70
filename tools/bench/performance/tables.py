"""The tables of the document, each a header and rows, from what the benchmarks kept."""

from collections.abc import Sequence
from typing import Any

from tools.bench.picture_quality.figures import MEASURES, heading

USE = {
    None: "SD1.5",
    "2048x2048": "2k, speed Exact",
    "4096x4096": "4k, speed Balanced; Fast to hurry",
    "8192x8192": "4k, speed Balanced; 8k, speed Fast, alpha 1",
}
"""Largest size that fits -> what we would take. Memory says what fits, operations what one waits for."""

Table = tuple[Sequence[str], list[list[object]]]
GIB = 2**30


def call_costs(counts: dict[str, Any], model: str) -> Table:
    flops = counts["calls"][model]["square"]["unpatched"]
    scales = list(flops)
    rows: list[list[object]] = [["unpatched, TFLOP", *(f"{flops[scale] / 1e12:.1f}" for scale in scales)]]
    for shape in ("square", "16:9"):
        ratios = counts["ratios"][model][shape]
        rows += [
            [f"{name}, {shape}", *("" if scale not in r else f"{r[scale]:.3f}" for scale in scales)]
            for name, r in ratios.items()
        ]
    return ("one call", *(f"{scale}x" for scale in scales)), rows


def cascade_costs(counts: dict[str, Any], model: str) -> Table:
    shares = counts["cascades"][model]["square"]
    scales = list(next(iter(shares.values())))
    return ("whole cascade", *(f"{scale}x" for scale in scales)), [
        [name, *(f"{share[scale]:.2f}" for scale in scales)] for name, share in shares.items()
    ]


QUALITY_COLUMNS = ("kid_crops", "repetition", "consistency")
SPEED_ROWS = {"Exact": "freescale_0.5", "Balanced": "balanced_0.5", "Fast": "fast_0.5"}
"""Speed -> its row in docs/quality.json."""


def speed_costs(counts: dict[str, Any], quality: dict[str, Any]) -> Table:
    """What a speed costs, and beside it what its pictures are like on the demo model at 2x."""
    header = ["speed", *(f"cascade to {scale}x" for scale in counts["speeds"]["Exact"])]
    rows: list[list[object]] = [
        [name, *(f"{share:.2f}" for share in shares.values())] for name, shares in counts["speeds"].items()
    ]
    judged = quality["tables"]["2x"]["rows"]
    for row in rows:
        found = judged.get(SPEED_ROWS[str(row[0])])
        row += [f"{found[n]['value'] / MEASURES[n].unit:.2f}" if found else "" for n in QUALITY_COLUMNS]
    return [*header, *(f"{heading(name)}, 2x" for name in QUALITY_COLUMNS)], rows


def attention_memory(data: dict[str, Any]) -> Table:
    columns = {
        "attention": "attend",
        "blur after the projection": "fuse",
        "allocator, attention": "attend_cpu",
        "allocator, blur": "fuse_cpu",
    }
    return ("one self-attention", *columns), [
        [row["name"], *("" if row[key] is None else f"{row[key]:.2f}" for key in columns.values())]
        for row in data["attention"]
    ]


def unet_memory(data: dict[str, Any], model: str) -> Table:
    rows = [
        [f"{row['size']}, {row['variant']}", *(f"{row['batch'][b] / GIB:.1f}" for b in ("1", "2"))]
        for row in data["calls"]
        if row["model"] == model
    ]
    return ("one UNet call", "cond and uncond apart, GiB", "in one batch, GiB"), rows


def gpus(data: dict[str, Any]) -> Table:
    header = ("GPU memory", "SDXL fits whole up to", "VAE tile", "use")
    return header, [[f"{g['gib']} GB", g["fits"] or "-", g["tile"], USE[g["fits"]]] for g in data["gpus"]]
