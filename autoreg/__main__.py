"""`python -m autoreg`: the command line, without the current directory in front of the import path."""

import os
import sys

if not getattr(sys.flags, "safe_path", False) and sys.path and os.path.realpath(sys.path[0]) == os.getcwd():
    # `-m` puts the current directory first, so that a folder with a file named like one of our imports runs it.
    del sys.path[0]

from autoreg.cli import main

if __name__ == "__main__":
    sys.exit(main())
