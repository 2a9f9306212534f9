"""Our objects over UDP: Gbit/s from the offer to the confirmed end, and what ``control`` waits meanwhile."""

import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Final

import trio

from nodes import IncomingObject, Link, LinkClosedError
from nodes.ports import CarrierName
from protocols.events import BulkStatus, ControlReceived, SendControl
from protocols.link.config import LinkConfig
from specs.registry import ChannelId
from tests.bench.harness.model import Measure, Reading, Side
from tests.bench.harness.ours import OPEN, linked, size_of, take_objects

_MIB: Final = 1 << 20
_SMALLEST_BYTES: Final = 4 * _MIB
_LARGEST_BYTES: Final = 256 * _MIB
_CONTROL_EVERY_S: Final = 0.005
_STAMP: Final = struct.Struct(">d")


def object_flow(config: LinkConfig = OPEN, carrier: CarrierName = "udp") -> Side:
    """One object per round, as large as fits the round; hashed at both ends."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        async with linked(carrier, config) as (giving, taking), trio.open_nursery() as nursery:
            nursery.start_soon(take_objects, taking)
            yield objects_over(giving)
            nursery.cancel_scope.cancel()

    return side


def objects_over(link: Link) -> Measure:
    """A round is one object."""
    content = memoryview(bytes(range(256)) * (_LARGEST_BYTES // 256))
    speed = 0.0  # bytes per second, as far as is known

    async def measure(seconds: float) -> Reading:
        nonlocal speed
        size = min(_LARGEST_BYTES, max(_SMALLEST_BYTES, int(speed * seconds)))
        start = perf_counter()
        status = await link.send_object("flight.tlog", content[:size])
        took = perf_counter() - start
        if status is not BulkStatus.OK:
            raise RuntimeError(f"the object ended with {status.name}")
        speed = size / took
        return Reading(speed * 8 / 1e9, {"object_bytes": size} | size_of(link))

    return measure


async def _stamp_control(link: Link, sent: list[float]) -> None:
    while True:
        now = perf_counter()
        link.send_now(SendControl(ChannelId.CONTROL, _STAMP.pack(now)))
        sent.append(now)
        await trio.sleep(_CONTROL_EVERY_S)


async def _take_stamps_and_objects(link: Link, nursery: trio.Nursery, delays: list[float]) -> None:
    async def take(offered: IncomingObject) -> None:
        with suppress(LinkClosedError):  # the last object of a round is cancelled
            async for _ in offered.chunks():
                pass
            offered.end(BulkStatus.OK)

    async for event in link:
        if isinstance(event, ControlReceived):
            delays.append(perf_counter() - _STAMP.unpack(event.data)[0])
        elif isinstance(event, IncomingObject):
            nursery.start_soon(take, event)


def control_under_bulk(config: LinkConfig = OPEN) -> Side:
    """How long ``control`` takes from ``send_now`` to ``receive``, p99 in ms, while objects fill the same link."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        content = bytes(32 * _MIB)
        delays: list[float] = []
        async with linked("udp", config) as (giving, taking), trio.open_nursery() as nursery:
            nursery.start_soon(_take_stamps_and_objects, taking, nursery, delays)

            async def measure(seconds: float) -> Reading:
                sent: list[float] = []
                async with trio.open_nursery() as round_of:

                    async def bulk() -> None:
                        while True:
                            await giving.send_object("flight.tlog", content)

                    round_of.start_soon(bulk)
                    await trio.sleep(0.05)  # until the window has opened
                    delays.clear()
                    round_of.start_soon(_stamp_control, giving, sent)
                    await trio.sleep(seconds)
                    round_of.cancel_scope.cancel()
                if not delays:
                    raise RuntimeError(f"none of {len(sent)} control messages arrived")
                times = sorted(delays)
                ms = {"p50": times[len(times) // 2] * 1e3, "worst": times[-1] * 1e3}
                return Reading(times[len(times) * 99 // 100] * 1e3, ms | {"not_delivered": 1 - len(times) / len(sent)})

            yield measure
            nursery.cancel_scope.cancel()

    return side
