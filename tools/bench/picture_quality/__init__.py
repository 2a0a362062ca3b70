"""The parts of tools/bench/quality.py.

experiment  prompts, seeds, sizes, points, and the order in which images are made
families/   the methods that are compared, a technique a file
painter     images by ComfyUI's own nodes: what all families use
make        makes what is missing, counts the UNet's operations
store       finished images on disk, so that a killed run goes on
metrics     one number per image: repetition, consistency, sharpness (torch and kornia alone)
features    what the judging networks see
judge       all measures of an image, kept beside it; figures of sets of images
figures     averages, kernel distance and inception score, with bootstrap intervals over prompts
curves      a point against another family's curve, at equal sharpness
results     one table: rows, verdicts, costs
answers     what a sceptic says, and what the figures say to it
plots       curves over sharpness
page        docs/QUALITY.md, docs/quality.json, sheets
run         all of it, in a process where ComfyUI has started
"""
