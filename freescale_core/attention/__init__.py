"""Scale fusion, eq. 7: two branches of self-attention, and their frequencies.

attend          what attention is here, and how the temporaries of one call are kept small
windows         overlapping windows with seeded jitter
gather          the tokens of many windows in one call
overlapping     the local branch: attention inside overlapping windows
neighbourhoods  a cheaper local branch
strided         a cheaper global branch ("fast"); the exact one is `attend.chunked_attention`
blur            the Gaussian low-pass over token grids, 2-D and 3-D
fusion          eq. 7: low frequencies of local minus global, added to global
prompt_regions  cross-attention with another prompt inside masks
"""
