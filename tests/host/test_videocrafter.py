"""VideoCrafter2 as ComfyUI and its other nodes use it: files, precision, windows, fps, LoRA, samplers."""

import sys

import comfy.lora
import comfy.samplers
import comfy.utils
import folder_paths
import pytest
import safetensors.torch
import torch
from comfy import context_windows, model_management
from freescale_pack.nodes.backbones.backbone import require_unet
from freescale_pack.nodes.backbones.videocrafter.checkpoint import unet_config
from freescale_pack.nodes.backbones.videocrafter.loading import load_file, load_model
from freescale_pack.nodes.backbones.videocrafter.network import TemporalTransformer, VideoCrafterUNet
from freescale_pack.nodes.backbones.videocrafter.schedule import scale_array
from freescale_pack.nodes.video_nodes import FreeScaleVideoCrafterLoader, FreeScaleVideoCrafterSampler

from tools.harness.demo_checkpoint import demo_checkpoint
from tools.harness.golden_video_cases import OURS, weights_of

from .test_golden_video import FULL_SIZE
from .video_models import STEPS, relative_error, sample, text_to_video, videocrafter

PREFIX = "model.diffusion_model."
HALF = {torch.float16: 5e-2, torch.bfloat16: 0.3}
"""Most relative error of a run. Rounding a step to 11 or 8 bits, times the guidance, gives about a third."""


@pytest.fixture(scope="module")
def weights():
    return weights_of(OURS)


def published(unet):
    """A network's tensors by their published names."""
    back = {"label_emb.0.": "fps_embedding.", "input_blocks.0.1.": "init_attn.0."}
    return comfy.utils.state_dict_prefix_replace(unet.state_dict(), back)


# --- Files


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_res_blocks": [1, 1], "channel_mult": [1, 3], "transformer_depth": [0, 1],
         "transformer_depth_output": [0, 0, 1, 1]},
        {"model_channels": 64, "num_head_channels": 16, "context_dim": 96, "adm_in_channels": 64,
         "use_linear_in_transformer": False},
    ],
)  # fmt: skip
def test_the_sizes_are_read_off_the_tensors(changes):
    config = {**FULL_SIZE, **changes}
    unet = VideoCrafterUNet(**config, device="meta")
    found = unet_config(published(unet))
    assert {name: found[name] for name in config} == config


@pytest.mark.parametrize("prefix", ["", PREFIX])
@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_a_file_is_loaded_whatever_its_kind_and_names_what_it_lacks(
    tmp_path, weights, caplog, prefix, ending
):
    caplog.set_level("INFO", logger="FreeScale")
    file = tmp_path / f"model.{ending}"
    tensors = {prefix + name: tensor for name, tensor in weights.items()}
    if ending == "ckpt":
        torch.save({"state_dict": tensors, "epoch": 3}, file)
    else:
        safetensors.torch.save_file(tensors, file)
    model, clip, vae = load_file(str(file))
    assert (clip, vae) == (None, None)
    assert "has no text encoder: take Load CLIP" in caplog.text and "has no VAE: take Load VAE" in caplog.text
    state = model.model.diffusion_model.state_dict()
    assert torch.equal(state["label_emb.0.0.weight"].float(), weights["fps_embedding.0.weight"].float())
    assert torch.equal(state["input_blocks.0.1.norm.bias"].float(), weights["init_attn.0.norm.bias"].float())
    require_unet(model, "FreeScale Scale Fusion")


def test_layers_that_get_their_tensors_late_do_not_look_missing(weights, monkeypatch):
    """With DynamicVRAM, which newer hosts have on a GPU, linear layers are built without tensors."""
    usual = load_model(dict(weights), torch.float32).model.diffusion_model.state_dict()
    if (host := sys.modules.get("comfy.memory_management")) is not None:
        monkeypatch.setattr(host, "aimdo_enabled", True)
    late = load_model(dict(weights), torch.float32).model.diffusion_model.state_dict()
    assert usual.keys() == late.keys() and all(torch.equal(late[name], usual[name]) for name in usual)


