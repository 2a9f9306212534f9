"""What the two connections tell of, in the order of the stream."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request begins."""

    method: str
    """GET, POST, PUT or DELETE."""
    path: str
    """Up to the question mark."""
    query: str
    """Behind the question mark."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body_bytes: int
    """What follows."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A response begins."""

    status: int
    """200 to 599."""
    headers: Mapping[str, str]
    """By name in lower case."""


@dataclass(frozen=True, slots=True)
class BodyPiece:
    """A part of the body, without framing."""

    data: bytes
    """At least one byte."""


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """The message is whole."""


RequestEvent = RequestHead | BodyPiece | MessageEnd
ResponseEvent = ResponseHead | BodyPiece | MessageEnd
