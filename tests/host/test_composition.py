"""FreeScale together with other nodes: both keep their effect, and nothing of either stays on the model.

Small random networks on a CPU show that the parts fit together, not how good the pictures are.
"""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from unittest import mock

import comfy.hooks
import comfy.samplers
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from comfy_extras import (
    nodes_custom_sampler,
    nodes_freelunch,
    nodes_hypertile,
    nodes_model_advanced,
    nodes_model_downscale,
    nodes_pag,
    nodes_perpneg,
    nodes_sag,
    nodes_tomesd,
)
from comfy_extras import nodes_differential_diffusion as nodes_differential

import nodes
from tools.harness.demo_checkpoint import conditioning

from .composition_checks import (
    DIFFERENT,
    PARTS,
    SAME,
    all_of,
    at_no_strength,
    difference,
    dual_formula,
    foreign_tokens,
    freescale,
    gates_see_fused_tokens,
    guided_by,
    pag_formula,
    perp_neg_formula,
    perturbed_in_the_middle_alone,
    rescaled_cfg,
    sag_formula,
    scaled_by_freeu,
    scores_of_whole_pictures,
    shrunk_by,
)
from .composition_features import (
    CFG,
    NEGATIVE,
    POSITIVE,
    Setup,
    compiled,
    computed_in,
    control_net,
    controlled,
    gligen,
    latents,
    lora,
    made,
    merged,
    on_two_devices,
    one_transformer,
    rounded_to,
    sd15,
    sdxl,
    stored_as,
    t2i_adapter,
    text_setup,
    with_image_prompt,
    with_lora,
)
from .runs import fingerprint

SNOW, FROG = "a photo of snow", "green frog"


@dataclass(frozen=True)
class Row:
    """build: a plain setup -> one with the feature. shows: in words what `check` asserts beyond both effects.

    changes: whether the feature changes the picture at all. warning: a line that the log must hold once.
    """

    build: Callable[[Setup], Setup]
    shows: str = ""
    check: Callable[[Setup], None] | None = None
    changes: bool = True
    base: Callable[[], Any] = sdxl
    warning: str = ""


def patched(node, *values):
    """A build step: the setup's MODEL through a patch node."""
    return lambda setup: setup.on(made(node(setup.model, *values)))


def same_as(other):
    """A check: with FreeScale, the feature's setup draws what other(plain setup) draws."""

    def check(setup):
        expected = freescale(other(text_setup(sdxl()))).sample()
        assert difference(freescale(setup).sample(), expected) < SAME

    return check


def over_before_the_run(build):
    """A check: with a timestep range that has ended before the run, the picture is FreeScale's own, bit for
    bit."""

    def check(setup):
        plain = text_setup(sdxl())
        assert torch.equal(freescale(build(plain)).sample(), freescale(plain).sample())

    return check


def two_texts(setup, place, right_text=FROG):
    """One text on the left half of the picture, another on the right; place(cond, side) puts a cond there."""
    return replace(setup, positive=place(setup.positive, 0) + place(conditioning(right_text), 1))


def masked(cond, side):
    mask = torch.zeros(1, 16, 16)
    mask[:, :, 8 * side : 8 * side + 8] = 1
    return nodes.ConditioningSetMask().append(cond, mask, "default", 1.0)[0]


def in_area(cond, side):
    return nodes.ConditioningSetArea().append(cond, 64, 128, 64 * side, 0, 1.0)[0]


def acts_only_on_the_right(place):
    """A check: in one step, another text for the right half changes the right half only."""

    def check(setup):
        plain = replace(text_setup(sdxl()), steps=1)
        one, two = (freescale(two_texts(plain, place, text)).sample() for text in (FROG, "red car"))
        assert torch.equal(one[..., :8], two[..., :8])
        assert difference(one[..., 8:], two[..., 8:]) > DIFFERENT

    return check


def two_times(setup):
    """One text in the first step, another in the second (timesteps 700 and 350)."""
    early = nodes.ConditioningSetTimestepRange().set_range(setup.positive, 0.0, 0.5)[0]
    late = nodes.ConditioningSetTimestepRange().set_range(conditioning(FROG), 0.5, 1.0)[0]
    return replace(setup, positive=early + late)


def with_early_text(setup):
    early = nodes.ConditioningSetTimestepRange().set_range(conditioning(FROG), 0.0, 0.1)[0]
    return replace(setup, positive=setup.positive + early)


def inpaint_mask():
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    return mask


def keeps_the_outside(setup):
    got = freescale(setup).sample()
    assert torch.allclose(got[..., 9:], setup.latent[..., 9:], atol=1e-4)
    assert difference(got[..., :8], setup.latent[..., :8]) > DIFFERENT


def soft_mask(setup):
    soft = made(nodes_differential.DifferentialDiffusion.execute(setup.model, 1.0))
    return setup.on(soft, mask=torch.linspace(0, 1, 16).expand(1, 1, 16, 16))


