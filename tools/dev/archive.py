"""What the registry's archive would hold. The same files give the same bytes, at any time and place.

`python -m tools.dev.archive FILE` writes it.
"""

import sys
import zipfile
from pathlib import Path

from tools import ROOT
from tools.dev.registry_rules import archive_files

FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can say."""
READABLE = 0o100644 << 16


def build_archive(root: Path, archive: Path) -> None:
    """Write what the registry publishes of a checkout: names sorted, without dates and owners."""
    with zipfile.ZipFile(archive, "w") as out:
        for name in archive_files(root):
            entry = zipfile.ZipInfo(name, FIRST_DATE)
            entry.external_attr, entry.create_system = READABLE, 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, (root / name).read_bytes())


if __name__ == "__main__":
    build_archive(ROOT, Path(sys.argv[1]))
