"""The demo: a tiny SDXL, a client for a real ComfyUI server, and the script that makes pictures with both."""
