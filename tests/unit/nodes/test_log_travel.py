"""A sealed log from store to store over a link, broken off and resumed (specs/8-sealed-logs.md, 8.5)."""

import trio

from nodes.incoming import IncomingObject
from nodes.link import Link
from nodes.ports import LogState, LogStore
from nodes.stores.spoolmemory import memory_log_store
from nodes.stores.spoolrules import SpoolLimits
from nodes.testing import MemoryNetwork
from protocols.events import BulkStatus
from tests.helpers.sealed import content, opened, sealed
from tests.live.kit import linked, virtual

SIZE = 1_000_000
BROKEN_OFF_BYTES = 400_000


async def offer(link: Link, store: LogStore, outcomes: list[BulkStatus]) -> None:
    """Offer what nobody took over yet."""
    for entry in await store.pending():
        async with store.content(entry.sha256) as view:
            outcomes.append(await link.send_object(entry.sha256.hex(), view, sha256=entry.sha256))
        if outcomes[-1] is BulkStatus.OK:
            await store.mark(entry.sha256, LogState.HANDED_OVER)


async def take(link: Link, store: LogStore, at_most: int) -> int:
    """Take the next log; break off after so many bytes. Returns where it began."""
    incoming = await link.receive()
    assert isinstance(incoming, IncomingObject)
    writer = await store.receive(incoming.offer.sha256, incoming.offer.size_bytes)
    began = writer.received_bytes
    try:
        async with writer.prefix() as prefix:
            chunks = incoming.chunks(prefix)
        async for chunk in chunks:
            await writer.write(chunk)
            if writer.received_bytes >= at_most:
                incoming.end(BulkStatus.CANCELLED)
                return began
        await writer.finish()
        incoming.end(BulkStatus.OK)
    finally:
        await writer.aclose()
    return began


@virtual
async def test_sl_42_a_log_travels_goes_on_and_arrives_once() -> None:
    drone, relay = (memory_log_store(SpoolLimits(quota_bytes=5_000_000)) for _ in range(2))
    log = sealed(SIZE, "travels")
    writer = await drone.create()
    await writer.write(log)
    entry = await writer.finish()
    outcomes = list[BulkStatus]()
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(offer, scene.up, drone, outcomes)
        assert await take(scene.down, relay, BROKEN_OFF_BYTES) == 0
    assert outcomes == [BulkStatus.CANCELLED]
    assert list(await drone.pending()) == [entry]
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(offer, scene.up, drone, outcomes)
        assert await take(scene.down, relay, SIZE * 2) >= BROKEN_OFF_BYTES
    assert outcomes[1:] == [BulkStatus.OK]
    assert list(await drone.pending()) == []
    assert list(await relay.pending()) == [entry]
    async with relay.content(entry.sha256) as view:
        assert opened(bytes(view))[1] == content(SIZE, "travels")
