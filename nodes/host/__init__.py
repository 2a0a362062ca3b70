"""ComfyUI: what differs between its releases (releases), its noise levels and its types."""
