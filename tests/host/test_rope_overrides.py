"""Rotary positions beside an attention of another node, in ComfyUI's one slot for it: a chain of both."""

import comfy.ldm.modules.attention as attention
import pytest
import torch
from freescale_pack.nodes.patching.rope import OVERRIDE_KEY

from tools.harness.golden_cases import relative_error
from tools.harness.tiny_transformers import tiny_transformer

from .rope_runs import (
    EFFECT,
    FAMILY,
    MODE,
    ROUNDING,
    expect_both_count,
    large,
    sample,
    with_override,
    with_rope,
)

BACKENDS = ("attention_basic", "attention_split", "attention_sub_quad", "attention_pytorch")


@FAMILY
@MODE
def test_an_attention_of_another_node_gets_every_call(family, mode):
    """As ComfyUI's choice of attention backend and KJNodes' Sage do."""
    model, calls = tiny_transformer(family), []

    def halved(function, q, *args, **kwargs):
        calls.append(q.shape)
        return function(q, *args, **kwargs) * 0.5

    changed = with_override(model, halved)
    expect_both_count(model, changed, mode, large(family))
    calls.clear()
    sample(changed, large(family))
    plain = len(calls)
    calls.clear()
    sample(with_rope(changed, mode), large(family))
    assert len(calls) > 2 * plain if mode == "rectified" else len(calls) == plain


@FAMILY
@MODE
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_of_comfyui_gives_what_its_default_gives(family, mode, backend):
    model, x, calls = tiny_transformer(family), large(family), []

    def chosen(function, *args, **kwargs):
        calls.append(function)
        return getattr(attention, backend)(*args, **kwargs)

    got = sample(with_rope(with_override(model, chosen), mode), x)
    assert calls
    assert relative_error(got, sample(with_rope(model, mode), x)) < ROUNDING


def axis_of_tokens(skip_reshape=False, **others):
    return 2 if skip_reshape else 1


@FAMILY
@MODE
def test_a_sparse_attention_drops_keys_in_each_tile(family, mode):
    """Of the kind that chooses keys by itself. What it drops is what a mask would hide."""
    model, x, kept = tiny_transformer(family), large(family), 60

    def dropping(function, q, k, v, heads, *args, **kwargs):
        axis = axis_of_tokens(**kwargs)
        return function(
            q,
            k.narrow(axis, 0, keys_of(k, axis)),
            v.narrow(axis, 0, keys_of(k, axis)),
            heads,
            *args,
            **kwargs,
        )

    def keys_of(k, axis):
        return min(kept, k.shape[axis])

    def hiding(function, q, k, v, heads, mask=None, **kwargs):
        hidden = torch.zeros(1, k.shape[axis_of_tokens(**kwargs)])
        hidden[:, kept:] = -torch.inf
        return function(q, k, v, heads, mask=hidden, **kwargs)

    sparse = with_override(model, dropping)
    both = expect_both_count(model, sparse, mode, x)
    assert relative_error(both, sample(with_rope(with_override(model, hiding), mode), x)) < ROUNDING
    assert sparse.model_options["transformer_options"][OVERRIDE_KEY] is dropping


@FAMILY
def test_a_sparse_attention_for_as_many_queries_as_keys_passes_tiles_by(family):
    """As kernels whose blocks pair queries and keys of one place do: they leave other calls to ComfyUI."""
    model, x, taken = tiny_transformer(family), large(family), []

    def paired(function, q, k, v, heads, *args, **kwargs):
        axis = axis_of_tokens(**kwargs)
        if q.shape[axis] != k.shape[axis]:
            return function(q, k, v, heads, *args, **kwargs)
        taken.append(q.shape)
        return function(q, k, v, heads, *args, **kwargs) * 0.5

    sparse = with_override(model, paired)
    sample(sparse, x)
    assert taken
    taken.clear()
    tiled = sample(with_rope(sparse, "rectified"), x)
    assert not taken
    assert torch.equal(tiled, sample(with_rope(model, "rectified"), x))
    assert relative_error(sample(with_rope(sparse, "ntk"), x), sample(with_rope(model, "ntk"), x)) > EFFECT
    assert taken
