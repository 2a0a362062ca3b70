"""What happens around each model call (ComfyUI's APPLY_MODEL wrapper): its noise level is noted, and the UNet is dilated."""

from typing import Any

from torch import Tensor

from ..freescale_core.dilation import dilated
from ..freescale_core.geometry import Size
from .attention_call import PREFERRED_KEY, SIGMA_KEY
from .stage_run import StageRun
from .unet import dilation_convs, preferred_attention


class DilatedCalls:
    """APPLY_MODEL wrapper of one run. The modules come from the executor: several devices may run it at once.

    ran: whether any model call came through, which is not so where another node runs the UNet's layers itself.
    """

    def __init__(self, run: StageRun) -> None:
        self._run = run
        self.ran = False

    def __call__(
        self, executor: Any, x: Tensor, t: Tensor, c_concat: Any, c_crossattn: Any, control: Any, transformer_options: Any, **kwargs: Any
    ) -> Any:
        self.ran = True
        # One wait for the GPU per model call; the attention patches read this instead of the tensor. ComfyUI's t is a sigma.
        sigma = float(t.flatten()[0])
        unet = executor.class_obj.diffusion_model
        options = {**transformer_options, SIGMA_KEY: sigma, PREFERRED_KEY: preferred_attention(unet)}
        # The call's own size decides: tiles, crops and areas of the base size are ordinary calls.
        run, size = self._run, Size(*x.shape[2:])
        active = run.acts_on(size) and run.is_on(run.settings.dilation, sigma)
        with dilated(dilation_convs(unet) if active else (), run.dilation_of(size)):
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
