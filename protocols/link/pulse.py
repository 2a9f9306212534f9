"""The link's own frames that come by themselves while it lives: pings, probes and their answers (LK-80, LK-86).

A drone with a thousand links handles thousands of them each second, and construct takes 30 to 120 us for one. Each is
its declaration's first bytes, an id, and perhaps zeros: that much is done by hand here, and
``tests/property/test_pulse.py`` holds it to :mod:`protocols.codec`.
"""

from collections.abc import Callable
from typing import Any, Final

from protocols import codec
from protocols.errors import MalformedError
from specs import inner
from specs.registry import MAX_RECORD_PLAINTEXT_BYTES
from specs.strict import Format

_ID_BYTES: Final = 4


class IdFrame:
    """A frame that is a type, reserved bytes and a 32-bit id; after them at most ``max_zeros`` zeros."""

    __slots__ = ("_head", "_max_bytes", "_name", "_size")

    def __init__(self, fmt: Format[Any], value: Callable[[int], Any], max_zeros: int = 0) -> None:
        self._name = fmt.name
        smallest = codec.build(fmt, value(0))
        self._head = smallest[:-_ID_BYTES]
        self._size = len(smallest)
        self._max_bytes = len(smallest) + max_zeros

    def build(self, number: int, zeros: int = 0) -> bytes:
        """Return the frame with an id; OverflowError if that is no u32."""
        return self._head + number.to_bytes(_ID_BYTES, "big") + bytes(zeros)

    def id_untrusted(self, frame: bytes) -> int:
        """Return the id; MalformedError for everything that is not this frame."""
        zeros = len(frame) - self._size
        if not 0 <= zeros <= self._max_bytes - self._size or not frame.startswith(self._head):
            raise MalformedError(f"{self._name}: wrong length, type or reserved bytes")
        if zeros and not frame.endswith(bytes(zeros)):
            raise MalformedError(f"{self._name}: padding is zeros")
        return int.from_bytes(frame[len(self._head) : self._size], "big")


PING: Final = IdFrame(inner.PING, inner.Ping)
PONG: Final = IdFrame(inner.PONG, inner.Pong)
PROBE: Final = IdFrame(inner.PROBE, lambda number: inner.Probe(number, b""), MAX_RECORD_PLAINTEXT_BYTES - 8)
PROBE_ACK: Final = IdFrame(inner.PROBE_ACK, inner.ProbeAck)
