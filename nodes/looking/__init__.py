"""Looking at a running node: what it has told, over a local control socket and as metrics (docs/operate.md)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from nodes.config import Config
from nodes.stations.notes import Say

__all__ = ["open_look"]


@asynccontextmanager
async def open_look(config: Config, say: Say) -> AsyncGenerator[Say]:  # noqa: ARG001  # see the configuration
    """Open what others look through; the station says everything to what this yields."""
    yield say
