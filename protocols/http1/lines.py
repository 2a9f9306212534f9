"""Lines of a stream of bytes: printable ASCII, ended by CR LF, and nothing else (HF-2, HF-3).

What is wrong is found at the first byte that is wrong, in the order of the stream: so the verdict does not depend on
how the stream was cut.
"""

import re
from typing import Final

from protocols.http1.refusal import Why, refused

_CR: Final = 0x0D
_LF: Final = 0x0A
_ASCII: Final = 0x80
_UNPRINTABLE: Final = re.compile(rb"[^\x20-\x7e]")


class LineReader:
    """Holds what has arrived and is not used yet. The caller adds more only when it gets None."""

    __slots__ = ("_buffer", "_scanned", "_used", "limit_bytes", "too_large")

    def __init__(self, limit_bytes: int) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._used = 0
        self.limit_bytes = limit_bytes
        """How long all lines since :meth:`restart` may be, with their ends."""
        self.too_large = Why.HEAD_TOO_LARGE
        """What it is called when they are longer."""

    def __len__(self) -> int:
        """How many bytes are here."""
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        """Take what has arrived."""
        self._buffer += data

    def restart(self, limit_bytes: int, too_large: Why = Why.HEAD_TOO_LARGE) -> None:
        """Begin to count anew."""
        self._used = 0
        self.limit_bytes = limit_bytes
        self.too_large = too_large

    def line_untrusted(self) -> bytes | None:
        """Return the next line without its end, or None if it is not whole yet; RefusedError at the first bad byte."""
        buffer, room = self._buffer, self.limit_bytes - self._used
        found = _UNPRINTABLE.search(buffer, self._scanned)
        at = len(buffer) if found is None else found.start()
        if at > room or (found is not None and at == room):
            raise refused(self.too_large)
        self._scanned = at
        if found is None:
            return None
        if buffer[at] != _CR:
            raise refused(_name(buffer[at]))
        if at + 1 == len(buffer):
            return None
        if buffer[at + 1] != _LF:
            raise refused(Why.BARE_CR)
        if at + 2 > room:
            raise refused(self.too_large)
        self._used += at + 2
        self._scanned = 0
        line = bytes(buffer[:at])
        del buffer[: at + 2]
        return line

    def take(self, limit_bytes: int) -> bytes:
        """Return at most so many bytes, as they are; what is scanned of a line must have been returned."""
        data = bytes(self._buffer[:limit_bytes])
        del self._buffer[:limit_bytes]
        return data


def _name(byte: int) -> Why:
    if byte == _LF:
        return Why.BARE_LF
    return Why.CONTROL if byte < _ASCII else Why.NON_ASCII
