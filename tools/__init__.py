"""All that is not shipped.

Every file runs from the repository's root as a module: `python -m tools.bench.speed`.

    dev/       what `dev.py` does: environments, test tiers, checks, mutations; standard library only
    harness/   a real ComfyUI, as a server and in this process, for tests, benchmarks and demos
    demo/      the demo model, its training, and pictures made with it
    pictures/  pictures and texts that are made from the code: help pages, thumbnails, locales
    bench/     what FreeScale costs, and what its pictures are worth
    campaign/  random cases that try to break what the pack promises
    page_texts the prose of pages that are written by a program
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
