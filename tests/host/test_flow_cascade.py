"""The cascade and the blend of eq. 4 on flow models: images and videos, cells of 8 and 16 pixels."""

import dataclasses

import comfy.samplers
import pytest
import torch
from comfy_extras.nodes_model_advanced import ModelSamplingSD3
from freescale_pack.freescale_core.detail import blend_weight
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.presets import PRESETS
from freescale_pack.freescale_core.settings import (
    DetailRegion,
    DetailSettings,
    FreeScaleSettings,
    RopeSettings,
)
from freescale_pack.nodes.backbones.backbone import auto_preset, backbone_of
from freescale_pack.nodes.cascade.stages import SamplerChoice, Stage
from freescale_pack.nodes.cascade.upscale import resize_latent
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.host.noise_level import timestep, variance_exploding_sigma
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.part_nodes import FreeScaleDilatedConv, FreeScaleRoPE, FreeScaleScaleFusion
from freescale_pack.nodes.patching.detail_blend import with_detail_blend
from freescale_pack.nodes.patching.model import settings_of, with_settings
from freescale_pack.nodes.plan_node import FreeScalePlan
from freescale_pack.nodes.upscale_node import FreeScaleUpscale

import nodes as host_nodes
from tools.harness.demo_checkpoint import demo_checkpoint
from tools.harness.tiny_transformers import TinyVae, latent, prompt, tiny_transformer

STEPS, SEED = 4, 11
IMAGES = ["FLUX", "Qwen-Image", "Lumina 2", "Z-Image", "SD3.5"]
CELL = {"Wan 2.2 5B": 16}


def vae_of(family):
    channels = 48 if family == "Wan 2.2 5B" else 16
    return TinyVae(channels, CELL.get(family, 8), frames=family.startswith(("Wan", "Qwen")))


def patched(family, **changes):
    cell = CELL.get(family, 8)
    values = {"alpha": 0.5, "base_width": 12 * cell, "base_height": 8 * cell, "rope": "by preset", **changes}
    return FreeScaleModelPatch.execute(tiny_transformer(family), "Auto", "Exact", **values).result[0]


def cascade(model, family, factor=2.0, **start):
    return FreeScaleCascade.execute(
        model, prompt(), prompt(6), vae_of(family), SEED, STEPS, 1.0, "euler", "simple", factor, **start
    ).result


def empty(family):
    return {"samples": torch.zeros_like(latent(family, 8, 12))}


@pytest.mark.parametrize("family", IMAGES)
def test_the_cascade_equals_the_explicit_graph_bit_for_bit(family):
    model, vae, texts = patched(family), vae_of(family), (prompt(), prompt(6))
    start = empty(family)
    before = host_nodes.KSampler().sample(model, SEED, STEPS, 1.0, "euler", "simple", *texts, start)[0]
    first = Stage(model, settings_of(model), *texts, SamplerChoice(SEED, STEPS, 1.0, "euler", "simple"))
    for r, size in enumerate(((192, 128), (384, 256)), start=1):
        up = FreeScaleUpscale.execute(vae, 2.0, *size, "bicubic", "off", samples=before).result[0]
        before = host_nodes.KSamplerAdvanced().sample(
            model,
            "enable",
            SEED + r,
            STEPS,
            1.0,
            "euler",
            "simple",
            *texts,
            up,
            first.restarted(0.3).start_step,
            10000,
            "disable",
        )[0]
    found, image, stages = cascade(model, family, factor=4.0, latent=start)
    assert torch.equal(found["samples"], before["samples"])
    assert tuple(image.shape) == (1, 256, 384, 3)
    assert [tuple(stage.shape[1:3]) for stage in stages] == [(64, 96), (128, 192), (256, 384)]
    assert found["samples"].isfinite().all()


@pytest.mark.parametrize("family", ["Wan", "Wan 2.2 5B"])
def test_a_video_grows_in_the_latent_and_is_decoded_once(family):
    model, vae, texts, cell = patched(family), vae_of(family), (prompt(), prompt(6)), CELL.get(family, 8)
    start = empty(family)
    before = host_nodes.KSampler().sample(model, SEED, STEPS, 1.0, "euler", "simple", *texts, start)[0]
    stage = Stage(model, settings_of(model), *texts, SamplerChoice(SEED, STEPS, 1.0, "euler", "simple"))
    up = {"samples": resize_latent(before["samples"], Size(16, 24), "latent bilinear")}
    wanted = host_nodes.KSamplerAdvanced().sample(
        model,
        "enable",
        SEED + 1,
        STEPS,
        1.0,
        "euler",
        "simple",
        *texts,
        up,
        stage.restarted(0.3).start_step,
        10000,
        "disable",
    )[0]
    found, image, stages = FreeScaleCascade.execute(
        model, *texts, vae, SEED, STEPS, 1.0, "euler", "simple", 2.0, latent=start
    ).result
    assert torch.equal(found["samples"], wanted["samples"])
    assert tuple(found["samples"].shape[2:]) == (2, 16, 24)
    assert tuple(image.shape) == (2, 16 * cell, 24 * cell, 3)
    assert vae.encoded == [] and len(vae.decoded) == 1 and len(stages) == 1