def keeps_the_black_end(setup):
    got = freescale(setup).sample()
    assert torch.allclose(got[..., 0], setup.latent[..., 0], atol=1e-4)
    hard = freescale(setup.on(sdxl())).sample()
    assert difference(got, hard) > DIFFERENT


def perp_neg(setup):
    def guider(s):
        texts = s.positive, conditioning(SNOW), s.negative
        return made(nodes_perpneg.PerpNegGuider.execute(s.model, *texts, CFG, 0.8))

    return replace(setup, guider=guider)


def dual_cfg(setup):
    def guider(s):
        texts = s.positive, conditioning(FROG), s.negative
        return made(nodes_custom_sampler.DualCFGGuider.execute(s.model, *texts, CFG, 2.0, "regular"))

    return replace(setup, guider=guider)


def gligen_box(setup):
    emb = torch.randn(1, 64, generator=torch.Generator().manual_seed(4))
    positive = [
        [c[0], {**c[1], "gligen": ("position", gligen(), [(emb, 8, 8, 2, 4)])}] for c in setup.positive
    ]
    return replace(setup, positive=positive)


def hooked(setup, *conds):
    """A LoRA as a hook on some of the conds."""
    hooks = comfy.hooks.create_hook_lora(lora(), 1.0, 0.0)
    return replace(
        setup, **{name: comfy.hooks.set_hooks_for_conditioning(getattr(setup, name), hooks) for name in conds}
    )


def hook_on_both_equals_the_lora(setup):
    both = hooked(text_setup(sdxl()), "positive", "negative")
    assert difference(freescale(both).sample(), freescale(text_setup(with_lora(sdxl()))).sample()) < SAME


def without_weight_it_is_freescale_alone(setup):
    plain = text_setup(sdxl())
    nothing = plain.on(with_image_prompt(sdxl(), 0.0))
    assert torch.equal(freescale(nothing).sample(), freescale(plain).sample())


def batch_equals_its_pictures(setup):
    """Picture 0 of a batch is the picture alone: with batch 1 its noise is the same."""
    together = freescale(setup).sample()
    alone = freescale(replace(setup, latent=setup.latent[:1])).sample()
    assert difference(together[:1], alone) < SAME


@contextmanager
def little_memory():
    """The host sees room for one cond at a time."""
    with mock.patch.object(type(sdxl().model), "memory_required", lambda self, *args, **kwargs: 2**60):
        yield


def one_cond_a_call(setup):
    batches = []
    hook = sdxl().model.diffusion_model.register_forward_pre_hook(
        lambda module, args: batches.append(len(args[0]))
    )
    freescale(setup).sample()
    hook.remove()
    assert batches == [1] * 4


def two_threads_worked(setup):
    threads = {}
    unets = [
        setup.model.model.diffusion_model,
        setup.model.get_additional_models_with_key("multigpu")[0].model.diffusion_model,
    ]
    hooks = [
        unet.register_forward_pre_hook(
            lambda module, args: threads.setdefault(module, set()).add(threading.get_ident())
        )
        for unet in unets
    ]
    freescale(setup).sample()
    for hook in hooks:
        hook.remove()
    first, second = (threads[unet] for unet in unets)
    assert len(first) == len(second) == 1
    assert first != second


def attention_override(setup):
    """What SageAttention and its like use: every attention goes through one function."""
    model = setup.model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = (
        lambda function, *args, **kwargs: function(*args, **kwargs)
    )
    return setup.on(model)


def windows_go_through_the_override(setup):
    tokens = set()
    model = setup.model.clone()

    def override(function, q, *args, **kwargs):
        tokens.add(q.shape[1])
        return function(q, *args, **kwargs)

    model.model_options["transformer_options"]["optimized_attention_override"] = override
    freescale(setup.on(model)).sample()
    assert {64, 16} <= tokens  # All 8x8 tokens of a level, and its windows of 4x4.


def close_to_float32(limit):
    """A check: the picture differs from FreeScale's in float32 by less than `limit`."""

    def check(setup):
        assert difference(freescale(setup).sample(), freescale(text_setup(sdxl())).sample()) < limit

    return check


deep_shrink = nodes_model_downscale.PatchModelAddDownscale.execute


def pag(scale):
    return patched(nodes_pag.PerturbedAttentionGuidance.execute, scale)


def sag(scale):
    return patched(nodes_sag.SelfAttentionGuidance.execute, scale, 2.0)


