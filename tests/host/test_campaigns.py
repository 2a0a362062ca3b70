"""A slice of every campaign, and that each finds what is broken. `dev.py campaign` runs them for longer."""

import contextlib
import math
import random
from itertools import islice

import pytest
import torch
from aiohttp import web
from freescale_pack.freescale_core.masks import repeat_to
from freescale_pack.nodes import part_nodes, plan_node
from freescale_pack.nodes.backbones.unet import dilation_convs
from freescale_pack.nodes.host.releases import CatchOutOfMemory
from freescale_pack.nodes.patching import memory_budget
from freescale_pack.nodes.patching.memory_budget import MemoryBudget

from tools.campaign import fuzz, interrupts, memory, route
from tools.campaign.parts import values
from tools.campaign.parts.subjects import KINDS, Subject, image_cascade
from tools.campaign.runner import lines_of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_interrupts_change_nothing(kind, seed):
    draw = random.Random(seed)
    outcome = interrupts.disturbed(kind(draw), draw)
    assert outcome.found is None


def test_lack_of_memory_changes_no_more_than_rounding():
    """Every ending is among these cases; with seed 5, a cascade ends before its first image."""
    endings = set()
    for kind in KINDS:
        draw = random.Random(5 if kind is image_cascade else 3)
        result = memory.full(kind(draw), draw)
        assert result.found is None, result
        endings.add(result.ending)
    assert endings == {"smaller pieces", "finished stages", "passed on"}


def first_lines(campaign, cases, seed=5):
    return list(islice(lines_of(campaign, seed), cases))


def test_random_inputs_get_a_result_or_a_sentence():
    lines = first_lines(fuzz.run_case, 60)
    assert [line for line in lines if line.found] == []
    assert {line.ending for line in lines} == {"result", "sentence"}


def test_random_requests_get_an_answer():
    lines = first_lines(route.run_case, 120)
    assert [line for line in lines if line.found] == []
    assert {line.ending for line in lines} >= {"200", "400", "405"}


class Leaves:
    """A run of a few operations that does something to the model when it begins, and undoes it at its end."""

    def __init__(self, model, leave):
        self.subject, self._leave, self._undo = Subject("toy", model, self.run), leave, []

    def begin(self):
        self._undo.append(self._leave(self.subject.model))

    def run(self):
        self.begin()
        found = sum(torch.ones(2) for _ in range(8))
        self._undo.pop()()
        return (found,)

    def clean_up(self):
        for undo in self._undo:
            undo()


def dilate(model):
    conv = dilation_convs(model.model.diffusion_model)[0]
    before, conv.dilation = conv.dilation, (5, 5)
    return lambda: setattr(conv, "dilation", before)


def add_an_option(model):
    model.model_options["left"] = 1
    return lambda: model.model_options.pop("left", None)


def hook(model):
    return model.model.register_forward_hook(print).remove


def take_over_a_method(model):
    model.model.forward = print
    return lambda: vars(model.model).pop("forward", None)


def change_a_weight(model):
    weight = next(model.model.parameters())
    before = weight.data.clone()
    weight.data.zero_()
    return lambda: weight.data.copy_(before)


def draw_globally(model):
    before = random.getstate()
    random.random()
    return lambda: random.setstate(before)


@pytest.mark.parametrize(
    ("leave", "named"),
    [
        (dilate, "convolutions"),
        (add_an_option, "model options"),
        (hook, "hooks"),
        (take_over_a_method, "forward methods"),
        (change_a_weight, "weights"),
        (draw_globally, "Python's generator"),
    ],
)
def test_the_interrupts_find_what_a_run_leaves_behind(model, leave, named):
    toy = Leaves(model, leave)
    try:
        outcome = interrupts.disturbed(toy.subject, random.Random(1))
    finally:
        toy.clean_up()
    assert outcome.found and named in outcome.found


def test_the_interrupts_find_an_error_that_is_swallowed(model):
    def run():
        with contextlib.suppress(BaseException):
            return (torch.ones(2) + 1,)
        return (torch.zeros(0),)

    outcome = interrupts.disturbed(Subject("toy", model, run), random.Random(1))
    assert outcome.found and "which came out as None" in outcome.found