def test_a_ckpt_that_would_run_code_is_not_loaded(tmp_path, weights):
    file = tmp_path / "model.ckpt"
    torch.save({"state_dict": {**weights, "extra": PurePosixPathLike()}}, file)
    with pytest.raises(Exception, match="eights.only|PurePosixPathLike"):
        load_file(str(file))


class PurePosixPathLike:
    """Any object that is no tensor."""


def test_the_files_own_scale_array_counts(weights):
    own = torch.linspace(1.0, 0.5, 1400)
    model = load_model({**{PREFIX + k: v for k, v in weights.items()}, "scale_arr": own}, torch.float32)
    assert torch.equal(model.model.model_sampling.scale, own[:1000])
    usual = load_model(dict(weights), torch.float32).model.model_sampling
    assert torch.equal(usual.scale, scale_array().float())
    with pytest.raises(ValueError, match="expects scale_arr with at least 1000 numbers above 0, got shape"):
        load_model({**{PREFIX + k: v for k, v in weights.items()}, "scale_arr": own[:10]})


def test_the_vae_of_the_file_comes_with_it(tmp_path, weights):
    vae = demo_checkpoint()[2].first_stage_model.state_dict()
    file = tmp_path / "whole.safetensors"
    whole = {PREFIX + name: tensor for name, tensor in weights.items()}
    whole |= {f"first_stage_model.{name}": tensor.contiguous() for name, tensor in vae.items()}
    safetensors.torch.save_file(whole, file)
    got = load_file(str(file)).vae
    latent = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(got.decode(latent), demo_checkpoint()[2].decode(latent))


# What a file of another model has, and how it is called.
OTHERS = {
    "VideoCrafter 1": {
        "middle_block.2.transformer_blocks.0.attn1.relative_position_k.embeddings_table": (9, 8)
    },
    "VideoCrafter 1, whose layers differ": {"without": "temopral_conv"},
    "an image-to-video model (DynamiCrafter": {"input_blocks.0.0.weight": (32, 8, 3, 3)},
    "an image-to-video model": {"input_blocks.1.1.transformer_blocks.0.attn2.to_k_ip.weight": (32, 40)},
    "image-to-video model (DynamiCrafter, VideoCrafter I2V)": {"image_proj_model.latents": (1, 16, 40)},
    "a Stable Diffusion checkpoint": {"without": ("temopral_conv", "init_attn")},
    "Stable Video Diffusion": {"input_blocks.1.0.time_stack.in_layers.0.weight": (32,)},
    "a motion module of AnimateDiff": {
        "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": (32,)
    },
    "a file in the layout of diffusers": {"down_blocks.0.resnets.0.conv1.weight": (32, 32, 3, 3)},
    "something else": {"without": "input_blocks"},
    "one without fps_embedding.0.weight": {"without": "fps_embedding.0.weight"},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_another_model_is_refused_by_name(weights, name, prefix):
    left_out = OTHERS[name].get("without", ())
    file = {
        prefix + key: tensor
        for key, tensor in weights.items()
        if not any(text in key for text in ((left_out,) if isinstance(left_out, str) else left_out))
    }
    for key, shape in OTHERS[name].items():
        if key != "without":
            file[(prefix if not key.startswith("image_proj") else "") + key] = torch.zeros(shape)
    with pytest.raises(
        ValueError, match=r"^Load VideoCrafter2 expects the checkpoint of VideoCrafter2"
    ) as error:
        load_model(file)
    assert f"got {name}" in str(error.value) or name in str(error.value)


def test_a_damaged_file_is_refused_and_not_loaded_in_part(weights):
    for broken in (
        {name: tensor for name, tensor in weights.items() if name != "out.2.bias"},
        {**weights, "out.3.bias": torch.zeros(3)},
        {**weights, "out.0.bias": torch.zeros(3)},
    ):
        with pytest.raises(
            ValueError, match=r"expects 1482 tensors of the UNet, got 148[123], .*out\.\d\.bias"
        ):
            load_model(broken)


def test_the_node_loads_from_the_checkpoints_folder(tmp_path, weights, monkeypatch):
    safetensors.torch.save_file(dict(weights), tmp_path / "videocrafter2.safetensors")
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "checkpoints", ([str(tmp_path)], {".safetensors"})
    )
    folder_paths.filename_list_cache.pop("checkpoints", None)
    model, clip, vae = FreeScaleVideoCrafterLoader.execute("videocrafter2.safetensors").result
    folder_paths.filename_list_cache.pop("checkpoints", None)
    assert isinstance(model.model.diffusion_model, VideoCrafterUNet)
    assert (clip, vae) == (None, None)


