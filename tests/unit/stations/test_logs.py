"""Sealed logs between two neighbours: offered, taken, broken off, resumed, lost, refused (specs/8-sealed-logs.md)."""

import hashlib
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio

from nodes.incoming import IncomingObject
from nodes.link import Link
from nodes.ports import LogState, LogStore
from nodes.stations.base import answer_to
from nodes.stations.keep import until_down
from nodes.stations.logs import LogDesk, ask_over
from nodes.stores.spoolmemory import memory_log_store
from nodes.stores.spoolrules import SpoolLimits
from nodes.testing import MemoryNetwork
from nodes.testing.network import Datagram
from protocols.airlink import AIRLINK
from protocols.errors import StorageError
from protocols.events import BulkStatus, CommandReceived
from protocols.link.config import LinkConfig
from protocols.maps import pack_map
from specs.airlink.command import Answer, LogOffer, Result
from specs.airlink.numbers import Direction
from tests.helpers.sealed import opened, random, sealed
from tests.live.kit import CLASSICAL, config_of, linked, until, virtual

SIZE = 1_000_000
LOG = sealed(SIZE, "one")
HASH = hashlib.sha256(LOG).digest()
FLIGHT = random("one", 16)
OTHER = sealed(40_000, "other")
NAME = FLIGHT.hex()[:8]
HERE = f"log {NAME}: here, {len(LOG):,} bytes"
GIVEN = f"log {NAME}: handed over, {len(LOG):,} bytes"
QUICK = config_of(CLASSICAL, LinkConfig())

_MTU_BYTES = 1_472

Answers = Callable[[LogOffer], Answer | bytes]


def new_store(quota_bytes: int = 10_000_000, *, keep_handed_over: bool = False) -> LogStore:
    return memory_log_store(SpoolLimits(quota_bytes, keep_handed_over=keep_handed_over))


async def put(store: LogStore, log: bytes = LOG) -> None:
    writer = await store.create()
    await writer.write(log)
    await writer.finish()
    await writer.aclose()


@dataclass
class Neighbour:
    """Takes logs, as a remote controller does."""

    desk: LogDesk = field(default_factory=lambda: LogDesk(new_store()))
    told: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    offers: list[LogOffer] = field(default_factory=list[LogOffer])
    incoming: list[IncomingObject] = field(default_factory=list[IncomingObject])
    says: Answers | None = None

    async def work(self, link: Link) -> None:
        async with trio.open_nursery() as nursery:
            async for event in link:
                if isinstance(event, CommandReceived):
                    offer = AIRLINK.decode_untrusted(event.channel, event.data, Direction.DOWN)
                    assert isinstance(offer, LogOffer)
                    self.offers.append(offer)
                    answer = await self.desk.answer(offer) if self.says is None else self.says(offer)
                    data = answer if isinstance(answer, bytes) else AIRLINK.encode(answer)
                    answer_to(link, event.id, event.channel, data)
                elif isinstance(event, IncomingObject):
                    self.incoming.append(event)
                    nursery.start_soon(self.desk.take, event, self.told.append, self.refused.append)

    async def has(self, sha256: bytes = HASH) -> bool:
        entry = await self.desk.store.find(sha256)
        return entry is not None and entry.stored


@dataclass
class Giver:
    """Hands logs on, as a drone does."""

    desk: LogDesk
    told: list[str] = field(default_factory=list[str])

    async def work(self, link: Link) -> None:
        await self.desk.hand_over(link, ask_over(link, AIRLINK), self.told.append)


@asynccontextmanager
async def between(
    giver: Giver, neighbour: Neighbour, network: MemoryNetwork | None = None
) -> AsyncGenerator[tuple[Link, Link]]:
    """A link on which both work; it ends with the block."""
    network = network or MemoryNetwork(delay_s=0.005)
    async with linked(network=network, config=QUICK) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(until_down, giver.work, scene.up)
        nursery.start_soon(until_down, neighbour.work, scene.down)
        yield scene.up, scene.down
        nursery.cancel_scope.cancel()


@dataclass
class Meter:
    """Counts what a network carries, and lets nothing through beyond a limit."""

    limit_bytes: float = math.inf
    carried_bytes: int = 0

    def tap(self, datagram: Datagram) -> Sequence[Datagram]:
        if len(datagram.data) > _MTU_BYTES or self.carried_bytes + len(datagram.data) > self.limit_bytes:
            return ()
        self.carried_bytes += len(datagram.data)
        return (datagram,)

    def network(self) -> MemoryNetwork:
        network = MemoryNetwork(delay_s=0.005)
        network.tap = self.tap
        return network


def is_over(link: Link, neighbour: Neighbour) -> bool:
    return link.down is not None or neighbour.told != []


async def giver_with(*logs: bytes, store: LogStore | None = None) -> Giver:
    store = store or new_store(keep_handed_over=True)
    for log in logs:
        await put(store, log)
    return Giver(LogDesk(store))


async def state_of(store: LogStore, sha256: bytes = HASH) -> LogState:
    entry = await store.find(sha256)
    assert entry is not None
    return entry.state


