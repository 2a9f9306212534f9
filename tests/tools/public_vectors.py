"""Where the public vector files are: $AEROLINK_VECTORS, or ../shared/vectors beside the repository."""

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("AEROLINK_VECTORS") or Path(__file__).parents[3] / "shared" / "vectors")


def vector_files(folder: str, pattern: str) -> list[Any]:
    """One test parameter per file; one that skips if the folder is missing; an empty folder is a failure."""
    where = ROOT / folder
    if not where.is_dir():
        reason = f"no public vectors in {where} (set AEROLINK_VECTORS)"
        return [pytest.param(where, id=folder, marks=pytest.mark.skip(reason=reason))]
    files = sorted(where.glob(pattern))
    if not files:
        raise FileNotFoundError(f"{where} has no {pattern}: vectors must not vanish in silence")
    return [pytest.param(path, id=path.name) for path in files]
