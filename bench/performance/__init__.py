"""The parts of bench/speed.py, memory.py, scaling.py and vae_tiling.py: what FreeScale costs.

models     the real UNets on meta tensors, with the pack's patches in place
counting   floating point operations of a call and of a cascade
storage    bytes of tensors alive, on meta tensors and at the CPU's allocator
attention  one fused attention alone, on any device
oracle     scale fusion written down plainly
timing     interleaved wall times
results    docs/performance/*.json, the text tables, docs/PERFORMANCE.md
plots      docs/images/performance_*.png
"""
