"""A slice of every campaign, and that each finds what is broken. `dev.py campaign` runs them for longer."""

import contextlib
import random

import pytest
import torch
from freescale_pack.nodes.backbones.unet import dilation_convs

from tools.campaign import interrupts
from tools.campaign.subjects import KINDS, Subject


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_interrupts_change_nothing(kind, seed):
    draw = random.Random(seed)
    outcome = interrupts.disturbed(kind(draw), draw)
    assert outcome.found is None


class Leaves:
    """A run of a few operations that does something to the model when it begins, and undoes it at its end."""

    def __init__(self, model, leave):
        self.subject, self._leave, self._undo = Subject("toy", model, self.run), leave, []

    def run(self):
        self._undo.append(self._leave(self.subject.model))
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
