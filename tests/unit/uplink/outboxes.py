"""Both outboxes for the same tests, and a child process that fills one until it is killed."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from nodes.uplink.outbox import MemoryOutbox, Outbox, OutboxLimits, ParcelKind
from nodes.uplink.outboxfile import SqliteOutbox

KINDS = ("memory", "sqlite")


@asynccontextmanager
async def outbox_of(kind: str, folder: Path, limits: OutboxLimits | None = None) -> AsyncGenerator[Outbox]:
    """Open an outbox; the file is the same at each call."""
    outbox: Outbox = MemoryOutbox(limits) if kind == "memory" else await SqliteOutbox.open(folder / "outbox.db", limits)
    try:
        yield outbox
    finally:
        await outbox.aclose()


async def fill(path: Path) -> None:
    """Put parcels for ever, acknowledge each third; say what is durable once it is."""
    outbox = await SqliteOutbox.open(path)
    while True:
        sequence = await outbox.put(ParcelKind.TELEMETRY, lambda _name, number: b"%d" % number, 2)
        _say(f"put {sequence}")
        if sequence % 3 == 0:
            await outbox.acknowledge(ParcelKind.TELEMETRY, sequence - 2)
            _say(f"acknowledged {sequence - 2}")
            await outbox.take_downlink(sequence)
            _say(f"taken {sequence}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    trio.run(fill, Path(sys.argv[1]))
