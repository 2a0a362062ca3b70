"""What is left out where it cannot run."""

import sys

if sys.platform == "win32":
    collect_ignore = ["test_browser.py"]  # its fake programs are shell scripts