def answering(*answers: Answer | bytes) -> Answers:
    """Give these one after the other, and the last for ever."""
    rest = list(answers)

    def say(_: LogOffer) -> Answer | bytes:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return say


# --- as it should be ----------------------------------------------------------------------------------


@virtual
async def test_sl_42_a_log_is_offered_taken_and_offered_no_more_on_this_link() -> None:
    giver, neighbour = await giver_with(LOG), Neighbour()
    with trio.fail_after(600):
        async with between(giver, neighbour):
            await until(lambda: bool(giver.told))
            await trio.sleep(60)
            assert giver.told == [GIVEN]
            assert len(neighbour.offers) == 1
            await put(giver.desk.store, OTHER)
            giver.desk.ring()
            await until(lambda: len(giver.told) == 2)
    assert neighbour.told[0] == HERE
    assert len(neighbour.offers) == 2
    assert await state_of(giver.desk.store) is LogState.HANDED_OVER
    async with neighbour.desk.store.content(HASH) as content:
        assert opened(bytes(content))[1] == opened(LOG)[1]


@virtual
async def test_what_the_neighbour_has_is_not_sent_again() -> None:
    giver, neighbour = await giver_with(LOG), Neighbour()
    await put(neighbour.desk.store)
    with trio.fail_after(600):
        async with between(giver, neighbour):
            await until(lambda: giver.told == [GIVEN])
    assert neighbour.incoming == []


@virtual
async def test_a_log_that_the_cloud_has_is_offered_to_nobody() -> None:
    giver, neighbour = await giver_with(LOG), Neighbour()
    assert not await giver.desk.acknowledge(bytes(16), HASH)
    assert not await giver.desk.acknowledge(FLIGHT, bytes(32))
    assert await giver.desk.acknowledge(FLIGHT, HASH)
    assert await giver.desk.acknowledge(FLIGHT, HASH)
    with trio.fail_after(600):
        async with between(giver, neighbour):
            await trio.sleep(60)
    assert neighbour.offers == []


# --- breaks -------------------------------------------------------------------------------------------


