"""What dev.py does: set-up of a ComfyUI host, test tiers, checks.

Standard library only; needs no host to be imported.
"""
