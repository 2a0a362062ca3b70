"""What FreeScale knows of networks. Another family is another file here.

backbone        what a network is, by its structure, and the preset that fits it
unet            Stable Diffusion's UNets: which preset fits, where their layers are
video           video UNets: which of their attention goes from frame to frame
videocrafter    VideoCrafter2, which ComfyUI does not have
transformer     transformers with rotary positions: where their tokens stand
attention_call  what one attention of a UNet says to its patches
"""
