"""The command line of a clone: `python run.py --help`. After `pip install .` the same is called `marinecv`."""

import sys

from pipelines.cli import main

if __name__ == "__main__":
    sys.exit(main())
