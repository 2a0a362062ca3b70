"""How freescale_batch grows with the number of jobs: see tools/bench/batch.py."""
