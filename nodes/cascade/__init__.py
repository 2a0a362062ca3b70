"""The stages of a cascade.

start     what a cascade begins with: an empty latent, a finished one, or an image
stages    what each stage is sampled with, overrides included
checks    what is refused before anything is sampled
run       one stage after the other
experts   a stage by two models, one for high noise and one for low
kept      finished stages of earlier runs
upscale   the image of a stage at the size of the next
vae       latent <-> image, in tiles where memory is short
progress  one progress bar and the previews
"""
