"""Writes locales/en from the nodes' schemas: python3 dev.py locales. Chinese is written by hand; test_locales.py says what it lacks."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tests.host.conftest  # noqa: E402, F401, I001 (puts the host on the path, hence first)

# isort: split
from tests.host.test_locales import english  # noqa: E402

if __name__ == "__main__":
    file = ROOT / "locales" / "en" / "nodeDefs.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(english(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(file.relative_to(ROOT))
