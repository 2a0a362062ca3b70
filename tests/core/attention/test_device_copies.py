"""Which copies to a device go without waiting, on devices that this machine does not have."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from freescale_core.attention.overlapping import window_attention
from freescale_core.attention.windows import WindowGrid, window_rng
from freescale_core.geometry import Size


class Pretended(TorchFunctionMode):
    """Makes every tensor say that it lies on `name`, though it stays on the CPU.

    copies: non_blocking of each copy to that device.
    """

    def __init__(self, name):
        super().__init__()
        self.device, self.copies = torch.device(name), []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func == torch.Tensor.device.__get__:
            return self.device
        if func is torch.Tensor.to and self.device in args:
            self.copies.append(kwargs.get("non_blocking", False))
            return args[0]
        if kwargs.get("device") == self.device:
            del kwargs["device"]
        return func(*args, **kwargs)


@pytest.mark.parametrize(
    ("device", "without_waiting"),
    [("cuda", True), ("meta", True), ("mps", False), ("xpu", False), ("cpu", False)],
)
def test_memory_that_is_freed_at_once_is_copied_without_waiting_only_where_that_is_safe(
    device, without_waiting
):
    """Apple's GPUs read the memory later, when something else may lie in it. The mean would then be wrong."""
    grid, x = WindowGrid(Size(8, 8), Size(4, 4)), torch.ones(1, 64, 4)
    with Pretended(device) as pretended:
        window_attention(x, x, x, grid.grid, grid.draw(window_rng(0, 1.0)), grid.jitter, lambda q, k, v: v)
    # the windows' corners, and how often each token was attended
    assert pretended.copies == [without_waiting] * 2
