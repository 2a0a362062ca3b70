"""docs/PERFORMANCE.md, from whatever the benchmarks have kept so far."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.cost import freeu_gib

from tools.bench.on_gpu import page as gpu_page
from tools.bench.performance import plots, tables
from tools.bench.performance.results import DOCS, KEPT, load, markdown
from tools.page_texts import page_texts

TEXTS = page_texts(Path(__file__).with_suffix(".md"))


def write() -> None:
    kept = {name: load(name) for name in SECTIONS}
    parts = [
        TEXTS["introduction"],
        *on_gpus(),
        *(SECTIONS[name](data) for name, data in kept.items() if data is not None),
    ]
    (DOCS / "PERFORMANCE.md").write_text("\n".join(parts), encoding="utf-8")
    print("  written: docs/PERFORMANCE.md")


def on_gpus() -> list[str]:
    """A chapter for each card that was measured."""
    chapters = []
    for path in sorted(KEPT.glob(gpu_page.KEPT)):
        data = json.loads(path.read_text(encoding="utf-8"))
        image = f"performance_{path.stem}.png"
        plots.gpu(gpu_page.call_rows(data), data["machine"]["card"], path.stem)
        chapters.append(gpu_page.chapter(data, f"images/{image}"))
    return chapters or [TEXTS["no_gpu"]]


def costs(data: dict[str, Any]) -> str:
    names = list(data["calls"])
    models = "\n\n".join(f"### {name}\n\n{markdown(*tables.call_costs(data, name))}" for name in names)
    cascade = markdown(*tables.cascade_costs(data, names[0]))
    quality = json.loads((DOCS / "quality.json").read_text(encoding="utf-8"))
    speeds = markdown(*tables.speed_costs(data, quality))
    return TEXTS["costs"].format(models=models, name=names[0], cascade=cascade, speeds=speeds)


def memory(data: dict[str, Any]) -> str:
    return TEXTS["memory"].format(
        attention=markdown(*tables.attention_memory(data)),
        weights=data["weights"] / tables.GIB,
        calls=markdown(*tables.unet_memory(data, "SDXL")),
        reserve=data["reserve_gib"],
        freeu=freeu(),
        gpus=markdown(*tables.gpus(data)),
    )


def freeu() -> str:
    """The filter's part, as the planner says it."""
    sizes = (Size(side, side) for side in (4096, 8192))
    return " and ".join(f"{freeu_gib(size) / 2:.1f} to {freeu_gib(size):.1f} GiB at {size}" for size in sizes)


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {"counts": costs, "memory": memory}