def test_frames_that_come_in_are_one_video():
    model, vae = patched("Wan"), vae_of("Wan")
    frames = torch.rand(3, 64, 96, 3, generator=torch.Generator().manual_seed(0))
    found = cascade(model, "Wan", image=frames)[0]
    assert tuple(found["samples"].shape) == (1, 16, 3, 16, 24)
    del vae


def test_a_stage_of_frames_that_came_in_is_kept():
    """They are encoded anew in every run."""
    model, vae, texts, calls = patched("Wan").clone(), vae_of("Wan"), (prompt(), prompt(6)), []

    def call(apply, args):
        calls.append(args["timestep"])
        return apply(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(call)
    frames = torch.rand(3, 64, 96, 3, generator=torch.Generator().manual_seed(0))
    settings = (SEED, STEPS, 1.0, "euler", "simple", 2.0)
    first = FreeScaleCascade.execute(model, *texts, vae, *settings, image=frames).result[0]
    done = len(calls)
    again = FreeScaleCascade.execute(model, *texts, vae, *settings, image=frames).result[0]
    assert torch.equal(again["samples"], first["samples"])
    assert len(calls) == done > 0


def test_latents_are_enlarged_frame_by_frame_as_torch_does_it():
    video = latent("Wan", 5, 7, frames=3)
    wanted = torch.nn.functional.interpolate(
        video.movedim(2, 1).flatten(0, 1), (12, 13), mode="bilinear", align_corners=False
    )
    got = resize_latent(video, Size(12, 13), "latent bilinear")
    assert torch.equal(got, wanted.unflatten(0, (1, 3)).movedim(1, 2))
    up = FreeScaleUpscale.execute(
        vae_of("Wan"), 2.0, 104, 96, "latent bilinear", "auto", samples={"samples": video}
    ).result[0]
    assert torch.equal(up["samples"], got)


def test_a_video_is_not_enlarged_by_a_method_of_images():
    with pytest.raises(ValueError, match="expects method latent bilinear for a video, got bicubic"):
        FreeScaleUpscale.execute(
            vae_of("Wan"), 2.0, 0, 0, "bicubic", "auto", samples={"samples": latent("Wan", 8, 12)}
        )


def test_a_flow_model_restarts_at_the_noise_of_the_authors():
    """t 681, where SDXL restarts with 50 steps, is sigma 0.756 of a flow model."""
    sampling = tiny_transformer("FLUX").get_model_object("model_sampling")
    assert timestep(sampling, 0.756) == pytest.approx(681, abs=1)
    for scheduler in ("simple", "beta", "sgm_uniform"):
        stage = Stage(
            tiny_transformer("FLUX"),
            PRESETS["FLUX.1, Chroma"],
            prompt(),
            prompt(6),
            SamplerChoice(0, 30, 1.0, "euler", scheduler),
        )
        step = stage.restarted(0.3).start_step
        t = [timestep(sampling, sigma) for sigma in stage.sigmas()[:-1].tolist()]
        assert t[step] <= 700.01 < t[step - 1]


@pytest.mark.parametrize("shift", [3.0, 5.0, 8.0, 12.0])
def test_later_stages_of_wan_begin_below_the_hand_over_of_its_two_experts(shift):
    (model,) = ModelSamplingSD3().patch(tiny_transformer("Wan"), shift)
    choice = SamplerChoice(0, 40, 1.0, "euler", "simple")
    stage = Stage(model, PRESETS["Wan 720p (1280x720)"], prompt(), prompt(6), choice).restarted(0.3)
    sigmas = stage.sigmas().tolist()
    assert sigmas[stage.start_step] < 0.77 < sigmas[stage.start_step - 1] < 0.875


@pytest.mark.parametrize("family", ["FLUX", "Wan"])
def test_the_blend_is_eq_4_for_images_and_videos(family):
    """Three Euler steps by hand; the model under the sampler says that nothing is noise."""
    sampling = tiny_transformer(family).get_model_object("model_sampling")
    z, noise = latent(family, 8, 12), latent(family, 8, 12, seed=2)
    sigmas = torch.tensor([0.9, 0.7, 0.4, 0.0])

    class Still:
        latent_image, inner_model = z, None

        def __call__(self, x, sigma, **kwargs):
            return 0.5 * x

    euler = with_detail_blend(comfy.samplers.sampler_object("euler"), DetailSettings(2.0), noise, sampling)
    got = euler.sampler_function(Still(), noise.clone(), sigmas, disable=True)
    x = noise.clone()
    for sigma, after in zip(sigmas.tolist(), sigmas.tolist()[1:], strict=False):
        c = blend_weight(variance_exploding_sigma(sampling, sigma), 2.0)
        x = (1 - c) * x + c * ((1 - sigma) * z + sigma * noise)
        x = x + (x - 0.5 * x) / sigma * (after - sigma)
    assert torch.allclose(got, x, atol=1e-5)


@pytest.mark.parametrize("family", ["FLUX", "Wan"])
def test_a_detail_region_equals_a_run_with_its_alpha_to_the_bit(family):
    start = {"samples": latent(family, 8, 12)}
    whole = DetailRegion(torch.ones(1, 4, 6), 0.4)

    def run(detail):
        model = tiny_transformer(family)
        base = Size(64, 96)
        settings = FreeScaleSettings(base=base, fusion=None, dilation=None, detail=detail)
        return cascade(with_settings(model, settings), family, latent=start)[0]["samples"]

    by_region, plain = run(DetailSettings(3.0, (whole,))), run(DetailSettings(0.4))
    assert torch.equal(by_region, plain)
    assert not torch.equal(plain, run(DetailSettings(3.0)))


@pytest.mark.parametrize(
    ("family", "preset"),
    [
        ("FLUX", "FLUX.1, Chroma"),
        ("Qwen-Image", "Qwen-Image"),
        ("Lumina 2", "Lumina 2, Z-Image"),
        ("Z-Image", "Lumina 2, Z-Image"),
        ("Wan", "Wan 720p (1280x720)"),
        ("Wan 2.2 5B", "Wan 2.2 5B (1280x704)"),
        ("SD3.5", "SD3.5"),
    ],
)
def test_auto_knows_the_preset(family, preset):
    assert auto_preset(tiny_transformer(family)) is PRESETS[preset]


def test_a_network_that_another_pack_has_wrapped_gets_its_preset_without_positions(monkeypatch):
    model = tiny_transformer("FLUX")
    embedder = model.model.diffusion_model.pe_embedder
    monkeypatch.delattr(model.model.diffusion_model, "pe_embedder")
    assert auto_preset(model) == dataclasses.replace(PRESETS["FLUX.1, Chroma"], rope=None)
    for preset, size in (("Auto", 0), ("FLUX.1, Chroma", 0), ("Custom", 1024)):
        patched = FreeScaleModelPatch.execute(model, preset, "Exact", 2.0, size, size).result[0]
        assert settings_of(patched).rope is None
    model.model.diffusion_model.pe_embedder = embedder
    assert auto_preset(model) is PRESETS["FLUX.1, Chroma"]


def test_the_part_node_sets_each_number_of_the_positions():
    widgets = {i.id: i.default for i in FreeScaleRoPE.define_schema().inputs if i.id != "model"}
    assert settings_of(FreeScaleRoPE.execute(tiny_transformer("FLUX"), **widgets).result[0]) == (
        dataclasses.replace(PRESETS["FLUX.1, Chroma"], detail=None)
    )
    sizes = {"tile": Size(12, 21), "threshold": Size(9, 16), "max_relative": Size(44, 79)}
    for name, (height, width) in sizes.items():
        widgets |= {f"{name}_height": height, f"{name}_width": width}
    changes = {"mode": "rectified", "temperature": "number", "temperature_factor": 1.1, "end_percent": 0.5}
    before = patched("Wan", alpha=0.7)
    found = settings_of(FreeScaleRoPE.execute(before, **widgets | changes).result[0])
    rope = RopeSettings("rectified", temperature=1.1, end_percent=0.5, **sizes)
    assert found == dataclasses.replace(settings_of(before), rope=rope)
    assert settings_of(FreeScaleRoPE.execute(before, **widgets | {"mode": "off"}).result[0]).rope is None


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (FreeScaleScaleFusion, "FreeScale Scale Fusion needs a Stable Diffusion UNet .*, got Flux with Flux"),
        (FreeScaleDilatedConv, "FreeScale Dilated Conv needs a Stable Diffusion UNet .*, got Flux with Flux"),
    ],
)
def test_parts_of_a_unet_refuse_a_transformer_by_name(node, said):
    widgets = {i.id: i.default for i in node.define_schema().inputs if i.id != "model"}
    with pytest.raises(ValueError, match=said):
        node.execute(tiny_transformer("FLUX"), **widgets)


