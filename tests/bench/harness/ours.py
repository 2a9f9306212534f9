"""Our side, through the public API only: nodes with stores in memory, paired beforehand, over real loopback sockets."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

import trio

from nodes import Drone, Endpoint, IncomingObject, Link, LinkClosedError, RemoteController, Stores
from nodes.carriers import SystemNetwork
from nodes.carriers.offload import Offload
from nodes.ports import CarrierName
from nodes.stores.memory import MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory
from protocols.crypto.dh import SoftwareKey
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import SystemKeySource
from protocols.crypto.suites import DEFAULT_SUITE, SUITES
from protocols.events import BulkStatus, SendStream, StreamReceived
from protocols.link.config import LinkConfig
from protocols.link.peers import PeerRecord, PeerState
from specs.registry import ChannelId, Role
from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Json, Measure, Reading, Side
from tests.bench.harness.payload import messages

_BURSTS_UNDER_WAY: Final = 2
"""More, and a socket's buffer overflows: nothing tells the sender of unreliable messages to wait."""
LOOPBACK: Final = Endpoint("127.0.0.1", 0)
CHANNEL: Final = ChannelId.VIDEO
"""Of class `stream`: unreliable messages, as datagrams are."""
OPEN: Final = LinkConfig(load_initiations_per_s=1e6, source_initiations_per_s=1e6, source_initiations_burst=1e6)
"""The defaults, but as many handshakes from one address as can be done: that is what is measured."""
PAIR_SECRET: Final = bytes(range(32))


def config_of(given: Json) -> LinkConfig:
    """Return the configuration that an end in another process was given: ``suite`` by number, other fields as such."""
    suite = SUITES[given.get("suite", DEFAULT_SUITE.id)]
    return replace(OPEN, suites=(suite,), **given.get("config", {}))


def make_key(dh: str = "P256") -> SoftwareKey:
    return SystemKeySource().dh_key(dh)


def record_of(public: bytes, role: Role, dh: str = "P256") -> PeerRecord:
    """What a device remembers of another one that it is paired with."""
    return PeerRecord(key_id_of(dh, public), public, dh, role, PAIR_SECRET, PeerState.PAIRED, 0)


async def stores_of(key: SoftwareKey, peers: Sequence[PeerRecord]) -> Stores:
    stores = Stores(MemoryKeyStore([key]), MemoryPeerDirectory(peers), MemoryCounterStore())
    await stores.counters.reserve(key.dh, 1, create=True)  # as a pairing does
    return stores


@dataclass(frozen=True, slots=True)
class Nodes:
    """Two nodes that are paired."""

    drone: Drone
    rc: RemoteController
    drone_id: bytes


@asynccontextmanager
async def paired(config: LinkConfig = OPEN, offload: Offload = Offload.AUTO) -> AsyncGenerator[Nodes]:
    network = SystemNetwork(offload)
    dh = config.suites[0].dh
    drone_key, rc_key = make_key(dh), make_key(dh)
    drone_stores = await stores_of(drone_key, [record_of(rc_key.public, Role.RC, dh)])
    rc_stores = await stores_of(rc_key, [record_of(drone_key.public, Role.DRONE, dh)])
    async with (
        Drone(drone_stores, config, network=network) as drone,
        RemoteController(rc_stores, config, network=network) as rc,
    ):
        yield Nodes(drone, rc, key_id_of(dh, drone_key.public))


@asynccontextmanager
async def linked(
    carrier: CarrierName = "udp", config: LinkConfig = OPEN, offload: Offload = Offload.AUTO
) -> AsyncGenerator[tuple[Link, Link]]:
    """The remote controller's end, which sends, and the drone's."""
    async with paired(config, offload) as nodes:
        where = await nodes.drone.listen(LOOPBACK, carrier)
        link = await nodes.rc.connect(nodes.drone_id, where, carrier)
        yield link, await nodes.drone.next_link()


async def count(link: Link, meter: Meter) -> None:
    """Count stream messages until the link ends."""
    try:
        while True:
            arrived = [event.data for event in await link.receive_many() if isinstance(event, StreamReceived)]
            meter.add(len(arrived), sum(map(len, arrived)))
    except LinkClosedError:
        return


# --- sides ------------------------------------------------------------------------------------------


def message_flow(
    size: int,
    carrier: CarrierName = "udp",
    config: LinkConfig = OPEN,
    *,
    gigabits: bool = False,
    offload: Offload = Offload.AUTO,
) -> Side:
    """Messages through ``send_many``, both ends in one loop; messages or Gbit per second that were delivered."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        meter = Meter()
        batch = messages(size)
        async with linked(carrier, config, offload) as (giving, taking), trio.open_nursery() as nursery:
            nursery.start_soon(count, taking, meter)

            async def measure(seconds: float) -> Reading:
                meter.mark()
                sent = 0
                start = perf_counter()
                while perf_counter() < start + seconds:
                    await meter.room(sent, _BURSTS_UNDER_WAY * len(batch), trio.lowlevel.checkpoint)
                    await giving.send_many(CHANNEL, batch)
                    sent += len(batch)
                await meter.settle(sent, trio.sleep)
                if meter.bytes != meter.messages * size:
                    raise RuntimeError("what arrived is not what was sent")
                rate = meter.per_second(sent, start)
                notes = rate.notes | size_of(giving)
                return Reading(meter.gigabits(start).value if gigabits else rate.value, notes)

            yield measure
            nursery.cancel_scope.cancel()

    return side


def size_of(link: Link) -> dict[str, float]:
    """What path MTU discovery has found, as a note."""
    size = link.stats().datagram_bytes
    return {} if size is None else {"datagram_bytes": size}


def round_trips(size: int = 64, config: LinkConfig = OPEN) -> Side:
    """One message at a time, there and back through ``send_now`` and ``receive``; the median in microseconds."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        message = SendStream(CHANNEL, bytes(size))
        async with linked("udp", config) as (asking, answering), trio.open_nursery() as nursery:

            async def echo() -> None:
                async for event in answering:
                    if isinstance(event, StreamReceived):
                        answering.send_now(SendStream(CHANNEL, event.data))

            nursery.start_soon(echo)

            async def measure(seconds: float) -> Reading:
                times: list[float] = []
                end = perf_counter() + seconds
                with trio.fail_after(seconds + 5):  # not once per message: a deadline costs as much as sealing
                    while (start := perf_counter()) < end or not times:
                        asking.send_now(message)
                        await asking.receive()
                        times.append(perf_counter() - start)
                return microseconds(times)

            yield measure
            nursery.cancel_scope.cancel()

    return side


def microseconds(times: list[float]) -> Reading:
    """The median of round trips, and how far the slowest hundredth goes."""
    times.sort()
    return Reading(times[len(times) // 2] * 1e6, {"p99": times[len(times) * 99 // 100] * 1e6})


async def take_objects(link: Link) -> None:
    """Take whatever objects are offered, chunk by chunk, and confirm them."""
    async for event in link:
        if isinstance(event, IncomingObject):
            async for _ in event.chunks():
                pass
            event.end(BulkStatus.OK)
