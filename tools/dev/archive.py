"""What the registry's archive will hold: git's files without those that .comfyignore (gitignore syntax)
names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tools.dev.errors import DevError


def archive_files(root: Path) -> list[str]:
    """Paths of the published files, relative to `root`.

    Files not added to git yet count, so that a check sees them in time.
    """
    files = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    present = sorted({name for name in files if name and (root / name).is_file()})
    ignore = f"core.excludesFile={root / '.comfyignore'}"
    dropped = _git(
        root, "-c", ignore, "check-ignore", "--no-index", "--stdin", "-z", text="\0".join(present)
    ).split("\0")
    return [name for name in present if name not in set(dropped)]


def _git(root: Path, *arguments: str, text: str = "") -> str:
    git = shutil.which("git")
    if git is None:
        raise DevError("Expected git to list the published files, found none: install it and run this again.")
    done = subprocess.run(
        [git, *arguments], cwd=root, input=text, capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode > 1:  # check-ignore ends with 1 when it ignores none
        raise DevError(
            f"Expected git to list the files of {root}, got: {done.stderr.strip()}: check is for a git "
            "checkout."
        )
    return done.stdout
