"""docs/PERFORMANCE.md, from whatever the benchmarks have kept so far."""

import json
from collections.abc import Callable
from typing import Any

from freescale_pack.freescale_core.cost import freeu_gib
from freescale_pack.freescale_core.geometry import Size

from bench.on_gpu import page as gpu_page

from . import plots, tables
from .results import DOCS, KEPT, load, markdown

INTRODUCTION = """\
# What FreeScale costs

Written by `python3 dev.py bench speed`, `memory`, `scaling`, `vae_tiling` and `gpu` from the figures that they keep in
[performance/](performance). Operations and bytes are counted on the real UNets with the patches in place, so they hold on any machine.
Seconds name their machine.
"""

NO_GPU = """\
## On a GPU

Not measured yet. `python3 dev.py bench gpu` makes the tables of this chapter on the GPU of the machine it runs on, in nine minutes at
most; `--keep FILE` takes them into this page.
"""

COSTS = """\
## Operations

Floating point operations of one pass (no batch, half precision) and how many times as many with FreeScale. 1x is the base size; 8x of SDXL
is 8192 x 8192. Exact pays for the windows, most at 2x; fast saves more, the larger the picture. 3-D blurs after the output projection,
which therefore runs twice. Neighbourhoods are the cheaper local branch, an option.

![Operations of one call](images/performance_calls.png)

{models}

### {name}, the whole cascade

50 steps at the base size and 35 in each stage, against 50 steps of the plain UNet at the final size.

{cascade}

### {name}, by speed

What *speed* of FreeScale Model Patch costs, in the same measure: Exact is exact, Balanced fast, Fast fast neighbourhoods with a
schedule of 15 steps in the later stages. Beside it, where it was judged, what the pictures are like: the demo model's at 4x
with alpha 0.5 (the default is 2), from [QUALITY.md](QUALITY.md), where the columns are explained.

{speeds}
"""

TIMES = """\
## Seconds on a CPU

One call of each, in turn, over and over; ratios are medians over the rounds. *Plain* is the same formula without any care: one window at
a time, sums and counts in full size, two dense blurs ([oracle.py](../bench/performance/oracle.py)); relative difference of the results
{difference:.0e}. *Time / (FLOP ratio x unpatched)*: at 1.00 an operation costs as much as in the unpatched call; what is above it are
copies, averages, and kernels that do fewer operations a second. Of the demo UNet's plain call seven tenths are the unpatched
call, so little can be gained.
{machine}

{table}
"""

MEMORY = """\
## Memory

Most bytes alive at once beyond q, k, v and one ordinary output, in outputs (2-D needs nothing after the projection). The allocator's
columns are a small real float32 run on a CPU, scratch memory of its kernels included. One output is the second branch, half an output
all temporaries: where q, k, v and the result of one window, or of one sub-grid, are larger than that (2x), half of the heads at a time.
That is for a card with little memory left. Where a sixteenth of a GPU's free memory is more, temporaries take that much, so that a
call launches fewer kernels ([test_launches.py](../tests/host/test_launches.py) counts them).

{attention}

Activations of one call of SDXL's UNet in half precision; its weights take another {weights:.1f} GiB. Counted on meta tensors with an
attention that does not store its scores (flash, PyTorch); scratch memory of convolutions is not in it.

![Activations of one UNet call](images/performance_memory.png)

{calls}

### Your GPU

**From the table above**: weights, one call and {reserve} GiB for the driver, the allocator and convolutions must fit. ComfyUI
itself goes further: it calls cond and uncond apart, and keeps part of the weights in system memory when they do not fit, which costs time.
What was tried is above, under *Smaller cards*. Exact and fast need the same memory; what fast saves is time. FreeU is in it,
ControlNets are not. The VAE goes in tiles of the given side;
at 8192 x 8192 the pictures of all stages and the tiles' sums take some GiB of system memory.

{gpus}

### FreeU

At the widest level, the Fourier transforms of ComfyUI's FreeU node take {freeu}:
the smaller figure with cond and uncond apart, the larger one with both in one batch. A call holds little else at that moment, so
its peak hardly moves (table above). What a GPU's library for such transforms needs for itself is not counted. If memory does run out
there, FreeU takes it for a device without such transforms (its `except` names no error), says so in the log, and filters on the CPU
until the node runs anew, which costs time in every call. The 8k template therefore has FreeU bypassed.
"""

SCALING = """\
## Growth with the number of tokens

One self-attention of {channels} channels, windows of {window} x {window} tokens, blur included. Time grows with the tokens to the power of
{plain:.2f} (plain) and {fused:.2f} (fused): the windows' part is proportional to the picture, so its share falls. An attention takes one
output and a half more than a plain one where little memory is free, but outputs below 8 MiB are not worth cutting: there up to
4 MiB of temporaries are taken.
{machine}

![Time and operations against tokens](images/performance_scaling.png)

{table}
"""

TILING = """\
## VAE tiles

The host's own tiling against the whole picture, on a VAE of SDXL's full size with random weights: it shows what tiles do to a network of
this structure, whose group norms then see one tile at a time, not how visible that is in a real picture. Errors in standard deviations of
the whole result.

{table}
"""

MACHINE = "ComfyUI {host}, torch {torch}, {processor}, {threads} thread(s), the code of commit {commit}."
BUSY = " The machine was busy (load {load} before the start): **these times are to be taken again.**"


def write() -> None:
    kept = {name: load(name) for name in SECTIONS}
    parts = [INTRODUCTION, *on_gpus(), *(SECTIONS[name](data) for name, data in kept.items() if data is not None)]
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
    return chapters or [NO_GPU]


def costs(data: dict[str, Any]) -> str:
    names = list(data["calls"])
    models = "\n\n".join(f"### {name}\n\n{markdown(*tables.call_costs(data, name))}" for name in names)
    cascade = markdown(*tables.cascade_costs(data, names[0]))
    return COSTS.format(models=models, name=names[0], cascade=cascade, speeds=markdown(*tables.speed_costs(data, quality())))


def quality() -> dict[str, Any] | None:
    path = DOCS / "quality.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def times(data: dict[str, Any]) -> str:
    return TIMES.format(difference=data["difference"], machine=machine(data), table=markdown(*tables.times(data)))


def memory(data: dict[str, Any]) -> str:
    return MEMORY.format(
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


def scaling(data: dict[str, Any]) -> str:
    facts = {key: data[key] for key in ("channels", "window")}
    return SCALING.format(**facts, **data["exponents"], machine=machine(data), table=markdown(*tables.growth(data)))


def tiling(data: dict[str, Any]) -> str:
    return TILING.format(table=markdown(*tables.tiling(data)))


def machine(data: dict[str, Any]) -> str:
    found = data["machine"]
    busy = found["load"] is not None and found["load"] > 0.5
    return MACHINE.format(**found) + (BUSY.format(**found) if busy else "")


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "counts": costs,
    "memory": memory,
    "times": times,
    "scaling": scaling,
    "vae_tiling": tiling,
}
