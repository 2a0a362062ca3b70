"""FreeScale in one sampler run, whatever node samples.

model              the settings that a MODEL carries
outer_sample       the wrapper around a run: install, run, undo
run                the facts of the run that its patches read
scale_fusion       eq. 7 in each self-attention
memory_budget      how much memory its temporaries may take
dilation           eq. 5 around each model call
rope               rotary positions of transformers, around each model call and in each self-attention
detail_blend       eq. 4 before the model call that opens a step
sampler_table      which call that is, for every sampler
prompt_regions     prompts of regions in each cross-attention
size_conditioning  the sizes that SDXL is told
warn_once          what a run logs, once
"""
