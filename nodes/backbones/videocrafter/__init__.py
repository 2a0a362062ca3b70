"""VideoCrafter2, text to video, on ComfyUI's own UNet and samplers. The frames of one video are a batch.

network     the UNet: ComfyUI's layers for images, and what lies over time between them
schedule    noise levels whose signal is scaled down (the scale array)
ddim        the authors' sampler with eta
model       what ComfyUI asks of a model: conditioning, frames per second, checks
checkpoint  reads a file's layout, and refuses other models by name
loading     a file -> MODEL, CLIP, VAE
"""
