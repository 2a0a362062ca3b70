"""A device that is full, played at a line of the pack."""

import os
import sys
from collections import Counter
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode

from tools import ROOT

OUR_FOLDERS = (str(ROOT / "nodes"), str(ROOT / "freescale_core"))
BUDGET = "memory_budget.py"


class OurAllocations(TorchFunctionMode):
    """Sees the torch calls that come from lines of the pack; raises out of memory at one of these lines.

    sites: file:line -> how many calls came from it. budget_sites: those that MemoryBudget.within was at work
    for, which tries again with less. in_budget: for each error that was raised, whether it was.
    """

    def __init__(self, fail_at=None, times=10**9, first=0):
        """fail_at: the line; first: how many of its calls pass before; times: how many fail then."""
        super().__init__()
        self.sites, self.budget_sites, self.in_budget = Counter(), set(), []
        self._fail_at, self._times, self._first = fail_at, times, first

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        site, in_budget = _site()
        if site and isinstance(out, torch.Tensor):
            self.sites[site] += 1
            if in_budget:
                self.budget_sites.add(site)
            if site == self._fail_at and self.sites[site] > self._first and len(self.in_budget) < self._times:
                self.in_budget.append(in_budget)
                raise torch.cuda.OutOfMemoryError(f"injected at {site}")
        return out


def _site():
    """file:line of the nearest frame of the pack, and whether the memory budget called it.

    None where ComfyUI's own code lies between: then it is its allocation.
    """
    frame, site = sys._getframe(2), None
    while frame is not None:
        name = frame.f_code.co_filename
        if site is None and name.startswith(OUR_FOLDERS):
            site = f"{Path(name).name}:{frame.f_lineno}"
        if site is None and f"{os.sep}comfy{os.sep}" in name:
            return None, False
        if site is not None and name.endswith(BUDGET) and frame.f_code.co_name == "within":
            return site, True
        frame = frame.f_back
    return site, False
