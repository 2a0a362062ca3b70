"""What campaigns are made of.

subjects       random runs of tiny models: images, videos, transformers, whole cascades
values         random values for the inputs of nodes
model_state    what a run must leave as it was
sentence       what an error of the pack says
server         a server of their own
extensions/    the nodes and routes in it that the pack has not
small_prompts  random templates, small, wrong or failing
slope          how fast a quantity grows
"""
