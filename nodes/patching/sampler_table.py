"""ComfyUI's samplers: which model call opens a step, and which samplers eq. 4 cannot act on."""

from collections.abc import Callable

LATER_CALLS: dict[str, Callable[[int], int]] = {
    "heun": lambda left: 1,
    "heunpp2": lambda left: min(2, left),
    "exp_heun_2_x0": lambda left: 1,
    "exp_heun_2_x0_sde": lambda left: 1,
    "dpm_2": lambda left: 1,
    "dpm_2_ancestral": lambda left: 1,
    "dpmpp_2s_ancestral": lambda left: 1,
    "dpmpp_2s_ancestral_cfg_pp": lambda left: 1,
    "dpmpp_sde": lambda left: 1,
    "dpmpp_sde_gpu": lambda left: 1,
    "seeds_2": lambda left: 1,
    "seeds_3": lambda left: 2,
}
"""How many further model calls a sampler makes within one step (argument: steps left).

Samplers invoke the callback right after the first call of a step, so the next n calls must not be blended.
"""

ONE_CALL = frozenset(
    [
        "euler",
        "euler_cfg_pp",
        "euler_pp",
        "euler_ancestral",
        "euler_ancestral_cfg_pp",
        "lms",
        "dpmpp_2m",
        "dpmpp_2m_cfg_pp",
        "dpmpp_2m_sde",
        "dpmpp_2m_sde_gpu",
        "dpmpp_2m_sde_heun",
        "dpmpp_2m_sde_heun_gpu",
        "dpmpp_3m_sde",
        "dpmpp_3m_sde_gpu",
        "ddpm",
        "lcm",
        "ipndm",
        "ipndm_v",
        "deis",
        "cfgpp_ud10_ab",
        "res_multistep",
        "res_multistep_cfg_pp",
        "res_multistep_ancestral",
        "res_multistep_ancestral_cfg_pp",
        "gradient_estimation",
        "gradient_estimation_cfg_pp",
        "er_sde",
        "videocrafter_ddim",
    ]
)

COPY, PREDICTION, OFF_SCHEDULE = (
    "it shows the model a rescaled copy of the image",
    "it shows the model a guess of the image, not the image",
    "it does not keep to the steps of the schedule",
)
REFUSED = {
    "unipc": ("uni_pc", COPY),
    "unipc_bh2": ("uni_pc_bh2", COPY),
    "sa_solver": ("sa_solver", PREDICTION),
    "sa_solver_pece": ("sa_solver_pece", PREDICTION),
    "dpm_fast_function": ("dpm_fast", OFF_SCHEDULE),
    "dpm_adaptive_function": ("dpm_adaptive", OFF_SCHEDULE),
}
"""Sampler functions that eq. 4 cannot act on: the name users choose, and the reason."""