def test_what_has_no_positions_to_turn_is_refused_by_name():
    widgets = {i.id: i.default for i in FreeScaleRoPE.define_schema().inputs if i.id != "model"}
    for model, said in (
        (tiny_transformer("SD3.5"), "rotary positions over y and x .*, got .*: set rope to off"),
        (demo_checkpoint()[0], "rotary positions over y and x .*, got UNetModel: set rope to off"),
    ):
        with pytest.raises(ValueError, match=said):
            FreeScaleRoPE.execute(model, **widgets)
    dype, scaled = tiny_transformer("FLUX").clone(), tiny_transformer("FLUX").clone()
    dype.add_object_patch("diffusion_model.pe_embedder", torch.nn.Identity())
    scaled.model_options["transformer_options"]["rope_options"] = {"scale_x": 0.5}
    for model, said in ((dype, "got Identity of another node"), (scaled, "got those of a ScaleROPE node")):
        with pytest.raises(ValueError, match=said):
            FreeScaleRoPE.execute(model, **widgets)


def test_a_preset_of_another_kind_of_network_is_refused():
    with pytest.raises(ValueError, match="preset SDXL is for Stable Diffusion UNets, got Flux with Flux"):
        FreeScaleModelPatch.execute(tiny_transformer("FLUX"), "SDXL", "Exact", 2.0, 0, 0)
    with pytest.raises(ValueError, match="preset SD3.5 is for models without a UNet, got SDXL with UNet"):
        FreeScaleModelPatch.execute(demo_checkpoint()[0], "SD3.5", "Exact", 2.0, 0, 0)


