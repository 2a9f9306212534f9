"""The sending half of a `command` channel: units, window, timer (CH-20, CH-23, CH-24).

*Theory of operation.* A unit is *waiting* (never sent), in *flight*, *lost* (to be sent again) or acknowledged, and
then forgotten. ``_flight`` is ordered by the time of the last transmission, so its first unit has the next deadline.
``unsent`` holds what is to be sent: the lost units, then the waiting ones.

    waiting --sent--> flight --acknowledged--> (forgotten)
                      flight --timer, or three later units acknowledged--> lost --sent--> flight
                                                                           lost --acknowledged--> (forgotten)
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocols.channels.base import Counters, Path, SendsOne
from protocols.channels.limits import COMMAND_WINDOW_UNITS, MESSAGE_OVERHEAD_BYTES
from protocols.codec import derive_struct
from protocols.errors import MalformedError, ProtocolViolationError
from protocols.link.recovery import OVERTAKEN_BY
from specs.inner import ACK

_ACK: Final = derive_struct(ACK)


@dataclass(slots=True, eq=False)
class Unit:
    """A frame that is kept until the peer has it."""

    sequence: int
    """Its number on the channel."""
    frame: bytes
    """The same bytes every time: the sequence names them."""
    body_bytes: int
    """What it counts in the queue."""
    is_last: bool
    """Last of its message."""
    sent_at: float = 0.0
    """Last transmission."""
    order: int = 0
    """Number of the last transmission, over all units."""
    times: int = 0
    """Transmissions."""
    overtaken: int = 0
    """Units sent later and acknowledged since the last transmission."""


class CommandSender(SendsOne):
    """Everything of one channel that the peer has not acknowledged."""

    __slots__ = (
        "_acked_to",
        "_counters",
        "_expiries",
        "_flight",
        "_lost",
        "_order",
        "_path",
        "queued_bytes",
        "sent_to",
        "unsent",
    )

    def __init__(self, path: Path, counters: Counters) -> None:
        self._path = path
        self._counters = counters
        self.unsent: list[Unit] = []
        """Units to send."""
        self._flight: dict[int, Unit] = {}
        self._lost: dict[int, Unit] = {}
        self._acked_to = 0
        self._order = 0
        self._expiries = 0
        self.sent_to = 0
        """Everything before this sequence has left at least once."""
        self.queued_bytes = 0
        """Bytes that are not acknowledged."""

    def queue(self, unit: Unit) -> None:
        """Take the unit of the next sequence."""
        self.unsent.append(unit)
        self.queued_bytes += unit.body_bytes + MESSAGE_OVERHEAD_BYTES

    # --- out ----------------------------------------------------------------------------------

    def ready(self, now: float) -> bool:  # noqa: ARG002  the multiplexer's signature
        """Whether the window allows the next unit; what was lost is inside of it by nature."""
        unit = self.unsent[0]
        return unit.times > 0 or unit.sequence < self._acked_to + COMMAND_WINDOW_UNITS

    def take(self, now: float) -> bytes | None:
        """The next unit, if the window allows it."""
        if not self.ready(now):
            return None
        unit = self.unsent.pop(0)
        if unit.times:
            del self._lost[unit.sequence]
            self._counters.retransmitted += 1
        else:
            self.sent_to = unit.sequence + 1
            self._counters.sent += unit.is_last
        return self._transmit(unit, now)

    def _transmit(self, unit: Unit, now: float) -> bytes:
        self._order += 1
        unit.order, unit.sent_at, unit.overtaken = self._order, now, 0
        unit.times += 1
        self._flight[unit.sequence] = unit
        return unit.frame

    # --- acknowledgements ---------------------------------------------------------------------

    def ack_untrusted(self, frame: bytes, now: float) -> None:
        """An ACK of our units."""
        try:
            _, _, zero, upto, bitmap = _ACK.unpack(frame)
        except struct.error:
            raise MalformedError("ack: wrong length") from None
        if zero:
            raise MalformedError("ack: reserved bytes are not zero")
        if upto + bitmap.bit_length() + (bitmap > 0) > self.sent_to:
            raise ProtocolViolationError("ack: of a unit that was never sent (CH-23)")
        newly = [unit for sequence in self._named(upto, bitmap) if (unit := self._forget(sequence))]
        self._acked_to = max(self._acked_to, upto)
        if newly:
            self._expiries = 0
            self._learn([unit for unit in newly if unit.times == 1], now)

    def _named(self, upto: int, bitmap: int) -> Iterator[int]:
        """The sequences that an ACK names and that may still be here."""
        yield from range(self._acked_to, upto)
        while bitmap:
            low = bitmap & -bitmap
            yield upto + low.bit_length()
            bitmap ^= low

    def _forget(self, sequence: int) -> Unit | None:
        unit = self._flight.pop(sequence, None)
        if unit is None and (unit := self._lost.pop(sequence, None)) is not None:
            self.unsent.remove(unit)  # among the first: lost units are
        if unit is not None:
            self.queued_bytes -= unit.body_bytes + MESSAGE_OVERHEAD_BYTES
        return unit

    def _learn(self, clear: list[Unit], now: float) -> None:
        """From units that were sent once: an ACK of any other does not say which transmission arrived (Karn)."""
        if not clear:
            return
        newest = max(clear, key=lambda unit: unit.order)
        self._path.rtt.sample(now - newest.sent_at)
        if not self._path.reliable:
            self._find_overtaken([unit.order for unit in clear], newest.order)

    def _find_overtaken(self, orders: list[int], newest: int) -> None:
        """CH-24: three later units were acknowledged."""
        overtaken: list[Unit] = []
        for unit in self._flight.values():
            if unit.order > newest:
                break  # ordered by transmission: nothing behind it was overtaken
            unit.overtaken += sum(order > unit.order for order in orders)
            if unit.overtaken >= OVERTAKEN_BY:
                overtaken.append(unit)
        self._give_up(overtaken)

    def _give_up(self, units: list[Unit]) -> None:
        for unit in units:
            self._lost[unit.sequence] = self._flight.pop(unit.sequence)
        self.unsent[:0] = units
        self._counters.lost += len(units)

    # --- timer --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When the unit that left longest ago has waited too long."""
        if self._path.reliable or not self._flight:
            return None
        return next(iter(self._flight.values())).sent_at + self._path.rtt.timeout(self._expiries)

    def handle_deadline(self, now: float) -> None:
        """Every unit has its timer (CH-24); the doubling is common, since the path is."""
        if self._path.reliable:
            return
        timeout = self._path.rtt.timeout(self._expiries)
        expired = [unit for unit in self._flight.values() if unit.sent_at + timeout <= now]
        self._give_up(expired)
        self._expiries += bool(expired)
