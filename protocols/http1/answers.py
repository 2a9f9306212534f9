"""The front check of responses: only what our own server says passes (HF-40 to HF-44)."""

import re
from collections.abc import Callable
from typing import Final

from protocols.http1.fields import Fields
from protocols.http1.front import BodySlice, HeadSlice, Slice
from protocols.http1.limits import MessageLimits
from protocols.http1.lines import LineReader
from protocols.http1.refusal import RefusedError, Why, refused
from protocols.http1.server import UNASKED

_STATUS_LINE: Final = re.compile(rb"(HTTP/[0-9]+\.[0-9]+) ([0-9]{3}) [ -~]*")
_NO_BODY: Final = 204
_CHUNK_SIZE: Final = re.compile(rb"0|[1-9a-fA-F][0-9a-fA-F]{0,7}")
_CHUNK_LINE_BYTES: Final = 10
CHUNKED: Final = -1
"""In ``HeadSlice.body_bytes``: the length shows when the body ends."""


class ResponseFront:
    """One per request. After a refusal it refuses for ever; behind the end of the response every byte is one too much.

    ``streaming``: the limit of the body is one of each chunk, not of all of them.
    """

    def __init__(self, limits: MessageLimits, *, streaming: bool = False) -> None:
        self._limits = limits
        self._streaming = streaming
        self._lines = LineReader(limits.head_bytes)
        self._head: list[bytes] = []
        self._fields = Fields(limits.fields)
        self._status = 0
        self._left = 0
        self._total_bytes = 0
        self._step: Callable[[], Slice | None] = self._head_untrusted
        self._refusal: RefusedError | None = None

    @property
    def ended(self) -> bool:
        """Whether the response is whole, and nothing stands behind it."""
        return self._step == self._nothing_untrusted and not len(self._lines)

    def receive(self, data: bytes) -> None:
        """Take what has arrived, at least one byte; do it when :meth:`next_untrusted` has returned None."""
        self._lines.add(data)

    def next_untrusted(self) -> Slice | None:
        """Return the next slice, or None when more bytes are needed; RefusedError at the first byte that is wrong."""
        if self._refusal is not None:
            raise self._refusal
        try:
            return self._step()
        except RefusedError as error:
            self._refusal = error
            raise

    def _head_untrusted(self) -> HeadSlice | None:
        while (line := self._lines.line_untrusted()) is not None:
            if not self._head:
                self._status = _status_line_untrusted(line)
            elif line:
                self._fields.add_untrusted(line)
            self._head.append(line)
            if not line:
                return self._whole_untrusted()
        return None

    def _whole_untrusted(self) -> HeadSlice:
        fields, raw = self._fields, b"\r\n".join((*self._head, b""))
        if fields.transfer_encoding is not None:
            if fields.transfer_encoding != b"chunked" or fields.content_length is not None or self._status == _NO_BODY:
                raise refused(Why.TRANSFER_ENCODING)
            self._expect_chunk()
            return HeadSlice(raw, CHUNKED)
        length = fields.content_length
        if (length is None) != (self._status == _NO_BODY):
            raise refused(Why.LENGTH_MISSING if length is None else Why.BODY_UNEXPECTED)
        self._left = length or 0
        if self._left > self._limits.body_bytes and not self._streaming:
            raise refused(Why.BODY_TOO_LARGE)
        self._step = self._plain if self._left else self._nothing_untrusted
        return HeadSlice(raw, self._left)

    def _plain(self) -> BodySlice | None:
        raw = self._take()
        if not self._left:
            self._step = self._nothing_untrusted
        return BodySlice(raw, last=not self._left) if raw else None

    def _take(self) -> bytes:
        raw = self._lines.take(self._left)
        self._left -= len(raw)
        return raw

    # --- chunks: size CR LF data CR LF, at last 0 CR LF CR LF (RFC 9112, 7.1); no extensions, no trailers ---

    def _expect_chunk(self) -> None:
        self._lines.restart(_CHUNK_LINE_BYTES, Why.CHUNK)
        self._step = self._chunk_size_untrusted

    def _chunk_size_untrusted(self) -> BodySlice | None:
        line = self._chunk_line_untrusted()
        if line is None:
            return None
        if not _CHUNK_SIZE.fullmatch(line):
            raise refused(Why.CHUNK)
        self._left = int(line, 16)
        self._total_bytes = self._left + (0 if self._streaming else self._total_bytes)
        if self._total_bytes > self._limits.body_bytes:
            raise refused(Why.BODY_TOO_LARGE)
        self._lines.restart(2, Why.CHUNK)
        self._step = self._chunk_data if self._left else self._last_end_untrusted
        return BodySlice(line + b"\r\n", last=False)

    def _chunk_data(self) -> BodySlice | None:
        raw = self._take()
        if not self._left:
            self._step = self._chunk_end_untrusted
        return BodySlice(raw, last=False) if raw else None

    def _chunk_end_untrusted(self) -> BodySlice | None:
        if self._chunk_line_untrusted() is None:
            return None
        self._expect_chunk()
        return BodySlice(b"\r\n", last=False)

    def _last_end_untrusted(self) -> BodySlice | None:
        if self._chunk_line_untrusted() is None:
            return None
        self._step = self._nothing_untrusted
        return BodySlice(b"\r\n", last=True)

    def _chunk_line_untrusted(self) -> bytes | None:
        try:
            return self._lines.line_untrusted()
        except RefusedError:
            raise refused(Why.CHUNK) from None

    def _nothing_untrusted(self) -> None:
        if len(self._lines):
            raise refused(Why.DATA_AFTER_CLOSE)


def _status_line_untrusted(line: bytes) -> int:
    if not line:
        raise refused(Why.EMPTY_LINE)
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise refused(Why.STATUS_LINE)
    if match[1] != b"HTTP/1.1":
        raise refused(Why.VERSION)
    status = int(match[2])
    if not 200 <= status <= 599 or status in UNASKED:
        raise refused(Why.STATUS)
    return status