@virtual
async def test_sl_42_what_came_before_a_break_is_not_sent_again() -> None:
    giver, neighbour, meter = await giver_with(LOG), Neighbour(), Meter()
    with trio.fail_after(600):
        async with between(giver, neighbour, Meter(len(LOG) * 2 // 3).network()) as (up, down):
            await up.wait_down()
            await down.wait_down()
        assert not await neighbour.has()
        assert await state_of(giver.desk.store) is LogState.RECEIVED
        async with between(giver, neighbour, meter.network()):
            await until(lambda: bool(neighbour.told))
        assert await neighbour.has()
    first, second = neighbour.incoming
    assert 0 < first.received_bytes < len(LOG)
    assert second.received_bytes == len(LOG)
    assert meter.carried_bytes < len(LOG) * 2 // 3


@virtual
async def test_a_path_that_breaks_all_the_time_brings_a_log_nearer_each_time() -> None:
    giver, neighbour = await giver_with(LOG), Neighbour()
    attempts = 0
    with trio.fail_after(600):
        while not await neighbour.has():
            attempts += 1
            async with between(giver, neighbour, Meter(300_000).network()) as (up, down):
                await until(partial(is_over, up, neighbour))
                await down.close()
    assert attempts == 4  # 283,392 bytes of the log in each
    assert neighbour.told == [HERE]
    assert neighbour.told == [HERE]
    assert neighbour.refused == []


@virtual
async def test_a_log_that_the_neighbour_has_lost_is_offered_again() -> None:
    """SL-44: on every new link, as long as the cloud has said nothing."""
    giver, neighbour = await giver_with(LOG), Neighbour()
    with trio.fail_after(600):
        async with between(giver, neighbour):
            await until(lambda: giver.told == [GIVEN])
        replaced = Neighbour()
        async with between(giver, replaced):
            await until(lambda: giver.told == [GIVEN] * 2)
        assert await replaced.has()
        async with between(giver, neighbour):
            await until(lambda: giver.told == [GIVEN] * 3)
    assert len(neighbour.incoming) == 1  # who has it still says so


@virtual
async def test_a_neighbour_that_gave_its_room_away_takes_it_again() -> None:
    giver, relay = await giver_with(LOG), Neighbour(LogDesk(new_store(len(LOG) + 1_000)))
    with trio.fail_after(600):
        async with between(giver, relay):
            await until(lambda: giver.told == [GIVEN])
        await relay.desk.store.mark(HASH, LogState.HANDED_OVER)
        await put(relay.desk.store, OTHER)  # there is no room for both
        assert not await relay.has()
        await relay.desk.store.mark(hashlib.sha256(OTHER).digest(), LogState.HANDED_OVER)
        async with between(giver, relay):
            await until(lambda: giver.told == [GIVEN] * 2)
        assert await relay.has()


# --- neighbours that say no -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [Answer(Result.FAILED), Answer(Result.NOT_NOW), Answer(Result.UNSUPPORTED), b"\xff\xff"], ids=repr
)
@virtual
async def test_who_does_not_take_it_is_asked_again_later(answer: Answer | bytes) -> None:
    giver = await giver_with(LOG)
    neighbour = Neighbour(says=answering(answer, answer, Answer(Result.DONE)))
    with trio.fail_after(600):
        async with between(giver, neighbour):
            await trio.sleep(2)
            assert len(neighbour.offers) == 1
            await until(lambda: len(neighbour.offers) == 3)
            await until(lambda: GIVEN in giver.told)
    assert giver.told == [f"log {NAME}: the neighbour does not take it now"] * 2 + [GIVEN]


@virtual
async def test_one_log_that_is_not_taken_keeps_no_other_waiting() -> None:
    giver = await giver_with(LOG, OTHER)
    neighbour = Neighbour()
    neighbour.says = lambda offer: Answer(Result.FAILED if offer.sha256 == HASH else Result.DONE)
    with trio.fail_after(600):
        async with between(giver, neighbour):
            await until(lambda: len(giver.told) >= 2)
    assert giver.told[0] == f"log {NAME}: the neighbour does not take it now"
    assert "handed over" in giver.told[1]


@virtual
async def test_a_neighbour_without_room_refuses_and_has_it_when_there_is_room() -> None:
    giver, neighbour = await giver_with(LOG), Neighbour(LogDesk(new_store(len(LOG) + 1_000)))
    await put(neighbour.desk.store, OTHER)
    other = hashlib.sha256(OTHER).digest()
    with trio.fail_after(600):
        async with between(giver, neighbour):
            await until(lambda: bool(giver.told))
            assert giver.told[0] == f"log {NAME}: the transfer ended with refused"
            assert len(neighbour.told) == 1
            assert neighbour.told[0].startswith("a log is not taken: ")
            await neighbour.desk.store.mark(other, LogState.HANDED_OVER)
            await until(lambda: GIVEN in giver.told)
        assert await neighbour.has()


@virtual
async def test_a_receipt_that_comes_while_the_neighbour_thinks_ends_nothing() -> None:
    giver, neighbour = await giver_with(LOG, OTHER), Neighbour()
    with trio.fail_after(600):
        async with between(giver, neighbour):
            await giver.desk.acknowledge(FLIGHT, HASH)
            await until(lambda: any("handed over, " in line for line in giver.told))
            await trio.sleep(30)
        assert await neighbour.has(hashlib.sha256(OTHER).digest())
    assert await state_of(giver.desk.store) is LogState.ACKNOWLEDGED


# --- a desk and its store -------------------------------------------------------------------------------


class Unreadable:
    """A store on a disk that has failed."""

    async def find(self, _: bytes) -> None:
        await trio.lowlevel.checkpoint()
        raise StorageError("the disk has failed")


@virtual
async def test_a_store_that_cannot_be_read_is_an_answer() -> None:
    desk = LogDesk(Unreadable())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    offer = LogOffer("x", 1, bytes(32), pack_map({}))
    assert (await desk.answer(offer)).result is Result.FAILED


@virtual
async def test_two_links_bring_the_same_log_and_it_is_taken_once() -> None:
    givers = [await giver_with(LOG) for _ in range(2)]
    neighbour = Neighbour()
    with trio.fail_after(600):
        async with between(givers[0], neighbour), between(givers[1], neighbour):
            await until(lambda: all(GIVEN in giver.told for giver in givers))
        assert await neighbour.has()
    assert neighbour.told == [HERE]
    assert neighbour.refused == []


@pytest.mark.parametrize("content", [b"no sealed log", bytes(200_000)], ids=["short", "zeros"])
@virtual
async def test_what_is_no_sealed_log_is_refused_and_told(content: bytes) -> None:
    neighbour = Neighbour()
    statuses: list[BulkStatus] = []

    async def send(link: Link) -> None:
        statuses.append(await link.send_object("log", content))

    with trio.fail_after(600):
        async with linked(network=MemoryNetwork(delay_s=0.005), config=QUICK) as scene, trio.open_nursery() as nursery:
            nursery.start_soon(partial(until_down, neighbour.work, scene.down))
            await send(scene.up)
            nursery.cancel_scope.cancel()
    assert statuses == [BulkStatus.REFUSED]
    assert neighbour.told == []
    assert neighbour.refused == ["what came is no sealed log"]
    assert not await neighbour.has(hashlib.sha256(content).digest())


@virtual
async def test_what_is_not_what_was_offered_is_dropped_and_the_right_one_taken_later() -> None:
    giver, neighbour = await giver_with(LOG), Neighbour()
    wrong = LOG[:-1] + bytes([LOG[-1] ^ 1])
    with trio.fail_after(600):
        async with linked(network=MemoryNetwork(delay_s=0.005), config=QUICK) as scene, trio.open_nursery() as nursery:
            nursery.start_soon(partial(until_down, neighbour.work, scene.down))
            assert await scene.up.send_object("log", wrong, sha256=HASH) is BulkStatus.HASH_MISMATCH
            await until(lambda: bool(neighbour.refused))
            nursery.cancel_scope.cancel()
        assert not await neighbour.has()
        async with between(giver, neighbour):
            await until(lambda: GIVEN in giver.told)
        assert await neighbour.has()
    assert neighbour.told == [HERE]