def test_the_interrupts_end_with_ctrl_c(model):
    runs = []

    def run():
        runs.append(1)
        if len(runs) == 3:  # two are undisturbed
            raise KeyboardInterrupt
        return (torch.ones(2) + 1,)

    with pytest.raises(KeyboardInterrupt):
        interrupts.disturbed(Subject("toy", model, run), random.Random(1))
    assert len(runs) == 3


KEPT_TENSORS = []


def budgeted(model, compute):
    """A run of one allocation of the pack, within a budget. compute: of the bytes it may take."""

    def run():
        return (MemoryBudget(lambda device: 2**40).within(compute, 2**20, torch.device("cpu")),)

    return Subject("toy", model, run)


def steady(size):
    return repeat_to(torch.ones(1, 3), 2)


def by_size(size):
    return repeat_to(torch.ones(1, 3) * size, 2)


def hoarding(size):
    KEPT_TENSORS.append(torch.ones(3))
    return steady(size)


@pytest.mark.parametrize(
    ("compute", "catch", "named"),
    [
        (steady, CatchOutOfMemory, None),
        (steady, contextlib.nullcontext, "an error where smaller pieces were due"),
        (by_size, CatchOutOfMemory, "an error of"),
        (hoarding, CatchOutOfMemory, "tensors left alive"),
    ],
)
def test_lack_of_memory_finds_what_is_broken(model, monkeypatch, compute, catch, named):
    monkeypatch.setattr(memory_budget, "CatchOutOfMemory", catch)
    monkeypatch.setattr(memory, "TIMES", {"once": 1})
    outcome = memory.full(budgeted(model, compute), random.Random(1))
    assert outcome.ending == ("passed on" if catch is contextlib.nullcontext else "smaller pieces")
    assert (named is None) == (outcome.found is None) and (named or "") in str(outcome.found)


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "ending", "named"),
    [
        (lambda: torch.ones(1), "result", None),
        (lambda: torch.ones(1) / 0, "result", "an image that is not finite"),
        (raising(ValueError("FreeScale Plan expects a, got b: choose a.")), "sentence", None),
        (raising(ValueError("shapes differ")), "sentence", "an unclear sentence: shapes differ"),
        (raising(ValueError("FreeScale expects a, got b")), "sentence", "an unclear sentence"),
        (raising(ValueError("FreeScale expects a:\nchoose a.")), "sentence", "an unclear sentence"),
        (raising(TypeError("no iterable")), "error", "TypeError at test_campaigns.py"),
        (raising(KeyError("latent")), "error", "KeyError"),
    ],
)
def test_the_fuzz_finds_errors_of_another_kind(model, run, ending, named):
    (line,) = first_lines(lambda draw: fuzz.tried("toy", model, run), 1)
    assert line.ending == ending
    assert (named is None) == (line.found is None) and (named or "") in str(line.found)


def test_the_fuzz_finds_a_changed_model(model):
    toy = Leaves(model, dilate)
    try:
        outcome = fuzz.tried("toy", model, toy.begin)
    finally:
        toy.clean_up()
    assert outcome.found == "changed convolutions"


def test_the_fuzz_finds_a_check_that_is_left_out(monkeypatch):
    for nodes in (part_nodes, plan_node):
        monkeypatch.setattr(nodes, "expect_inputs", lambda schema, **values: None)
    monkeypatch.setattr(values, "STRANGE_SHARE", 0.5)
    found = [line.found for line in first_lines(fuzz.counting_node, 60) if line.found]
    assert any(line.startswith("TypeError") for line in found)


async def crashes(request):
    raise KeyError("factor")


async def gives_nan(request):
    return web.json_response({"stages": [math.nan]})


async def gives_much(request):
    return web.json_response({"message": "x" * 10**6})


async def gives_no_sentence(request):
    return web.json_response({"error": "a\nb"}, status=400)


async def reads_a_file(request):
    with open(__file__) as file:
        return web.json_response({"message": file.read()[:10]})


async def keeps_something(request):
    route.KEPT.unfinished += 1
    return web.json_response({"message": "kept"})


@pytest.mark.parametrize(
    ("respond", "named"),
    [
        (crashes, "gave 500"),
        (gives_nan, "NaN is no JSON"),
        (gives_much, "bytes"),
        (gives_no_sentence, "gave 400 without a sentence"),
        (reads_a_file, "opened "),
        (keeps_something, "changed what the server keeps"),
    ],
)
def test_the_requests_find_an_answer_that_is_wrong(respond, named):
    assert named in route.asked("GET", "factor=2", respond).found
