"""FreeScaleUpscale: decode, enlarge, encode, on a VAE that keeps pictures as they are."""

import pytest
import torch
from comfy_extras import nodes_upscale_model
from freescale_pack.nodes.cascade.vae import encode
from freescale_pack.nodes.upscale_node import FreeScaleUpscale


class PlainVAE:
    """Its latents are the pictures themselves, a pixel a cell. calls: (method, shape of what it got)."""

    vae_dtype, device, latent_channels, first_stage_model = torch.float32, torch.device("cpu"), 3, object()

    def __init__(self):
        self.calls = []

    def memory_used_decode(self, shape, dtype):
        return 0

    memory_used_encode = memory_used_decode

    def spacial_compression_decode(self):
        return 1

    def decode(self, samples, **tiles):
        self.calls.append(("decode tiled" if tiles else "decode", tuple(samples.shape)))
        return samples.movedim(1, -1)

    def encode(self, image, **tiles):
        self.calls.append(("encode tiled" if tiles else "encode", tuple(image.shape)))
        return image.movedim(-1, 1)

    decode_tiled, encode_tiled = decode, encode


def upscale(vae, factor=2.0, width=0, height=0, method="bicubic", tiling="off", **start):
    return FreeScaleUpscale.execute(vae, factor, width, height, method, tiling, **start).result[0]


WIDE = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "got"),
    [({}, (32, 64)), ({"factor": 1.5}, (24, 48)), ({"factor": 4.0, "width": 136, "height": 72}, (72, 136))],
)
def test_a_wide_picture_becomes_as_large_as_the_widgets_say_and_stays_wide(size, got):
    assert upscale(PlainVAE(), samples={"samples": WIDE}, **size)["samples"].shape == (2, 3, *got)
    assert upscale(PlainVAE(), image=WIDE.movedim(1, -1), **size)["samples"].shape == (2, 3, *got)


def test_the_picture_is_the_hosts_own_resize_of_it():
    """Bicubic without antialiasing, in the order rows, columns, channels."""
    expected = torch.nn.functional.interpolate(WIDE, (32, 64), mode="bicubic")
    assert torch.allclose(upscale(PlainVAE(), samples={"samples": WIDE})["samples"], expected, atol=1e-6)
    assert not torch.allclose(
        upscale(PlainVAE(), method="lanczos", samples={"samples": WIDE})["samples"], expected, atol=1e-3
    )


@pytest.mark.parametrize(
    ("tiling", "names"), [("on", ["decode tiled", "encode tiled"]), ("off", ["decode", "encode"])]
)
def test_tiling_counts_for_both_ways(tiling, names):
    vae = PlainVAE()
    upscale(vae, tiling=tiling, samples={"samples": WIDE})
    assert [name for name, _ in vae.calls] == names


def test_an_image_in_bfloat16_is_enlarged_by_lanczos_too():
    """Found by `dev.py campaign fuzz`: Lanczos goes through numpy, which has no bfloat16."""
    image = WIDE.movedim(1, -1).bfloat16()
    got = upscale(PlainVAE(), image=image, method="lanczos")["samples"]
    assert torch.equal(got, upscale(PlainVAE(), image=image.float(), method="lanczos")["samples"])


@pytest.mark.parametrize("tiling", ["on", "off"])
def test_an_alpha_channel_is_left_out(tiling, monkeypatch):
    vae, picture = PlainVAE(), torch.rand(1, 16, 32, 4)
    upscale(vae, tiling=tiling, image=picture)
    assert vae.calls[-1][1] == (1, 32, 64, 3)
    encode(vae, picture, tiling)
    assert vae.calls[-1][1] == (1, 16, 32, 3)
    seen = []

    class Enlarged:
        @classmethod
        def execute(cls, upscale_model, image):
            seen.append((upscale_model, tuple(image.shape)))
            return type("Output", (), {"result": (image.flip(1),)})

    monkeypatch.setattr(nodes_upscale_model, "ImageUpscaleWithModel", Enlarged)
    got = upscale(vae, image=picture, upscale_model="model")["samples"]
    assert seen == [("model", (1, 16, 32, 3))]
    assert torch.equal(got, upscale(vae, image=picture.flip(1))["samples"])


def test_the_latents_mask_and_batch_index_stay_and_hints_of_empty_latents_go():
    latent = {
        "samples": WIDE,
        "batch_index": [3, 5],
        "noise_mask": torch.ones(1, 16, 32),
        "downscale_ratio_spacial": 16,
    }
    got = upscale(PlainVAE(), samples=latent)
    assert got.keys() == {"samples", "batch_index", "noise_mask"}
    assert got["noise_mask"] is latent["noise_mask"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"method": "nearest", "image": WIDE.movedim(1, -1)},
            "expects one of bicubic, lanczos, latent bilinear, latent bicubic, got nearest",
        ),
        ({"tiling": "maybe", "image": WIDE.movedim(1, -1)}, "expects one of auto, on, off, got maybe"),
        ({"width": 64, "image": WIDE.movedim(1, -1)}, "both sides of the next stage or neither, got 64x0"),
        (
            {"width": 128, "height": 100, "image": WIDE.movedim(1, -1)},
            "in multiples of 8 pixels from 64 on, got 128x100: choose",
        ),
        (
            {"width": 128, "height": 56, "image": WIDE.movedim(1, -1)},
            "in multiples of 8 pixels from 64 on, got 128x56: choose",
        ),
        ({"samples": {"samples": torch.zeros(1, 4, 8, 8)}}, "a latent with 3 channels, got 4"),
        ({}, "either a latent or an image, got neither"),
    ],
)
def test_wrong_inputs_are_refused_in_one_sentence(inputs, message):
    with pytest.raises(ValueError, match=message):
        upscale(PlainVAE(), **inputs)
