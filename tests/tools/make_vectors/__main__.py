"""Write every file of specs/vectors, or of another folder."""

import sys
from pathlib import Path

from tests.tools.make_vectors.files import FOLDER, make

if __name__ == "__main__":
    make(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
