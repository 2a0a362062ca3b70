"""Campaigns: thousands of random cases that try to break what the pack promises, each decided by a seed.

runner      draws the cases, writes a line for each, goes on where an earlier start ended
interrupts  Cancel or an error at any operation of a run
memory      lack of memory at any allocation of the pack
fuzz        random inputs to every node and to chains of them
route       random requests to GET /freescale/plan
parts/      what campaigns are made of: random runs, random inputs, what must stay as it was
"""
