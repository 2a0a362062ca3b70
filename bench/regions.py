"""What a prompt region costs: FreeScale Prompt Region against core's Conditioning (Set Mask), one text more than without either.

    python3 dev.py bench regions --side 512 --rounds 5

Time and floating-point operations of one sampler step (all its UNet calls) on the demo model, above its base size, FreeScale on in
all three. They take turns, so that a slow minute of the machine hits all of them; the table has medians.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))
import tests.host.conftest  # noqa: E402, F401 (loads host and pack)

# isort: split
import comfy.sample  # noqa: E402
import torch  # noqa: E402
from freescale_pack.nodes.model_patch_nodes import FreeScaleModelPatch  # noqa: E402
from freescale_pack.nodes.region_nodes import FreeScalePromptRegion  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import nodes as host_nodes  # noqa: E402
from tests.host.demo_model import conditioning, demo_checkpoint  # noqa: E402

BASE = 256
STEPS = 4
Run = Callable[[Any], None]


def runs(side: int) -> dict[str, Run]:
    """name -> run(callback): STEPS - 1 sampler steps at side x side pixels."""
    main, other, negative = conditioning("red car on a yellow background"), conditioning("blue car"), conditioning("")
    mask = torch.zeros(1, side, side)
    mask[..., : side // 2] = 1
    (masked,) = host_nodes.ConditioningSetMask().append(other, mask, "default", 1.0)
    (rest,) = host_nodes.ConditioningSetMask().append(main, 1 - mask, "default", 1.0)
    (regions,) = FreeScalePromptRegion.execute(other, mask, 1.0).result
    return {
        "one text": lambda callback: _sample(side, (), main, negative, callback),
        "FreeScale Prompt Region": lambda callback: _sample(side, regions, main, negative, callback),
        "Conditioning (Set Mask)": lambda callback: _sample(side, (), rest + masked, negative, callback),
    }


def _sample(side: int, regions: Any, positive: Any, negative: Any, callback: Any) -> None:
    model = FreeScaleModelPatch.execute(demo_checkpoint()[0], "SDXL", "Exact", 1.0, BASE, BASE, None, (), regions).result[0]
    latent = torch.randn(1, 4, side // 8, side // 8, generator=torch.Generator().manual_seed(1))
    noise = comfy.sample.prepare_noise(latent, 1)
    schedule = {"start_step": 1, "last_step": 10000, "force_full_denoise": True}
    comfy.sample.sample(
        model, noise, STEPS, 5.0, "euler", "normal", positive, negative, latent, callback=callback, disable_pbar=True, seed=1, **schedule
    )


def seconds_per_step(run: Run) -> list[float]:
    """Each step's time but the first one's, which also pays for the start of the run."""
    times: list[float] = []
    run(lambda *args: times.append(time.perf_counter()))
    return [after - before for before, after in zip(times, times[1:], strict=False)]


def flops_per_step(run: Run) -> float:
    with FlopCounterMode(display=False) as counter:
        run(None)
    return counter.get_total_flops() / (STEPS - 1)


def measure(side: int, rounds: int) -> list[dict[str, Any]]:
    measured: dict[str, list[float]] = {name: [] for name in runs(side)}
    for _ in range(rounds):
        for name, run in runs(side).items():
            measured[name] += seconds_per_step(run)
    rows = [
        {"name": name, "side": side, "seconds": statistics.median(measured[name]), "gflop": flops_per_step(run) / 1e9}
        for name, run in runs(side).items()
    ]
    plain = rows[0]
    return [
        {**row, "extra_seconds": row["seconds"] / plain["seconds"] - 1, "extra_flop": row["gflop"] / plain["gflop"] - 1} for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of a prompt region.")
    parser.add_argument("--side", type=int, default=512, help="size in pixels (the demo model's base is 256)")
    parser.add_argument("--rounds", type=int, default=5, help="how often the three take turns")
    parser.add_argument("--out", type=Path, default=REPO / ".dev" / "bench" / "regions.json", help="JSON file")
    options = parser.parse_args()
    with torch.inference_mode():
        rows = measure(options.side, options.rounds)
    print(f"{'':26} {'s a step':>9} {'':>8} {'GFLOP a step':>13}")
    for row in rows:
        print(f"{row['name']:26} {row['seconds']:9.3f} {row['extra_seconds']:+8.1%} {row['gflop']:13.2f} {row['extra_flop']:+8.1%}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "rows": rows}, indent=1) + "\n")
    print(options.out)


if __name__ == "__main__":
    main()
