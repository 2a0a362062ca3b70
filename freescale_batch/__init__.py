"""Runs an API-format workflow for thousands of jobs, on all GPUs of a machine or a cluster.

`python -m freescale_batch --help` says how. No node imports this package and the Registry's archive leaves it
out; its requirements are in requirements-batch.txt.

__main__     the command line
workflow     an API-format workflow: its nodes by id or title, its fingerprint
jobs         job lines: checks, ids, the product of prompts and seeds
store        the output folder: what is done, what failed, how often a job was tried
comfy        the HTTP interface of a ComfyUI server
server       one ComfyUI server as a child process
keeper       ends a server, or what is left of Ray, when its owner is gone
one_job      one job on a running server: its prompt, the wait for its end, its files
worker       runs one job after another on a server of its own, some of them twice; needs no Ray
outcome      what became of a job
ray_engine   many workers, one a GPU, fed by Ray Data
run          from the checked jobs to the summary
progress     the live line
summary      results.parquet and failed.jsonl
errors       what can go wrong, as exceptions
"""
