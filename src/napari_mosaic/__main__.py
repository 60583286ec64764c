"""`python -m napari_mosaic`: the command line."""

import sys

from napari_mosaic.cli import main

if __name__ == "__main__":
    sys.exit(main())
