"""`python -m qwen3moe`."""

import sys

from qwen3moe.cli import main

if __name__ == "__main__":
    sys.exit(main())