# --- Sampling


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_gives_nearly_the_same_video(dtype, weights, monkeypatch):
    run = text_to_video()
    expected = sample(videocrafter(), *run)
    # ComfyUI would compute in float32 on a CPU.
    monkeypatch.setattr(model_management, "unet_manual_cast", lambda *args: None)
    model = load_model(dict(weights), dtype)
    assert (model.model.get_dtype(), model.model.manual_cast_dtype) == (dtype, None)
    got = sample(model, *run)
    assert got.dtype == torch.float32
    assert 0 < relative_error(got, expected) < HALF[dtype]


def test_every_layer_with_weights_can_stay_offloaded(weights, monkeypatch):
    """ComfyUI moves a layer that found no room by the layer's own casting, which plain torch layers lack."""
    stuck = [layer for layer in _layers(videocrafter()) if not hasattr(layer, "comfy_cast_weights")]
    assert stuck == []
    expected = sample(videocrafter(), *text_to_video())
    model = load_model(dict(weights), torch.float32)
    offloaded = []

    def load(models, *args, **more):
        for patcher in models:
            patcher.load(patcher.load_device, lowvram_model_memory=100_000)
        offloaded.append(sum(layer.comfy_cast_weights for layer in _layers(model)))

    monkeypatch.setattr(model_management, "load_models_gpu", load)
    assert torch.equal(sample(model, *text_to_video()), expected)
    assert offloaded[0] > 300


def _layers(model):
    """Those of the network that hold weights themselves."""
    return [layer for layer in model.model.diffusion_model.modules() if layer._parameters]


def test_cond_and_uncond_apart_equal_both_at_once(monkeypatch):
    together = sample(videocrafter(), *text_to_video())
    monkeypatch.setattr(
        type(videocrafter().model), "memory_required", lambda self, shape, **sizes: 1e30 * (shape[0] > 3)
    )
    assert relative_error(sample(videocrafter(), *text_to_video()), together) < 1e-5


def test_the_frames_per_second_of_the_conditioning_count():
    slow, fast = (sample(videocrafter(), *text_to_video(fps=fps)) for fps in (8, 28))
    assert relative_error(slow, fast) > 1e-3


@pytest.mark.parametrize("causal_fix", [False, True])
def test_context_windows_over_the_frames_run(causal_fix):
    """With its causal fix ComfyUI adds a frame to a window, of which the conditioning knows nothing."""
    positive, negative, latent = text_to_video(frames=6)
    model = videocrafter().clone()
    schedule = context_windows.get_matching_context_schedule(context_windows.ContextSchedules.STATIC_STANDARD)
    fuse = context_windows.get_matching_fuse_method(context_windows.ContextFuseMethods.PYRAMID)
    more = {"causal_window_fix": causal_fix} if "causal_window_fix" in HANDLER_OPTIONS else {}
    model.model_options["context_handler"] = context_windows.IndexListContextHandler(
        schedule, fuse, context_length=4, context_overlap=2, dim=0, **more
    )
    context_windows.create_prepare_sampling_wrapper(model)
    # With as many noise levels as frames, for older hosts compare them one by one.
    got = sample(model, positive, negative, latent, steps=5)
    assert got.shape == latent["samples"].shape
    assert got.isfinite().all()
    assert relative_error(got, sample(videocrafter(), positive, negative, latent, steps=5)) > 1e-3


HANDLER_OPTIONS = context_windows.IndexListContextHandler.__init__.__code__.co_varnames


@pytest.mark.parametrize("shape", [(1, 4, 3, 8, 16), (1, 16, 3, 8, 16)])
def test_a_latent_of_another_kind_of_video_model_is_refused(shape):
    positive, negative, _ = text_to_video()
    latent = torch.zeros(shape)
    with pytest.raises(
        ValueError, match=r"take VideoCrafter2 Text to Video, or Empty Latent Image with batch"
    ):
        sample(videocrafter(), positive, negative, {"samples": latent})


