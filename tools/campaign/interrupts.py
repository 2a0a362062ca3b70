"""Cancel, or an error, at a random operation anywhere in a random run.

Afterwards the model, its options, the convolutions and the global generators are bit-identical to before, and
the next run equals an undisturbed one.
"""

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack)

# isort: split
import random

import torch
from comfy.model_management import InterruptProcessingException
from freescale_pack.nodes.cascade.kept import KEPT
from torch.utils._python_dispatch import TorchDispatchMode

from tools.campaign.parts.model_state import Generators, ModelState
from tools.campaign.parts.subjects import random_subject
from tools.campaign.runner import CaseResult


class Stop(BaseException):
    """Ends a run as Ctrl-C does."""


ERRORS = {"Cancel": InterruptProcessingException, "error": RuntimeError, "stop": Stop}


class Operations(TorchDispatchMode):
    """Counts the operations of torch, and raises `error` in place of one of them."""

    def __init__(self, fail_at=None, error=None):
        super().__init__()
        self.count, self.fail_at, self.error = 0, fail_at, error

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        if self.count == self.fail_at:
            raise self.error
        return function(*args, **(kwargs or {}))


def run_case(draw: random.Random):
    with torch.inference_mode():
        return disturbed(random_subject(draw), draw)


def disturbed(subject, draw: random.Random):
    """Run a subject undisturbed, ended at an operation, and undisturbed again."""
    expected = _anew(subject)
    with Operations() as operations:  # The first run makes what later ones find, so it has more of them.
        _anew(subject)
    KEPT.clear()
    name, fail_at = draw.choice(sorted(ERRORS)), draw.randrange(1, operations.count + 1)
    interrupt = Operations(fail_at, ERRORS[name]("injected"))
    model, generators = ModelState(subject.model), Generators()
    raised = _raised(subject, generators, interrupt)
    changed = model.changes() + generators.changes()
    if draw.random() < 0.5:
        KEPT.clear()  # Otherwise the next run goes on from the finished stages.
    again = subject.run()
    if len(again) != len(expected) or not all(map(torch.equal, again, expected)):
        changed.append("the next run")
    if raised is not interrupt.error:
        changed.append(f"{name}, which came out as {raised!r}")
    place = f"{name} at operation {fail_at} of {operations.count}"
    return CaseResult(subject.name, name, f"{place} changed {', '.join(changed)}" if changed else None)


def _anew(subject):
    """A run that finds no stages of an earlier one."""
    KEPT.clear()
    return subject.run()


def _raised(subject, generators, operations):
    """What a run raises, None if nothing."""
    try:
        with generators.watched(), operations:
            subject.run()
    except KeyboardInterrupt:
        raise  # The user's, who wants the campaign to end.
    except BaseException as raised:
        # The error and its frames are a cycle that keeps the run's models: ComfyUI would take them for leaks.
        raised.__traceback__ = None
        return raised
    return None
