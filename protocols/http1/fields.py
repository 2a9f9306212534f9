"""The fields of a head, one by one: which there may be, and what three of them say (HF-8 to HF-14)."""

import re
from dataclasses import dataclass, field
from typing import Final

from protocols.http1.refusal import Why, refused

_FIELD: Final = re.compile(rb"([A-Za-z0-9-]+):([ -~]*)")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,14}")
_HOP_BY_HOP: Final = frozenset(
    (b"http2-settings", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"),
)
"""Beside Connection and Transfer-Encoding (RFC 9110, 7.6.1)."""


@dataclass(slots=True)
class Fields:
    """What the fields of one head have said so far."""

    limit: int
    """How many there may be."""
    names: set[bytes] = field(default_factory=set[bytes])
    """In lower case."""
    content_length: int | None = None
    """The number, if the field is there."""
    transfer_encoding: bytes | None = None
    """As it stands, if the field is there."""
    close: bool = False
    """Whether this is the last message on the connection."""

    def add_untrusted(self, line: bytes) -> None:
        """Take one line of the head; RefusedError says which rule it breaks."""
        if line.startswith(b" "):
            raise refused(Why.FOLDED)
        match = _FIELD.fullmatch(line)
        if match is None:
            raise refused(Why.FIELD_LINE)
        if len(self.names) == self.limit:
            raise refused(Why.TOO_MANY_FIELDS)
        name, value = match[1].lower(), match[2].strip(b" ")
        if name in self.names:
            raise refused(Why.CONTENT_LENGTH if name == b"content-length" else Why.REPEATED)
        self.names.add(name)
        self._check_untrusted(name, value)

    def _check_untrusted(self, name: bytes, value: bytes) -> None:
        if name in _HOP_BY_HOP:
            raise refused(Why.HOP_BY_HOP)
        if name == b"host" and not _HOST.fullmatch(value):
            raise refused(Why.HOST)
        if name == b"content-length":
            if not _LENGTH.fullmatch(value):
                raise refused(Why.CONTENT_LENGTH)
            self.content_length = int(value)
        if name == b"transfer-encoding":
            self.transfer_encoding = value
        if name == b"expect" and value.lower() != b"100-continue":
            raise refused(Why.EXPECT)
        if name == b"connection":
            if value.lower() not in {b"close", b"keep-alive"}:
                raise refused(Why.CONNECTION)
            self.close = value.lower() == b"close"