MULTI_GPU = "MultiGPU CFG Split (two CPU threads)"
HAS_MULTI_GPU = hasattr(ModelPatcher, "deepclone_multigpu")
"""Came with later hosts than 0.3.75."""
FOREIGN_TOKENS = "another node has tiled or merged the tokens (HyperTile, ToMe)"
"""What the log says beside HyperTile and ToMe."""
GUIDED = "it combines FreeScale's own predictions by its own formula"
SAG_MEMORY = "(not run: at 4096 px its scores take 20 GiB a copy)"
LORA = "equals FreeScale on merged weights"
ROUNDED = "equals FreeScale on rounded weights"
ROWS = {
    "ControlNet": Row(
        lambda s: controlled(s, control_net()),
        "over before the run: FreeScale alone, bit for bit",
        over_before_the_run(lambda s: controlled(s, control_net(), 0.1)),
    ),
    "T2I-Adapter": Row(
        lambda s: controlled(s, t2i_adapter()),
        "over before the run: FreeScale alone, bit for bit",
        over_before_the_run(lambda s: controlled(s, t2i_adapter(), 0.1)),
    ),
    "LoRA": Row(lambda s: s.on(with_lora(s.model)), LORA, same_as(lambda s: s.on(merged()))),
    "LoRA as a hook on one cond": Row(
        lambda s: hooked(s, "positive"),
        "on both conds it equals the LoRA on the model",
        hook_on_both_equals_the_lora,
    ),
    "IPAdapter-like attn2 replace": Row(
        lambda s: s.on(with_image_prompt(s.model, 1.0)),
        "with weight 0 FreeScale alone, bit for bit",
        without_weight_it_is_freescale_alone,
    ),
    "GLIGEN": Row(
        gligen_box,
        "its gates see whole pictures; closed, FreeScale alone; all attention is fused",
        gates_see_fused_tokens,
    ),
    "inpainting mask": Row(
        lambda s: replace(s, mask=inpaint_mask()), "the outside is kept", keeps_the_outside
    ),
    "DifferentialDiffusion": Row(
        soft_mask, "the black end is kept; differs from the mask alone", keeps_the_black_end
    ),
    "area conditioning": Row(
        lambda s: two_texts(s, in_area),
        "one step: a text acts only in its area",
        acts_only_on_the_right(in_area),
    ),
    "mask conditioning": Row(
        lambda s: two_texts(s, masked),
        "one step: a text acts only in its mask",
        acts_only_on_the_right(masked),
    ),
    "ConditioningSetTimestepRange": Row(
        two_times, "over before the run: FreeScale alone, bit for bit", over_before_the_run(with_early_text)
    ),
    "PAG": Row(
        pag(3.0),
        f"{GUIDED}; its own pass is perturbed in the middle block and fused elsewhere",
        all_of(guided_by(pag_formula(3.0), POSITIVE, NEGATIVE), perturbed_in_the_middle_alone),
    ),
    "SAG": Row(
        sag(2.0),
        f"{GUIDED}; it reads the scores of whole pictures, not of windows {SAG_MEMORY}",
        all_of(
            guided_by(sag_formula(2.0), POSITIVE, NEGATIVE),
            scores_of_whole_pictures,
            at_no_strength(sag(0.0)),
        ),
    ),
    "FreeU": Row(
        patched(nodes_freelunch.FreeU().patch, 1.1, 1.2, 0.9, 0.2),
        "it scales backbone and skips by its factors; at factors of 1 FreeScale alone",
        all_of(
            scaled_by_freeu(backbone=1.2, skip=0.2, at_the_lowest=1.2),
            at_no_strength(patched(nodes_freelunch.FreeU().patch, 1.0, 1.0, 1.0, 1.0)),
        ),
    ),
    "FreeU_V2": Row(
        patched(nodes_freelunch.FreeU_V2().patch, 1.3, 1.4, 0.9, 0.2),
        "it scales backbone and skips by its factors; at factors of 1 FreeScale alone",
        all_of(
            scaled_by_freeu(backbone=1.4, skip=0.2, at_the_lowest=1.0),
            at_no_strength(patched(nodes_freelunch.FreeU_V2().patch, 1.0, 1.0, 1.0, 1.0)),
        ),
    ),
    "HyperTile": Row(
        patched(nodes_hypertile.HyperTile.execute, 32, 1, 1, False),
        "fusion is off in the tiled layers and on in all others, and the log says so",
        foreign_tokens(batch=2 * 4, tokens=64 // 4),
        warning=FOREIGN_TOKENS,
    ),
    "TomePatchModel (SD1.5; SDXL has no layer for it)": Row(
        patched(nodes_tomesd.TomePatchModel.execute, 0.5),
        "fusion is off in the merged layers and on in all others, and the log says so",
        foreign_tokens(batch=2, tokens=256 // 2),
        base=sd15,
        warning=FOREIGN_TOKENS,
    ),
    "Deep Shrink (PatchModelAddDownscale)": Row(
        patched(deep_shrink, 3, 2.0, 0.0, 0.9, True, "bicubic", "bicubic"),
        "deep blocks see half the grid, and fusion takes the windows of that grid",
        shrunk_by(2),
    ),
    "RescaleCFG": Row(
        patched(nodes_model_advanced.RescaleCFG().patch, 0.7),
        GUIDED,
        guided_by(rescaled_cfg(0.7), POSITIVE, NEGATIVE),
    ),
    "PerpNeg guider": Row(perp_neg, GUIDED, guided_by(perp_neg_formula(CFG, 0.8), POSITIVE, SNOW, NEGATIVE)),
    "dual CFG guider": Row(dual_cfg, GUIDED, guided_by(dual_formula(CFG, 2.0), NEGATIVE, FROG, POSITIVE)),
    "fp16 weights": Row(lambda s: s.on(stored_as(torch.float16)), changes=False),
    "bf16 weights": Row(
        lambda s: s.on(stored_as(torch.bfloat16)),
        ROUNDED,
        same_as(lambda s: s.on(rounded_to(torch.bfloat16))),
    ),
    "fp8 weights": Row(
        lambda s: s.on(stored_as(torch.float8_e4m3fn)),
        ROUNDED,
        same_as(lambda s: s.on(rounded_to(torch.float8_e4m3fn))),
    ),
    "fp16 arithmetic": Row(
        lambda s: s.on(computed_in(torch.float16)), "close to float32", close_to_float32(0.01)
    ),
    "bf16 arithmetic": Row(
        lambda s: s.on(computed_in(torch.bfloat16)), "close to float32", close_to_float32(0.05)
    ),
    "batch of 2": Row(
        lambda s: replace(s, latent=latents(2)),
        "a picture of the batch equals the picture alone",
        batch_equals_its_pictures,
        changes=False,
    ),
    "cond and uncond in two calls": Row(
        lambda s: replace(s, around=little_memory), "each call holds one cond", one_cond_a_call, changes=False
    ),
    "attention override (SageAttention and its like)": Row(
        attention_override, "windows go through it, too", windows_go_through_the_override, changes=False
    ),
    "TorchCompileModel (backend eager)": Row(
        lambda s: s.on(compiled(s.model)), changes=False, base=one_transformer
    ),
    MULTI_GPU: Row(
        lambda s: s.on(on_two_devices(s.model)),
        "each thread has a UNet of its own; not in 0.3.75",
        two_threads_worked,
        changes=False,
    ),
}
ELSEWHERE = [
    (
        "another MODEL, prompt or cfg in later stages",
        "equals the explicit graph bit for bit",
        ["test_stage_override.py::test_overrides_equal_the_explicit_graph_bit_for_bit"],
    ),
    (
        "two workflows in turn on one checkpoint",
        "neither sees the other",
        [
            "test_patches.py::test_a_run_repeats_to_the_bit_and_two_workflows_do_not_see_each_other",
            "test_running.py::test_two_workflows_in_turn_on_one_checkpoint_do_not_see_each_other",
        ],
    ),
]
"""Rows that other tests execute."""
NOT_RUN = [
    ("--lowvram", "needs a GPU; DynamicVRAM and --novram ran on one: docs/PERFORMANCE.md"),
    ("GGUF", "needs a GPU and another pack"),
    ("MultiGPU CFG Split on real devices", "needs two GPUs"),
    ("TorchCompileModel with inductor", "needs a compiler and minutes"),
    ("SageAttention, xFormers, FlashAttention", "needs a GPU"),
]
"""What only other machines can show."""


@cache
def plain(base):
    return text_setup(base()).sample()


@cache
def freescale_alone(base):
    return freescale(text_setup(base())).sample()


@pytest.mark.parametrize("name", [name for name in ROWS if name != MULTI_GPU or HAS_MULTI_GPU])
def test_both_keep_their_effect_and_nothing_stays_on_the_model(name, caplog):
    row = ROWS[name]
    setup = row.build(text_setup(row.base()))
    expected, fused = plain(row.base), freescale_alone(row.base)
    without_freescale = setup.sample()
    # After a run: loading a model marks its layers.
    before = fingerprint(row.base()), fingerprint(setup.model)

    caplog.clear()
    both = freescale(setup).sample()
    warnings = [record.getMessage() for record in caplog.records if record.name == "FreeScale"]
    assert [row.warning in text for text in warnings] == [True] * bool(row.warning)
    assert both.isfinite().all()
    assert difference(both, without_freescale) > DIFFERENT
    change = difference(both[: len(fused)], fused)
    assert change > DIFFERENT if row.changes else change < SAME
    for part in PARTS:  # Each of FreeScale's own keeps its effect beside the other node.
        assert difference(freescale(setup, **{part: None}).sample(), both) > DIFFERENT, part
    if row.check is not None:
        row.check(setup)

    assert (fingerprint(row.base()), fingerprint(setup.model)) == before
    assert torch.equal(text_setup(row.base()).sample(), expected)
