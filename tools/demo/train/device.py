"""Where training runs: the weights are on one device; pictures, noise and draws are made on the CPU."""

import torch


def device_of(module: torch.nn.Module) -> torch.device:
    return next(module.parameters()).device
