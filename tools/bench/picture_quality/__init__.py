"""The parts of tools/bench/quality.py.

settings  the one table: prompts, seeds, sizes, methods, measures
jobs      the pictures of the table, and their making
methods   a picture by one method, through the host's own nodes
store     finished pictures on disk, so that a killed run goes on
metrics   one number per picture: repetition, consistency, sharpness (torch and kornia alone)
features  what a picture network sees; Frechet distance
figures   averages and kernel distance of a set of pictures, with bootstrap intervals over prompts
scores    every method by every measure
report    a table as cells, sentences, data
document  docs/QUALITY.md, docs/quality.json, sheets
"""