@pytest.mark.parametrize(
    ("preset", "wide", "base"),
    [
        ("Wan 720p (1280x720)", Size(1440, 2560), Size(720, 1280)),
        ("Wan 720p (1280x720)", Size(2560, 1440), Size(1280, 720)),
        ("Wan 2.1 1.3B (832x480)", Size(960, 1664), Size(480, 832)),
        ("Wan 2.2 5B (1280x704)", Size(1408, 2560), Size(704, 1280)),
        ("Qwen-Image", Size(2656, 2656), Size(1328, 1328)),
        ("FLUX.1, Chroma", Size(2048, 2048), Size(1024, 1024)),
    ],
)
def test_a_preset_has_the_models_training_size(preset, wide, base):
    assert PRESETS[preset].base_for(wide) == base


@pytest.mark.parametrize(
    ("family", "cell", "multiple", "is_video"),
    [
        ("FLUX", 8, 16, False),
        ("Qwen-Image", 8, 16, False),
        ("Wan", 8, 16, True),
        ("Wan 2.2 5B", 16, 32, True),
    ],
)
def test_cells_and_tokens_come_from_the_model(family, cell, multiple, is_video):
    found = backbone_of(tiny_transformer(family))
    assert (found.cell, found.multiple, found.is_video) == (cell, multiple, is_video)


def test_a_plan_is_rounded_to_the_models_tokens():
    plan = FreeScalePlan.execute(
        96, 64, "width x height", 2.0, 4.0, 200, 136, "2", -1.0, "bicubic", "auto", 0, *["as in stage 0"] * 2
    ).result[0]
    found = cascade(patched("FLUX"), "FLUX", latent=empty("FLUX"), plan=plan)[0]
    assert tuple(found["samples"].shape[-2:]) == (18, 26)


def test_sd35_beyond_its_table_of_positions_is_refused_before_the_model_runs():
    with pytest.raises(ValueError, match="table of positions for sides of up to 384 pixels, got 768"):
        cascade(patched("SD3.5"), "SD3.5", factor=8.0, latent=empty("SD3.5"))


def test_image_to_video_is_refused_in_the_cascade():
    positive = [[prompt()[0][0], {**prompt()[0][1], "concat_latent_image": latent("Wan", 8, 12)}]]
    with pytest.raises(ValueError, match="expects conditioning without an image of image-to-video"):
        FreeScaleCascade.execute(
            patched("Wan"),
            positive,
            prompt(6),
            vae_of("Wan"),
            SEED,
            STEPS,
            1.0,
            "euler",
            "simple",
            2.0,
            latent=empty("Wan"),
        )
