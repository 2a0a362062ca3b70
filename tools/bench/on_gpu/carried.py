"""Unpacks what `dev.py bench gpu_folder` makes: a ComfyUI and the packages that a plain GPU machine lacks."""

import argparse
import importlib
import importlib.util
import os
import sys
import tarfile
import zipfile
from pathlib import Path

ARCHIVE, WHEELS = "ComfyUI.tar.xz", "wheels"
TREE, SITE = "ComfyUI", "site"

STAND_INS: dict[str, dict[str, tuple[str, ...]]] = {
    "av": {
        "av": (),
        "av.container": ("InputContainer",),
        "av.subtitles.stream": ("SubtitleStream",),
        "av.video.reformatter": ("ColorRange",),
    },
    "comfy_kitchen": {"comfy_kitchen": ()},
    "kornia_rs": {"kornia_rs": ("io",)},
}
"""Modules of absent packages, each with the names that ComfyUI or kornia imports from it unconditionally.

No more than these, so that a use of the package fails rather than gives a wrong result.
Without `comfy_kitchen.tensor` ComfyUI takes its own branch for an absent comfy_kitchen: no quantised formats.
"""


def unpack(folder: Path, into: Path) -> Path:
    """Unpack the carried `folder` below `into` and make its packages importable; the ComfyUI tree."""
    with tarfile.open(folder / ARCHIVE) as archive:
        archive.extractall(into, filter="data")
    site = into / SITE
    site.mkdir(exist_ok=True)
    for wheel in sorted((folder / WHEELS).glob("*.whl")):
        with zipfile.ZipFile(wheel) as contents:
            contents.extractall(site)
    _make_importable(site)
    for package, modules in STAND_INS.items():
        if importlib.util.find_spec(package) is None:
            _write_stand_in(site, modules)
    importlib.invalidate_caches()
    return into / TREE


def comfyui_of(options: argparse.Namespace, into: Path) -> Path:
    """The ComfyUI tree that --carried or --comfyui names; a carried one is unpacked below `into`."""
    if options.carried:
        return unpack(options.carried, into)
    if options.comfyui is None:
        raise SystemExit("Expected --comfyui PATH: the folder of a ComfyUI that runs in this Python.")
    found: Path = options.comfyui
    return found


def _make_importable(site: Path) -> None:
    """Put `site` last, here and in child processes, so that the machine's own packages win.

    PYTHONPATH comes before a child's own packages, but nothing in `site` has the name of one of them.
    """
    sys.path.append(str(site))
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{inherited}{os.pathsep}{site}" if inherited else str(site)


def _write_stand_in(site: Path, modules: dict[str, tuple[str, ...]]) -> None:
    for module, names in modules.items():
        folder = site.joinpath(*module.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        classes = "".join(f"class {name}: ...\n" for name in names)  # ComfyUI has them in annotations.
        (folder / "__init__.py").write_text(classes, encoding="utf-8")
