"""What campaigns are made of.

subjects     random runs of tiny models: images, videos, transformers, whole cascades
values       random values for the inputs of nodes
model_state  what a run must leave as it was
sentence     what an error of the pack says
"""
