"""A Chromium for the browser tests: an installed one, else one fetched into .dev, else Debian's package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tools.dev import npm_chromium
from tools.dev.environments import DEV_REQUIREMENTS, playwright_node
from tools.dev.errors import DevError, reason_of
from tools.dev.lock import exclusive
from tools.dev.paths import DEV
from tools.dev.process import attempt, clean_environment
from tools.dev.steps import digest, is_done, mark_done, progress, remove

LOCK = DEV / "lock"
FOLDER = DEV / "browser"
PROGRAM = "program"
"""The file in FOLDER that holds the fetched browser's path, seen from FOLDER."""
COMMANDS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "msedge"),
)
FILES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
VERSION_SECONDS = 60.0
ANSWER_SECONDS = 5  # playwright asks five times
ASK_PATH = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


def ensure_browser(python: Path) -> str:
    """The path of a Chromium, Chrome or Edge that starts. python: the interpreter that has playwright."""
    found = named_browser() or _present()
    if found is not None:
        return found
    with exclusive(LOCK):
        return _present() or _fetched(python)


def named_browser() -> str | None:
    """The absolute path of the browser that FREESCALE_BROWSER names; None if it names none.

    No other one replaces a wrong name.
    """
    name = os.environ.get("FREESCALE_BROWSER")
    if not name:
        return None
    program = shutil.which(name)
    if program is None or not starts(program):
        got = "is no program" if program is None else "does not start"
        raise DevError(
            f"Expected Chromium or Chrome for the browser tests, got FREESCALE_BROWSER={name}, which {got}: "
            "name one that tells its --version, or unset it to have one fetched."
        )
    return os.path.abspath(program)


def starts(program: str | Path) -> bool:
    """Whether a browser tells its version, hence finds its libraries."""
    if sys.platform == "win32":
        return Path(program).is_file()  # asked for its version, Chrome would open a window there
    quiet = subprocess.DEVNULL
    command = [str(program), "--version"]
    try:
        done = subprocess.run(command, timeout=VERSION_SECONDS, stdin=quiet, stdout=quiet, stderr=quiet)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _present() -> str | None:
    """An installed browser, or the one fetched earlier."""
    found = _installed()
    if found is None and is_done(FOLDER, _inputs()):
        fetched = FOLDER / (FOLDER / PROGRAM).read_text()
        found = str(fetched) if starts(fetched) else None
    return found


def _installed() -> str | None:
    places = (shutil.which(name) for name in (*COMMANDS, *FILES))
    return next((place for place in places if place is not None and starts(place)), None)


def _inputs() -> str:
    tools = DEV_REQUIREMENTS.read_text().splitlines()
    return digest(*(line for line in tools if line.startswith("playwright==")), npm_chromium.INPUTS)


def _fetched(python: Path) -> str:
    """Go through the ways until one gives a browser that starts."""
    ways: dict[str, Callable[[Path], str]] = {
        "playwright's download": _by_playwright,
        f"npm's package {npm_chromium.PACKAGE}": _by_npm,
        "apt-get install chromium": _by_apt,
    }
    reasons = []
    for name, way in ways.items():
        try:
            with progress(f"Chromium by {name}"):
                return way(python)
        except Exception as error:  # whatever it is, the next way may still work
            reasons.append(f"{name}: {reason_of(error)}")
    raise DevError(
        f"Expected Chromium or Chrome for the browser tests, got none ({'; '.join(reasons)}): "
        "install one, name it in FREESCALE_BROWSER, or leave the tier out (dev.py test core host server)."
    )


def _by_playwright(python: Path) -> str:
    remove(FOLDER)
    node, folder = playwright_node(python), {"PLAYWRIGHT_BROWSERS_PATH": str(FOLDER)}
    patience = {"PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": str(ANSWER_SECONDS * 1000)}
    # Not `python -m playwright`: its node goes on after a kill of that python and does not hold the lock.
    command: list[str | Path] = [
        node,
        node.parent / "package" / "cli.js",
        "install",
        "--no-shell",
        "chromium",
    ]
    attempt(command, "browser-playwright", folder | patience)
    ask = [str(python), "-c", ASK_PATH]
    answer = subprocess.run(ask, env=clean_environment() | folder, capture_output=True, text=True, check=True)
    return _kept(Path(answer.stdout.strip()))


def _by_npm(python: Path) -> str:
    npm_chromium.require_its_platform()
    remove(FOLDER)
    npm_chromium.fetch(FOLDER)
    start = npm_chromium.install(FOLDER, playwright_node(python))
    if not starts(start):
        npm_chromium.add_libraries(FOLDER)
    return _kept(start)


def _by_apt(python: Path) -> str:
    apt = shutil.which("apt-get")
    if apt is None or sys.platform == "win32" or os.geteuid() != 0:
        raise DevError("for root on Debian only")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with suppress(DevError):  # one dead source fails it; the package lists that are there may do
        attempt([apt, "update", "-qq"], "browser-apt-update", quiet)
    install = [apt, "install", "-y", "-qq", "--no-install-recommends", "chromium"]
    attempt(install, "browser-apt-install", quiet)
    found = _installed()
    if found is None:
        raise DevError("it does not start")
    return found


def _kept(program: Path) -> str:
    """Stamp FOLDER as done if the browser `program` in it starts."""
    if not starts(program):
        raise DevError("it does not start")
    (FOLDER / PROGRAM).write_text(str(program.relative_to(FOLDER)))
    mark_done(FOLDER, _inputs())
    return str(program)
