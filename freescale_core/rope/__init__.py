"""Rotary positions (RoPE) of transformers above their training size: CineScale's parts (arXiv 2508.15774).

limits               tile, threshold and largest distance, from the training size
positions            rectified positions: no key looks farther away than the training size allows
frequencies          omega of each pair of channels, and NTK's factor on theta
rectified_attention  queries in tiles, every key turned to its rectified position
local_attention      patches of queries over the image tokens around them, and all text
attention_scale      a factor on the logits of attention over more tokens
"""
