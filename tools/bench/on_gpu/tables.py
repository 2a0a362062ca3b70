"""The tables of one run, from its record alone: each a title, what it shows, a header and rows."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from freescale_core.planning.cost import ACTIVATIONS_GIB, MEGAPIXEL
from tools.bench.on_gpu.record import Row

Data = dict[str, Any]


class Table(NamedTuple):
    title: str
    text: str
    header: list[str]
    rows: list[list[str]]


class Shown(NamedTuple):
    """How a step's rows are told. `header` and `line` have a | between cells; a cell is a form for a row.

    across: form of a row's column, where rows with one first cell share a line. title and text are formatted
    with the first row. prepare: (record, rows) -> rows.
    """

    title: str
    text: str
    header: str
    line: str
    across: str = ""
    prepare: Callable[[Data, list[Row]], Any] = lambda data, rows: rows

    def table(self, data: Data, rows: list[Row]) -> Table:
        rows = list(self.prepare(data, rows))
        title, text = (words.format(**rows[0]) for words in (self.title, self.text))
        header, forms = self.header.split(" | "), self.line.split(" | ")
        lines = [[_cell(form, row) for form in forms] for row in rows]
        if self.across:
            places = [_cell(self.across, row) for row in rows]
            cells = {(name, place): cell for (name, cell), place in zip(lines, places, strict=True)}
            header += dict.fromkeys(places)
            lines = [
                [name, *(cells.get((name, place), "") for place in header[1:])]
                for name in dict.fromkeys(name for name, _ in cells)
            ]
        return Table(title, text, header, lines)


def _cell(form: str, row: Row) -> str:
    """Empty where the row lacks the value."""

    def told(value: Any) -> Any:
        if isinstance(value, list):
            return " ".join(map(str, value))
        return ("NO", "yes")[value] if isinstance(value, bool) else value

    try:
        return form.format(**{name: told(value) for name, value in row.items() if value is not None})
    except KeyError:
        return ""


def tables(data: Data) -> list[Table]:
    """Those of the steps that have rows, in the order of SHOWN.

    A table of older code than the calls' says so.
    """
    found, newest = [], data["steps"].get("small_calls", {}).get("commit")
    for name, shown in SHOWN.items():
        step = data["steps"].get(name, {"rows": []})
        if step["rows"]:
            made = shown.table(data, step["rows"])
            older = step.get("commit") != newest and f"Measured with the code of commit {step['commit']}."
            unfinished = step["state"] != "done" and f"This step is not complete: {step['state']}."
            remarks = (made.text, older, step.get("remark"), unfinished)
            found.append(made._replace(text=" ".join(filter(None, remarks))))
    return found


def unmeasured(data: Data) -> list[str]:
    """Steps without a figure."""
    return [name for name, step in data["steps"].items() if not step["rows"]]


def states(data: Data) -> Table:
    """What became of each step."""
    steps = [{"name": name, "flags": [], **step} for name, step in data["steps"].items()]
    return STATES.table(data, steps)


def _calls(data: Data, rows: list[Row]) -> Iterator[Row]:
    """The measured calls with what was counted and planned for them."""
    machine = data["steps"].get("machine", {}).get("rows") or [{}]
    peak = machine[0].get("total_gib") and machine[0]["tflops"]
    for row in rows:
        row = {"ceiling": f" ({peak:.0f} TFLOP/s)" if peak else "", **row}
        if "tflop" in row:
            operations = row["tflop"] / row["plain_tflop"]
            row["operations"] = operations
            row["of_operations"] = row["of_unpatched"] / operations
            row["of_peak"] = row["tflop"] / row["milliseconds"] * 1e5 / peak if peak else None
            row["planned"] = ACTIVATIONS_GIB * row["side"] ** 2 / MEGAPIXEL.area
        yield row


def _kernels(data: Data, rows: list[Row]) -> Iterator[Row]:
    """A row for each kind of kernel and call."""
    for row in rows:
        shown = {
            **{kind: 0.0 for other in rows for kind in other["by_kind"]},
            **row["by_kind"],
            "**all of them, ms**": row["busy_milliseconds"],
            "its UNet call, ms (with the profiler)": row["call_milliseconds"],
        }
        cells = {kind: f"{milliseconds:.1f}" for kind, milliseconds in shown.items()}
        for what, count in {**cells, **{what: row[key] for key, what in COUNTED.items()}}.items():
            yield {**row, "what": what, "shown": count}


def _backends(data: Data, rows: list[Row]) -> list[Row]:
    return [
        {"kernel": row["kernel"], "variant": name, "milliseconds": milliseconds}
        for row in rows
        for name, milliseconds in row.items()
        if name != "kernel"
    ]


COUNTED = {
    "launches": "kernels and copies",
    "host_copies": "copies between host and device",
    "waits": "waits for the device, by the profiler",
    "warnings": "the same, by PyTorch's warnings",
}
STATES = Shown(
    "Steps",
    "What was measured in this run.",
    "step | state | seconds | flags of ComfyUI",
    "{name} | {state} | {seconds:.1f} | {flags}",
)
CALLS = Shown(
    "One UNet call",
    "Cond and uncond in one call of SDXL's UNet, in turn within one run. *Time / FLOP*: measured ratio over "
    "the ratio of the counted operations; 1.00 = an operation costs what it costs unpatched. *% of peak*: of "
    "the product of two matrices on the same card{ceiling}. *Peak*: beyond weights and latent; *counted*: on "
    "tensors without data; *planned*: by FreeScale Plan, with scale fusion.",
    "one call | median, ms | range | rounds | x unpatched | FLOP x | time / FLOP | % of peak | peak, GiB | "
    "counted | planned",
    "{side}, {variant} | {milliseconds:.1f} | {least:.1f} to {most:.1f} | {rounds} | {of_unpatched:.2f} | "
    "{operations:.2f} | {of_operations:.2f} | {of_peak:.0f} | {peak_gib:.2f} | {counted_gib:.2f} | "
    "{planned:.2f}",
    prepare=_calls,
)
SHOWN = {
    "small_calls": CALLS,
    "large_calls": CALLS._replace(title="One UNet call at 8 times the base side"),
    "golden": Shown(
        "The authors' results",
        "Relative errors against the authors' code (float32, CPU): the last stage's first call, and the last "
        "stage as a whole. The case with a mask has 7e-04 on a CPU, too.",
        "numbers",
        "{numbers}, {what} | {error:.0e}",
        "{case}",
        lambda data, rows: [
            {**row, "what": w, "error": row.get(w)} for row in rows for w in ("call", "stage")
        ],
    ),
    "precision": Shown(
        "Rounding",
        "One self-attention against float64 on the CPU, relative.",
        "variant",
        "{variant} | {error:.1e}",
        "{numbers}",
        lambda data, rows: (
            [{**r, "variant": "plain attention", "error": r["plain_error"]} for r in rows] + rows
        ),
    ),
    "base_size": Shown(
        "Nothing at the training size",
        "One step at the training size: greatest difference to the unpatched result.",
        "model | difference",
        "{variant} | {difference:.1e}",
    ),
    "finite": Shown(
        "Finite numbers",
        "One step at twice the base size; random weights, so the distance says only that something happens.",
        "model | all finite | distance to unpatched",
        "{variant} | {finite} | {distance:.2f}",
    ),
    "limits": Shown(
        "Smaller cards",
        "One step on a card of which all memory but so much is taken away; it is the first, so its time "
        "includes moving the weights. Error: relative, against the same step on the whole card.",
        "picture, speed, card | outcome | first calls, ms | conds a call | peak, GiB | error",
        "{side}, {variant}, {card_gib} GB | {outcome} | {milliseconds:.0f} | {rows} | {peak_gib:.2f} | "
        "{error:.0e}",
    ),
    "vae_tiles": Shown(
        "Decoding {side} x {side}",
        "One run each, after a small one. Random weights: whether SDXL's own VAE stays finite in fp16, they "
        "cannot say. Peak: all of it.",
        "numbers, tile | outcome | seconds | peak, GiB | finite",
        "{numbers}, {tile} | {outcome} | {seconds:.2f} | {peak_gib:.1f} | {finite}",
        prepare=lambda data, rows: [{**row, "tile": row["tile"] or "whole"} for row in rows],
    ),
    "where_time_goes": Shown(
        "Where the time goes",
        "One step of the sampler, in milliseconds of the device.",
        "kernels of",
        "{what} | {shown}",
        "{scale}x, {variant}",
        _kernels,
    ),
    "pieces": Shown(
        "The pieces of one self-attention",
        "One picture, but two for the windows; without projections.",
        "ms",
        "{piece} | {milliseconds:.3f}",
        "{scale}x, {channels} channels",
    ),
    "backends": Shown(
        "Attention kernels",
        "One self-attention of SDXL's half resolution at 4 times the base side, milliseconds.",
        "kernel",
        "{kernel} | {milliseconds:.2f}",
        "{variant}",
        _backends,
    ),
    "uploads": Shown(
        "Uploads",
        "Milliseconds of the CPU in one copy to the device, which is busy for up to {busy:.0f} ms.",
        "bytes",
        "{bytes} | {milliseconds:.3f}",
        "{how}",
        lambda data, rows: [{**row, "busy": max(other["busy"] for other in rows)} for row in rows],
    ),
    "cascade": Shown(
        "A whole cascade",
        "FreeScale Cascade with VAE, from noise.",
        "speed | side | steps of the schedule | seconds | updates of the bar | finite | left in use, MiB",
        "{variant} | {side} | {steps} | {seconds:.1f} | {progress} | {finite} | {left_mib:.1f}",
    ),
    "cancelled": Shown(
        "Cancel in the middle of a call",
        "At twice the base size. Work that the device had been given is not waited for.",
        "outcome | seconds after Cancel | convolutions still dilated | left in use, MiB | "
        "difference of the next run",
        "{outcome} | {seconds:.2f} | {dilated} | {left_mib:.1f} | {difference:.1e}",
    ),
    "memory_runs_out": Shown(
        "Memory that runs out",
        "The benchmark raises the error in the first fused attention of a call, which goes on in smaller "
        "chunks.",
        "speed | relative error | left in use, MiB",
        "{variant} | {error:.1e} | {left_mib:.1f}",
    ),
    "calls_without_dynamic_vram": CALLS._replace(title="One UNet call with --disable-dynamic-vram"),
    "calls_with_novram": CALLS._replace(title="One UNet call with --novram"),
    "channels_last": Shown(
        "Layout of the weights",
        "Milliseconds of one call, the least of four.",
        "call",
        "{scale}x, {variant} | {milliseconds:.1f}",
        "{layout}",
    ),
    "compiled": Shown(
        "torch.compile",
        "One call at the base size, compiled, and one above it, which FreeScale leaves out of compilation.",
        "size | backend | first run, s | unpatched, ms | compiled, ms | error | the log",
        "{size} | {backend} | {first_seconds:.3g} | {unpatched:.3g} | {compiled:.3g} | {error:.3g} | {log}",
    ),
}
"""Step -> its table; the ceilings of step "machine" stand in those of the calls."""
