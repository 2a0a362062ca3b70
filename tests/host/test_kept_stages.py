"""A cascade goes on from the stages that an earlier run has finished, and from nobody else's."""

import copy
import gc
import weakref

import comfy.model_management
import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.nodes import cascade_node
from freescale_pack.nodes.cascade import run as cascade_module
from freescale_pack.nodes.cascade.kept import KEPT, KeptStages, Same, origin_of
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.region_nodes import FreeScaleDetailRegion

from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

from .cascades import patched

BASE = 64


@pytest.fixture
def sampled(monkeypatch):
    """Sides of the stages that were sampled; a stage of side `fails["side"]` raises `fails["error"]`
    instead."""
    sides, fails, sample = [], {}, cascade_module.sample

    def noted(stage, latent, callback):
        side = 8 * latent["samples"].shape[-1]
        if fails.get("side") == side:
            fails.pop("side")
            raise fails.pop("error")
        sides.append(side)
        return sample(stage, latent, callback)

    monkeypatch.setattr(cascade_module, "sample", noted)
    noted.sides, noted.fails = sides, fails
    return noted


@pytest.fixture(scope="module")
def links():
    """What the node is linked to; the objects stay the same from run to run, as ComfyUI caches them."""
    model, _, vae = demo_checkpoint()
    return {
        "model": patched(model, base_width=BASE, base_height=BASE),
        "positive": conditioning("red apple"),
        "negative": conditioning(""),
        "vae": vae,
        "latent": {"samples": torch.zeros(1, 4, BASE // 8, BASE // 8)},
    }


def run(links, **changes):
    values = {
        "seed": 3,
        "steps": 4,
        "cfg": 3.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "factor": 4.0,
    }
    return FreeScaleCascade.execute(**{**links, **values, **changes}).result


def taken(sampled):
    """Sides of the stages sampled since the last call."""
    sides = list(sampled.sides)
    sampled.sides.clear()
    return sides


def test_a_larger_factor_samples_the_new_stages_only_and_gives_the_same_bits(links, sampled, caplog):
    caplog.set_level("INFO", logger="FreeScale")
    anew = run(links)
    assert taken(sampled) == [64, 128, 256]
    KEPT.clear()
    run(links, factor=2.0)
    assert taken(sampled) == [64, 128]
    latent, image, images = run(links)
    assert taken(sampled) == [256]
    assert torch.equal(latent["samples"], anew[0]["samples"]) and torch.equal(image, anew[1])
    assert all(torch.equal(got, expected) for got, expected in zip(images, anew[2], strict=True))
    assert "stage 1, 128x128, is kept from an earlier run" in caplog.text


@pytest.mark.parametrize(
    "error",
    [comfy.model_management.InterruptProcessingException(), ZeroDivisionError("another node"), "memory"],
    ids=["cancelled", "failed", "out of memory"],
)
def test_a_run_that_ended_early_costs_the_stage_it_ended_in_only(links, sampled, error):
    memory, before = error == "memory", FreeScaleCascade.fingerprint_inputs(seed=3)
    sampled.fails.update(side=256, error=torch.cuda.OutOfMemoryError("injected") if memory else error)
    if memory:
        assert len(run(links)[2]) == 2
    else:
        with pytest.raises(type(error)):
            run(links)
    assert taken(sampled) == [64, 128]
    # What ended for lack of memory has an output, which ComfyUI would give again and never run the node.
    assert (FreeScaleCascade.fingerprint_inputs(seed=3) != before) == memory
    run(links)
    assert taken(sampled) == [256]


def other_model(links):
    return {"model": patched(links["model"], base_width=BASE, base_height=BASE)}


PLAN = CascadePlan(Size(BASE, BASE), (Size(128, 128), Size(256, 256)))
CHANGES = {
    "model": other_model,
    "positive": lambda links: {"positive": conditioning("red apple")},
    "negative": lambda links: {"negative": conditioning("")},
    "alpha": lambda links: {"model": patched(links["model"], base_width=BASE, base_height=BASE, alpha=1.0)},
    "seed": lambda links: {"seed": 4},
    "steps": lambda links: {"steps": 5},
    "cfg": lambda links: {"cfg": 2.0},
    "sampler": lambda links: {"sampler_name": "dpmpp_2m"},
    "scheduler": lambda links: {"scheduler": "karras"},
    "batch": lambda links: {"latent": {"samples": torch.zeros(2, 4, BASE // 8, BASE // 8)}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_is_taken_from_a_run_with_another(links, sampled, what):
    run(links)
    taken(sampled)
    run(links, **CHANGES[what](links))
    assert taken(sampled) == [64, 128, 256]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"restart": 0.5}, [128, 256]),
        ({"method": "lanczos"}, [128, 256]),
        ({"tiling": "on"}, [128, 256]),
        ({"steps": 6}, [128, 256]),
        ({"stages": (Size(128, 128), Size(192, 192))}, [192]),
    ],
    ids=str,
)
def test_a_changed_plan_samples_the_stages_it_changes(links, sampled, changes, expected):
    run(links, plan=PLAN)
    taken(sampled)
    run(links, plan=CascadePlan(**{"base": PLAN.base, "stages": PLAN.stages, **changes}))
    assert taken(sampled) == expected


def test_a_finished_latent_or_an_image_is_the_same_only_if_it_is_the_very_same(links, sampled):
    for name, value in (
        ("latent", {"samples": torch.ones(1, 4, 8, 8)}),
        ("image", torch.rand(1, BASE, BASE, 3)),
    ):
        starts = {"latent": None, "image": None, name: value}
        copied = value.clone() if name == "image" else {"samples": value["samples"].clone()}
        for start, expected in ((value, [128]), (value, []), (copied, [128])):
            run(links, **{**starts, name: start}, factor=2.0)
            assert taken(sampled) == expected


def test_a_thing_that_is_gone_equals_nothing_and_is_not_kept_alive():
    thing = torch.zeros(1)
    one, other = Same(thing), Same(thing)
    assert one == other and hash(one) == hash(other) and one != Same(torch.zeros(1))
    del thing
    gc.collect()
    assert one != other


def test_the_latents_used_least_recently_go_beyond_the_limit():
    kept, samples = KeptStages(max_bytes=100), torch.zeros(10)
    for key in ("a", "b"):
        kept.put(key, samples)
    kept.get("a")
    kept.put("c", samples)
    assert [key for key in ("a", "b", "c") if kept.get(key) is not None] == ["a", "c"]


def test_what_nothing_can_match_any_more_goes():
    kept, thing = KeptStages(), torch.zeros(1)
    kept.put(("stage", (Same(thing), 1)), torch.zeros(10))
    del thing
    gc.collect()
    kept.put("other", torch.zeros(10))
    assert len(kept) == 1


def test_masks_of_regions_are_not_kept_alive(links):
    mask = torch.ones(1, 8, 8)
    regions = FreeScaleDetailRegion.execute(mask, 2.0, 0.0, False).result[0]
    held = weakref.ref(regions[0])
    model = patched(links["model"], base_width=BASE, base_height=BASE, detail_regions=regions)
    run(links, model=model, factor=2.0)
    del model, regions
    gc.collect()
    assert held() is None


def test_who_changes_a_returned_latent_changes_no_kept_one(links, sampled):
    first = run(links, factor=2.0)[0]["samples"]
    expected = first.clone()
    first.zero_()
    again = run(links, factor=2.0)[0]["samples"]
    assert torch.equal(again, expected)
    again.zero_()
    assert torch.equal(run(links, factor=2.0)[0]["samples"], expected)
    assert taken(sampled) == [64, 128]


def test_an_empty_latent_of_another_precision_is_another(links, sampled):
    """Noise is drawn in its precision."""
    run(links, factor=2.0)
    taken(sampled)
    run(links, factor=2.0, latent={"samples": links["latent"]["samples"].half()})
    assert taken(sampled) == [64, 128]


def test_a_cascade_whose_latents_do_not_fit_is_sampled_anew_without_an_error(links, sampled, monkeypatch):
    monkeypatch.setattr(cascade_module, "KEPT", KeptStages(max_bytes=1))
    for _ in range(2):
        run(links)
        assert taken(sampled) == [64, 128, 256]


PROMPT = {
    "1": {"class_type": "Loader", "inputs": {"name": "a"}},
    "2": {"class_type": "Tiles", "inputs": {"model": ["1", 0], "mode": "on"}},
    "3": {"class_type": "Text", "inputs": {"text": "x"}},
    "9": {"class_type": "FreeScaleCascade", "inputs": {"model": ["2", 0], "plan": ["3", 0], "seed": 1}},
}


@pytest.mark.parametrize(
    ("node", "name", "value", "is_other"),
    [
        ("2", "mode", "off", True),
        ("1", "name", "b", True),
        ("3", "text", "y", False),
        ("9", "seed", 2, False),
    ],
)
def test_what_a_model_comes_from_tells_models_apart_that_a_node_has_changed_in_place(
    node, name, value, is_other
):
    changed = copy.deepcopy(PROMPT)
    changed[node]["inputs"][name] = value
    same = origin_of(PROMPT, "9", ("model",))
    assert same == origin_of(copy.deepcopy(PROMPT), "9", ("model",)) and hash(same) is not None
    assert (origin_of(changed, "9", ("model",)) != same) == is_other


def test_a_model_that_a_node_has_changed_in_place_is_another(links, sampled, monkeypatch):
    for origin, expected in (("off", [64, 128]), ("off", []), ("on", [64, 128])):
        monkeypatch.setattr(cascade_node, "_origin", lambda hidden, origin=origin: origin)
        run(links, factor=2.0)
        assert taken(sampled) == expected


def test_without_a_server_there_is_no_prompt():
    assert origin_of(None, None, ("model",)) is None and origin_of(PROMPT, "77", ("model",)) is None
