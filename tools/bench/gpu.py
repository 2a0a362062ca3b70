"""How fast, how large and how right is FreeScale on this GPU? python3 dev.py bench gpu --help.

Runs SDXL and its VAE in full size with random weights, which take the time and memory of trained ones. Also
without dev.py, in any Python that can run ComfyUI, from the repository's root: python -m tools.bench.gpu
--comfyui PATH
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tools import ROOT
from tools.bench.on_gpu import child, run
from tools.bench.on_gpu.carried import comfyui_of


def main() -> int:
    if sys.argv[1:2] == [run.CHILD]:
        return child.main(sys.argv[2:])
    options = _options()
    # Imported now: it imports torch, which a child must not do before ComfyUI has chosen CUDA's allocator.
    from tools.bench.on_gpu import page

    if options.keep:
        page.keep(options.keep)
        return _write_page()
    with tempfile.TemporaryDirectory() as folder:
        comfyui = comfyui_of(options, Path(folder))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        record = run.measure(options, comfyui)
    print(page.as_text(record.data))
    wrong = page.wrong(record.data)
    print("\n".join(wrong))
    return int(bool(wrong))


def _write_page() -> int:
    """docs/PERFORMANCE.md with the pack at hand."""
    import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack, ready for use in this process)
    from tools.bench.performance import document

    document.write()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py bench gpu", description=(__doc__ or "").splitlines()[0])
    named, out = os.environ.get("FREESCALE_COMFYUI"), ROOT / ".dev" / "bench" / "gpu.json"
    add = parser.add_argument
    add("--comfyui", type=Path, default=Path(named) if named else None, help="ComfyUI's folder")
    add("--carried", type=Path, help="what `dev.py bench gpu_folder` made, for a machine without network")
    add("--minutes", type=float, default=9.0, help="steps that would not end in time are left out")
    add("--steps", help="only these, with commas between them")
    add("--out", type=Path, default=out, help="file of the figures; a started one goes on")
    add("--device", choices=("gpu", "cpu"), default="gpu")
    add("--tiny", action="store_true", help="the demo model: a dry run in a minute")
    add("--commit", help="of this code, where it is no git checkout")
    add("--keep", type=Path, help="measure nothing; take this file's figures into docs/PERFORMANCE.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
