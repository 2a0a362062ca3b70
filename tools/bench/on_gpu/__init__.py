"""Times and checks FreeScale on a GPU: python3 dev.py bench gpu."""
