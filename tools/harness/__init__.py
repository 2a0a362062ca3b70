"""A real ComfyUI for tests, benchmarks and demos.

in_process       ComfyUI on the CPU in this process, with the pack loaded: importing it does that
pack             the pack, loaded as ComfyUI loads it
server_command   how ComfyUI is started as a server
comfy_server     such a server as a child process
comfy_client     its HTTP interface and its websocket
comfy_page       its web page in a browser
workflow         saved workflows as prompts
demo_checkpoint  the demo model in this process
demo_prompts     prompts and workflows, changed so that the demo model can run them
batch_command    freescale_batch as a process, and whom it started
batch_place      a folder in which it runs stand-ins of a server
batch_stand_in   such a stand-in
tiny_unet        the random UNet of the golden data
golden_cases     the golden data, and how the pack computes the same
"""
