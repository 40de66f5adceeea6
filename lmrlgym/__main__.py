"""`python -m lmrlgym` is the console script `lmrlgym`."""

import sys

from lmrlgym.cli import main

if __name__ == "__main__":
    sys.exit(main())
