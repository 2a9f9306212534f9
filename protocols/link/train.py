"""What a machine and a carrier hand each other: datagrams of one size in one buffer (specs/performance.md).

A *train* is what ``UDP_SEGMENT`` sends with one call and ``UDP_GRO`` receives with one: segments of the same length,
one after the other, of which only the last may be shorter. A single datagram, and a piece of a stream, is a train of
one.
"""

from typing import NamedTuple

from protocols.guards.address import Address

Bytes = bytes | bytearray | memoryview


class Train(NamedTuple):
    """Datagrams between us and one address, or bytes of a stream."""

    data: Bytes
    """All segments. It belongs to who made it, and is valid until he is asked for the next."""
    segment_bytes: int
    """Length of each segment but the last, which has 1 to as many; at least 1."""
    address: Address | None
    """Where to, or where from; None on a stream."""

    @property
    def segments(self) -> int:
        """How many datagrams it holds."""
        return -(-len(self.data) // self.segment_bytes)


def one(data: Bytes, address: Address | None) -> Train:
    """Return a train of one; ``data`` is not empty."""
    return Train(data, len(data), address)
