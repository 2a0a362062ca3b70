"""Are FreeScale's images better than the obvious alternatives? python3 dev.py bench quality --help.

Makes images of the same prompts and seeds by many families of methods, each a curve along its own knob,
judges them, and writes docs/QUALITY.md, docs/quality.json and docs/images/quality_*. With --checkpoint it
does the same to SDXL. Also without dev.py, in any Python that can run ComfyUI, from the repository's root:
python -m tools.bench.quality --comfyui PATH
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tools import ROOT
from tools.bench.on_gpu import host_process
from tools.bench.on_gpu.carried import comfyui_of

WORK = ROOT / ".dev" / "bench" / "quality"
NEGATIVE = "blurry, ugly, duplicate, poorly drawn, deformed, mosaic"
"""The paper's."""


def main() -> int:
    options = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        comfyui = comfyui_of(options, Path(folder))
        os.environ.setdefault("FREESCALE_HOST", "carried" if options.carried else comfyui.name)
        on_gpu = options.device == "gpu" or (options.device == "auto" and shutil.which("nvidia-smi"))
        host_process.start(comfyui, () if on_gpu else host_process.ON_CPU)
        # Imported now: it imports torch, which must not happen before ComfyUI has chosen CUDA's allocator.
        from tools.bench.picture_quality import run

        return run.main(options)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py bench quality", description=(__doc__ or "").splitlines()[0])
    named = os.environ.get("FREESCALE_COMFYUI")
    add = parser.add_argument
    add("--minutes", type=float, default=float("inf"), help="make images no longer; the same command goes on")
    add("--smoke", action="store_true", help="two tiny images a point: a minute, figures without meaning")
    add("--checkpoint", type=Path, help="an SDXL checkpoint in place of the demo model; needs --prompts")
    add("--prompts", type=Path, help="text file, a prompt a line; 20 or more")
    add(
        "--base",
        type=int,
        default=1024,
        help="the checkpoint's training size in pixels (default %(default)s)",
    )
    add("--cfg", type=float, default=7.5, help="with --checkpoint (default %(default)s)")
    add("--steps", type=int, help="of a schedule; default 50 with --checkpoint, 20 with the demo model")
    add("--negative", default=NEGATIVE, help="negative prompt with --checkpoint; default: the paper's")
    add("--tables", nargs="+", choices=("2x", "4x", "wide"), help="default: all")
    add(
        "--families",
        nargs="+",
        metavar="NAME",
        help="names of tools/bench/picture_quality/families; default: all",
    )
    add(
        "--device", choices=("auto", "gpu", "cpu"), default="auto", help="auto: gpu where there is nvidia-smi"
    )
    add("--threads", type=int, default=1, help="of torch on the CPU, which change bits (default %(default)s)")
    add("--bf16", action="store_true", help="the UNet in bfloat16: faster on a CPU that has it (AVX512_BF16)")
    add("--work", type=Path, default=WORK, help="folder of the images; a started one goes on")
    add("--output", type=Path, help="folder of the page; default: docs for the full table, else WORK/report")
    add("--make-only", action="store_true", help="write no page: for a machine without the judges' packages")
    add(
        "--judge-only",
        action="store_true",
        help="make no images: for those in --work that another machine made",
    )
    add(
        "--finished",
        type=Path,
        metavar="FOLDER",
        help="of the page of an earlier run: its finished points need no images any more",
    )
    add("--any-code", action="store_true", help="also take images made by an earlier state of the code")
    add("--comfyui", type=Path, default=Path(named) if named else None, help="ComfyUI's folder")
    add("--carried", type=Path, help="what `dev.py bench gpu_folder` made, for a machine without network")
    options = parser.parse_args()
    if options.checkpoint and not (
        options.prompts and options.prompts.is_file() and options.checkpoint.is_file()
    ):
        parser.error("expected files for --checkpoint and --prompts, got none under these names")
    if options.finished and not options.make_only and (options.tables or options.families):
        parser.error(
            "expected all tables and families with --finished, got some: the page would lose the rest"
        )
    return options


if __name__ == "__main__":
    sys.exit(main())
