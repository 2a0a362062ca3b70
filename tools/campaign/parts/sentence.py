"""What an error of the pack says."""

import re

SENTENCE = re.compile(r"(FreeScale|VideoCrafter2)[^\n]+: [a-z][^\n]+")
"""What is wrong, then what to do."""
