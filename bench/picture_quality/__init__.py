"""The parts of bench/quality.py: what is made (settings, methods), how it is kept (store, run), how it is judged and told.

settings      the one table: prompts, seeds, sizes, methods
methods       a picture by one method, through the host's own nodes
store         finished pictures on disk, so that a killed run goes on
run           all pictures of the table, with an estimate of the time left
metrics       one number per picture: repetition, consistency, sharpness (torch and kornia alone)
features      distances between sets of pictures: KID, Frechet distance
intervals     bootstrap intervals over prompts
scores        the figures of a group of methods
report        tables, docs/QUALITY.md, docs/quality.json
sheets        pictures side by side
"""
