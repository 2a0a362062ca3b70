"""FreeScale (Qiu et al., ICCV 2025, arXiv 2412.09626), independent of any host.

Needs torch, numpy, kornia and einops only. Costly operations come in as callables (`attend(q, k, v)`).

    geometry    sizes, latent cells, scale, dilation factor, kernel size, the token grid of a UNet level
    settings    what a user can choose, as frozen and checked data
    presets     settings by name: model families, speeds
    schedule    noise level <-> timestep, and the step at which a stage restarts
    dilation    restrained dilated convolution, eq. 5, always undone
    detail      eq. 4: pull x towards the noised, upsampled latent; alpha as a number or as a map of regions
    masks       masks of any size on the grid of a stage or of a UNet level
    attention/  scale fusion, eq. 7, and prompts of regions
    rope/       rotary positions of transformers above their training size
    planning/   sizes, cost and memory of a cascade before it runs
"""
