"""When the VAE works in tiles, and how far they overlap, on a VAE that only notes what it is asked for."""

import pytest
import torch
from comfy import model_management
from freescale_pack.nodes.cascade import vae

GIB = 2**30


class NotedVAE:
    """Wants 1 GiB to decode a picture and 2 GiB to encode it; calls: (method, arguments) of each call."""

    vae_dtype, device = torch.float16, torch.device("cpu")

    def __init__(self):
        self.calls = []

    def memory_used_decode(self, shape, dtype):
        return GIB * shape[0]

    def memory_used_encode(self, shape, dtype):
        return 2 * GIB * shape[0]

    def spacial_compression_decode(self):
        return 8

    def __getattr__(self, name):
        return lambda *args, **options: self.calls.append((name, options)) or PICTURES


def asked_for(monkeypatch, total, function, pixels, tiling="auto"):
    monkeypatch.setattr(model_management, "get_total_memory", lambda device: total)
    vae = NotedVAE()
    function(vae, pixels, tiling)
    return vae.calls[0]


PICTURES = torch.zeros(3, 64, 64, 3)
LATENTS = torch.zeros(3, 4, 8, 8)


@pytest.mark.parametrize(
    ("function", "pixels", "needed", "name"),
    [(vae.decode, LATENTS, 3 * GIB, "decode"), (vae.encode, PICTURES, 6 * GIB, "encode")],
)
def test_a_batch_that_needs_more_than_nine_tenths_of_the_total_memory_is_tiled(
    monkeypatch, function, pixels, needed, name
):
    """No device has all of its memory free: the last tenth is for the driver, the desktop and the weights."""
    assert asked_for(monkeypatch, needed / 0.89, function, pixels)[0] == name
    assert asked_for(monkeypatch, needed / 0.91, function, pixels)[0] == f"{name}_tiled"


def test_tiles_of_a_decoding_share_a_quarter_with_their_neighbours_and_of_an_encoding_an_eighth(monkeypatch):
    """decode_tiled counts in latent pixels, encode_tiled in pixels. A tile may take a quarter of 100 GiB."""
    _, decoding = asked_for(monkeypatch, 100 * GIB, vae.decode, LATENTS, "on")
    _, encoding = asked_for(monkeypatch, 100 * GIB, vae.encode, PICTURES, "on")
    assert decoding == {"tile_x": 256, "tile_y": 256, "overlap": 64}
    assert encoding == {"tile_x": 2048, "tile_y": 2048, "overlap": 256}


def test_a_tile_is_one_picture_of_the_batch(monkeypatch):
    """A tile's share of 5 GiB is 1.25 GiB: enough to decode one picture (1 GiB), not to encode one (2
    GiB)."""
    assert asked_for(monkeypatch, 5 * GIB, vae.decode, LATENTS, "on")[1]["tile_x"] == 2048 // 8
    assert asked_for(monkeypatch, 5 * GIB, vae.encode, PICTURES, "on")[1]["tile_x"] == 512
