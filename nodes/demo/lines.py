"""Lines of text over pipes."""

from typing import Final

import trio

MAX_LINE_BYTES: Final = 65_536


class LineReader:
    """Cuts what a pipe gives into lines."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._rest = bytearray()

    async def next_line(self) -> str | None:
        """Return the next line without its end; None at the end of the stream, or of patience with an endless line."""
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > MAX_LINE_BYTES or not (data := await self._stream.receive_some()):
                return None
            self._rest += data
        line = self._rest[:end].decode("utf-8", "replace")
        del self._rest[: end + 1]
        return line
