"""Campaigns: thousands of random cases that try to break what the pack promises, each decided by a seed.

A module with a run_case is a campaign; the text at its top says what its cases do.

runner  draws the cases, writes a line for each, goes on where an earlier start ended
page    docs/RELIABILITY.md
parts/  what campaigns are made of: random runs, random inputs, what must stay as it was
"""
