"""The parts of tools/bench/speed.py and tools/bench/memory.py: what FreeScale costs.

models     the real UNets on meta tensors, with the pack's patches in place
counting   floating point operations of a call and of a cascade
storage    bytes of tensors alive, on meta tensors and at the CPU's allocator
attention  one fused attention alone, on any device
launches   kernels that a call starts
gpu_table  what fits on a GPU of a given size
tables     the rows of docs/PERFORMANCE.md
results    docs/performance/*.json, the text tables
document   docs/PERFORMANCE.md
plots      docs/images/performance_*.png
"""
