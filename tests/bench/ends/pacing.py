"""How a sender in another process learns how far its receiver is: the receiver tells it, over the same link.

ZeroMQ's TCP does as much by itself. Without it a stream channel over UDP loses what a full buffer does not take.
"""

import struct
from time import perf_counter
from typing import Final

from nodes import Link, LinkClosedError
from protocols.events import SendStream, StreamReceived
from specs.registry import ChannelId
from tests.bench.harness.meter import Meter

_CHANNEL: Final = ChannelId.MAVLINK
_COUNT: Final = struct.Struct(">Q")
_TELL_EVERY: Final = 128
BURSTS_UNDER_WAY: Final = 4


async def count_and_tell(link: Link, meter: Meter) -> None:
    """Count stream messages until the link ends, and tell their sender the number now and then."""
    told = 0
    try:
        while True:
            arrived = [event.data for event in await link.receive_many() if isinstance(event, StreamReceived)]
            meter.add(len(arrived), sum(map(len, arrived)))
            if not 0 <= meter.messages - told < _TELL_EVERY:
                told = meter.messages
                link.send_now(SendStream(_CHANNEL, _COUNT.pack(told)))
    except LinkClosedError:
        return


async def hear(link: Link, meter: Meter) -> None:
    """Keep a sender's meter at what its receiver has."""
    async for event in link:
        if isinstance(event, StreamReceived):
            (meter.messages,) = _COUNT.unpack(event.data)
            meter.last = perf_counter()
