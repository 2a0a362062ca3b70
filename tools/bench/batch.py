"""How does freescale_batch grow with the number of jobs? python3 dev.py bench batch --help.

Stand-ins of ComfyUI take no time for a job: what is measured is Ray, the store and the summary.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tools.bench.batch_growth import page
from tools.bench.batch_growth.measure import WORKERS, measure
from tools.bench.performance.results import commit, save, text
from tools.dev.setup_host import set_up_batch
from tools.dev.tiers import BATCH_PYTHON

JOBS = (300, 3000, 30000)


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench batch", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=JOBS, help="default: %(default)s")
    parser.add_argument("--python", type=Path, default=BATCH_PYTHON, help="with requirements-batch.txt")
    options = parser.parse_args()
    if options.python == BATCH_PYTHON:
        set_up_batch()
    rows = []
    for jobs in options.jobs:
        print(f"  {jobs} jobs ...", flush=True)
        rows.append(measure(jobs, str(options.python)))
    asked = [str(options.python), "-c", "import ray; print(ray.__version__)"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    machine = {"cores": os.cpu_count(), "workers": WORKERS, "ray": version}
    data = {"commit": commit()} | machine | {"rows": rows}
    save(page.NAME, data)
    print(text(*page.table(data)))
    page.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
