"""The front check of requests: what passes is a plain HTTP/1.1 request to every reader of HTTP (HF-1 to HF-19).

Bytes go in as they arrive; slices come out, each exactly one head or a part of exactly one body. Only these reach h11,
so no byte of the next head is read by anybody before it has been checked here.
"""

import re
from dataclasses import dataclass
from typing import Final

from protocols.http1.fields import Fields
from protocols.http1.limits import MessageLimits
from protocols.http1.lines import LineReader
from protocols.http1.refusal import RefusedError, Why, refused

METHODS: Final = {b"GET": False, b"DELETE": False, b"POST": True, b"PUT": True}
"""The methods, and whether they have a body (HF-6, HF-15)."""
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION: Final = re.compile(rb"HTTP/[0-9]+\.[0-9]+")
_TARGET: Final = re.compile(rb"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/-]+)?")
_DOTS: Final = re.compile(rb"/\.{1,2}(?:[/?]|\Z)")


@dataclass(frozen=True, slots=True)
class HeadSlice:
    """One head, from its first byte to its empty line."""

    raw: bytes
    """As it arrived."""
    body_bytes: int
    """What follows it; 0: the message ends here."""


@dataclass(frozen=True, slots=True)
class BodySlice:
    """A part of the body of the head before."""

    raw: bytes
    """As it arrived; at least one byte."""
    last: bool
    """Whether the message ends here."""


Slice = HeadSlice | BodySlice


class RequestFront:
    """One per connection. After a refusal it refuses for ever."""

    def __init__(self, limits: MessageLimits) -> None:
        self._limits = limits
        self._lines = LineReader(limits.head_bytes)
        self._head: list[bytes] = []
        self._fields = Fields(limits.fields)
        self._method = b""
        self._body_left = 0
        self._closing = False
        self._refusal: RefusedError | None = None

    def receive(self, data: bytes) -> None:
        """Take what has arrived, at least one byte; do it when :meth:`next_untrusted` has returned None."""
        self._lines.add(data)

    def next_untrusted(self) -> Slice | None:
        """Return the next slice, or None when more bytes are needed; RefusedError at the first byte that is wrong."""
        if self._refusal is not None:
            raise self._refusal
        try:
            return self._body() if self._body_left else self._next_head_untrusted()
        except RefusedError as error:
            self._refusal = error
            raise

    def end_untrusted(self) -> None:
        """The stream has ended, and all slices are out; RefusedError if that is in the middle of a message."""
        if self._refusal is None and (self._head or len(self._lines) or self._body_left):
            between = not self._head and not self._body_left
            self._refusal = refused(Why.DATA_AFTER_CLOSE if self._closing and between else Why.TRUNCATED)
        if self._refusal is not None:
            raise self._refusal

    def _body(self) -> BodySlice | None:
        raw = self._lines.take(self._body_left)
        self._body_left -= len(raw)
        return BodySlice(raw, last=not self._body_left) if raw else None

    def _next_head_untrusted(self) -> HeadSlice | None:
        if self._closing and len(self._lines):
            raise refused(Why.DATA_AFTER_CLOSE)
        while (line := self._lines.line_untrusted()) is not None:
            if not self._head:
                self._method = _request_line_untrusted(line, self._limits.target_bytes)
            elif line:
                self._fields.add_untrusted(line)
                if self._fields.transfer_encoding is not None:
                    raise refused(Why.TRANSFER_ENCODING)
            self._head.append(line)
            if not line:
                return self._whole_untrusted()
        return None

    def _whole_untrusted(self) -> HeadSlice:
        """Return the head that has come to its empty line, and begin the next."""
        fields, raw = self._fields, b"\r\n".join((*self._head, b""))
        if b"host" not in fields.names:
            raise refused(Why.HOST)
        length = fields.content_length
        if METHODS[self._method] and length is None:
            raise refused(Why.LENGTH_MISSING)
        length = length or 0
        if length and not METHODS[self._method]:
            raise refused(Why.BODY_UNEXPECTED)
        if b"expect" in fields.names and not length:
            raise refused(Why.EXPECT)
        if length > self._limits.body_bytes:
            raise refused(Why.BODY_TOO_LARGE)
        self._body_left, self._closing = length, fields.close
        self._head, self._fields = [], Fields(self._limits.fields)
        self._lines.restart(self._limits.head_bytes)
        return HeadSlice(raw, length)


def _request_line_untrusted(line: bytes, target_bytes: int) -> bytes:
    """Return the method of a request line; RefusedError if it is none that is allowed here."""
    if not line:
        raise refused(Why.EMPTY_LINE)
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not parts[1] or not _VERSION.fullmatch(parts[2]):
        raise refused(Why.REQUEST_LINE)
    method, target, version = parts
    if version != b"HTTP/1.1":
        raise refused(Why.VERSION)
    if method not in METHODS:
        raise refused(Why.METHOD)
    if len(target) > target_bytes:
        raise refused(Why.TARGET_TOO_LONG)
    if not _TARGET.fullmatch(target) or _DOTS.search(target.partition(b"?")[0]):
        raise refused(Why.TARGET)
    return method
