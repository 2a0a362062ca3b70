"""What a plan says of transformers, counted on networks of their real width: tensors without data."""

import comfy.ldm.flux.model
import comfy.ldm.wan.model
import comfy.ops
import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.cost import attention_operations, transformer_cost
from freescale_pack.freescale_core.planning.kinds import TRANSFORMERS
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.freescale_core.planning.transformers import transformer_stages
from torch.utils.flop_counter import FlopCounterMode

from tools.harness.tiny_transformers import config_of

META = {"device": "meta", "dtype": torch.bfloat16}
WIDE_FLUX = {
    **{"hidden_size": 3072, "num_heads": 24, "axes_dim": [16, 56, 56], "mlp_ratio": 4.0},
    **{"context_in_dim": 4096, "vec_in_dim": 768, "guidance_embed": True},
}
WIDE_WAN = {
    **{"dim": 5120, "num_heads": 40, "ffn_dim": 13824, "freq_dim": 256, "text_dim": 4096},
    **{"text_len": 512, "num_layers": 1},
}


def flux(depth):
    """FLUX.1 with `depth` layers of each of its kinds: a call on a size."""
    _, config = config_of("FLUX", **WIDE_FLUX, depth=depth, depth_single_blocks=depth)
    network = comfy.ldm.flux.model.Flux(
        operations=comfy.ops.disable_weight_init, final_layer=True, **META, **config
    )

    def call(size, options):
        x, text, pooled = (
            torch.empty(1, *shape, **META)
            for shape in ((16, size.height // 8, size.width // 8), (256, 4096), (768,))
        )
        network(x, torch.empty(1, **META), text, pooled, torch.empty(1, **META), transformer_options=options)

    return call


def wan(frames):
    _, config = config_of("Wan", **WIDE_WAN)
    network = comfy.ldm.wan.model.WanModel(operations=comfy.ops.disable_weight_init, **META, **config)

    def call(size, options):
        x = torch.empty(1, 16, frames, size.height // 8, size.width // 8, **META)
        network(x, torch.empty(1, **META), torch.empty(1, 512, 4096, **META), transformer_options=options)

    return call


def counted(call, size):
    """Operations of self-attention, and all of a call."""
    attention = []

    def attend(function, q, k, v, heads, *args, **kwargs):
        by_heads = kwargs.get("skip_reshape")
        pairs = q.shape[2] * k.shape[2] if by_heads else q.shape[1] * k.shape[1]
        channels = q.shape[1] * q.shape[3] if by_heads else q.shape[2]
        attention.append((q.shape == k.shape, attention_operations(pairs, channels)))
        flat = q.transpose(1, 2).flatten(2) if by_heads else q
        return torch.empty_like(flat)

    with FlopCounterMode(display=False) as counter:
        call(size, {"optimized_attention_override": attend})
    total = counter.get_total_flops() + sum(operations for _, operations in attention)
    return sum(operations for to_itself, operations in attention if to_itself), total


@pytest.mark.parametrize(
    ("kind", "network", "base", "size", "frames"),
    [
        ("FLUX.1, Chroma", (flux, 1), Size(1024, 1024), Size(2048, 2048), 1),
        ("FLUX.1, Chroma", (flux, 2), Size(1024, 1024), Size(4096, 4096), 1),
        ("Wan 720p (1280x720)", (wan, 1), Size(720, 1280), Size(1440, 2560), 1),
        ("Wan 720p (1280x720)", (wan, 21), Size(720, 1280), Size(1440, 2560), 81),
    ],
)
def test_a_stage_costs_what_is_counted(kind, network, base, size, frames):
    """All of a call to a few percent: what does not lie in the layers' large products is left out."""
    make, depth_or_frames = network
    call = make(depth_or_frames)
    stage = transformer_stages(CascadePlan(base, (size,), frames=frames, kind=kind))[1]
    (attention, total), (attention_of_base, total_of_base) = counted(call, size), counted(call, base)
    assert stage.attention == pytest.approx(attention / attention_of_base)
    assert stage.operations == pytest.approx(total / total_of_base, rel=0.03)


def test_a_layer_costs_what_is_counted():
    """FLUX.1's two kinds of layers at 1024 x 1024, as the difference of one more of each."""
    one, two = counted(flux(1), Size(1024, 1024))[1], counted(flux(2), Size(1024, 1024))[1]
    kind = TRANSFORMERS["FLUX.1, Chroma"]
    assert (two - one) / 2 == pytest.approx(transformer_cost(4096 + kind.text, kind.width), rel=0.01)
