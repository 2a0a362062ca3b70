"""What happens around each model call (the host's APPLY_MODEL wrapper): its noise level is noted, and the UNet is dilated."""

from typing import Any

from torch import Tensor

from ..freescale_core.dilation import dilated
from .stage_run import SIGMA_KEY, StageRun
from .unet import dilation_convs


def apply_model_wrapper(run: StageRun) -> Any:
    """APPLY_MODEL wrapper of one run. The modules come from the executor: several devices may run it at once."""

    def wrapper(
        executor: Any, x: Tensor, t: Tensor, c_concat: Any, c_crossattn: Any, control: Any, transformer_options: Any, **kwargs: Any
    ) -> Any:
        # One host synchronisation per model call; the attention patches read this instead of the tensor.
        sigma = float(t.flatten()[0])
        options = {**transformer_options, SIGMA_KEY: sigma}
        active = run.settings.dilation is not None and sigma >= run.dilation_end_sigma
        with dilated(dilation_convs(executor.class_obj.diffusion_model) if active else (), run.dilation):
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)

    return wrapper
