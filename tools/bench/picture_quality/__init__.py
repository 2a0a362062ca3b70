"""The parts of tools/bench/quality.py: what is made (settings, jobs, methods), how it is kept (store, run),
how it is judged and told.

settings      the one table: prompts, seeds, sizes, methods
jobs          the pictures of the table, in order
methods       a picture by one method, through the host's own nodes
store         finished pictures on disk, so that a killed run goes on
run           makes what is missing, with an estimate of the time left
pictures      finished pictures as tensors, loaded when they are looked at
metrics       one number per picture: repetition, consistency, sharpness (torch and kornia alone)
features      what a picture network sees; Frechet distance
kid           kernel distance of weighted pictures
intervals     bootstrap intervals over prompts
measures      the columns of a table
scores        the figures of a table
tables        which pictures a table is made of
report        a table as text, sentences, data
document      docs/QUALITY.md, docs/quality.json, sheets
sheets        pictures side by side
"""
