"""Eq. 5 around each model call (ComfyUI's APPLY_MODEL wrapper).

The call's noise level is with_call_facts on the way, and attention over time is marked for the patches.
"""

from typing import Any

from torch import Tensor

from ...freescale_core.dilation import dilated
from ...freescale_core.geometry import Size, dilation_factor
from ...freescale_core.settings import DilationSettings
from ..backbones.attention_call import with_call_facts
from ..backbones.unet import dilation_convs
from ..backbones.video import attention_over_time_marked
from .sampler_run import SamplerRun


class DilatedCalls:
    """APPLY_MODEL wrapper of one run. The modules come from the executor: several devices may run it at once.

    ran: whether any model call came through, which is not so where another node runs the UNet's layers
    itself.
    """

    def __init__(self, run: SamplerRun, settings: DilationSettings | None) -> None:
        """settings: None = the convolutions stay as they are."""
        self._run, self._settings = run, settings
        self.ran = False

    def __call__(
        self,
        executor: Any,
        x: Tensor,
        t: Tensor,
        c_concat: Any,
        c_crossattn: Any,
        control: Any,
        transformer_options: dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        self.ran = True
        # One wait for the GPU per model call; the attention patches read this number instead of the tensor.
        sigma = float(t.flatten()[0])  # ComfyUI's t is a noise level here, not a timestep.
        unet = executor.class_obj.diffusion_model
        options = with_call_facts(transformer_options, unet, sigma)
        factor = self.factor(Size(*x.shape[2:]), sigma)
        convolutions = () if factor is None else dilation_convs(unet)
        with dilated(convolutions, factor or 1), attention_over_time_marked(unet):
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)

    def factor(self, size: Size, sigma: float) -> int | None:
        """d of eq. 5 for a model call on `size` latent cells; None = it is not dilated.

        The call's own size decides: tiles, crops and areas of the base size are ordinary calls.
        """
        if (
            self._settings is None
            or not self._run.acts_on(size)
            or not self._run.is_on(self._settings, sigma)
        ):
            return None
        return self._settings.factor or dilation_factor(self._run.scale_of(size))
