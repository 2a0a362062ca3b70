"""FreeScale (Qiu et al., ICCV 2025, arXiv 2412.09626), independent of any host.

Needs torch, numpy, kornia and einops only. Costly operations come in as callables (`attend(q, k, v)`).

    geometry          sizes, scale, dilation factor, kernel size, the token grid of a UNet level
    stages            which sizes a cascade goes through, and the step at which a stage restarts
    plan              a whole cascade as data
    plan_report       a plan in numbers and as text, before it runs
    cost              what SDXL's UNet takes at a size: operations and memory
    windows           overlapping windows with seeded jitter
    window_gather     the tokens of many windows, by a table of token numbers
    window_attention  the local branch of scale fusion
    chunked_attention the global branch of scale fusion, a few queries at a time
    strided_attention the cheap global branch of scale fusion ("fast")
    neighbourhood_attention
                      a cheaper local branch
    gaussian_blur     low-pass over token grids, 2-D and 3-D
    scale_fusion      eq. 7: low frequencies of local minus global, added to global
    dilation          restrained dilated convolution, eq. 5, always undone
    detail_blend      eq. 4: pull x towards the noised, upsampled latent
    detail_regions    alpha as a map: soft masks, one on top of the other
    prompt_regions    cross-attention with another text inside masks
    masks             masks of any size on the grid of a stage or a UNet level
    settings, presets what a user can choose, as frozen data
"""
