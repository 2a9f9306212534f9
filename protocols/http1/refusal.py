"""Why a message is refused: precise for us, and one status for the peer."""

from enum import Enum

from protocols.errors import MalformedError


class Why(Enum):
    """Each with the status of the answer, where there is one, and a few words."""

    # bytes
    BARE_LF = (400, "a line feed without a carriage return")
    BARE_CR = (400, "a carriage return without a line feed")
    CONTROL = (400, "a control character, or a tabulator")
    NON_ASCII = (400, "a byte that is not ASCII")
    HEAD_TOO_LARGE = (431, "a head that is too large")
    TOO_MANY_FIELDS = (431, "too many fields")
    TRUNCATED = (400, "the stream ends in the middle of a message")
    # request line
    EMPTY_LINE = (400, "an empty line where a message should begin")
    REQUEST_LINE = (400, "no request line: a method, a target and a version, each behind one space")
    VERSION = (505, "a version that is not HTTP/1.1")
    METHOD = (501, "a method that is not GET, POST, PUT or DELETE")
    TARGET = (400, "a target that is not a plain path")
    TARGET_TOO_LONG = (414, "a target that is too long")
    # fields
    FIELD_LINE = (400, "no field: a name of letters, digits and dashes, a colon, a value")
    FOLDED = (400, "a line that begins with white space")
    REPEATED = (400, "a field that stands twice")
    HOST = (400, "no host, or none that could be one")
    HOP_BY_HOP = (400, "a field that is for proxies, upgrades and trailers")
    CONNECTION = (400, "a connection option that is not close or keep-alive")
    EXPECT = (417, "an expectation that is not 100-continue, or one about no body")
    # framing
    TRANSFER_ENCODING = (501, "a transfer coding")
    CONTENT_LENGTH = (400, "a length that is not one plain number")
    LENGTH_MISSING = (411, "no length where there must be one")
    BODY_UNEXPECTED = (400, "a body where there is none")
    BODY_TOO_LARGE = (413, "a body that is too large")
    DATA_AFTER_CLOSE = (400, "bytes behind the last message")
    DISAGREEMENT = (400, "two readers that do not agree on the message")
    # responses
    STATUS_LINE = (400, "no status line: HTTP/1.1, a number, a phrase")
    STATUS = (400, "a status that no answer to us has")
    CHUNK = (400, "a chunk that is not framed plainly")

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        """Of the answer to a request."""
        self.text = text
        """What is there and must not be, for our own log."""


class RefusedError(MalformedError):
    """A message breaks a rule of specs/http-front.md; nothing of it, and nothing behind it, may be used."""

    advice = (
        "From the internet: nothing, it is the noise of scanners. From your own device: look for a proxy in "
        "between, and compare versions."
    )

    def __init__(self, message: str, why: Why = Why.DISAGREEMENT) -> None:
        super().__init__(message)
        self.why = why
        """The rule."""


def refused(why: Why) -> RefusedError:
    """Return the error to raise."""
    return RefusedError(f"not the HTTP that is spoken here: {why.text}", why)
