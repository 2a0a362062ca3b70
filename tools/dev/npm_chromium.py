"""Chromium out of a package of npm's registry, with the font and libraries that a bare machine lacks."""

from __future__ import annotations

import http.client
import os
import platform
import shutil
import sys
import urllib.request
from pathlib import Path

from tools.dev.errors import DevError, reason_of
from tools.dev.process import attempt
from tools.dev.releases import unpack, verify
from tools.dev.steps import remove

PACKAGE, VERSION = "@sparticuz/chromium", "153.0.0"
SHA256 = "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0"
REGISTRY = "https://registry.npmjs.org"
ANSWER_SECONDS = 30
TARBALL = f"{PACKAGE.strip('@').replace('/', '-')}-{VERSION}.tgz"  # as npm pack calls it
PACKED = ("chromium", "fonts.tar", "al2023.tar")  # each with .br after it
UNPACK_BROTLI = """
const fs = require("fs"), brotli = require("zlib").createBrotliDecompress();
const [source, target] = process.argv.slice(1);
const ended = (error) => { if (error) throw error; };
require("stream").pipeline(fs.createReadStream(source), brotli, fs.createWriteStream(target), ended);
"""
# Without any font all text is 0 px wide.
FONTS = """<fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<dir prefix="relative">fonts</dir>
</fontconfig>
"""
START = """#!/bin/sh
here="${0%/*}"
export FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/chromium" "$@"
"""
LIBRARIES = 'export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
INPUTS = SHA256 + FONTS + START + LIBRARIES
"""All that the result depends on."""


def require_its_platform() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise DevError("for Linux on x86-64 only")


def fetch(folder: Path) -> None:
    """Put the package's packed parts into `folder`: by npm, else from the registry that npm is set up for."""
    folder.mkdir(parents=True)
    tarball = folder / TARBALL
    try:
        _npm_pack(folder)
    except (DevError, OSError) as error:
        _download(tarball, reason_of(error))
    verify(tarball, SHA256)
    unpack(tarball, "package/bin/", folder)
    tarball.unlink()


def _npm_pack(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise DevError("no npm")
    cache = folder / "npm-cache"
    command: list[str | Path] = [npm, "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", folder]
    command += ["--cache", cache, "--fetch-retries=0", f"--fetch-timeout={ANSWER_SECONDS * 1000}"]
    # Old releases know no --pack-destination and leave the tarball where they run.
    attempt(command, "browser-npm", folder=folder)
    remove(cache)
    if not (folder / TARBALL).is_file():
        raise DevError(f"npm leaves no {TARBALL}")


def registry() -> str:
    """The registry of npm's own settings, read without npm."""
    file = Path.home() / ".npmrc"
    pairs = [line.partition("=") for line in (file.read_text().splitlines() if file.is_file() else [])]
    of_file = [value.strip().strip("\"'") for name, _, value in pairs if name.strip() == "registry"]
    of_environment = [value for name, value in os.environ.items() if name.lower() == "npm_config_registry"]
    return [*filter(None, of_environment), *of_file, REGISTRY][0]


def install(folder: Path, node: Path) -> Path:
    """Unpack the parts in `folder`; the path of the script that starts Chromium.

    node: a Node.js, which knows brotli; Python's library does not.
    """
    for name in PACKED:
        attempt([node, "-e", UNPACK_BROTLI, folder / f"{name}.br", folder / name], f"browser-unpack-{name}")
    for packed in folder.glob("*.br"):
        packed.unlink()
    unpack(folder / "fonts.tar", "fonts/", folder / "fonts")
    (folder / "fonts.conf").write_text(FONTS)
    start = folder / "start.sh"
    start.write_text(START)
    for program in (start, folder / "chromium"):
        program.chmod(0o755)
    return start


def add_libraries(folder: Path) -> None:
    """Let the script in `folder` start Chromium with the package's libraries before the machine's own."""
    unpack(folder / "al2023.tar", "lib/", folder / "lib")
    (folder / "start.sh").write_text(START.replace("exec", f"{LIBRARIES}exec"))


def _download(target: Path, why: str) -> None:
    """Fetch the tarball without npm. why: what npm failed at, for the error."""
    try:
        url = f"{registry().rstrip('/')}/{PACKAGE}/-/{PACKAGE.split('/')[1]}-{VERSION}.tgz"
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, ValueError, RuntimeError, http.client.HTTPException) as error:
        raise DevError(f"{why}, and the registry gives {reason_of(error)}") from error
