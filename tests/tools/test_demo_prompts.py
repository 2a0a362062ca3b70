"""tools/harness/demo_prompts.py: what changes when a prompt for SDXL goes to the demo model, and what does
not."""

from tools.harness.demo_prompts import CHECKPOINT, CONTROL_NET, for_demo_model


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


PROMPT = {
    "1": node("CheckpointLoaderSimple", ckpt_name="sd_xl_base_1.0.safetensors"),
    "2": node("CLIPTextEncode", text="a fox", clip=["1", 1]),
    "3": node("CLIPTextEncode", text="blurry", clip=["1", 1]),
    "4": node("EmptyLatentImage", width=1216, height=832, batch_size=1),
    "5": node("FreeScaleModelPatch", alpha=2.0, base_width=0, base_height=0, speed="Exact"),
    "6": node("KSampler", seed=42, steps=50, cfg=7.5, positive=["2", 0], negative=["3", 0]),
    "7": node("KSamplerAdvanced", noise_seed=43, steps=50, start_at_step=15, latent_image=["6", 0]),
    "8": node("FreeScalePlan", target="megapixels", megapixels=4.0, width=2048, later_steps=0),
    "9": node("FreeScaleUpscale", width=0, height=["8", 1], tiling="auto"),
    "10": node("FreeU", b1=1.1, s2=0.4),
    "11": node("ControlNetLoader", control_net_name="canny_sdxl.safetensors"),
    "12": node("MaskComposite", destination=["13", 0], source=["14", 0], x=512, y=0, operation="add"),
    "15": node("FreeScaleDetailRegion", mask=["12", 0], alpha=3.0, feather=0.1),
    "16": node("CLIPTextEncode", text="snow", clip=["1", 1]),
    "17": node("FreeScalePromptRegion", conditioning=["16", 0], mask=["12", 0], strength=1.0),
}


def mapped(**options):
    prompt = for_demo_model(PROMPT, **({"steps": 4} | options))
    return {node_id: node["inputs"] for node_id, node in prompt.items()}


def test_the_checkpoint_and_what_it_needs():
    inputs = mapped()
    assert inputs["1"] == {"ckpt_name": CHECKPOINT}
    assert inputs["11"] == {"control_net_name": CONTROL_NET}
    assert inputs["5"] == {"alpha": 0.5, "base_width": 256, "base_height": 256, "speed": "Exact"}
    assert inputs["6"]["cfg"] == 3.0
    assert inputs["10"] == {"b1": 1.0, "s2": 1.0}


def test_alphas_of_regions_stay_in_proportion():
    assert mapped()["15"] == {"mask": ["12", 0], "alpha": 0.75, "feather": 0.1}


def test_sizes_shrink_in_proportion_zero_and_links_stay():
    assert mapped()["4"] == {"width": 304, "height": 208, "batch_size": 1}
    assert mapped(base_side=128)["4"] == {"width": 152, "height": 104, "batch_size": 1}
    assert mapped()["8"] == {"target": "megapixels", "megapixels": 0.25, "width": 512, "later_steps": 0}
    assert mapped()["9"] == {"width": 0, "height": ["8", 1], "tiling": "auto"}
    assert (mapped()["12"]["x"], mapped()["12"]["y"]) == (128, 0)


def test_steps_shrink_and_the_start_with_them():
    assert (mapped()["6"]["steps"], mapped()["7"]["steps"], mapped()["7"]["start_at_step"]) == (4, 4, 1)
    assert (mapped(steps=100)["7"]["steps"], mapped(steps=100)["7"]["start_at_step"]) == (50, 15)


def test_texts_and_seeds_only_on_demand():
    assert (mapped()["2"]["text"], mapped()["3"]["text"]) == ("a fox", "")
    assert mapped(text="a dog")["2"]["text"] == "a dog"
    assert mapped(text="a dog")["16"]["text"] == "snow"
    assert mapped(region_text="ice")["16"]["text"] == "ice"
    assert (mapped()["6"]["seed"], mapped()["7"]["noise_seed"]) == (42, 43)
    assert (mapped(seed=7)["6"]["seed"], mapped(seed=7)["7"]["noise_seed"]) == (7, 8)


def test_the_prompt_itself_stays():
    mapped()
    assert PROMPT["6"]["inputs"]["steps"] == 50
