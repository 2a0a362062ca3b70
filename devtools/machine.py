"""What the machine must offer before anything is started."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from pathlib import Path

from .errors import DevError

BROWSER_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
BROWSER_FILES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)


def require_venv() -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise DevError(f"Expected a Python with the venv module, got one without {names}: install it (Debian: apt install python3-venv).")


def require_disk(folder: Path, gigabytes: float) -> None:
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise DevError(f"Expected {gigabytes:g} GB of free disk for {folder}, got {free:.1f} GB: free some space and run this again.")


def require_free_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise DevError(f"Expected a free port, got {port}, which is in use: end the program there or choose another with --port.")


def require_browser() -> str:
    """The Chromium, Chrome or Edge that FREESCALE_BROWSER names, else the first one in a usual place."""
    named = os.environ.get("FREESCALE_BROWSER")
    found = shutil.which(named) if named else _usual_browser()
    if found is None:
        got = f"FREESCALE_BROWSER={named}, which is no program" if named else "none"
        raise DevError(
            f"Expected Chromium or Chrome for the browser tests, got {got}: install it (Debian: apt install chromium), name it in "
            "FREESCALE_BROWSER, or leave the tier out (dev.py test core host server)."
        )
    return found


def _usual_browser() -> str | None:
    places = (shutil.which(name) for name in (*BROWSER_COMMANDS, *BROWSER_FILES))
    return next((place for place in places if place is not None), None)
