"""The one developer command: python3 dev.py --help."""

import sys

if sys.version_info < (3, 10):
    sys.exit(
        "dev.py needs Python 3.10 or newer, got %d.%d: start it with a newer one, as in 'python3.11 dev.py'."
        % sys.version_info[:2]
    )

from tools.dev.cli import main  # noqa: E402 (only a new enough Python can read it)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