def test_odd_grids_run():
    out = sample(videocrafter(), *text_to_video(8 * 17, 8 * 11, frames=2))
    assert out.shape == (2, 4, 11, 17)
    assert out.isfinite().all()


def test_stable_diffusions_lora_names_fit_the_layers_it_shares():
    keys = comfy.lora.model_lora_keys_unet(videocrafter().model, {})
    named = {
        "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q":
            "diffusion_model.input_blocks.2.1.transformer_blocks.0.attn1.to_q.weight",
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k":
            "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight",
        "lora_unet_up_blocks_1_attentions_2_proj_in": "diffusion_model.output_blocks.5.1.proj_in.weight",
    }  # fmt: skip
    assert {name: keys[name] for name in named} == named
    assert set(named.values()) <= {
        f"diffusion_model.{k}" for k in videocrafter().model.diffusion_model.state_dict()
    }


def test_patches_of_attention_reach_each_image_transformer_once_and_in_order():
    """Attention over time is no place for them, nor does it count as a transformer."""
    seen = []

    def patch(q, k, v, options):
        seen.append((options["block"], options["transformer_index"], q.shape[1]))
        return q, k, v

    model = videocrafter().clone()
    model.set_model_attn1_patch(patch)
    sample(model, *text_to_video())
    spatial = [layer for layer in model.model.diffusion_model.modules() if hasattr(layer, "proj_in")]
    count = sum(not isinstance(layer, TemporalTransformer) for layer in spatial)
    assert [index for _, index, _ in seen[:count]] == list(range(count))
    assert min(tokens for *_, tokens in seen) == 2  # The middle block's grid, not the three frames.


def test_a_run_from_nothing_starts_with_variance_one_before_the_network():
    """Whatever timestep it starts at; stock models get noise times sigma there."""
    schedule = videocrafter().model.model_sampling
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for t in (999, 981, 300):
        sigma = schedule.sigmas[t]
        x = schedule.noise_scaling(sigma, noise, torch.zeros_like(noise))
        assert relative_error(schedule.calculate_input(sigma, x), noise) < 1e-6
    batch = schedule.sigmas[[300, 500]]
    each = [schedule.noise_scaling(sigma, noise[[i]], noise[[i]]) for i, sigma in enumerate(batch)]
    assert torch.equal(schedule.noise_scaling(batch, noise, noise), torch.cat(each))


def test_ancestral_noise_is_the_seeds_own_and_eta_0_is_euler():
    model = videocrafter()
    positive, negative, latent = text_to_video()
    sigmas = comfy.samplers.calculate_sigmas(model.model.model_sampling, "ddim_uniform", STEPS)

    def run(eta, seed):
        sampler = FreeScaleVideoCrafterSampler.execute(eta).result[0]
        noise = comfy.sample.prepare_noise(latent["samples"], 5)
        return comfy.sample.sample_custom(
            model,
            noise,
            3.0,
            sampler,
            sigmas,
            positive,
            negative,
            latent["samples"],
            disable_pbar=True,
            seed=seed,
        )

    state = torch.get_rng_state()
    noisy = run(1.0, 5)
    assert torch.equal(run(1.0, 5), noisy)
    assert relative_error(run(1.0, 6), noisy) > 1e-2
    assert torch.equal(torch.get_rng_state(), state)
    assert relative_error(run(0.0, 5), sample(model, positive, negative, latent)) < 1e-5


def test_the_authors_sampler_refuses_other_models():
    model = demo_checkpoint()[0]
    sampler = FreeScaleVideoCrafterSampler.execute(1.0).result[0]
    latent = torch.zeros(1, 4, 8, 8)
    sigmas = comfy.samplers.calculate_sigmas(model.model.model_sampling, "ddim_uniform", 4)
    with pytest.raises(
        ValueError, match="VideoCrafter2 Sampler expects a model of Load VideoCrafter2, got anot"
    ):
        sampler.sampler_function(stand_in(model.model), latent, sigmas)


def stand_in(base):
    """The two shells around a model that samplers look through."""
    return type("Shell", (), {"inner_model": type("Shell", (), {"inner_model": base})})
