"""A plan for a transformer in numbers and as text."""

import pytest

from freescale_core.geometry import Size
from freescale_core.planning.kinds import KINDS, TRANSFORMERS
from freescale_core.planning.plan import CascadePlan
from freescale_core.planning.report import describe
from freescale_core.planning.transformers import transformer_stages
from freescale_core.presets import TRANSFORMER_PRESETS
from tools import ROOT

PAGE = ROOT / "docs" / "TRANSFORMERS.md"
SQUARE, TO_4K = Size(1024, 1024), (Size(2048, 2048), Size(4096, 4096))
FLUX, WAN, WAN_5B = "FLUX.1, Chroma", "Wan 720p (1280x720)", "Wan 2.2 5B (1280x704)"


def test_every_preset_of_a_transformer_is_a_kind():
    assert [*KINDS] == ["SDXL", *TRANSFORMERS]
    assert set(TRANSFORMERS) == set(TRANSFORMER_PRESETS)


def test_stages_of_flux():
    """4 operations for each pair of tokens and channel, 24 for each token and pair of channels."""
    base, two, four = transformer_stages(CascadePlan(SQUARE, TO_4K, kind=FLUX))
    assert [stage.tokens for stage in (base, two, four)] == [4096, 16384, 65536]
    assert (base.attention, base.operations) == (1.0, 1.0)
    with_text = [tokens + 256 for tokens in (4096, 16384, 65536)]
    for stage, tokens in zip((two, four), with_text[1:], strict=True):
        assert stage.attention == pytest.approx((tokens / with_text[0]) ** 2)
        work = [n * (24 * 3072 + 4 * n) for n in (tokens, with_text[0])]
        assert stage.operations == pytest.approx(work[0] / work[1])
    # Each query of the image sees 64 x 64 tokens and the text, each of the text sees everything.
    seen = 65536 * (4096 + 256) + 256 * with_text[2]
    balanced = with_text[2] * 24 * 3072 + 4 * seen
    assert four.balanced == pytest.approx(balanced / (with_text[0] * (24 * 3072 + 4 * with_text[0])))
    assert (base.balanced, four.balanced) == pytest.approx((1.0, 15.28), rel=0.002)
    assert (four.attention, four.operations) == pytest.approx((228.5, 55.9), rel=0.002)
    assert [stage.vae_gib for stage in (base, two, four)] == pytest.approx([2.15, 8.6, 34.4])
    said = f"takes {four.operations:.0f} times the operations of one at 1024 x 1024, and its attention "
    said += (
        f"{four.attention:.0f} times. With neighbourhoods it takes {four.balanced:.0f} times the operations."
    )
    assert said in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(("frames", "latent"), [(1, 1), (5, 2), (81, 21)])
def test_frames_of_a_video_attend_to_each_other(frames, latent):
    plan = CascadePlan(Size(720, 1280), (Size(1440, 2560),), frames=frames, kind=WAN)
    base, large = transformer_stages(plan)
    assert (base.tokens, large.tokens) == (latent * 45 * 80, latent * 90 * 160)
    assert large.attention == pytest.approx(16)
    assert 4 < large.operations < 16
    assert large.vae_gib is None


def test_a_longer_video_takes_more_for_attention():
    plans = [CascadePlan(Size(720, 1280), (Size(1440, 2560),), frames=frames, kind=WAN) for frames in (1, 81)]
    image, video = (transformer_stages(plan)[1] for plan in plans)
    assert video.operations > 1.5 * image.operations


def test_frames_of_an_image_model_are_a_batch():
    one, four = (
        transformer_stages(CascadePlan(SQUARE, TO_4K, frames=frames, kind=FLUX)) for frames in (1, 4)
    )
    assert one == four


def test_a_learned_table_of_positions_knows_no_neighbourhoods():
    stages = transformer_stages(CascadePlan(SQUARE, TO_4K, kind="SD3.5"))
    assert all(stage.balanced == stage.operations for stage in stages)


def test_sizes_are_those_of_whole_tokens():
    plan = CascadePlan(Size(704, 1280), (Size(1048, 1912),), kind=WAN_5B)
    base, stage = transformer_stages(plan)
    assert (base.tokens, stage.size, stage.tokens) == (22 * 40, Size(1056, 1920), 33 * 60)
    assert stage.scale == pytest.approx(1.5)


def test_the_text_names_tokens_and_operations_and_no_memory_that_nobody_knows():
    assert describe(CascadePlan(SQUARE, TO_4K[:1], kind=FLUX)).splitlines() == [
        "Stage 0: 1024x1024, the base size; 4096 tokens",
        "Stage 1: 2048x2048, 2.00 times the base; 16384 tokens, attention 14.6, all operations 5.9 "
        "(Balanced 3.9)",
        "Each stage skips the preset's share of the noise; images are enlarged by bicubic; VAE tiling auto",
        "Operations of one model call of FLUX.1, Chroma with 256 tokens of text, stage 0 = 1, counted; how "
        "many calls a stage takes depends on scheduler and shift",
        "GPU memory of sampling is not known for FLUX.1, Chroma; VAE in one piece, in GiB: stage 0 2.1, "
        "stage 1 8.6; in tiles 0.5",
    ]
    video = describe(CascadePlan(Size(720, 1280), (Size(1440, 2560),), frames=81, kind=WAN)).splitlines()
    assert video[:3] == [
        "Video of 81 frames, 21 in the latent: tokens count all of them",
        "Stage 0: 1280x720, the base size; 75600 tokens",
        "Stage 1: 2560x1440, 2.00 times the base; 302400 tokens, attention 16.0, all operations 12.5 "
        "(Balanced 4.6)",
    ]
    assert video[-1] == "GPU memory of sampling is not known for Wan 720p (1280x720)"


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected one of SDXL, FLUX.1, Chroma, .* got FLUX.2: choose one"):
        CascadePlan(SQUARE, TO_4K, kind="FLUX.2")
