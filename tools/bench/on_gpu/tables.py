"""The tables of one run, from its record alone: each a title, what it shows, a header and rows."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from freescale_core.planning.cost import ACTIVATIONS_GIB, MEGAPIXEL
from tools.bench.on_gpu.record import Row

Rows = list[list[object]]
COUNTED = {
    "launches": "kernels and copies",
    "host_copies": "copies between host and device",
    "waits": "waits for the device, by the profiler",
    "warnings": "the same, by PyTorch's warnings",
}


class Table(NamedTuple):
    title: str
    text: str
    header: Sequence[str]
    rows: Rows


def tables(data: dict[str, Any]) -> list[Table]:
    """Those of the steps that have rows, in the order of SHOWN.

    A table of older code than the calls' says so.
    """
    found, newest = [], data["steps"].get("small_calls", {}).get("commit")
    for name, table in SHOWN.items():
        step = data["steps"].get(name, {"rows": []})
        if not step["rows"]:
            continue
        made = table(data, step["rows"])
        older = "" if step.get("commit") == newest else f" Measured with the code of commit {step['commit']}."
        remark = f" {step['remark']}" if "remark" in step else ""
        unfinished = "" if step["state"] == "done" else f" This step is not complete: {step['state']}."
        found.append(made._replace(text=(made.text + older + remark + unfinished).strip()))
    return found


def unmeasured(data: dict[str, Any]) -> list[str]:
    """Steps without a figure."""
    return [name for name, step in data["steps"].items() if not step["rows"]]


def states(data: dict[str, Any]) -> Table:
    rows: Rows = []
    for name, step in data["steps"].items():
        rows.append(
            [name, step["state"], _number(step.get("seconds"), ".1f"), " ".join(step.get("flags", []))]
        )
    return Table(
        "Steps", "What was measured in this run.", ("step", "state", "seconds", "flags of ComfyUI"), rows
    )


def calls(data: dict[str, Any], rows: list[Row]) -> Table:
    peak = ceiling(data)
    shown: Rows = []
    for row in rows:
        operations = row["tflop"] / row["plain_tflop"] if "tflop" in row else None
        shown.append(
            [
                f"{row['side']}, {row['variant']}",
                f"{row['milliseconds']:.1f}",
                f"{row['least']:.1f} to {row['most']:.1f}",
                row["rounds"],
                f"{row['of_unpatched']:.2f}",
                _number(operations, ".2f"),
                _number(row["of_unpatched"] / operations if operations else None, ".2f"),
                _number(
                    row["tflop"] / row["milliseconds"] * 1e5 / peak if operations and peak else None, ".0f"
                ),
                f"{row['peak_gib']:.2f}",
                _number(row.get("counted_gib"), ".2f"),
                f"{ACTIVATIONS_GIB * row['side'] ** 2 / MEGAPIXEL.area:.2f}" if operations else "",
            ]
        )
    header = (
        "one call",
        "median, ms",
        "range",
        "rounds",
        "x unpatched",
        "FLOP x",
        "time / FLOP",
        "% of peak",
        "peak, GiB",
        "counted",
        "planned",
    )
    text = (
        "Cond and uncond in one call of SDXL's UNet, in turn within one run. *Time / FLOP*: measured ratio "
        "over the ratio of the "
        "counted operations; 1.00 = an operation costs what it costs unpatched. *% of peak*: of the product "
        "of two matrices "
        f"on the same card ({peak:.0f} TFLOP/s). *Peak*: beyond weights and latent; *counted*: on tensors "
        "without data; *planned*: by "
        "FreeScale Plan, with scale fusion."
        if peak
        else "Cond and uncond in one call."
    )
    return Table("One UNet call", text, header, shown)


def ceiling(data: dict[str, Any]) -> float | None:
    """TFLOP/s of a matrix product on the GPU."""
    rows = data["steps"].get("machine", {}).get("rows", [])
    return rows[0]["tflops"] if rows and rows[0]["total_gib"] else None


def golden(data: dict[str, Any], rows: list[Row]) -> Table:
    cases = list(dict.fromkeys(row["case"] for row in rows))
    errors = {(row["numbers"], row["case"]): row for row in rows}
    shown: Rows = []
    for numbers in dict.fromkeys(row["numbers"] for row in rows):
        for what in ("call", "stage"):
            found = [errors.get((numbers, case), {}).get(what) for case in cases]
            shown.append([f"{numbers}, {what}", *(_number(error, ".0e") for error in found)])
    text = (
        "Relative errors against the authors' code (float32, CPU): the last stage's first call, and the last "
        "stage as a whole. "
        "The case with a mask has 7e-04 on a CPU, too."
    )
    return Table("The authors' results", text, ("numbers", *cases), shown)


def precision(data: dict[str, Any], rows: list[Row]) -> Table:
    numbers = list(dict.fromkeys(row["numbers"] for row in rows))
    errors = {(row["numbers"], row["variant"]): row["error"] for row in rows}
    plain = {row["numbers"]: row["plain_error"] for row in rows}
    shown: Rows = [["plain attention", *(f"{plain[n]:.1e}" for n in numbers)]]
    shown += [
        [v, *(f"{errors[n, v]:.1e}" for n in numbers)] for v in dict.fromkeys(row["variant"] for row in rows)
    ]
    return Table(
        "Rounding", "One self-attention against float64 on the CPU, relative.", ("variant", *numbers), shown
    )


def base_size(data: dict[str, Any], rows: list[Row]) -> Table:
    text = "One step at the training size: greatest difference to the unpatched result."
    return Table(
        "Nothing at the training size",
        text,
        ("model", "difference"),
        [[r["variant"], f"{r['difference']:.1e}"] for r in rows],
    )


def finite(data: dict[str, Any], rows: list[Row]) -> Table:
    shown: Rows = [[r["variant"], "yes" if r["finite"] else "NO", f"{r['distance']:.2f}"] for r in rows]
    text = (
        "One step at twice the base size; random weights, so the distance says only that something happens."
    )
    return Table("Finite numbers", text, ("model", "all finite", "distance to unpatched"), shown)


def limits(data: dict[str, Any], rows: list[Row]) -> Table:
    shown: Rows = [
        [
            f"{r['side']}, {r.get('variant', '')}, {r['card_gib']} GB",
            r["outcome"],
            _number(r.get("milliseconds"), ".0f"),
            " ".join(map(str, r.get("rows", []))),
            _number(r.get("peak_gib"), ".2f"),
            _number(r.get("error"), ".0e"),
        ]
        for r in rows
    ]
    text = (
        "One step on a card of which all memory but so much is taken away; it is the first, so its time "
        "includes moving the weights. "
        "Error: relative, against the same step on the whole card."
    )
    return Table(
        "Smaller cards",
        text,
        ("picture, speed, card", "outcome", "first calls, ms", "conds a call", "peak, GiB", "error"),
        shown,
    )


def vae_tiles(data: dict[str, Any], rows: list[Row]) -> Table:
    shown: Rows = [
        [
            f"{r['numbers']}, {'whole' if r['tile'] is None else r['tile']}",
            r["outcome"],
            _number(r.get("seconds"), ".2f"),
            _number(r.get("peak_gib"), ".1f"),
            {True: "yes", False: "NO", None: ""}[r.get("finite")],
        ]
        for r in rows
    ]
    side = rows[0]["side"]
    text = (
        "One run each, after a small one. Random weights: whether SDXL's own VAE stays finite in fp16, "
        "they cannot say. Peak: all of it."
    )
    return Table(
        f"Decoding {side} x {side}",
        text,
        ("numbers, tile", "outcome", "seconds", "peak, GiB", "finite"),
        shown,
    )


def where_time_goes(data: dict[str, Any], rows: list[Row]) -> Table:
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["by_kind"]))
    names = [f"{row['scale']}x, {row['variant']}" for row in rows]
    shown: Rows = [[kind, *(f"{row['by_kind'].get(kind, 0.0):.1f}" for row in rows)] for kind in kinds]
    shown.append(["**all of them, ms**", *(f"{row['busy_milliseconds']:.1f}" for row in rows)])
    shown.append(
        ["its UNet call, ms (with the profiler)", *(f"{row['call_milliseconds']:.1f}" for row in rows)]
    )
    shown += [[what, *(row[key] for row in rows)] for key, what in COUNTED.items()]
    return Table(
        "Where the time goes",
        "One step of the sampler, in milliseconds of the device.",
        ("kernels of", *names),
        shown,
    )


def pieces(data: dict[str, Any], rows: list[Row]) -> Table:
    places = list(dict.fromkeys((row["scale"], row["channels"]) for row in rows))
    found = {(row["piece"], row["scale"], row["channels"]): row["milliseconds"] for row in rows}
    names = list(dict.fromkeys(row["piece"] for row in rows))
    shown: Rows = [[name, *(_number(found.get((name, *place)), ".3f") for place in places)] for name in names]
    header = ("ms", *(f"{scale}x, {channels} channels" for scale, channels in places))
    return Table(
        "The pieces of one self-attention",
        "One picture, but two for the windows; without projections.",
        header,
        shown,
    )


def backends(data: dict[str, Any], rows: list[Row]) -> Table:
    names = [key for key in rows[0] if key != "kernel"]
    shown: Rows = [[row["kernel"], *(f"{row[name]:.2f}" for name in names)] for row in rows]
    text = "One self-attention of SDXL's half resolution at 4 times the base side, milliseconds."
    return Table("Attention kernels", text, ("kernel", *names), shown)


def uploads(data: dict[str, Any], rows: list[Row]) -> Table:
    ways = list(dict.fromkeys(row["how"] for row in rows))
    found = {(row["bytes"], row["how"]): row["milliseconds"] for row in rows}
    shown: Rows = [
        [size, *(_number(found.get((size, how)), ".3f") for how in ways)]
        for size in dict.fromkeys(row["bytes"] for row in rows)
    ]
    busy = max(row["busy"] for row in rows)
    return Table(
        "Uploads",
        f"Milliseconds of the CPU in one copy to the device, which is busy for up to {busy:.0f} ms.",
        ("bytes", *ways),
        shown,
    )


def cascade(data: dict[str, Any], rows: list[Row]) -> Table:
    shown: Rows = [
        [
            r["variant"],
            r["side"],
            r["steps"],
            f"{r['seconds']:.1f}",
            r["progress"],
            "yes" if r["finite"] else "NO",
            f"{r['left_mib']:.1f}",
        ]
        for r in rows
    ]
    header = (
        "speed",
        "side",
        "steps of the schedule",
        "seconds",
        "updates of the bar",
        "finite",
        "left in use, MiB",
    )
    return Table("A whole cascade", "FreeScale Cascade with VAE, from noise.", header, shown)


def cancelled(data: dict[str, Any], rows: list[Row]) -> Table:
    shown: Rows = [
        [
            r["outcome"],
            _number(r["seconds"], ".2f"),
            r["dilated"],
            f"{r['left_mib']:.1f}",
            f"{r['difference']:.1e}",
        ]
        for r in rows
    ]
    header = (
        "outcome",
        "seconds after Cancel",
        "convolutions still dilated",
        "left in use, MiB",
        "difference of the next run",
    )
    return Table(
        "Cancel in the middle of a call",
        "At twice the base size. Work that the device had been given is not waited for.",
        header,
        shown,
    )


def memory_runs_out(data: dict[str, Any], rows: list[Row]) -> Table:
    shown: Rows = [[r["variant"], f"{r['error']:.1e}", f"{r['left_mib']:.1f}"] for r in rows]
    text = (
        "The benchmark raises the error in the first fused attention of a call, "
        "which goes on in smaller chunks."
    )
    return Table("Memory that runs out", text, ("speed", "relative error", "left in use, MiB"), shown)


def channels_last(data: dict[str, Any], rows: list[Row]) -> Table:
    layouts = list(dict.fromkeys(row["layout"] for row in rows))
    found = {(row["layout"], row["scale"], row["variant"]): row["milliseconds"] for row in rows}
    places = dict.fromkeys((row["scale"], row["variant"]) for row in rows)
    shown: Rows = [
        [f"{s}x, {v}", *(_number(found.get((layout, s, v)), ".1f") for layout in layouts)] for s, v in places
    ]
    return Table(
        "Layout of the weights", "Milliseconds of one call, the least of four.", ("call", *layouts), shown
    )


def compiled(data: dict[str, Any], rows: list[Row]) -> Table:
    shown: Rows = [
        [row["size"], *(f"{key} {_short(value)}" for key, value in row.items() if key != "size")]
        for row in rows
    ]
    width = max(len(row) for row in shown)
    return Table(
        "torch.compile",
        "",
        ("size", *[""] * (width - 1)),
        [[*row, *[""] * (width - len(row))] for row in shown],
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "; ".join(value) if isinstance(value, list) else str(value)


def _with_title(
    title: str, table: Callable[[dict[str, Any], list[Row]], Table]
) -> Callable[[dict[str, Any], list[Row]], Table]:
    return lambda data, rows: table(data, rows)._replace(title=title)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


SHOWN: dict[str, Callable[[dict[str, Any], list[Row]], Table]] = {
    "small_calls": calls,
    "large_calls": _with_title("One UNet call at 8 times the base side", calls),
    "golden": golden,
    "precision": precision,
    "base_size": base_size,
    "finite": finite,
    "limits": limits,
    "vae_tiles": vae_tiles,
    "where_time_goes": where_time_goes,
    "pieces": pieces,
    "backends": backends,
    "uploads": uploads,
    "cascade": cascade,
    "cancelled": cancelled,
    "memory_runs_out": memory_runs_out,
    "calls_without_dynamic_vram": _with_title("One UNet call with --disable-dynamic-vram", calls),
    "calls_with_novram": _with_title("One UNet call with --novram", calls),
    "channels_last": channels_last,
    "compiled": compiled,
}
